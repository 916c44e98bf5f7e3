"use strict";
// A chart as a file: SVG, PNG (the same, in pixels), or the numbers that it shows as CSV.

const TITLE = 30; // the height of the title

function savePicture(figure, kind) {
  const { model } = figure;
  if (!model?.lines.length) return;
  const name = `${model.lines[0].view.name}-${figure.key}`;
  if (kind === "CSV") return save(new Blob([csvOf(model)], { type: "text/csv" }), `${name}.csv`);
  const svg = figure.chart ? chartPicture(figure.chart, figure.title) : manyPicture(figure);
  if (kind === "SVG") return save(new Blob([sourceOf(svg)], { type: "image/svg+xml" }), `${name}.svg`);
  return inPixels(svg).then((blob) => save(blob, `${name}.png`));
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function sourceOf(svg) {
  return new XMLSerializer().serializeToString(svg);
}

function inPixels(svg, scale = 2) {
  const picture = new Image();
  const canvas = element("canvas", { width: scale * svg.getAttribute("width"), height: scale * svg.getAttribute("height") });
  return new Promise((done) => {
    picture.onload = () => {
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(done);
    };
    picture.src = `data:image/svg+xml,${encodeURIComponent(sourceOf(svg))}`;
  });
}

function framed(width, height, title, ...content) {
  return drawn("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "system-ui, sans-serif" },
    drawn("rect", { width, height, fill: ink("card") }),
    written(14, 20, title, { "font-size": 14, "font-weight": 650, fill: ink("ink") }), ...content);
}

function written(x, y, words, more = {}) {
  const made = drawn("text", { x, y, "font-size": LABEL, fill: ink("quiet"), ...more });
  made.textContent = words;
  return made;
}

function chartPicture(u, title) {
  const { model } = u, scale = devicePixelRatio;
  const at = (value, axis) => u.valToPos(value, axis, true) / scale;
  const places = { across: (index) => at(u.data[0][index], "x"), down: (value) => at(value, "y") };
  const box = { left: u.bbox.left / scale, top: u.bbox.top / scale, right: (u.bbox.left + u.bbox.width) / scale, bottom: (u.bbox.top + u.bbox.height) / scale };
  const lines = model.stacked ? stackPaths(model, places) : model.lines.flatMap((line) => linePaths(line, places));
  const marks = model.marks.map((mark) => drawn("path", { d: crossAt(places.across(mark.at), box.top + markHeight(mark)), stroke: model.stacked ? ink("ink") : mark.colour, "stroke-width": 1.8 }));
  const labels = labelsOf(u).map(({ line, at: y }) => written(box.right + 8, box.top + y + 4, line.name, { fill: readable(line.colour), "font-weight": 600 }));
  const parts = [...axisParts(u, box, at), ...referencePart(model, box, at), ...lines, ...marks, ...labels];
  return framed(u.width, u.height + TITLE, title, drawn("g", { transform: `translate(0 ${TITLE})` }, ...parts));
}

function axisParts(u, box, at) {
  const [x, y] = u.axes.map((axis) => (axis._splits ?? []).map((value, place) => [value, axis._values[place]]).filter(([, label]) => label));
  const steps = x.map(([value, label]) => written(at(value, "x"), box.bottom + 18, label, { "text-anchor": "middle" }));
  const values = y.flatMap(([value, label]) => [rule(box, at(value, "y"), ink("line")), written(box.left - 6, at(value, "y") + 4, label, { "text-anchor": "end" })]);
  return [...steps, ...values];
}

function referencePart(model, box, at) {
  return model.equal === null ? [] : [rule(box, at(model.equal, "y"), ink("quiet"), "2 4")];
}

function rule(box, y, stroke, dash = null) {
  return drawn("line", { x1: box.left, x2: box.right, y1: y, y2: y, stroke, "stroke-dasharray": dash });
}

function stackPaths(model, places) {
  const stacks = stacksOf(model), ground = model.x.map(() => 0);
  return stacks.map((top, index) => drawn("path", { d: bandPath(stacks[index - 1] ?? ground, top, places), fill: model.lines[index].colour, "fill-opacity": 0.72, stroke: ink("card"), "stroke-width": 0.5 }));
}

function linePaths(line, places) {
  const band = line.band && drawn("path", { d: bandPath(...line.band, places), fill: line.colour, "fill-opacity": 0.18 });
  const lineOf = (values, more) => drawn("path", { d: pathOf(values, places) || "M0 0", fill: "none", stroke: line.colour, "stroke-linejoin": "round", ...more });
  const raw = line.faint && lineOf(line.raw, { "stroke-opacity": 0.35 });
  return [band, raw, lineOf(line.values, { "stroke-width": line.run ? 1.4 : 1.9, "stroke-dasharray": line.dash.join(" ") || null })].filter(Boolean);
}

function manyPicture(figure) {
  const { lines, marks } = figure.model, columns = Math.min(7, Math.ceil(Math.sqrt(lines.length)));
  const [across, down] = [CELL.width + 18, CELL.height + 30];
  const cells = lines.map((line, index) => {
    const [x, y] = [14 + across * (index % columns), TITLE + 12 + down * Math.floor(index / columns)];
    const name = written(x, y, `${shortened(line.name, 22)}  ${figures(lossOf(line).last)}`, { fill: ink("ink") });
    return drawn("g", {}, name, drawn("rect", { x, y: y + 6, ...CELL, rx: 5, fill: ink("faint") }), cellPicture(line, marks, { x, y: y + 6 }));
  });
  return framed(10 + across * columns, TITLE + 8 + down * Math.ceil(lines.length / columns), figure.title, ...cells);
}

function csvOf(model) {
  // A spreadsheet takes a cell that begins with one of these for a formula.
  const quoted = (name) => `"${name.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const many = model.lines.some((line) => line.run);
  const head = model.lines.map((line) => quoted(many ? `${line.name} (${line.view.name})` : line.name));
  const rows = model.x.map((x, index) => [x, ...model.lines.map((line) => (line.values[index] === null ? "nan" : line.values[index] ?? ""))].join(","));
  return [[model.choice.x, ...head].join(","), ...rows].join("\n") + "\n";
}
