"use strict";
// Small multiples: each loss in a cell, on its own scale.

const CELL = { width: 170, height: 54 }, GAP = 12, GUTTER = 40; // of a cell, between two, and for its numbers
const HEIGHTS = [208, 92, 60]; // of cells in one, two and three rows

function showMany(figure, views, choice, change) {
  const model = modelOf("loss", figure.title, views, choice), blank = blankOf(model, views, choice);
  if (blank) return showBlank(figure, model, blank);
  const home = figure.plot.querySelector(".many") ?? newGrid(figure), cells = cellsOf(model.lines);
  figure.model = model;
  say(figure, noteOfMany(model, cells.length));
  const before = [...home.children], known = new Map(before.map((cell) => [cell.title, cell]));
  const size = layOut(home, cells.length);
  const filled = cells.map((lines) => filledCell(known.get(lines[0].name) ?? newCell(lines[0].name, change), lines, model, size));
  if (filled.length !== before.length || filled.some((cell, index) => cell !== before[index])) home.replaceChildren(...filled);
}

// The lines of each loss: of several runs a loss has several.
function cellsOf(lines) {
  const cells = new Map();
  for (const line of lines) cells.set(line.name, [...(cells.get(line.name) ?? []), line]);
  return [...cells.values()];
}

function noteOfMany(model, count) {
  const lost = model.marks.reduce((sum, mark) => sum + mark.count, 0);
  const notes = [lost && `× ${grouped(lost)} not finite`, `${count} ${count === 1 ? "loss" : "losses"}, each on its own scale`, isRough(model) && "smooth to compare"];
  return notes.filter(Boolean).join(" · ");
}

// In even rows; few losses get larger cells. How large is told.
function layOut(home, count, least = CELL.width) {
  const room = Math.max(least, home.clientWidth - 12), most = Math.max(1, Math.floor((room + GAP) / (least + GAP)));
  const rows = Math.ceil(count / Math.min(count, most)), columns = Math.ceil(count / rows);
  const size = { width: Math.floor((room + GAP) / columns) - GAP - (least === CELL.width ? GUTTER : 0), height: HEIGHTS[rows - 1] ?? CELL.height };
  home.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  return size;
}

function newGrid(figure) {
  clearFigure(figure);
  for (const name of ["role", "tabindex", "aria-label"]) figure.plot.removeAttribute(name);
  return figure.plot.appendChild(element("div", { class: "many" }));
}

// A cell stays while its loss does, and so does the focus.
function newCell(name, change) {
  const ends = element("span", { class: "ends quiet", "aria-hidden": "true" }, element("i"), element("i"));
  const scale = element("span", { class: "ends quiet scale", "aria-hidden": "true" }, element("i"), element("i"));
  const cell = element("button", { type: "button", title: name }, element("b", {}, `${name} `, element("span", { class: "quiet" })), element("span", { class: "cell" }, scale, drawn("svg", {})), ends);
  onClickOrTwo(cell, () => change.alone(name), () => change.hide(name));
  return cell;
}

function filledCell(cell, lines, model, size) {
  cell.querySelector("b .quiet").textContent = figures(lines[0].told.last);
  const picture = cellPicture(lines, model, size);
  picture.style.height = `${size.height}px`;
  cell.querySelector("svg").replaceWith(picture);
  const [high, low, first, last] = cell.querySelectorAll(".ends i"), { x, y } = axesOf(lines, model);
  [low.textContent, high.textContent] = y;
  [first.textContent, last.textContent] = x;
  return cell;
}

// The numbers at the ends of the axes of a cell: its lowest and highest value, its first and last place.
function axesOf(lines, model) {
  const known = reachOf(lines).filter(isNumber), places = [model.x[0], lastPlace(lines, model)];
  const y = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [];
  return { x: places.map((place) => placeText(model, place)), y: ["", ""].map((none, at) => (y.length ? figures(y[at], 3) : none)) };
}

// The last point tells of the steps up to the next one, or to the end.
function lastPlace(lines, { x, choice }) {
  const ends = lines.map(({ view }) => spanOf(view.curves, view.curves.step.length - 1, choice.last)[1]);
  return choice.x === "step" ? Math.max(x[x.length - 1], ...ends) : x[x.length - 1];
}

function placeText({ choice }, place) {
  if (choice.x === "step") return grouped(place);
  if (choice.x === "epoch") return figures(place, 3);
  return choice.x === "relative" ? roundDuration(place) : clock(place, 60);
}

function reachOf(lines) {
  return lines.flatMap((line) => [line.values, ...(line.band ?? []), (line.strokes ?? []).map(([, , to]) => to)]).flat();
}

function cellPicture(lines, model, { width, height }, more = {}) {
  const { x, marks } = model, all = reachOf(lines);
  const reach = x[x.length - 1] - x[0] || 1;
  const inBox = { across: (index) => ((x[index] - x[0]) / reach) * (width - 2) + 1, down: scaleInto(all, width, height).down };
  const curve = (line, path, more) => drawn("path", { d: path || "M0 0", "vector-effect": "non-scaling-stroke", fill: "none", stroke: line.colour, ...more });
  const parts = lines.flatMap((line) => {
    const lost = marks.filter((mark) => mark.name === line.name && mark.run === line.run).map((mark) => crossAt(inBox.across(mark.at), 5)).join("");
    const [strong, alpha] = strengthOf(line, model), dashes = line.run ? line.dash.join(" ") : null;
    const path = curve(line, pathOf(line.values, inBox), { "stroke-width": Math.min(1.5, strong), "stroke-opacity": alpha, "stroke-dasharray": dashes });
    const band = line.band ? drawn("path", { d: bandPath(...line.band, inBox) || "M0 0", fill: line.colour, "fill-opacity": 0.2 }) : null;
    const far = strokePath(line, inBox);
    return [band, path, far ? curve(line, far, { "stroke-width": 1, "stroke-opacity": STROKE }) : null, lost ? curve(line, lost, { "stroke-width": 1.6 }) : null];
  });
  return drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", ...more }, ...parts);
}

function crossAt(x, y, size = 3) {
  return `M${(x - size).toFixed(1)} ${y - size}l${2 * size} ${2 * size}m0 ${-2 * size}l${-2 * size} ${2 * size}`;
}

// What lies between two curves, in pieces where a value was lost.
function bandPath(low, high, { across, down }) {
  let path = "", piece = [];
  const end = () => {
    if (piece.length > 1) {
      const at = (index, value) => `${across(index).toFixed(1)} ${down(value).toFixed(1)}`;
      const there = piece.map((index) => at(index, high[index])), back = piece.map((index) => at(index, low[index])).reverse();
      path += `M${[...there, ...back].join("L")}Z`;
    }
    piece = [];
  };
  low.forEach((value, index) => {
    if (value === null) end();
    else if (value !== undefined) piece.push(index);
  });
  end();
  return path;
}
