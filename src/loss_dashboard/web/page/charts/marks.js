"use strict";
// What is drawn beside the lines: equal weights, strokes to what they leave out, crosses where losses
// were lost, names at the ends.

const STROKE = 0.5; // how faint a stroke to an extreme is
const LABEL = 11, LABEL_GAP = LABEL + 3;

function drawReference(u) {
  const { equal } = u.model;
  if (equal === null || equal < u.scales.y.min || equal > u.scales.y.max) return;
  const { ctx, bbox } = u, y = u.valToPos(equal, "y", true);
  ctx.save();
  ctx.strokeStyle = ink("quiet");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

// From lines of means to their far extremes.
function drawStrokes(u) {
  const { ctx } = u, at = (value, axis) => u.valToPos(value, axis, true);
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([]);
  for (const line of u.model.lines) {
    ctx.strokeStyle = faded(line.colour, STROKE);
    ctx.beginPath();
    for (const [place, from, to] of line.strokes ?? []) {
      const x = at(u.model.x[place], "x");
      ctx.moveTo(x, at(from, "y"));
      ctx.lineTo(x, at(to, "y"));
    }
    ctx.stroke();
  }
  ctx.restore();
}

// A cross above each place where a loss was lost, one row for each loss.
function drawMarks(u) {
  const { ctx, bbox } = u, size = 3.5 * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.8 * devicePixelRatio;
  ctx.setLineDash([]); // whatever line was drawn before
  for (const mark of u.model.marks) {
    const x = u.valToPos(u.model.x[mark.at], "x", true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    const y = bbox.top + markHeight(mark) * devicePixelRatio;
    ctx.strokeStyle = u.model.stacked ? ink("ink") : mark.colour;
    ctx.beginPath();
    ctx.moveTo(x - size, y - size); ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size); ctx.lineTo(x - size, y + size);
    ctx.stroke();
  }
  ctx.restore();
}

function markHeight(mark) {
  return 6 + 10 * (mark.row % 20);
}

// On the chart's own ground, so that a name is read where other lines go on.
function drawLabels(u) {
  const { ctx, bbox } = u, scale = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${LABEL * scale}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  ctx.setLineDash([]);
  ctx.lineWidth = 4 * scale;
  ctx.strokeStyle = ink("card");
  for (const { text, colour, x, at } of labelsOf(u)) {
    const place = [bbox.left + x * scale, bbox.top + at * scale];
    ctx.strokeText(text, ...place);
    ctx.fillStyle = colour;
    ctx.fillText(text, ...place);
  }
  ctx.restore();
}

// Names beside the ends of the lines, none over another; too many are left to the table.
function labelsOf(u) {
  const room = u.bbox.height / devicePixelRatio;
  const lines = fittingOf(u.model, room);
  const labels = lines.map((line) => labelOf(u, line)).filter((label) => Number.isFinite(label.at));
  columnsOf(labels).forEach((column) => setApart(column, room));
  return labels;
}

function labelOf(u, line) {
  const { model } = u, last = lastIndexOf(line.values), text = shortened(line.name, lettersOf(isNarrow(u.width), model));
  const level = model.stacked ? stacksOf(model)[model.lines.indexOf(line)][last] - line.values[last] / 2 : line.values[last];
  const x = Math.min(u.valToPos(model.x[last], "x"), u.bbox.width / devicePixelRatio) + 8;
  return { text, colour: readable(line.colour), x, right: x + widthOf(text), at: u.valToPos(level, "y") };
}

// Labels that could touch, since their lines end at about the same place.
function columnsOf(labels) {
  const columns = [];
  for (const label of [...labels].sort((a, b) => a.x - b.x)) {
    const column = columns.at(-1);
    if (column?.some((other) => other.right > label.x - 4)) column.push(label);
    else columns.push([label]);
  }
  return columns;
}

function setApart(column, room) {
  column.sort((a, b) => a.at - b.at);
  column.forEach((label, index) => { label.at = Math.max(label.at, index ? column[index - 1].at + LABEL_GAP : 4); });
  for (let index = column.length - 1, limit = room - 4; index >= 0; index--, limit = column[index + 1].at - LABEL_GAP) column[index].at = Math.min(column[index].at, limit);
}

// Of each loss the line of the first run that has it.
function labelled(model) {
  const first = new Map();
  if (model.key === "extra") return []; // its name stands above it
  for (const line of model.lines) if (!first.has(line.name) && lastIndexOf(line.values) >= 0) first.set(line.name, line);
  return [...first.values()];
}

// Those whose names there is room for: all, or of areas on each other the ones as high as a name.
function fittingOf(model, room) {
  const lines = labelled(model);
  if (lines.length * LABEL_GAP <= room) return lines;
  return model.stacked ? lines.filter(({ values }) => values[lastIndexOf(values)] * room >= LABEL_GAP) : [];
}

// What the names need at the right, which is little if there are too many to be written.
function labelRoom(model, narrow, height) {
  const lines = fittingOf(model, height - 40);
  if (!lines.length) return 14;
  return 20 + Math.max(7, ...lines.map((line) => widthOf(shortened(line.name, lettersOf(narrow, model)))));
}

function widthOf(text) {
  return 7.2 * [...text].length;
}

function lettersOf(narrow, { letters = 14 }) {
  return narrow ? 10 : letters;
}

function isNarrow(width) {
  return width < 480;
}
