"use strict";
// What is said of a chart: beside its title, in its place if it is blank, and to those who hear it.

const NOT_RECORDED = {
  loss: "No value is finite",
  weight: "Weights were not recorded",
  cov: "CoV was not recorded",
  part: "Contributions need weights, which were not recorded",
};

function noteOf(model, views, choice) {
  const notes = [], { lines, marks, key } = model;
  const lost = marks.reduce((sum, mark) => sum + mark.count, 0);
  if (lost && key === "loss") notes.push(`× ${grouped(lost)} not finite`);
  if (key === "loss" && choice.smooth > 1) notes.push(`mean of ${grouped(choice.smooth)} steps`);
  if (key === "loss" && isRough(model)) notes.push("smooth to compare");
  if (lines.some((line) => line.band)) notes.push("band: min–max");
  if (lines.some((line) => line.strokes?.length)) notes.push("strokes: far extremes");
  if (key === "loss" && model.scale.kind === "symlog") notes.push("symlog: some are ≤ 0");
  if (key === "loss" && views[0].told) notes.push(views[0].told);
  if (model.stacked && key === "weight") notes.push("share of each");
  if (model.equal !== null) notes.push("dotted: equal weights");
  if (key === "cov") notes.push(choice.recent ? "std / mean of the last 100" : "std / mean so far");
  if (key === "cov" && model.scale.kind !== "linear") notes.push("log scale");
  if (key === "cov" && model.scale.top) notes.push(`cut at ${figures(model.scale.top, 2)}: a mean near 0`);
  if (key === "part") notes.push("share of weight × loss", ...new Set(views.map((view) => view.by_size).filter(Boolean)));
  return notes.join(" · ");
}

// Beside one of the user's own numbers, and above all of them.
function noteOfExtra({ lost }, { scale }) {
  return [lost && `× ${grouped(lost)} not finite`, scale.kind !== "linear" && "log scale"].filter(Boolean).join(" · ");
}

function noteOfExtras({ lines, choice }, count, views) {
  const all = Math.max(...views.map((view) => view.extras_in_all));
  const notes = [all > count && `the first ${count} of ${grouped(all)}`, count > 1 && "each on its own scale", choice.smooth > 1 && `mean of ${grouped(choice.smooth)} values`, lines.some((line) => line.band) && "band: min–max"];
  return notes.filter(Boolean).join(" · ");
}

// Several runs as they were recorded: noise over noise.
function isRough({ lines, choice }) {
  return choice.smooth < 2 && lines.some((line) => line.run);
}

// Why there is nothing to draw; null if there is something.
function blankOf({ key, lines, x }, views, choice) {
  if (!x.length) return `No rows ${windowText(choice)}`;
  if (!lines.length) return isUnknown(views, choice) ? `No loss is called “${choice.search}”` : "All losses are hidden";
  if (lines.some((line) => line.values.some(isNumber))) return null;
  if (key === "extra") return lines.some(({ values }) => values.includes(null)) ? NOT_RECORDED.loss : `No value ${windowText(choice)}`;
  if (x.length < 3 && key === "cov") return "No CoV yet";
  if (key === "part" && views.some(isZero)) return "The total is 0";
  return key === "part" && views.some(isWeighed) ? NOT_RECORDED.loss : NOT_RECORDED[key];
}

function isUnknown(views, choice) {
  return !views.some((view) => view.losses.some((loss) => isFound(choice, loss.name)));
}

function windowText({ first, last }) {
  if (first === null) return last === null ? "yet" : `up to step ${grouped(last)}`;
  return last === null ? `from step ${grouped(first)} on` : `between step ${grouped(first)} and ${grouped(last)}`;
}

function isZero(view) {
  return Object.values(view.curves.each).some((curve) => curve.part.includes(0));
}

function isWeighed(view) {
  return Object.values(view.curves.each).some((curve) => curve.weight.some(isNumber));
}

function spoken(model) {
  const ends = model.lines.slice(0, 8).map((line) => `${line.name} ${figures(line.values[lastIndexOf(line.values)] ?? null, 3)}`);
  return `${model.title}: ${ends.join(", ")}. Arrows move the cursor, plus and minus zoom.`;
}
