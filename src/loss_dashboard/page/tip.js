"use strict";
// One tip for all charts: every loss at the cursor, sorted by value.

const TIP_ROWS = 64;

function showTip(u, pointed) {
  const index = u.cursor.idx, { model } = u;
  if (index == null || u.cursor.left < 0) return hideTip();
  const shown = valuesAt(model, index);
  const rows = shown.slice(0, TIP_ROWS).map((one) => tipRow(model, one, one.line === pointed));
  const lost = model.marks.filter((mark) => mark.at === index).map((mark) => element("div", { class: "lost" }, `${shortened(mark.name, 28)}: ${mark.count} not finite`));
  const more = shown.length > TIP_ROWS ? element("div", { class: "quiet" }, `and ${shown.length - TIP_ROWS} more`) : null;
  const head = element("div", { class: "quiet" }, momentOf(model, index) + (isSmoothed(model) ? " · smoothed, raw" : ""));
  const columns = Math.min(innerWidth < 700 ? 2 : 3, Math.ceil(rows.length / 22));
  $("#tip").replaceChildren(head, element("div", { class: "rows", "data-columns": columns }, ...rows), ...lost, ...(more ? [more] : []));
  $("#tip").hidden = false;
  placeTip(u, $("#tip"));
}

function hideTip() {
  $("#tip").hidden = true;
}

// For those who hear the page: the tip in words, when it was called by a key.
function sayTip() {
  const rows = [...document.querySelectorAll("#tip > .quiet, #tip .row, #tip .lost")];
  $("#said").textContent = rows.slice(0, 12).map((row) => row.textContent).join(", ");
}

// Runs were not all recorded at the same steps, so of each it is the step next to the cursor.
function valuesAt(model, index) {
  const found = model.lines.map((line) => ({ line, value: line.values[line.near(index)], raw: line.raw[line.near(index)] }));
  return found.filter((one) => one.value !== undefined || one.raw !== undefined).sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
}

function tipRow(model, { line, value, raw }, isPointed) {
  const swatch = element("i");
  swatch.style.background = line.colour;
  const run = model.lines.some((other) => other.run) ? ` · ${shortened(line.view.name, 24)}` : "";
  const name = element("span", { class: "name" }, swatch, shortened(line.name, 28), run ? element("span", { class: "quiet" }, run) : null);
  const smoothedFrom = isSmoothed(model) ? element("span", { class: "quiet" }, valueText(model, raw)) : null;
  return element("div", { class: isPointed ? "row near" : "row" }, name, " ", element("b", {}, valueText(model, value)), smoothedFrom);
}

function valueText(model, value) {
  if (value === null) return "NaN";
  if (value === undefined) return "–";
  return model.key === "part" || model.stacked ? percent(value) : figures(value, 5);
}

function isSmoothed(model) {
  return model.key === "loss" && model.choice.smooth > 1;
}

function momentOf(model, index) {
  const x = model.x[index];
  if (model.choice.x === "step") return `step ${grouped(x)}`;
  return model.choice.x === "relative" ? `after ${duration(x)}` : new Date(x * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}

// Beside the cursor, on the side where there is room.
function placeTip(u, tip) {
  const box = u.over.getBoundingClientRect(), x = box.left + u.cursor.left;
  const right = x + 18, left = x - 18 - tip.offsetWidth;
  const fits = right + tip.offsetWidth < innerWidth;
  tip.style.left = `${fits ? right : Math.max(4, Math.min(left, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(box.top + 12, innerHeight - tip.offsetHeight - 4))}px`;
}
