"use strict";
// One tip for all charts: every loss at the cursor, sorted by value.

const TIP_ROWS = 64, ROWS = 22; // in all, and below each other
let tipped = null; // the chart that it tells

function showTip(u, pointed) {
  const { idx, left } = u.cursor, { model } = u;
  if (idx == null || left < 0) return hideTip();
  const index = model.places ? nearestOf(model.places, model.x, clamped(idx, model.places)) : idx;
  const shown = valuesAt(model, index);
  const isWide = shown.length <= ROWS && (innerWidth >= 700 || !(isSmoothed(model) || isMany(model)));
  const rows = shown.slice(0, TIP_ROWS).map((one) => tipRow(model, one, one.line === pointed, isWide));
  const lost = model.marks.filter((mark) => mark.at === index).map((mark) => element("div", { class: "lost" }, `${shortened(mark.name, 28)}: ${mark.count} not finite`));
  const more = shown.length > TIP_ROWS ? element("div", { class: "quiet" }, `and ${shown.length - TIP_ROWS} more`) : null;
  const head = element("div", { class: "quiet" }, headOf(model, index, shown, isWide));
  const columns = Math.min(innerWidth < 700 ? 2 : 3, Math.ceil(rows.length / ROWS));
  $("#tip").replaceChildren(head, element("div", { class: "rows", "data-columns": columns }, ...rows), ...lost, ...(more ? [more] : []));
  $("#tip").hidden = false;
  tipped = u;
  placeTip(u, $("#tip"));
}

function clamped(index, places) {
  return Math.min(Math.max(index, places[0]), places[places.length - 1]);
}

function hideTip() {
  $("#tip").hidden = true;
  tipped = null;
}

// For those who hear the page: the tip in words, when it was called by a key.
function sayTip() {
  const rows = [...document.querySelectorAll("#tip > .quiet, #tip .row, #tip .lost")];
  $("#said").textContent = rows.slice(0, 12).map((row) => row.textContent).join(", ");
}

// Runs were not all recorded at the same steps, so of each it is the step next to the cursor.
function valuesAt(model, index) {
  const found = model.lines.map((line) => {
    const at = line.near(index), reach = line.reach?.map((values) => values[at]);
    return { line, at, reach, value: line.values[at], raw: line.raw[at] };
  });
  return found.filter((one) => one.value !== undefined || one.raw !== undefined).sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
}

function tipRow(model, { line, at, value, raw, reach }, isPointed, isWide) {
  const swatch = lineSample(line.colour, line.dash);
  const run = isMany(model) ? ` · ${shortened(line.view.name, 24)}` : "";
  const name = element("span", { class: "name" }, swatch, shortened(line.name, 28), run ? element("span", { class: "quiet" }, run) : null);
  const more = [isSmoothed(model) ? valueText(model, raw) : null, isWide && reach ? rangeText(reach) : null, line.beside?.(at) ?? null].filter((text) => text !== null);
  const quiet = more.flatMap((text) => [" ", element("span", { class: "quiet" }, text)]);
  return element("div", { class: isPointed ? "row near" : "row" }, name, " ", element("b", {}, valueText(model, value)), ...quiet);
}

// As wide as a dash needs to show.
function lineSample(colour, dash) {
  const line = drawn("line", { x1: 0, x2: 20, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") || null });
  return drawn("svg", { width: 26, height: 10, "aria-hidden": "true" }, line);
}

function rangeText(reach) {
  return reach.every(isNumber) ? reach.map((value) => figures(value, 3)).join(" – ") : "";
}

function valueText(model, value) {
  if (value === null) return "NaN";
  if (value === undefined) return "–";
  return model.key === "part" || model.stacked ? percent(value) : figures(value, 5);
}

function isSmoothed(model) {
  return ["loss", "extra"].includes(model.key) && model.choice.smooth > 1;
}

// Where the cursor is, and what the numbers are: of curves with fewer points than steps they are means.
function headOf(model, index, shown, isWide) {
  const means = shown.filter(({ line }) => !line.view.curves.whole);
  const words = [means.length ? meansText(model, index, means) : momentOf(model, index)];
  if (isSmoothed(model)) words.push("smoothed, raw");
  if (shown.some(({ line }) => line.band && line.beside)) words.push("± 95 % t interval");
  if (isWide && shown.some(({ reach }) => reach)) words.push("min – max");
  return words.join(" · ");
}

function meansText(model, index, means) {
  const spans = means.map(({ line, at }) => spanOf(line.view.curves, line.own(at), model.choice.last)).flat();
  const [first, last] = [Math.min(...spans), Math.max(...spans)];
  const steps = last > first ? `steps ${grouped(first)}–${grouped(last)}, mean` : `step ${grouped(first)}`;
  return model.choice.x === "step" ? steps : `${momentOf(model, index)} · ${steps}`;
}

function momentOf(model, index) {
  const x = model.x[index];
  if (model.choice.x === "step") return `step ${grouped(x)}`;
  if (model.choice.x === "epoch") return `epoch ${figures(x, 4)}`;
  return model.choice.x === "relative" ? `after ${duration(x)}` : new Date(x * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}

function isMany(model) {
  return model.lines.some((line) => line.run);
}

// Beside the cursor, on the side where there is room.
function placeTip(u, tip) {
  const box = u.over.getBoundingClientRect(), x = box.left + u.cursor.left;
  const right = x + 18, left = x - 18 - tip.offsetWidth;
  const fits = right + tip.offsetWidth < innerWidth;
  tip.style.left = `${fits ? right : Math.max(4, Math.min(left, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(box.top + 12, innerHeight - tip.offsetHeight - 4))}px`;
}
