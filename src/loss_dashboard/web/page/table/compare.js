"use strict";
// Two to six runs side by side: how the losses ended.

function showComparison(views) {
  const home = $("#comparison");
  home.hidden = views.length < 2;
  if (home.hidden) return home.replaceChildren();
  const names = [...new Set(views.flatMap((view) => view.losses.map((loss) => loss.name)))], shared = sharedEnd(views[0]);
  const losses = names.map((name) => lossRow(views, name, shared));
  const runs = views.map((view, run) => element("th", { scope: "col" }, dashSample(run), ` ${view.name}`));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "mean loss"), ...runs));
  const caption = element("caption", { class: "quiet" }, captionOf(shared));
  const table = element("table", {}, caption, head, element("tbody", {}, ...losses));
  home.replaceChildren(element("h2", {}, "Comparison"), element("div", { class: "scroll", tabindex: 0 }, table));
}

// The last steps that all runs have; null if they have none.
function sharedEnd({ compared }) {
  return compared && compared.last !== null ? compared : null;
}

function captionOf(shared) {
  if (!shared) return "The runs have no step in common.";
  const { first, last } = shared;
  const steps = first < last ? `Mean of steps ${grouped(first)}–${grouped(last)}` : `At step ${grouped(last)}`;
  return `${steps}, the last that all runs have. A lower loss is better.`;
}

function lossRow(views, name, shared) {
  const means = views.map((view) => meanOf(view, name));
  const last = shared && Math.min(...means.map((one) => one.last ?? Infinity));
  const early = shared && last < shared.first ? element("span", { class: "quiet" }, ` to step ${grouped(last)}`) : null;
  const cells = means.map((own, run) => meanCell(own, run ? means[0].mean : null));
  return element("tr", {}, element("td", {}, shortened(name, 60), early), ...cells);
}

// A loss of another run may have a name that any object knows, such as __proto__.
function meanOf({ compared }, name) {
  return compared && Object.hasOwn(compared.losses, name) ? compared.losses[name] : { mean: null, lost: 0 };
}

function meanCell({ mean, lost }, first) {
  const nan = lost ? element("span", { class: "lost", title: `${lost} not finite` }, `× ${grouped(lost)} `) : null;
  return element("td", {}, nan, figures(mean), " ", first === null ? null : deltaOf(mean, first));
}

// Better or worse is told by an arrow and a word, and not by the colour alone.
function deltaOf(mean, first) {
  if (mean === null || first === 0) return element("span", { class: "delta" });
  const change = (mean - first) / Math.abs(first), text = `${change > 0 ? "+" : ""}${percent(change)}`;
  if (Math.abs(change) < 5e-4) return element("span", { class: "delta quiet" }, "0 %");
  const [arrow, word, colour] = change < 0 ? ["↓", "better", "good"] : ["↑", "worse", "bad"];
  const delta = element("span", { class: "delta", title: word }, `${arrow} ${text}`, element("span", { class: "unseen" }, ` ${word}`));
  Object.assign(delta.style, { color: `var(--${colour})`, minWidth: "min(5.6em, 12vw)" });
  return delta;
}

function dashSample(run) {
  const line = drawn("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": RUN_DASHES[run].join(" ") });
  return drawn("svg", { width: 34, height: 10, "aria-hidden": "true" }, line);
}
