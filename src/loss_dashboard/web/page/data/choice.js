"use strict";
// What is chosen to be seen, kept in the address.

const MOST = 6; // runs beside each other
const MANY_ROWS = 9; // losses among which one may search
const choice = readChoice();

function readChoice() {
  const query = new URLSearchParams(location.search);
  const number = (key) => (query.get(key) && Number.isFinite(Number(query.get(key))) ? Number(query.get(key)) : null);
  const isOn = (key) => query.get(key) === "1";
  return {
    runs: query.getAll("run").slice(0, MOST), smooth: number("smooth") ?? 0,
    x: ["time", "relative"].includes(query.get("x")) ? query.get("x") : "step",
    log: query.get("log") !== "0", follow: isOn("follow"), stack: isOn("stack"), grid: isOn("grid"),
    recent: query.get("cov") === "recent", theme: query.get("theme"),
    only: query.getAll("only"), hide: query.getAll("hide"), search: query.get("find") ?? "",
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
    first: choice.first, last: choice.last, find: choice.search || null,
    log: choice.log ? null : "0", follow: choice.follow ? "1" : null, stack: choice.stack ? "1" : null,
    grid: choice.grid ? "1" : null, cov: choice.recent ? "recent" : null,
  };
  for (const [key, value] of Object.entries(told)) if (value != null) query.set(key, value);
  choice.only.forEach((name) => query.append("only", name));
  choice.hide.forEach((name) => query.append("hide", name));
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
  return { ...choice, search, only: choice.only.filter((name) => names.has(name)) };
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
  reveal(name) { if (!isVisible(choiceFor(views), name)) choose({ only: [], search: "", hide: choice.hide.filter((other) => other !== name) }); },
  zoom(first, last) { if (first === null || last > first) choose({ first, last }, true); },
};
