"use strict";
// A chart as a file: SVG, PNG (the same, in pixels), or the numbers that it shows as CSV.

const ROW = 17, EDGE = 14; // of what stands above a picture

function savePicture(figure, kind) {
  const { model } = figure;
  if (!model?.lines.length) return;
  const name = `${model.lines[0].view.name}-${figure.key}`;
  if (kind === "CSV") return save(new Blob([csvOf(model)], { type: "text/csv" }), `${name}${meansOf(model)}.csv`);
  const svg = figure.cells ? extrasPicture(figure) : figure.chart ? chartPicture(figure) : manyPicture(figure);
  if (kind === "SVG") return save(new Blob([sourceOf(svg)], { type: "image/svg+xml" }), `${name}.svg`);
  return inPixels(svg).then((blob) => save(blob, `${name}.png`));
}

// Rows that are means say so in the name of their file: the content has no place for it.
function meansOf({ lines }) {
  const sizes = lines.map((line) => line.view.curves).filter(({ whole }) => !whole).map(({ step }) => (step[step.length - 1] - step[0]) / (step.length - 1));
  return sizes.length ? `-mean-of-${Math.round(Math.max(...sizes))}-steps` : "";
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

// A picture below the words that tell what it is of.
function framed(figure, width, height, ...content) {
  const { parts, end } = headingOf(figure, width), all = height + end;
  return drawn("svg", { xmlns: "http://www.w3.org/2000/svg", width, height: all, viewBox: `0 0 ${width} ${all}`, "font-family": "system-ui, sans-serif" },
    drawn("rect", { width, height: all, fill: ink("card") }), ...parts, drawn("g", { transform: `translate(0 ${end})` }, ...content));
}

// The title, the runs (of several how each is drawn), and the note of the chart.
function headingOf({ title, model, note }, width) {
  const parts = [written(EDGE, 20, title, { "font-size": 14, "font-weight": 650, fill: ink("ink") })];
  const runs = [...new Map(model.lines.map((line) => [line.run, line.view.name]))];
  let x = EDGE, y = 20 + ROW;
  for (const [run, full] of runs) {
    const name = shortened(full, 40), isSampled = runs.length > 1, wide = widthOf(name) + (isSampled ? 34 : 0);
    if (x > EDGE && x + wide > width) [x, y] = [EDGE, y + ROW];
    if (isSampled) parts.push(drawn("line", { x1: x, x2: x + 26, y1: y - 4, y2: y - 4, stroke: ink("ink"), "stroke-width": 2, "stroke-dasharray": RUN_DASHES[run].join(" ") || null }));
    parts.push(written(x + (isSampled ? 32 : 0), y, name, { fill: ink("ink") }));
    x += wide + 16;
  }
  const notes = folded(note.textContent, width - 2 * EDGE).map((words, index) => written(EDGE, y + ROW * (index + 1), words));
  return { parts: [...parts, ...notes], end: y + ROW * notes.length + 8 };
}

// Words in as many rows as they need.
function folded(words, width) {
  const rows = [];
  for (const part of words.split(" · ").filter(Boolean)) {
    const longer = rows.length ? `${rows.at(-1)} · ${part}` : part;
    if (rows.length && widthOf(longer) * 0.85 <= width) rows[rows.length - 1] = longer;
    else rows.push(part);
  }
  return rows;
}

function written(x, y, words, more = {}) {
  const made = drawn("text", { x, y, "font-size": LABEL, fill: ink("quiet"), ...more });
  made.textContent = words;
  return made;
}

function chartPicture(figure) {
  const { width, height } = figure.chart;
  return framed(figure, width, height, ...chartParts(figure.chart));
}

function chartParts(u) {
  const { model } = u, scale = devicePixelRatio;
  const at = (value, axis) => u.valToPos(value, axis, true) / scale;
  const box = { left: u.bbox.left / scale, top: u.bbox.top / scale, right: (u.bbox.left + u.bbox.width) / scale, bottom: (u.bbox.top + u.bbox.height) / scale };
  // A band may be wider than its chart, and a scale may be cut.
  const places = { across: (index) => at(u.data[0][index], "x"), down: (value) => Math.min(box.bottom, Math.max(box.top, at(value, "y"))) };
  const lines = model.stacked ? stackPaths(model, places) : model.lines.flatMap((line) => linePaths(line, model, places));
  const marks = model.marks.map((mark) => drawn("path", { d: crossAt(places.across(mark.at), box.top + markHeight(mark)), stroke: model.stacked ? ink("ink") : mark.colour, "stroke-width": 1.8 }));
  const labels = labelsOf(u).map(({ text, colour, x, at: y }) => written(box.left + x, box.top + y + 4, text, { fill: colour, "font-weight": 600, stroke: ink("card"), "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" }));
  return [...axisParts(u, box, at), ...referencePart(model, box, at), ...lines, ...marks, ...labels];
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

function linePaths(line, model, places) {
  const [width, alpha] = strengthOf(line, model);
  const band = line.band && drawn("path", { d: bandPath(...line.band, places), fill: line.colour, "fill-opacity": 0.18 });
  const lineOf = (values, more) => drawn("path", { d: pathOf(values, places) || "M0 0", fill: "none", stroke: line.colour, "stroke-linejoin": "round", ...more });
  const behind = (line.behind ?? []).map((values) => lineOf(values, { "stroke-opacity": faintness(line) }));
  const strokes = strokePath(line, places), far = strokes && drawn("path", { d: strokes, stroke: line.colour, "stroke-opacity": STROKE });
  const raw = line.faint && lineOf(line.raw, { "stroke-opacity": 0.35 });
  return [...behind, band, raw, far, lineOf(line.values, { "stroke-width": width, "stroke-opacity": alpha === 1 ? null : alpha, "stroke-dasharray": line.dash.join(" ") || null })].filter(Boolean);
}

function strokePath({ strokes = [] }, { across, down }) {
  return strokes.map(([at, from, to]) => `M${across(at).toFixed(1)} ${down(from).toFixed(1)}V${down(to).toFixed(1)}`).join("");
}

function manyPicture(figure) {
  const { model } = figure, each = cellsOf(model.lines), columns = Math.min(7, Math.ceil(Math.sqrt(each.length)));
  const [across, down] = [CELL.width + 18 + GUTTER, CELL.height + 44];
  const cells = each.map((lines, index) => {
    const [x, y] = [EDGE + GUTTER + across * (index % columns), 12 + down * Math.floor(index / columns)];
    const name = written(x, y, `${shortened(lines[0].name, 22)}  ${figures(lines[0].told.last)}`, { fill: ink("ink") });
    return drawn("g", {}, name, drawn("rect", { x, y: y + 6, ...CELL, rx: 5, fill: ink("faint") }), cellPicture(lines, model, CELL, { x, y: y + 6 }), ...cellAxes(lines, model, x, y + 6));
  });
  return framed(figure, Math.max(300, 10 + across * columns), 8 + down * Math.ceil(each.length / columns), ...cells);
}

function cellAxes(lines, model, left, top) {
  const { x, y } = axesOf(lines, model), small = { "font-size": 9 }, right = { ...small, "text-anchor": "end" };
  const [bottom, end] = [top + CELL.height, left + CELL.width];
  return [written(left - 3, bottom - 1, y[0], right), written(left - 3, top + 9, y[1], right), written(left, bottom + 11, x[0], small), written(end, bottom + 11, x[1], right)];
}

function csvOf(model) {
  // A spreadsheet takes a cell that begins with one of these for a formula.
  const quoted = (name) => `"${name.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const many = model.lines.some((line) => line.run);
  const columns = model.columns ?? model.lines;
  const head = columns.map((line) => quoted(many ? `${line.name} (${line.view.name})` : line.name));
  const rows = model.x.map((x, index) => [x, ...columns.map((line) => (line.values[index] === null ? "nan" : line.values[index] ?? ""))].join(","));
  return [[model.choice.x, ...head].join(","), ...rows].join("\n") + "\n";
}
