"use strict";
// What is chosen to be seen, kept in the address.

const MOST = 6; // runs beside each other
const MOST_GROUPED = 100; // runs in groups
const MANY_ROWS = 9; // losses among which one may search
const choice = readChoice();

function readChoice() {
  const query = new URLSearchParams(location.search);
  const number = (key) => (query.get(key) && Number.isFinite(Number(query.get(key))) ? Number(query.get(key)) : null);
  const isOn = (key) => query.get(key) === "1";
  return {
    runs: query.getAll("run").slice(0, query.has("group") ? MOST_GROUPED : MOST), group: query.get("group"), smooth: number("smooth") ?? 0,
    x: ["time", "relative", "epoch"].includes(query.get("x")) ? query.get("x") : "step",
    log: query.get("log") !== "0", follow: isOn("follow"), stack: isOn("stack"), grid: isOn("grid"),
    recent: query.get("cov") === "recent", theme: query.get("theme"),
    only: query.getAll("only"), hide: query.getAll("hide"), fold: query.getAll("fold"), sort: query.get("sort") ?? "", search: query.get("find") ?? "",
    first: number("first"), last: number("last"),
  };
}

function writeChoice() {
  if (location.protocol === "file:") return;
  if (isHome()) return writeWanted();
  const query = new URLSearchParams();
  choice.runs.forEach((run) => query.append("run", run));
  const told = {
    smooth: choice.smooth || null, x: choice.x === "step" ? null : choice.x, theme: choice.theme,
    first: choice.first, last: choice.last, find: choice.search || null, sort: choice.sort || null,
    log: choice.log ? null : "0", follow: choice.follow ? "1" : null, stack: choice.stack ? "1" : null,
    grid: choice.grid ? "1" : null, group: choice.group, cov: choice.recent ? "recent" : null,
  };
  for (const [key, value] of Object.entries(told)) if (value != null) query.set(key, value);
  choice.only.forEach((name) => query.append("only", name));
  choice.hide.forEach((name) => query.append("hide", name));
  choice.fold.forEach((key) => query.append("fold", key));
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

function choose(patch, asks = false) {
  Object.assign(choice, patch);
  writeChoice();
  if (asks && !REPORT) listen();
  else draw();
}

// What of it these runs can show: names that none of them has are passed over, and so is a search
// that nobody sees.
function choiceFor(views) {
  const names = new Set(views.flatMap((view) => view.losses.map((loss) => loss.name)));
  const search = views[0].losses.length < MANY_ROWS ? "" : choice.search.toLowerCase();
  return { ...choice, x: hasX(views) ? choice.x : "step", search, only: choice.only.filter((name) => names.has(name)) };
}

// Epochs are there once one has ended, in each of the runs.
function hasX(views) {
  return choice.x !== "epoch" || hasEpochs(views);
}

function hasEpochs(views) {
  return views.length > 0 && views.every((view) => view.epochs);
}

function isVisible(choice, name) {
  const isChosen = choice.only.length ? choice.only.includes(name) : !choice.hide.includes(name);
  return isChosen && isFound(choice, name);
}

function isFound(choice, name) {
  return name.toLowerCase().includes(choice.search);
}

const change = {
  isolate(name) { choose({ only: choice.only.includes(name) ? [] : [name] }); },
  alone(name) { choose({ only: [name], grid: false }); },
  hide(name) { choose({ only: [], hide: choice.hide.includes(name) ? choice.hide.filter((other) => other !== name) : [...choice.hide, name] }); },
  hideAll(key) {
    const names = views[0].losses.map((loss) => loss.name).filter((name) => name.startsWith(key)), others = choice.hide.filter((name) => !names.includes(name));
    choose({ only: [], hide: names.every((name) => choice.hide.includes(name)) ? others : [...others, ...names] });
  },
  fold(key) { choose({ fold: choice.fold.includes(key) ? choice.fold.filter((other) => other !== key) : [...choice.fold, key] }); },
  // The first click sorts by a column, the second the other way round, the third not by it.
  sort(key) {
    sortedNow = true;
    const now = sortingOf(choice, views[0]);
    choose({ sort: now?.key !== key ? key : now.isTurned ? "" : `-${key}` });
  },
  reveal(name) { if (!isVisible(choiceFor(views), name)) choose({ only: [], search: "", hide: choice.hide.filter((other) => other !== name) }); },
  zoom(first, last) { if (first === null || last > first) choose({ first, last }, true); },
};
