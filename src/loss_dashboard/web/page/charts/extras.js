"use strict";
// The user's own numbers: each in a small chart of its own, for their units differ.

const EXTRA = { width: 260, height: 140 }; // of a small chart: the least, and as it is

function showExtras(home, views, choice, change) {
  const isThere = views.some((view) => view.extras.length);
  if (!isThere && !plots.has("extra")) return;
  if (!plots.has("extra")) plots.set("extra", newFigure(home, "extra", "Your numbers", change));
  const figure = plots.get("extra");
  figure.plot.parentElement.hidden = !isThere;
  const model = modelOf("extra", figure.title, views, choice);
  if (isThere && model.x.length) return fillExtras(figure, model, views, choice, change);
  placeExtras(figure, new Map());
  showBlank(figure, model, blankOf(model, views, choice));
}

function fillExtras(figure, model, views, choice, change) {
  const grid = figure.plot.querySelector(".extras") ?? newExtraGrid(figure), each = cellsOf(model.lines);
  figure.model = model;
  say(figure, noteOfExtras(model, each.length, views));
  placeExtras(figure, new Map(each.map(([{ name }]) => [name, figure.cells?.get(name) ?? newExtra(name, change)])), grid);
  layOut(grid, each.length, EXTRA.width);
  each.forEach((lines) => fillExtra(figure.cells.get(lines[0].name), extraModel(lines, model), choice, change));
}

function newExtraGrid(figure) {
  clearFigure(figure);
  return figure.plot.appendChild(element("div", { class: "extras" }));
}

// A chart stays while its number does, and so does the focus.
function placeExtras(figure, cells, grid = element("div")) {
  figure.cells?.forEach((cell, name) => { if (!cells.has(name)) clearFigure(cell); });
  figure.cells = cells;
  const homes = [...cells.values()].map((cell) => cell.home);
  if (homes.length !== grid.children.length || homes.some((home, index) => home !== grid.children[index])) grid.replaceChildren(...homes);
}

function newExtra(name, change) {
  const last = element("b"), more = element("span", { class: "quiet" });
  const cell = newPlot({ title: name, last, note: more, saves: [], height: EXTRA.height }, change);
  const head = element("h3", {}, element("span", { title: name }, name), " ", last, " ", more);
  return Object.assign(cell, { home: element("div", { class: "extra" }, head, cell.plot) });
}

// Of one number: its lines, a row of marks for each run, and the places where it has a value.
function extraModel(lines, all) {
  const marks = all.marks.filter((mark) => mark.name === lines[0].name).map((mark) => ({ ...mark, row: mark.run }));
  const places = all.x.map((_, at) => at).filter((at) => lines.some(({ values }) => values[at] !== undefined));
  return { ...all, lines, marks, places, scale: scaleOf({ ...all, lines }) };
}

function fillExtra(cell, model, choice, change) {
  const [{ told }] = model.lines, blank = blankOf(model, [], choice);
  cell.last.textContent = figures(told.last);
  cell.last.classList.toggle("lost", typeof told.last === "string");
  if (blank) showBlank(cell, model, blank);
  else drawChart(cell, model, choice, change);
  say(cell, noteOfExtra(told, model));
}

// Each number in a chart of its own, as they are laid out on the page.
function extrasPicture(figure) {
  const cells = [...figure.cells.values()], width = cells[0].plot.clientWidth + GAP, height = EXTRA.height + 26;
  const columns = Math.max(1, Math.round(figure.plot.clientWidth / width));
  const placed = cells.map(({ chart, plot, note, model }, index) => {
    const { name, told } = model.lines[0], place = [EDGE + width * (index % columns), height * Math.floor(index / columns)];
    const words = [shortened(name, 28), figures(told.last), note.textContent].filter(Boolean).join("  ");
    const parts = chart ? chartParts(chart) : [written(0, 40, plot.textContent)];
    return drawn("g", { transform: `translate(${place.join(" ")})` }, written(0, 14, words, { fill: ink("ink") }), drawn("g", { transform: "translate(0 18)" }, ...parts));
  });
  return framed(figure, EDGE + width * columns, height * Math.ceil(cells.length / columns), ...placed);
}
