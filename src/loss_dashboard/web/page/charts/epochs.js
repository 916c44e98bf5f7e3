"use strict";
// Epochs as an axis, and the means of each in a chart of their own.

const DOTS = 100; // means of so many epochs are dots on their line

// How many epochs had passed with each step: in parts within one, as evenly as its steps. This is
// `as_epochs` of runs/epochs.py.
function epochsOf(steps, { first, ends }) {
  const known = [[first < ends[0][0] ? first : ends[0][0] - 1, ends[0][1] - 1], ...ends];
  let at = 1;
  return steps.map((step) => {
    while (at > 1 && step <= known[at - 1][0]) at--;
    while (at < known.length - 1 && step > known[at][0]) at++;
    const [[left, before], [right, after]] = [known[at - 1], known[at]];
    return step <= left ? before : before + ((step - left) / (right - left)) * (after - before);
  });
}

function showEpochs(home, views, choice, change) {
  const isThere = views.some((view) => view.epochs);
  if (!isThere && !plots.has("epoch")) return;
  if (!plots.has("epoch")) plots.set("epoch", newFigure(home, "epoch", "Epoch means", change));
  const figure = plots.get("epoch");
  figure.plot.parentElement.hidden = !isThere;
  if (!isThere) return;
  const model = epochModel(figure.title, views, { ...choice, x: "epoch" }), blank = blankOf(model, views, choice);
  if (blank) return showBlank(figure, model, blank);
  say(figure, noteOfEpochs(model));
  drawChart(figure, model, model.choice, change);
}

// The lines of the means, over the numbers of the epochs. Each point stands for an epoch, and none
// is a mean of several points.
function epochModel(title, views, choice) {
  const told = views.flatMap((view, run) => (view.epochs?.each ?? []).filter((one) => isVisible(choice, one.name)).map((one) => meansWithin(view, run, one, choice)));
  const x = [...new Set(told.flatMap(({ epoch }) => epoch))].sort((a, b) => a - b), place = new Map(x.map((epoch, index) => [epoch, index]));
  const lines = told.map(({ one, run, view, epoch, mean, look }) => {
    const values = new Array(x.length).fill(undefined);
    epoch.forEach((number, index) => { values[place.get(number)] = mean[index]; });
    return { name: one.name, told: one, run, view, ...look, raw: values, values, near: nearestIn(values, x), own: (index) => epoch.indexOf(x[index]) };
  });
  const model = { key: "epoch", title, choice, stacked: false, x, lines, marks: [], equal: null };
  return { ...model, scale: scaleOf(model) };
}

function meansWithin(view, run, one, { first, last }) {
  const kept = one.step.map((step, index) => index).filter((index) => (first === null || one.step[index] >= first) && (last === null || one.step[index] <= last));
  const [epoch, step, mean] = [one.epoch, one.step, one.mean].map((values) => kept.map((index) => values[index]));
  const dash = run ? RUN_DASHES[run] : one.of ? [1, 3] : dashOf(view, one.name);
  return { one, run, epoch, mean, view: { ...view, curves: { whole: true, step, epoch, time: [] } }, look: { colour: onPage(one.colour), dash } };
}

function noteOfEpochs(model) {
  return ["by samples", model.scale.kind === "symlog" && "symlog: some are ≤ 0"].filter(Boolean).join(" · ");
}
