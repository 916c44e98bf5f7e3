"use strict";
// Scales of the charts: linear, logarithmic, and both ways from zero; and the numbers beside them.

const SPACE = 30; // pixels from one number to the next, at least
const DAY = 86400;
const WIDE = 100; // times the smallest
const NEARLY_ALL = 0.95, ABOVE = 1.5; // of what a robust scale shows, and times that
const SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, ...[1, 2, 7, 14, 30, 60, 90, 180, 365, 730, 3650].map((days) => days * DAY)];

function scaleOf(model) {
  if (["cov", "extra"].includes(model.key)) return scaleIfWide(model);
  if (!["loss", "epoch"].includes(model.key)) return { kind: "linear" };
  let low = Infinity, floor = Infinity, top = 1e-300;
  for (const line of model.lines) {
    for (const value of [...line.values, ...(line.band?.[0] ?? line.raw), ...(line.strokes ?? []).map(([, , to]) => to)]) {
      if (value == null) continue;
      if (value < low) low = value;
      if (value && Math.abs(value) < floor) floor = Math.abs(value);
      top = Math.max(top, Math.abs(value));
    }
  }
  if (!model.choice.log || low === Infinity) return { kind: "linear" };
  return low > 0 ? { kind: "log" } : { kind: "symlog", floor: floor < Infinity ? Math.max(floor, top / 1000) : 1 };
}

// Logarithmic if one would hide another. A mean close to zero makes the CoV as large as one likes, so
// that is cut where nearly all of each line is below; the tip has the number.
function scaleIfWide({ key, lines, choice }) {
  const most = key === "cov" ? robustTop(lines.map((line) => line.values)) : Infinity;
  let top = 0, floor = Infinity, highest = 0;
  for (const line of lines) {
    const values = line.values.filter((value) => value > 0).sort((a, b) => a - b);
    if (!values.length) continue;
    highest = Math.max(highest, values[values.length - 1], ...(line.band?.[1] ?? []).filter(isNumber), ...(line.strokes ?? []).map(([, , to]) => to));
    top = Math.min(highest, most);
    floor = Math.min(floor, values[Math.floor(values.length / 10)]); // the first few say little yet
  }
  const cut = highest > most ? { top: most } : {};
  return choice.log && top > WIDE * floor ? { kind: "symlog", floor, ...cut } : { kind: "linear", ...cut };
}

// This is `robust_top` of curves/scales.py.
function robustTop(curves) {
  const tops = curves.map((values) => values.filter(isNumber).sort((a, b) => a - b)).filter((sorted) => sorted.length);
  const most = Math.max(0, ...tops.map((sorted) => sorted[Math.floor(NEARLY_ALL * (sorted.length - 1))]));
  return most > 0 ? ABOVE * most : Infinity;
}

// The vertical scale and axis for uPlot.
function verticalOf(model) {
  const { kind, floor, top = Infinity } = model.scale;
  const isShare = model.key === "part" || model.stacked;
  const values = (_, splits) => splits.map((value) => (value === null ? "" : isShare ? percent(value) : figures(value, 3)));
  if (kind === "log") return {
    scale: { distr: 3, range: (_, low, high) => logRange(low, high) },
    axis: { values, incrs, splits: (u, _, low, high) => logSplits(low, high), filter: (_, splits) => splits },
  };
  if (kind === "symlog") return {
    scale: { distr: 100, fwd: (value) => symlog(value, floor), bwd: (value) => unsymlog(value, floor), range: (_, low, high) => [low < 0 ? low * 1.3 : -floor / 2, high > 0 ? Math.min(high * 1.3, top) : floor] },
    axis: { values, incrs, splits: (u, _, low, high) => symlogSplits(low, high, floor), filter: apart },
  };
  if (isShare) return { scale: model.stacked ? { range: [0, 1] } : {}, axis: { values } };
  const scale = top < Infinity ? { range: (_, low) => [Math.min(0, low), top] } : {};
  return { scale, axis: { values: (u, splits) => splits.map((value) => figures(value, digitsOf(splits))), incrs, splits: linearSplits } };
}

// One that fits any scale, for uPlot leaves out the numbers of one that is larger than its own; where
// they stand is ours to say.
function incrs(u, axis, low, high) { return [Math.max(5, high - low)]; }

function linearSplits(u, axis, low, high, incr, room) {
  return evenSplits(low, high, (room * (high - low)) / incr / SPACE);
}

// As many as tell one number of an axis from the next.
function digitsOf(splits) {
  const largest = Math.max(...splits.map(Math.abs)), step = splits[1] - splits[0];
  return Math.max(3, 1 + Math.ceil(Math.log10(largest / step))) || 3;
}

// The horizontal one: steps, moments, or time since the start.
function horizontalOf(choice) {
  const scale = { time: choice.x === "time" };
  if (choice.x === "epoch") return { scale, axis: { space: 60, values: (_, splits) => splits.map((value) => figures(value, 5)) } };
  if (choice.x === "step") return { scale, axis: { values: (_, splits) => splits.map(grouped) } };
  const isClock = choice.x === "time";
  const space = (u, axis, low, high) => (isClock ? (high - low < 600 ? 66 : 48) : 70);
  const values = isClock ? (u, splits, axis, room, step) => splits.map((moment) => clock(moment, step)) : (_, splits) => splits.map(roundDuration);
  return { scale, axis: { space, incrs: SECONDS, values } };
}

function clock(moment, step) {
  const date = new Date(moment * 1000);
  const isMidnight = date.getHours() + date.getMinutes() + date.getSeconds() === 0;
  if (step >= DAY || isMidnight) return date.toLocaleDateString([], { day: "numeric", month: "short" });
  return date.toLocaleTimeString([], { hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: step < 60 ? "2-digit" : undefined, fractionalSecondDigits: step < 1 ? 1 : undefined });
}

function logRange(low, high) {
  if (!(low > 0) || !(high > 0)) return [0.1, 1];
  const room = Math.pow(high / low, 0.06) * 1.03;
  return [low / room, Math.min(high * room, Number.MAX_VALUE)];
}

function logSplits(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return evenSplits(low, high);
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += Math.max(1, Math.round(decades / 6))) {
    for (const digit of decades < 3 ? [1, 2, 5] : [1]) {
      const value = digit * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function evenSplits(low, high, count = 4) {
  const rough = (high - low) / count, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * size).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

function symlog(value, floor) { return Math.sign(value) * Math.log10(1 + Math.abs(value) / floor); }
function unsymlog(value, floor) { return Math.sign(value) * floor * (10 ** Math.abs(value) - 1); }

function symlogSplits(low, high, floor) {
  const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
  const bottom = Math.min(top, Math.max(Math.ceil(Math.log10(floor)), top - 14));
  const stride = Math.max(1, Math.round((top - bottom) / 3));
  const found = [0];
  for (let power = top; power >= bottom; power -= stride) found.push(10 ** power, -(10 ** power));
  return found.filter((value) => value >= low && value <= high).sort((a, b) => a - b);
}

// Numbers that would touch are left out, those nearest to zero first.
function apart(u, splits) {
  const kept = [];
  for (const value of [0, ...splits.filter((one) => one).sort((a, b) => Math.abs(b) - Math.abs(a))]) {
    const at = u.valToPos(value, "y");
    if (splits.includes(value) && kept.every((other) => Math.abs(u.valToPos(other, "y") - at) > 13)) kept.push(value);
  }
  return splits.map((value) => (kept.includes(value) ? value : null));
}
