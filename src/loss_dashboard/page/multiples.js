"use strict";
// Small multiples: each loss in a cell, on its own scale.

const CELL = { width: 170, height: 54 };

function showMany(figure, view, choice, change) {
  const home = figure.plot.querySelector(".many") ?? newGrid(figure);
  const model = modelOf("loss", figure.title, [view], choice);
  const wanted = choice.search.toLowerCase();
  const lines = model.lines.filter((line) => line.name.toLowerCase().includes(wanted));
  figure.model = { ...model, lines };
  const lost = model.marks.reduce((sum, mark) => sum + mark.count, 0);
  figure.note.textContent = figure.note.title = [lost && `× ${lost} not finite`, `${lines.length} losses, each on its own scale`].filter(Boolean).join(" · ");
  const before = [...home.children], known = new Map(before.map((cell) => [cell.title, cell]));
  const cells = lines.map((line) => filledCell(known.get(line.name) ?? newCell(line.name, change), line, model.marks));
  if (cells.length !== before.length || cells.some((cell, index) => cell !== before[index])) home.replaceChildren(...cells);
}

function newGrid(figure) {
  clearFigure(figure);
  for (const name of ["role", "tabindex", "aria-label"]) figure.plot.removeAttribute(name);
  return figure.plot.appendChild(element("div", { class: "many" }));
}

// A cell stays while its loss does, and so does the focus.
function newCell(name, change) {
  const cell = element("button", { type: "button", title: name }, element("b", {}, `${name} `, element("span", { class: "quiet" })), drawn("svg", {}));
  onClickOrTwo(cell, () => change.alone(name), () => change.hide(name));
  return cell;
}

function filledCell(cell, line, marks) {
  cell.querySelector(".quiet").textContent = figures(lossOf(line).last);
  cell.querySelector("svg").replaceWith(cellPicture(line, marks));
  return cell;
}

function lossOf(line) {
  return line.view.losses.find((loss) => loss.name === line.name);
}

function cellPicture(line, marks, more = {}) {
  const { width, height } = CELL;
  const [low, high] = line.band ?? [line.values, line.values];
  const places = scaleInto([...low, ...high, ...line.values], width, height);
  const inBox = { across: (index) => places.across(index, line.values.length), down: places.down };
  const keeps = { "vector-effect": "non-scaling-stroke", fill: "none", stroke: line.colour };
  const lost = marks.filter((mark) => mark.name === line.name && !mark.run);
  const crosses = lost.map((mark) => crossAt(inBox.across(mark.at), 5)).join("");
  return drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", ...more },
    line.band ? drawn("path", { d: bandPath(low, high, inBox) || "M0 0", fill: line.colour, "fill-opacity": 0.2 }) : null,
    drawn("path", { d: pathOf(line.values, inBox) || "M0 0", "stroke-width": 1.5, ...keeps }),
    lost.length ? drawn("path", { d: crosses, "stroke-width": 1.6, ...keeps }) : null);
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
