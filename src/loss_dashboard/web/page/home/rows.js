"use strict";
// The lines of the table of runs, changed in place so that focus and selection stay.

const AROUND = 15; // lines above and below those in sight
let isPrinted = false;

function isPhone() {
  return innerWidth <= 620;
}

// As high as home.css makes a line, in CSS pixels.
function lineHeight() {
  return isPhone() ? 48 : 34;
}

// Only lines in sight are in the document: of a thousand each change would move all. The box grows
// with its lines, so what may be in sight goes by the window.
function showLines({ rows, columns, lowest }) {
  const box = $("#runs"), body = box.tBodies[0], scroll = box.parentElement, height = lineHeight();
  const first = isPrinted ? 0 : Math.max(0, Math.min(Math.floor(scroll.scrollTop / height) - AROUND, rows.length - 1));
  const last = isPrinted ? rows.length : Math.min(rows.length, Math.ceil((scroll.scrollTop + innerHeight) / height) + AROUND);
  const known = new Map([...body.rows].map((line) => [line.dataset.key, line]));
  const lines = rows.slice(first, last).map((row, place) => {
    const line = known.get(row.key) ?? newLine(row);
    known.delete(row.key);
    line.setAttribute("aria-rowindex", first + place + 2);
    fillLine(line, row, columns, lowest);
    return line;
  });
  known.forEach((line) => line.remove());
  lines.forEach((line, place) => { if (body.rows[place] !== line) body.insertBefore(line, body.rows[place] ?? null); });
  box.setAttribute("aria-rowcount", rows.length + 1);
  $("#above").style.height = `${first * height}px`;
  $("#below").style.height = `${(rows.length - last) * height}px`;
}

// A line that nobody sees has the widest cell of each column, so that none moves as one scrolls.
function showWidths(rows, columns) {
  const line = $("#widths"), longest = (text) => rows.map(text).reduce((a, b) => (b.length > a.length ? b : a), "");
  const texts = [longest((row) => partsOf(row.name).join("")), ...columns.map((column) => longest((row) => textIn(row, column)))];
  const said = JSON.stringify(texts);
  if (line.dataset.said === said) return;
  line.dataset.said = said;
  line.replaceChildren(element("td", { class: "pick" }), ...texts.map((text, place) => element("td", { class: columns[place - 1]?.id === "state" ? "wide-state" : null }, text)));
}

// What a cell says, kept with the row, of which there is another one as soon as a run has changed.
function textIn(row, { id, value, text }) {
  row.texts ??= new Map();
  if (!row.texts.has(id)) {
    const one = value(row);
    row.texts.set(id, one === null || one === "" ? "" : text(one));
  }
  return row.texts.get(id);
}

function newLine(row) {
  const box = element("input", { type: "checkbox", "aria-label": `Choose ${row.name}`, onchange: (event) => pickRuns([row.key], event.target.checked) });
  const link = element("a", { title: row.name });
  return element("tr", { "data-key": row.key }, element("td", { class: "pick" }, box), element("th", { scope: "row" }, link));
}

function fillLine(line, row, columns, lowest) {
  const isPicked = wanted.picked.includes(row.key), box = line.cells[0].firstChild;
  box.checked = isPicked;
  box.disabled = !isPicked && wanted.picked.length >= MOST_PICKED;
  line.classList.toggle("picked", isPicked);
  const said = JSON.stringify([columns.map(({ id }) => id), [...lowest.values()], wanted.folder, choice.theme]);
  if (line.row === row && line.said === said) return;
  Object.assign(line, { row, said });
  const link = line.cells[1].firstChild, [folder, name] = partsOf(row.name);
  link.href = addressOf([row.key]);
  // On a phone the state stands before the name, and its column behind the losses.
  const dot = element("span", { class: "state", "data-state": row.state, "aria-hidden": "true" });
  link.replaceChildren(dot, ...(folder ? [element("span", { class: "quiet" }, folder)] : []), element("span", {}, name));
  while (line.cells.length > 2) line.lastChild.remove();
  line.append(...columns.map((column) => cellOf(row, column, lowest.get(column.id))));
}

// The way to it within the chosen folder, and its name.
function partsOf(name) {
  const shown = wanted.folder ? name.slice(wanted.folder.length + 1) : name, cut = shown.lastIndexOf("/") + 1;
  return [shown.slice(0, cut), shown.slice(cut)];
}

function cellOf(row, column, lowest) {
  const value = column.value(row), isLost = isLossColumn(column) && typeof value === "string";
  const kind = [column.isNumber && "number", isLost && "lost", value !== null && value === lowest && "lowest", column.id === "alerts" && "alerts", column.id === "start" && "date"].filter(Boolean).join(" ");
  const cell = element("td", { class: kind || null });
  if (!textIn(row, column)) return cell;
  if (column.id === "state") cell.append(element("span", { class: "state", "data-state": row.state }, row.state));
  else if (column.id === "tags") cell.append(...row.tags.map((tag) => element("span", { class: "tag" }, tag)));
  else cell.append(textIn(row, column));
  if (!column.isNumber && cell.textContent.length > 24) cell.title = cell.textContent;
  if (kind.includes("lowest")) cell.title = "the lowest of these runs";
  return cell;
}

function isLossColumn({ id }) {
  return id.startsWith("last:") || id.startsWith("best:");
}

function lossOf({ id }) {
  return id.slice("last:".length);
}

// The smallest of each column of losses; of a single run there is nothing to compare, and the total of
// another weighting is another sum.
function lowestIn(rows, columns) {
  return new Map(columns.filter((column) => isLossColumn(column) && !isTotal(lossOf(column))).map(({ id, value }) => {
    const values = rows.map(value).filter((one) => typeof one === "number");
    return [id, values.length > 1 ? values.reduce((a, b) => Math.min(a, b)) : null];
  }));
}
