"use strict";
// Pointing at a chart with the mouse or the keys: isolate, hide, zoom, and the line that stands out.

function listenTo(u, change) {
  const twice = (line) => (line ? change.hide(line.name) : change.zoom(null, null));
  // A finger cannot hover: its tap shows the tip, and isolates nothing.
  const isLoss = (event) => event.pointerType !== "touch" && u.model.key !== "extra";
  onClickOrTwo(u.over, (line) => line && change.isolate(line.name), twice, (event) => (isLoss(event) ? pointedLine(u) : null));
}

// Where a finger came down last, until a mouse moves. What it shows there stays where a mouse rests
// elsewhere on the page: the browser lets that mouse leave a chart in which it never was.
let touched = null;
addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch" ? event.target : null; }, true);
addEventListener("pointermove", (event) => {
  if (event.pointerType !== "touch" && (event.movementX || event.movementY)) touched = null;
}, true);

function onLeave(u, leave) {
  return (event) => {
    if (u.over.contains(touched)) return;
    leave(event);
    hideTip();
    standOut(u, null);
  };
}

function pointAt(u) {
  if (!isPointedAt(u)) return;
  const line = u.model.lines.length > 1 ? pointedLine(u) : null; // one needs no telling apart
  standOut(u, line);
  showTip(u, line);
}

function isPointedAt(u) {
  return u.over.matches(":hover") || u.root.parentElement === document.activeElement;
}

// The line near the cursor, or the part of the stack that it is in.
function pointedLine(u) {
  const index = u.cursor.idx, { top } = u.cursor, { model } = u;
  if (index == null || top < 0) return null;
  if (model.stacked) return model.lines.find((line) => u.data[line.layer][index] >= u.posToVal(top, "y")) ?? null;
  let best = null, distance = 14;
  for (const line of model.lines) {
    const value = line.values[line.near(index)];
    const away = value == null ? Infinity : Math.abs(u.valToPos(value, "y") - top);
    if (away < distance) [best, distance] = [line, away];
  }
  return best;
}

// Among many lines the one that is pointed at is drawn as ever, and the others faintly.
function standOut(u, line) {
  if (u.model.stacked || u.model.lines.length <= MANY) return;
  const layer = line?.layer ?? null;
  if (u.standing === layer) return;
  u.standing = layer;
  u.setSeries(layer, { focus: layer !== null }, false);
}

function zoomToSelection(u, change) {
  if (u.select.width > 4) zoomTo(u, u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"), change);
  u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

// A step range for the server, whatever the axis shows.
function zoomTo(u, low, high, change) {
  const { model } = u, view = model.lines[0]?.view;
  if (!view) return;
  if (model.choice.x === "step") return change.zoom(Math.ceil(low), Math.floor(high));
  const x = xOf(view, model.choice);
  const inside = view.curves.step.filter((_, index) => x[index] >= low && x[index] <= high);
  if (inside.length > 1) change.zoom(inside[0], inside[inside.length - 1]);
}

function onKey(event, figure, change) {
  const u = figure.chart;
  if (!u) return;
  const at = u.cursor.idx ?? u.data[0].length - 1, count = u.data[0].length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -count, End: count };
  if (event.key in steps) {
    const next = Math.min(count - 1, Math.max(0, at + steps[event.key]));
    u.setCursor({ left: u.valToPos(u.data[0][next], "x"), top: 10 });
    sayTip();
  } else if (event.key === "+" || event.key === "-") {
    const { min, max } = u.scales.x, middle = u.data[0][at] ?? (min + max) / 2;
    const reach = (max - min) * (event.key === "+" ? 0.25 : 1);
    zoomTo(u, Math.max(middle - reach, 0), middle + reach, change);
  } else if (event.key === "Escape" && !choice.only.length) change.zoom(null, null);
  else return;
  event.preventDefault();
}
