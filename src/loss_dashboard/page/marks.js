"use strict";
// What is drawn beside the lines: equal weights, crosses where losses were lost, names at the ends.

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

// A cross above each place where a loss was lost, one row for each loss.
function drawMarks(u) {
  const { ctx, bbox } = u, size = 3.5 * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.8 * devicePixelRatio;
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

function drawLabels(u, narrow) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `600 ${LABEL * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const { line, at } of labelsOf(u)) {
    ctx.fillStyle = readable(line.colour);
    ctx.fillText(shortened(line.name, lettersOf(narrow)), bbox.left + bbox.width + 8 * devicePixelRatio, bbox.top + at * devicePixelRatio);
  }
  ctx.restore();
}

// Names beside the ends of the lines, none over another; too many are left to the table.
function labelsOf(u) {
  const room = u.bbox.height / devicePixelRatio;
  let below = 0;
  const ends = labelled(u.model).map((line) => {
    const end = lastOf(line.values);
    const middle = below + (end ?? 0) / 2;
    if (u.model.stacked) below += end ?? 0;
    return { line, at: end === undefined ? null : u.valToPos(u.model.stacked ? middle : end, "y") };
  }).filter((label) => label.at !== null && Number.isFinite(label.at)).sort((a, b) => a.at - b.at);
  if (ends.length * LABEL_GAP > room) return [];
  ends.forEach((label, index) => { label.at = Math.max(label.at, index ? ends[index - 1].at + LABEL_GAP : 4); });
  for (let index = ends.length - 1, limit = room - 4; index >= 0; index--, limit = ends[index + 1].at - LABEL_GAP) ends[index].at = Math.min(ends[index].at, limit);
  return ends;
}

function labelled(model) {
  return model.lines.filter((line) => !line.run);
}

// What the names need at the right, which is little if there are too many to be written.
function labelRoom(model, narrow, height) {
  const lines = labelled(model);
  if (lines.length * LABEL_GAP > height - 40) return 14;
  const letters = Math.max(1, ...lines.map((line) => [...line.name].length));
  return 20 + 7.2 * Math.min(letters, lettersOf(narrow));
}

function lettersOf(narrow) {
  return narrow ? 10 : 14;
}
