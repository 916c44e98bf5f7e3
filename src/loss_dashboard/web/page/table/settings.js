"use strict";
// The settings in full: of one run as a list, of several as a table in which the differences come first.

function showHyperparameters(views) {
  const home = $("#hyperparameters"), told = views.map(({ name, hyperparameters }) => [name, hyperparameters]);
  const said = JSON.stringify(told);
  home.hidden = !told.some(([, own]) => Object.keys(own).length);
  if (home.hidden || home.dataset.said === said) return; // so that what was unfolded stays so
  home.dataset.said = said;
  home.replaceChildren(...(views.length > 1 ? differencesOf(views) : [foldedSettings("setting", views)]));
}

function differencesOf(views) {
  const [differing, equal] = splitKeys(views);
  const words = differing.length ? "Settings that differ" : "No setting differs";
  const table = differing.length ? element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": words }, settingsTable(differing, views)) : null;
  return [element("h2", {}, words), table, equal.length ? foldedSettings("equal setting", views.slice(0, 1), equal) : null].filter(Boolean);
}

function splitKeys(views) {
  const keys = [...new Set(views.flatMap(({ hyperparameters }) => Object.keys(hyperparameters)))];
  const isEqual = (key) => new Set(views.map((view) => settingOf(view, key))).size === 1;
  return [keys.filter((key) => !isEqual(key)), keys.filter(isEqual)];
}

// A name may be one that any object knows, such as __proto__.
function settingOf({ hyperparameters }, key) {
  return Object.hasOwn(hyperparameters, key) ? hyperparameters[key] : null;
}

function settingsTable(keys, views) {
  const runs = views.map(({ name }, run) => element("th", { scope: "col" }, views.length > 1 ? dashSample(run) : null, ` ${name}`));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "setting"), ...runs));
  const cell = (view, key) => settingOf(view, key) ?? "–";
  const rows = keys.map((key) => element("tr", {}, element("th", { scope: "row" }, ...wrapping(key)), ...views.map((view) => element("td", {}, ...wrapping(cell(view, key))))));
  return element("table", {}, head, element("tbody", {}, ...rows));
}

function foldedSettings(what, [view], keys = Object.keys(view.hyperparameters)) {
  const items = keys.map((key) => element("div", {}, element("dt", {}, key), element("dd", {}, settingOf(view, key))));
  return element("details", {}, element("summary", {}, `${keys.length} ${what}${keys.length === 1 ? "" : "s"}`), element("dl", {}, ...items));
}
