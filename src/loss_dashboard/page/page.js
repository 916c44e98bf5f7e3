"use strict";
// The page: all of its parts drawn from what is known, and how it begins.

function draw() {
  document.documentElement.dataset.theme = choice.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const view = views[0], isEmpty = !view?.losses.length;
  showPicker();
  showState();
  showControls();
  showEmpty(view);
  showSettings(view);
  showAlerts(view);
  showComparison(isEmpty ? [] : views);
  for (const id of ["#summary", "#controls", "#charts"]) $(id).hidden = isEmpty;
  if (isEmpty) return;
  document.title = `${view.name} · losses`;
  showTable(view, choice, change);
  showCharts(REPORT ? views.map(asChosen) : views, choice, change);
}

async function start() {
  if (!choice.runs.length && library.runs.length) choice.runs = [library.runs[0].key];
  draw();
  listen();
  if (choice.runs.length) ask();
}

async function meet() {
  try {
    library = await get("api/runs");
    await start();
  } catch {
    isGone = true;
    draw();
    timer = setTimeout(revive, POLL);
  }
}

wire();
if (REPORT) openReport();
else meet();
