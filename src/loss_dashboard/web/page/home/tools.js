"use strict";
// What stands around the table of runs: search, folders, columns, and what to do with chosen runs.

function showTools(rows, shown, columns) {
  if (document.activeElement !== $("#find")) $("#find").value = wanted.find;
  $("#best").checked = wanted.best;
  showFolders(rows);
  showMenu(columns);
  const running = rows.filter((row) => ["running", "waiting"].includes(row.state)).length;
  const words = [shown.length < rows.length ? `${grouped(shown.length)} of ${grouped(rows.length)} runs` : `${grouped(rows.length)} runs`, running && `${running} running`, table.unread && `${grouped(table.unread)} still to be read`];
  const text = words.filter(Boolean).join(" · ");
  if ($("#count").textContent !== text) $("#count").textContent = text;
}

function showFolders(rows) {
  const counts = new Map();
  for (const row of rows) foldersOf(row.name).forEach((folder) => counts.set(folder, (counts.get(folder) ?? 0) + 1));
  const folders = [...counts.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const options = [["", "all folders"], ...folders.map((folder) => [folder, `${folder}/ (${counts.get(folder)})`])];
  $("#folder").parentElement.hidden = !folders.length;
  fillSelect($("#folder"), options, wanted.folder);
}

function foldersOf(name) {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, place) => parts.slice(0, place + 1).join("/"));
}

function fillSelect(select, options, value) {
  const said = JSON.stringify(options);
  if (select.dataset.said !== said) select.replaceChildren(...options.map(([key, text]) => element("option", { value: key }, text)));
  select.dataset.said = said;
  select.value = value;
}

// Built anew only where there are other columns, so that the focus stays.
function showMenu(columns) {
  const menu = $("#columns div"), said = columns.map(({ id }) => id).join("\n");
  if (menu.dataset.said !== said) {
    const kinds = [...new Set(columns.map(({ kind }) => kind))];
    menu.replaceChildren(...kinds.map((kind) => element("fieldset", {}, element("legend", {}, kind), ...columns.filter((column) => column.kind === kind).map(columnBox))));
  }
  menu.dataset.said = said;
  const shown = new Set(shownColumns(columns).map(({ id }) => id));
  for (const box of menu.querySelectorAll("input")) box.checked = shown.has(box.value);
}

function columnBox({ id, title }) {
  return element("label", {}, element("input", { type: "checkbox", value: id, onchange: (event) => showColumn(id, event.target.checked) }), title);
}

function showColumn(id, isOn) {
  const without = (ids) => ids.filter((other) => other !== id);
  const isUsual = allColumns(table.rows).find((column) => column.id === id)?.isShown;
  wantRuns({ show: isOn && !isUsual ? [...without(wanted.show), id] : without(wanted.show), omit: !isOn && isUsual ? [...without(wanted.omit), id] : without(wanted.omit) });
}

function pickRuns(keys, isOn) {
  const others = wanted.picked.filter((key) => !keys.includes(key));
  wantRuns({ picked: isOn ? [...others, ...keys].slice(0, MOST_PICKED) : others });
}

function showPicked(rows) {
  const home = $("#picked"), picked = rows.filter((row) => wanted.picked.includes(row.key)), keys = picked.map(({ key }) => key);
  home.hidden = !picked.length;
  if (home.hidden) return;
  $("#picked b").textContent = `${picked.length} ${picked.length === 1 ? "run" : "runs"} chosen`;
  const open = $("#open"), isMany = keys.length > MOST;
  open.textContent = isMany ? `Open the first ${MOST}` : "Open";
  open.href = addressOf(keys.slice(0, MOST));
  const settings = groupings(picked);
  $("#grouping").hidden = !settings.length || picked.length < 2;
  fillSelect($("#by"), settings.map((name) => [name, name]), settings.includes(wanted.by) ? wanted.by : settings[0] ?? "");
  $("#group").href = addressOf(keys, { group: $("#by").value });
}

// The settings by which runs differ: the one with the fewest values first, the weighting before all.
function groupings(rows) {
  const values = (name) => new Set(rows.map((row) => valueIn(row.settings, name))).size;
  const differing = namesIn(rows, "settings").map((name) => [name, values(name)]).filter(([, count]) => count > 1);
  const isWeighting = ([name]) => Number(name === "weighting.method");
  return differing.sort((a, b) => isWeighting(b) - isWeighting(a) || a[1] - b[1]).map(([name]) => name);
}
