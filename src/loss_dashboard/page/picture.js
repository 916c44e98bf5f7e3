"use strict";
// A chart as a file: PNG, SVG, or the numbers that it shows as CSV.

function savePicture(figure, kind) {
  const u = figure.chart;
  if (!u) return;
  const name = `${u.model.lines[0]?.view.name ?? "run"}-${figure.key}`;
  if (kind === "PNG") asCanvas(u, figure.title).toBlob((blob) => save(blob, `${name}.png`));
  if (kind === "SVG") save(new Blob([asSvg(u, figure.title)], { type: "image/svg+xml" }), `${name}.svg`);
  if (kind === "CSV") save(new Blob([asCsv(u.model)], { type: "text/csv" }), `${name}.csv`);
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function asCanvas(u, title) {
  const source = u.ctx.canvas, top = 30 * devicePixelRatio;
  const canvas = element("canvas", { width: source.width, height: source.height + top });
  const context = canvas.getContext("2d");
  context.fillStyle = ink("card");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = ink("ink");
  context.font = `650 ${14 * devicePixelRatio}px system-ui, sans-serif`;
  context.fillText(title, 12 * devicePixelRatio, 20 * devicePixelRatio);
  context.drawImage(source, 0, top);
  return canvas;
}

function asSvg(u, title) {
  const scale = devicePixelRatio, width = u.width, height = u.height + 30;
  const at = (value, axis) => u.valToPos(value, axis, true) / scale;
  const box = { left: u.bbox.left / scale, top: u.bbox.top / scale, right: (u.bbox.left + u.bbox.width) / scale, bottom: (u.bbox.top + u.bbox.height) / scale };
  const text = (x, y, words, more = {}) => { const made = drawn("text", { x, y, "font-size": 11, fill: ink("quiet"), ...more }); made.textContent = words; return made; };
  const plot = drawn("g", { transform: "translate(0 30)" });
  for (const [index, name] of ["x", "y"].entries()) {
    const axis = u.axes[index];
    (axis._splits ?? []).forEach((value, place) => {
      const label = axis._values[place];
      if (label == null || label === "") return;
      if (name === "y") plot.append(drawn("line", { x1: box.left, x2: box.right, y1: at(value, "y"), y2: at(value, "y"), stroke: ink("line") }), text(box.left - 6, at(value, "y") + 4, label, { "text-anchor": "end" }));
      else plot.append(text(at(value, "x"), box.bottom + 18, label, { "text-anchor": "middle" }));
    });
  }
  u.series.forEach((series, index) => {
    if (!index || !series.width) return;
    const path = pathOf(u.data[0], u.data[index], (value) => at(value, "x"), (value) => at(value, "y"));
    const dash = (Array.isArray(series.dash) ? series.dash : []).join(" ");
    plot.append(drawn("path", { d: path || "M0 0", fill: "none", stroke: series._stroke ?? series.stroke(u, index), "stroke-width": series.width, "stroke-dasharray": dash, "stroke-linejoin": "round" }));
  });
  for (const mark of u.model.marks) plot.append(text(at(u.model.x[mark.at], "x"), box.top + 9 + 10 * (mark.row % 20), "×", { fill: mark.colour, "text-anchor": "middle", "font-weight": "bold" }));
  for (const { line, at: y } of labelsOf(u)) plot.append(text(box.right + 8, box.top + y + 4, line.name, { fill: line.colour, "font-weight": 600 }));
  const background = drawn("rect", { width, height, fill: ink("card") });
  const svg = drawn("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "system-ui, sans-serif" }, background, text(12, 20, title, { "font-size": 14, "font-weight": 650, fill: ink("ink") }), plot);
  return new XMLSerializer().serializeToString(svg);
}

function pathOf(x, y, across, down) {
  let path = "", pen = false;
  y.forEach((value, index) => {
    if (value === null) pen = false;
    if (value == null) return;
    path += `${pen ? "L" : "M"}${across(x[index]).toFixed(1)} ${down(value).toFixed(1)}`;
    pen = true;
  });
  return path;
}

function asCsv(model) {
  // A spreadsheet takes a cell that begins with one of these for a formula.
  const quoted = (name) => `"${name.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const many = model.lines.some((line) => line.run);
  const head = model.lines.map((line) => quoted(many ? `${line.name} (${line.view.name})` : line.name));
  const rows = model.x.map((x, index) => [x, ...model.lines.map((line) => (line.values[index] === null ? "nan" : line.values[index] ?? ""))].join(","));
  return [[model.choice.x, ...head].join(","), ...rows].join("\n") + "\n";
}
