"use strict";
// What a chart shows: the lines of the chosen losses over one axis, and where losses were lost. Or
// those of the user's own numbers.

const RUN_DASHES = [[], [8, 5], [2, 4], [12, 4, 2, 4], [5, 3], [2, 2]];
const FAR = 3; // times as far from its line as it usually is
const SHOWS_LOST = ["loss", "part", "extra"];
const REACH = { loss: ["low", "high"], extra: ["low", "high"], weight: ["weight_low", "weight_high"] };

function modelOf(key, title, views, choice) {
  const model = { key, title, choice, stacked: isStacked(key, choice, views), ...linesOf(key, views, choice) };
  return { ...model, scale: scaleOf(model), equal: equalWeight(model, views) };
}

function isStacked(key, choice, views) {
  return views.length === 1 && ((key === "weight" && choice.stack) || key === "part");
}

function xOf(view, choice) {
  const { curves } = view, start = startOf(view);
  if (choice.x === "step") return curves.step;
  if (choice.x === "epoch") return curves.epoch ?? epochsOf(curves.step, view.epochs);
  return choice.x === "time" ? curves.time : curves.time.map((moment) => moment - start);
}

function startOf(view) {
  return view.start ?? view.curves.time[0] ?? 0;
}

// The curves of several runs over one axis: missing points are undefined, lost ones null.
function aligned(views, choice) {
  const axes = views.map((view) => xOf(view, choice));
  if (axes.length === 1) return { x: axes[0], spread: known, places: (index) => index, near: (index) => index, own: (index) => index };
  const x = [...new Set(axes.flat())].sort((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  const spread = (values, run) => {
    const all = new Array(x.length).fill(undefined);
    known(values).forEach((value, index) => { all[place.get(axes[run][index])] = value; });
    return all;
  };
  const own = axes.map((axis) => axis.map((value) => place.get(value)));
  return { x, spread, places: (index, run) => own[run][index], near: (index, run) => nearestOf(own[run], x, index), own: (index, run) => axes[run].indexOf(x[index]) };
}

function known(values) {
  return values.map((value) => (value === false ? undefined : value));
}

// The one of these places on an axis that is nearest to a place; undefined outside of them.
function nearestOf(places, x, index) {
  let low = 0, high = places.length - 1;
  if (!places.length || index < Math.min(places[low], places[high]) || index > Math.max(places[low], places[high])) return undefined;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle] < index) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [places[Math.max(0, low - 1)], places[low]];
  return x[index] - x[before] < x[after] - x[index] ? before : after;
}

function linesOf(key, views, choice) {
  const { x, spread, places, near, own } = aligned(views, choice);
  const lines = [], marks = [];
  views.forEach((view, run) => {
    const shares = key === "part" || (key === "weight" && choice.stack) ? sharesOf(view, key) : null;
    const lost = [];
    shownOf(key, view, choice).forEach(({ told, curve, column, ...look }) => {
      const raw = spread(shares ? shares[told.name] : curve[column], run);
      const line = { name: told.name, told, run, view, ...look, raw, values: raw, near: (index) => near(index, run), own: (index) => own(index, run) };
      if (run) line.dash = RUN_DASHES[run];
      if (key === "extra") line.near = nearestIn(raw, x);
      if (REACH[key] && !shares) addReach(line, curve, key, spread);
      if (SHOWS_LOST.includes(key) && curve.lost.length) lost.push([line, curve.lost]);
      lines.push(line);
    });
    lost.forEach(([line, each], row) => each.forEach(([index, count]) => marks.push({ at: places(index, run), row, colour: line.colour, count, name: line.name, run })));
  });
  return { x, lines, marks };
}

// Of the losses those that are chosen; of the user's own numbers all, which have no colour of a loss.
function shownOf(key, view, choice) {
  const { each, extras } = view.curves;
  if (key === "extra") return view.extras.map((told) => ({ told, curve: extras[told.name], column: "value", colour: ink("own"), dash: [] }));
  const column = key === "cov" && choice.recent ? "recent" : key;
  const isShare = key === "part" || (key === "weight" && choice.stack); // in which a validation has none
  const shown = view.losses.filter(({ name, of }) => isVisible(choice, name) && each[name] && !(isShare && of));
  return shown.map((told) => ({ told, curve: each[told.name], column, colour: onPage(told.colour), dash: dashOf(view, told.name) }));
}

// The place next to another one where there is a value: some numbers come seldom.
function nearestIn(values, x) {
  const places = values.map((_, at) => at).filter((at) => values[at] !== undefined);
  return (index) => nearestOf(places, x, index);
}

// A loss is drawn smoothed, over what it is smoothed from: all points, or how far they reach. A
// weight is not, and reaches as far.
function addReach(line, curve, key, spread) {
  const { run, view } = line, isSmooth = key !== "weight" && Boolean(curve.smooth);
  if (isSmooth) line.values = spread(curve.smooth, run);
  if (!view.curves.whole) line.reach = REACH[key].map((column) => spread(curve[column], run));
  if (run) line.strokes = strokesOf(line.values, line.reach ?? [line.raw, line.raw]);
  else if (line.reach) line.band = line.reach;
  else line.faint = isSmooth;
}

// From a line to what it leaves out that matters: [place, from, to]. This is `far_ends` of
// curves/decimate.py.
function strokesOf(values, reach) {
  const scaled = reach[0].every((low) => !isNumber(low) || low > 0) ? Math.log : Number;
  return reach.flatMap((ends, side) => {
    const sign = side ? 1 : -1, places = ends.map((_, at) => at).filter((at) => isNumber(ends[at]) && isNumber(values[at]));
    const beyond = places.map((at) => sign * (scaled(ends[at]) - scaled(values[at])));
    const usual = medianOf(beyond.map(Math.abs)), outermost = places.reduce((most, at) => Math.max(most, sign * ends[at]), -Infinity);
    const isFar = (away, at) => away > FAR * usual || (away > 0 && sign * ends[at] === outermost);
    return places.filter((at, index) => isFar(beyond[index], at)).map((at) => [at, values[at], ends[at]]);
  });
}

function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The first and the last step that a point of curves tells of.
function spanOf({ step, whole, range }, at, last) {
  if (whole) return [step[at], step[at]];
  return [step[at], Math.max(step[at], at + 1 < step.length ? step[at + 1] - 1 : Math.min(range[1], last ?? Infinity))];
}

function sharesOf(view, key) {
  const names = view.losses.filter((loss) => !loss.of).map((loss) => loss.name);
  const totals = view.curves.step.map((_, index) => names.reduce((sum, name) => sum + Math.abs(view.curves.each[name][key][index] || 0), 0));
  const share = (value, index) => (value === false || value == null ? value : totals[index] ? Math.abs(value) / totals[index] : null);
  return Object.fromEntries(names.map((name) => [name, view.curves.each[name][key].map(share)]));
}

// The sums of lines that lie on each other, from the lowest.
function stacksOf(model) {
  const sums = model.x.map(() => 0);
  return model.lines.map((line) => line.values.map((value, index) => (sums[index] += value || 0)));
}

function lastIndexOf(values) {
  let at = values.length - 1;
  while (at >= 0 && !isNumber(values[at])) at--;
  return at;
}

function isNumber(value) {
  return typeof value === "number";
}

// A single value makes no line; those of a few epochs are dots on theirs.
function isPoint({ values }, key) {
  return values.filter(isNumber).length < (key === "epoch" ? DOTS : 2);
}
