"use strict";
// Two to six runs side by side: how the losses ended, and which settings differ.

function showComparison(views) {
  const home = $("#comparison");
  home.hidden = views.length < 2;
  if (home.hidden) return home.replaceChildren();
  const names = [...new Set(views.flatMap((view) => view.losses.map((loss) => loss.name)))];
  const losses = names.map((name) => rowOf(shortened(name, 60), views.map((view, run) => lastCell(view, views[0], name, run))));
  const settings = differences(views).map(([key, values]) => rowOf(key, values.map((value) => element("td", {}, shortened(value, 40)))));
  if (!settings.length) settings.push(element("tr", {}, element("td", { colspan: views.length + 1, class: "quiet" }, "no setting differs")));
  const runs = views.map((view, run) => element("th", { scope: "col" }, dashSample(run), ` ${view.name}`));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "last loss"), ...runs));
  const between = element("tr", {}, element("th", { scope: "colgroup", colspan: views.length + 1, class: "between" }, "settings that differ"));
  const table = element("table", {}, head, element("tbody", {}, ...losses), element("tbody", {}, between, ...settings));
  home.replaceChildren(element("h2", {}, "Comparison"), element("div", { class: "scroll", tabindex: 0 }, table));
}

function rowOf(name, cells) {
  return element("tr", {}, element("td", {}, name), ...cells);
}

function dashSample(run) {
  const line = drawn("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": RUN_DASHES[run].join(" ") });
  return drawn("svg", { width: 26, height: 10, "aria-hidden": "true" }, line);
}

function lastCell(view, first, name, run) {
  const own = view.losses.find((loss) => loss.name === name)?.last;
  const other = first.losses.find((loss) => loss.name === name)?.last;
  const known = run && typeof own === "number" && typeof other === "number" && other !== 0;
  const change = known ? (own - other) / Math.abs(other) : 0;
  const delta = run ? element("span", { class: "delta quiet" }, known ? `${change > 0 ? "+" : ""}${percent(change)}` : "") : null;
  return element("td", {}, figures(own ?? null), " ", delta);
}

function flat(settings, prefix = "") {
  return Object.entries(settings ?? {}).flatMap(([key, value]) =>
    value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${prefix}${key}.`) : [[prefix + key, value === null ? "none" : String(value)]]);
}

function differences(views) {
  const each = views.map((view) => new Map(flat(view.settings)));
  const keys = [...new Set(each.flatMap((settings) => [...settings.keys()]))];
  return keys.map((key) => [key, each.map((settings) => settings.get(key) ?? "–")]).filter(([, values]) => new Set(values).size > 1);
}
