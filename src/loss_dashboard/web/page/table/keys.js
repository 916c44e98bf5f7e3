"use strict";
// Arrows go through a table from button to button, row by row; one of many rows is one stop of Tab.

function hearArrows(table, isOneStop) {
  if (!table.dataset.stops) {
    table.addEventListener("keydown", (event) => goInTable(table, event));
    table.addEventListener("focusin", ({ target }) => { if (table.dataset.stops === "one") setStop(table, target); });
  }
  table.dataset.stops = isOneStop ? "one" : "all";
  const all = [...table.querySelectorAll("button")], shown = rowsOfButtons(table).flat();
  if (!isOneStop) return all.forEach((button) => button.removeAttribute("tabindex"));
  const now = [document.activeElement, table.querySelector("[tabindex='0']")].find((button) => shown.includes(button));
  setStop(table, now ?? table.querySelector("tbody tr:not([hidden]) button"));
}

function setStop(table, stop) {
  for (const button of table.querySelectorAll("button")) button.tabIndex = button === stop ? 0 : -1;
}

function rowsOfButtons(table) {
  const rows = [...table.rows].filter((row) => !row.hidden).map((row) => [...row.querySelectorAll("button")].filter((button) => button.offsetParent));
  return rows.filter((buttons) => buttons.length);
}

function goInTable(table, event) {
  const rows = rowsOfButtons(table), at = rows.findIndex((buttons) => buttons.includes(event.target));
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const across = rows[at].indexOf(event.target);
  const places = { ArrowDown: [at + 1, across], ArrowUp: [at - 1, across], ArrowRight: [at, across + 1], ArrowLeft: [at, across - 1], Home: [0, across], End: [rows.length - 1, across] };
  if (!(event.key in places)) return;
  event.preventDefault();
  const row = rows[Math.min(rows.length - 1, Math.max(0, places[event.key][0]))];
  row[Math.min(row.length - 1, Math.max(0, places[event.key][1]))].focus();
}
