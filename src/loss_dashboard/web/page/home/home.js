"use strict";
// The table of all runs: what `/` shows where no run is chosen.

const SOON = 700; // milliseconds, while runs are still read through
let table = { version: 0, rows: [], unread: 0 };
let isBuilt = false, inSight = { rows: [], columns: [], lowest: new Map() };

function isHome() {
  return !REPORT && !choice.runs.length && library.runs.length > 0;
}

function drawHome() {
  if (!isHome()) return;
  if (!isBuilt) buildHome();
  const rows = foundRuns(table.rows), every = allColumns(table.rows), columns = shownColumns(every);
  inSight = { rows: inOrder(rows, every), columns, lowest: lowestIn(rows, columns) };
  showTools(table.rows, rows, every);
  showHead(columns, rows);
  showWidths(rows, columns);
  showLines(inSight);
  $("#none").hidden = Boolean(rows.length) || !table.version;
  showPicked(table.rows);
}

let ordered = { by: "", keys: [] };

// New values change the order, but not under somebody's hand.
function inOrder(rows, columns) {
  const by = JSON.stringify([wanted.sort, wanted.find, wanted.folder]);
  const isBusy = by === ordered.by && $("#runs tbody").matches(":hover, :focus-within");
  const places = new Map(ordered.keys.map((key, place) => [key, place])), place = ({ key }) => places.get(key) ?? Infinity;
  const sorted = sortedRuns(rows, columns);
  if (isBusy) sorted.sort((a, b) => (place(a) < place(b) ? -1 : Number(place(a) > place(b))));
  ordered = { by, keys: sorted.map(({ key }) => key) };
  return sorted;
}

function buildHome() {
  isBuilt = true;
  const search = element("input", { id: "find", type: "search", placeholder: "Find runs", "aria-label": "Find runs by name, setting, note or tag", title: "name, setting (lr=0.1), note, tag (+good) or alert", oninput: (event) => wantRuns({ find: event.target.value }) });
  const folder = element("label", {}, element("span", { class: "unseen" }, "folder"), element("select", { id: "folder", onchange: (event) => wantRuns({ folder: event.target.value }) }));
  const best = element("label", { title: "The smallest of all recorded rows, beside the last one" }, element("input", { id: "best", type: "checkbox", onchange: (event) => wantRuns({ best: event.target.checked }) }), "best values");
  const columns = element("details", { id: "columns" }, element("summary", {}, "Columns"), element("div", {}));
  const tools = element("div", { id: "tools", role: "toolbar", "aria-label": "Runs" }, search, folder, best, columns, element("span", { id: "news", class: "tag", hidden: true }), element("span", { id: "count", class: "quiet" }));
  const grid = element("table", { id: "runs" }, element("thead", {}, element("tr", { "aria-rowindex": 1 })), element("tbody", {}), element("tbody", { "aria-hidden": "true" }, element("tr", { id: "widths" })));
  const scroll = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of runs", onscroll: () => requestAnimationFrame(() => showLines(inSight)) }, element("div", { id: "above" }), grid, element("div", { id: "below" }));
  const none = element("p", { id: "none", hidden: true }, "No run has these words in its name, settings, note, tags or alerts. ", element("button", { type: "button", onclick: () => wantRuns({ find: "", folder: "" }) }, "Show all"));
  const hint = element("p", { class: "hint quiet" }, "Values are of the last recorded row; best is the smallest of all recorded rows. A click on a heading sorts.");
  const grouping = element("span", { id: "grouping" }, element("label", {}, "group by ", element("select", { id: "by", onchange: (event) => wantRuns({ by: event.target.value }) })), element("a", { id: "group", class: "button" }, "Group"));
  const clear = element("button", { type: "button", onclick: () => wantRuns({ picked: [] }) }, "Clear");
  const picked = element("div", { id: "picked", role: "group", "aria-label": "Chosen runs", hidden: true }, element("b", {}), element("a", { id: "open", class: "button" }), grouping, clear);
  $("#home").replaceChildren(tools, scroll, none, hint, picked);
  document.addEventListener("click", (event) => { if (!columns.contains(event.target)) columns.open = false; });
  for (const [event, isOn] of [["beforeprint", true], ["afterprint", false]]) window.addEventListener(event, () => { isPrinted = isOn; if (isHome()) showLines(inSight); });
  columns.addEventListener("keydown", (event) => { if (event.key === "Escape") { columns.open = false; columns.firstChild.focus(); } });
}

// The headings; each is a button that sorts, once upwards and once downwards.
function showHead(columns, rows) {
  const head = $("#runs thead tr"), said = JSON.stringify([wanted.sort, columns.map(({ id, title }) => [id, title])]);
  if (head.dataset.said !== said) {
    const focused = document.activeElement?.dataset?.sort;
    const all = element("input", { type: "checkbox", "aria-label": "Choose all runs that are shown", onchange: (event) => pickRuns(foundRuns(table.rows).map(({ key }) => key), event.target.checked) });
    head.replaceChildren(element("td", { class: "pick" }, all), ...[{ id: "name", title: "run" }, ...columns].map(sortHeading));
    if (focused) head.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
  }
  head.dataset.said = said;
  const picked = rows.filter((row) => wanted.picked.includes(row.key)).length, all = head.querySelector("input");
  all.checked = picked > 0 && picked >= Math.min(rows.length, MOST_PICKED);
  all.indeterminate = picked > 0 && !all.checked;
}

function sortHeading({ id, title, isNumber }) {
  const isBy = wanted.sort.replace(/^-/, "") === id, isDown = wanted.sort.startsWith("-");
  const button = element("button", { type: "button", "data-sort": id, title, onclick: () => sortBy(id) }, element("span", {}, title), element("i", { "aria-hidden": "true" }, isBy ? (isDown ? "↓" : "↑") : ""));
  return element("th", { scope: "col", class: isNumber ? "number" : null, "aria-sort": isBy ? (isDown ? "descending" : "ascending") : "none" }, button);
}

// A third click leads back to the newest first.
function sortBy(id) {
  const [first, second] = DESCENDING.includes(id) ? [`-${id}`, id] : [id, `-${id}`];
  wantRuns({ sort: wanted.sort === first ? second : wanted.sort === second ? "" : first });
}

async function refreshTable() {
  const attempt = attempts;
  try {
    const told = await get(`api/table?since=${table.version}`);
    if (attempt !== attempts) return;
    const before = new Map(table.rows.map((row) => [row.key, row])), fresh = new Map(told.rows.map((row) => [row.key, row]));
    const isFirst = !table.version, isNew = told.version !== table.version || told.unread !== table.unread || isGone;
    table = { version: told.version, unread: told.unread, rows: told.keys.map((key) => fresh.get(key) ?? before.get(key)).filter(Boolean) };
    isGone = false;
    if (!told.keys.length) { library.runs = []; return start(); }
    if (!isFirst) announce(before, fresh);
    if (isNew) draw();
  } catch {
    isGone = true;
    showState();
  }
  if (attempt !== attempts) return;
  timer = setTimeout(refreshTable, table.unread && !isGone ? SOON : POLL);
}

// New runs, and those that have ended; their numbers change too often to be heard.
function announce(before, fresh) {
  const words = [...fresh.values()].flatMap(({ key, name, state }) => {
    if (!before.has(key)) return [`New run: ${name}`];
    return before.get(key).state !== state && ["finished", "crashed", "stopped"].includes(state) ? [`${name} has ${state}`] : [];
  });
  if (!words.length) return;
  const text = words.length > 3 ? `${words.length} runs are new or have ended` : words.join(", ");
  $("#said").textContent = $("#news").textContent = text;
  $("#news").hidden = false;
}
