"use strict";
// The page: all of its parts drawn from what is known, and how it begins.

let notice = "";

function draw() {
  showTheme();
  document.body.classList.toggle("at-home", isHome());
  $("#home").hidden = !isHome();
  $(".skip").hidden = isHome();
  $("#title").classList.toggle("unseen", !isHome());
  if (isGrouped()) return drawGroups();
  const view = views[0], isEmpty = !view?.losses.length;
  showPicker();
  showState();
  showControls();
  showEmpty(view);
  showSettings(view);
  showExplained(view);
  showAlerts(view);
  showComparison(isEmpty ? [] : views);
  showHyperparameters(isEmpty ? [] : views);
  for (const id of ["#summary", "#controls", "#charts"]) $(id).hidden = isEmpty;
  document.title = view ? `${view.name} · losses` : isHome() ? "Runs · losses" : "losses";
  drawHome();
  if (isEmpty) return;
  const shown = choiceFor(views);
  showTable(view, shown, change);
  showCharts(REPORT ? views.map(asChosen) : views, shown, change);
}

function showTheme() {
  document.documentElement.dataset.theme = choice.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

let isDue = false, resting = 0;

// At once, but in no more than a third of the time: a slow page skips what it cannot show.
function drawSoon() {
  if (isDue) return;
  isDue = true;
  const wait = resting - performance.now();
  if (wait > 0) setTimeout(drawNow, wait);
  else drawNow();
}

function drawNow() {
  isDue = false;
  const begun = performance.now();
  draw();
  const end = performance.now();
  resting = end + 2 * (end - begun);
}

// The chosen runs that there still are, the only one that there is, or else the table of all.
async function start() {
  const known = library.runs.map((run) => run.key);
  const missing = choice.runs.filter((run) => !known.includes(run));
  choice.runs = choice.runs.filter((run) => known.includes(run));
  if (known.length === 1) choice.runs = known;
  else if (!choice.runs.length && isGrouped()) choice.runs = known.slice(0, MOST_GROUPED);
  if (missing.length) {
    notice = `There is no run ${missing.join(", ")} here.`;
    writeChoice();
  }
  views = views.filter((view) => choice.runs.includes(view.key));
  draw();
  await listen();
}

showTheme();
wire();
if (REPORT) openReport();
else revive();
