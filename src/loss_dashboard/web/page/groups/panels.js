"use strict";
// A chart for each loss: the mean of each group with its interval, and single runs faintly behind.

const PANELS = { few: 270, many: 210 }; // how high they are
const FEW = 4;
const LETTERS = 20; // of the name of a group beside its line, where there is room

function showGroupPanels({ losses, groups, smoothing, by }, shown, change) {
  const home = $("#groups .panels"), isFew = losses.length <= FEW;
  home.classList.toggle("few", isFew && losses.length !== 3);
  const known = new Map([...plots].filter(([key]) => key.startsWith("of ")));
  const asked = { ...shown, smooth: 0, x: "step" }; // smoothed already, and over steps
  for (const loss of losses) {
    const key = `of ${loss.name}`, figure = known.get(key) ?? newGroupPanel(home, key, loss.name, change);
    known.delete(key);
    figure.height = isFew ? PANELS.few : PANELS.many;
    const model = groupModel(loss, figure.title, groups, asked, by);
    const blank = blankOfGroups(model);
    if (blank) { showBlank(figure, model, blank); continue; }
    say(figure, noteOfGroups(model, loss, smoothing));
    drawChart(figure, model, asked, change);
  }
  known.forEach((figure, key) => { clearFigure(figure); figure.plot.parentElement.remove(); plots.delete(key); });
}

function newGroupPanel(home, key, name, change) {
  const figure = newFigure(home, key, shortened(name, 40), change);
  plots.set(key, figure);
  return figure;
}

function groupModel(loss, title, groups, choice, by) {
  const view = { name: by || "runs", curves: { whole: loss.whole, step: loss.step, range: [loss.step[0], loss.last] } };
  const lines = groups.flatMap((group, at) => {
    const curve = loss.curves[at];
    if (!curve || !isVisible(choice, group.name)) return [];
    const colour = onPage(groups.length > 1 ? group.colour : loss.colour);
    return [groupLine(group.name, curve, { colour, dash: groupDash(at), view })];
  });
  const every = lines.flatMap((line) => [line.values, ...line.behind, line.strokes.map(([, , to]) => to)]).map((values) => ({ values, raw: values }));
  const model = { key: "loss", title, choice, stacked: false, equal: null, x: loss.step, lines, scale: scaleOf({ key: "loss", lines: every, choice }) };
  model.marks = lines.flatMap((line, row) => line.lost.map(([at, count]) => ({ at, count, row, run: 0, colour: line.colour, name: line.name })));
  model.letters = LETTERS;
  model.columns = lines.flatMap(columnsOfGroup);
  cutBands(model, every);
  return model;
}

function groupDash(at) {
  return DASHES[at % DASHES.length];
}

function groupLine(name, { mean, half, n, runs, reach, far, lost }, look) {
  const values = known(mean), end = (sign) => values.map((value, at) => (half[at] == null || value == null ? value && null : value + sign * half[at]));
  const beside = (at) => [half[at] == null ? null : `± ${figures(half[at], 3)}`, `n ${n[at]}`].filter(Boolean).join("  ");
  const band = half.length ? [end(-1), end(1)] : null;
  const strokes = far.flatMap((ends, run) => ends.map(([at, to]) => [at, (runs[run] ?? values)[at], to]));
  return { name, ...look, run: 0, told: null, lost, values, raw: values, band, strokes, half, n, reach: reach.length ? reach.map(known) : null, behind: runs.map(known), beside, near: (at) => at, own: (at) => at };
}

// On a logarithmic scale nothing is below zero: there a band is cut far below all runs.
function cutBands({ lines, scale }, every) {
  if (scale.kind !== "log") return;
  const least = Math.min(...every.flatMap(({ values }) => values.filter(isNumber)));
  for (const line of lines) line.band = line.band?.map((values) => values.map((value) => (isNumber(value) ? Math.max(value, least / 10) : value))) ?? null;
}

// In a file of numbers: the mean, its interval, how many runs, and each of them.
function columnsOfGroup({ name, values, half, n, behind }) {
  const own = [{ name, values }, { name: `${name} ± 95 %`, values: half.map((value) => value ?? undefined) }, { name: `${name} n`, values: n }];
  return [...own, ...behind.map((each, run) => ({ name: `${name} run ${run + 1}`, values: each }))];
}

function noteOfGroups({ marks, lines, scale }, loss, smoothing) {
  const lost = marks.reduce((sum, mark) => sum + mark.count, 0);
  const size = loss.whole ? 0 : Math.round((loss.step.at(-1) - loss.step[0]) / Math.max(1, loss.step.length - 1));
  return [
    lost && `× ${grouped(lost)} not finite`, smoothing > 1 && `mean of ${grouped(smoothing)} steps`,
    lines.some((line) => line.band) && "band: 95 % t interval", lines.some((line) => line.strokes.length) && "strokes: far extremes", scale.kind === "symlog" && "symlog: some are ≤ 0",
    size > 1 && `a point for ${grouped(size)} steps`,
  ].filter(Boolean).join(" · ");
}

function blankOfGroups({ x, lines, choice }) {
  if (!x.length) return `No rows ${windowText(choice)}`;
  if (!lines.length) return "All groups are hidden";
  return lines.some((line) => line.values.some(isNumber)) ? null : NOT_RECORDED.loss;
}
