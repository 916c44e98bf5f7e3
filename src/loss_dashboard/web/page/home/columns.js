"use strict";
// The columns of the table of runs: what each says of a run, and by what it sorts.

const SHOWN_LOSSES = 5;
const DESCENDING = ["step", "steps_per_second", "start"]; // what one wants to see the largest of first
const NUMBERS = ["step", "steps_per_second"];
const FACTS = {
  state: ["state", (row) => row.state],
  weighting: ["weighting", (row) => row.weighting.replace(/(.)Weighting$/, "$1")],
  step: ["step", (row) => row.step, grouped],
  steps_per_second: ["steps/s", (row) => row.steps_per_second, (value) => figures(value, 3)],
  alerts: ["alerts", (row) => row.alerts.join(", ")],
  tags: ["tags", (row) => row.tags.join(" ")],
  start: ["started", (row) => row.start, startTime],
  note: ["note", (row) => row.note],
};

// All that there are for these runs; `isShown` where nothing was chosen.
function allColumns(rows) {
  const facts = Object.entries(FACTS).map(([id, [title, value, text = String]]) => {
    return { id, title, value, text, kind: "about the run", isNumber: NUMBERS.includes(id), isShown: rows.some((row) => value(row)) };
  });
  const losses = lossNames(rows).flatMap((name, place) => ["last", "best"].map((which) => {
    const isShown = place < SHOWN_LOSSES && (which === "last" || wanted.best);
    return valueColumn(`${which}:${name}`, which === "best" ? `${name} best` : name, `${which} values`, (row) => valueIn(row[which], name), isShown);
  }));
  const own = namesIn(rows, "numbers").map((name) => valueColumn(`number:${name}`, name, "numbers of your own", (row) => valueIn(row.numbers, name), false));
  const settings = namesIn(rows, "settings").map((name) => {
    return { id: `setting:${name}`, title: name, value: (row) => numberOr(valueIn(row.settings, name)), text: String, kind: "settings", isNumber: false, isShown: false };
  });
  return [...facts.slice(0, 4), ...losses, ...own, ...settings, ...facts.slice(4)];
}

function valueColumn(id, title, kind, value, isShown) {
  return { id, title, kind, value, text: tabular, isNumber: true, isShown };
}

function shownColumns(columns) {
  const shown = columns.filter(({ id, isShown }) => wanted.show.includes(id) || (isShown && !wanted.omit.includes(id)));
  return isPhone() ? [...shown.filter(isLossColumn), ...shown.filter((column) => !isLossColumn(column))] : shown;
}

// The totals come first, and then losses by how many runs have them.
function lossNames(rows) {
  const counts = new Map();
  for (const row of rows) for (const name of Object.keys({ ...row.last, ...row.best })) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts.keys()].sort((a, b) => isTotal(b) - isTotal(a) || counts.get(b) - counts.get(a));
}

function isTotal(name) {
  return name.split("/").pop() === "total";
}

function namesIn(rows, kind) {
  return [...new Set(rows.flatMap((row) => Object.keys(row[kind])))];
}

// A name may be one that any object knows, such as __proto__.
function valueIn(values, name) {
  return Object.hasOwn(values, name) ? values[name] : null;
}

function numberOr(text) {
  return text !== null && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

// Runs that have nothing there, or what was lost, come last either way.
function sortedRuns(rows, columns) {
  const id = wanted.sort.replace(/^-/, ""), sign = wanted.sort.startsWith("-") ? -1 : 1;
  const value = id === "name" ? (row) => row.name : columns.find((column) => column.id === id)?.value;
  if (!value) return [...rows];
  const isLost = (one) => one === null || one === "" || ["nan", "inf", "-inf"].includes(one);
  const keyed = rows.map((row) => [value(row), row]);
  keyed.sort(([a], [b]) => isLost(a) - isLost(b) || (isLost(a) ? 0 : sign * compareCells(a, b)));
  return keyed.map(([, row]) => row);
}

// Numbers come before words.
function compareCells(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

function foundRuns(rows) {
  const words = wanted.find.toLowerCase().split(/\s+/).filter(Boolean);
  const isInside = (row) => !wanted.folder || row.name.startsWith(`${wanted.folder}/`);
  return rows.filter((row) => isInside(row) && words.every((word) => row.text.includes(word)));
}

function startTime(seconds) {
  if (!seconds) return "–";
  const at = new Date(seconds * 1000), two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
