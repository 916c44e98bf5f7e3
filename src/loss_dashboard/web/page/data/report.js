"use strict";
// A report: the page as a file, with the curves inside, packed. There is no server to ask.

const REPORT = document.querySelector("#embedded");

async function openReport() {
  const told = await unpacked(REPORT.textContent), { views: packed, windows } = told;
  if (told.groups) return openGroupReport(told);
  views = packed;
  library = { runs: views.map((view) => ({ key: view.key })), places: [] };
  choice.runs = views.map((view) => view.key);
  if (!windows.includes(choice.smooth)) choice.smooth = 0;
  for (const option of [...$("#smooth").options]) if (Number(option.value) && !windows.includes(Number(option.value))) option.remove();
  draw();
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// The run that was picked comes first; the others stay.
function turnTo(key) {
  views.sort((a, b) => Number(b.key === key) - Number(a.key === key));
  choose({ runs: views.map((view) => view.key), first: null, last: null });
}

// A view as a server would tell it: smoothed as chosen, and only what is between two steps.
function asChosen(view) {
  const { step, time, each, extras } = view.curves;
  const isInside = (one) => (choice.first === null || one >= choice.first) && (choice.last === null || one <= choice.last);
  const first = step.findIndex(isInside), count = step.filter(isInside).length;
  const part = (values) => values.slice(first, first + count);
  const curveOf = ({ lost, smoothed, ...columns }) => {
    const shown = Object.entries({ ...columns, ...smoothed[choice.smooth] });
    const inside = lost.map(([at, times]) => [at - first, times]).filter(([at]) => at >= 0 && at < count);
    return { lost: inside, ...Object.fromEntries(shown.map(([key, values]) => [key, part(values)])) };
  };
  const all = (kind) => Object.fromEntries(Object.entries(kind).map(([name, own]) => [name, curveOf(own)]));
  const curves = { ...view.curves, step: part(step), time: part(time), each: all(each), extras: all(extras) };
  const told = view.curves.size > 1 && `a point for ${grouped(view.curves.size)} steps`;
  return { ...view, told, curves };
}
