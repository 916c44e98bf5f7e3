"use strict";
// The four charts: what each shows of the views, and how it is drawn.

const CHARTS = [
  { key: "loss", title: "Losses" },
  { key: "weight", title: "Weights" },
  { key: "cov", title: "CoV" },
  { key: "part", title: "Contribution" },
];
const RUN_DASHES = [[], [8, 5], [2, 4], [12, 4, 2, 4], [5, 3], [2, 2]];
const LABEL = 11;
const plots = new Map();

// ---- what is shown

function xOf(curves, choice, start) {
  if (choice.x === "step") return curves.step;
  return choice.x === "time" ? curves.time : curves.time.map((moment) => moment - start);
}

function startOf(view) {
  return view.start ?? view.curves.time[0] ?? 0;
}

// The curves of several runs over one axis: missing points are undefined, lost ones null.
function aligned(views, choice) {
  const axes = views.map((view) => xOf(view.curves, choice, startOf(view)));
  const x = axes.length === 1 ? axes[0] : [...new Set(axes.flat())].sort((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  const spread = (values, run) => {
    const known = values.map((value) => (value === false ? undefined : value));
    if (axes.length === 1) return known;
    const all = new Array(x.length).fill(undefined);
    known.forEach((value, index) => { all[place.get(axes[run][index])] = value; });
    return all;
  };
  return { x, spread, places: (index, run) => (axes.length === 1 ? index : place.get(axes[run][index])) };
}

function linesOf(key, views, choice) {
  const { x, spread, places } = aligned(views, choice);
  const lines = [], marks = [];
  views.forEach((view, run) => {
    const shares = key === "part" || (key === "weight" && choice.stack) ? sharesOf(view, key) : null;
    view.losses.filter((loss) => isVisible(choice, loss.name)).forEach((loss) => {
      const curve = view.curves.each[loss.name];
      if (!curve) return;
      const column = key === "cov" && choice.recent ? "recent" : key;
      const raw = spread(shares ? shares[loss.name] : curve[column], run);
      const line = { name: loss.name, run, view, colour: onPage(loss.colour), dash: run ? RUN_DASHES[run] : dashOf(view, loss.name), raw, values: raw };
      if (key === "loss") {
        if (curve.smooth) line.values = spread(curve.smooth, run);
        line.band = !view.curves.whole && !run ? [spread(curve.low, run), spread(curve.high, run)] : null;
        line.faint = Boolean(curve.smooth) && view.curves.whole && !run;
        const row = new Set(marks.map((mark) => mark.name)).size;
        for (const [index, count] of curve.lost) marks.push({ at: places(index, run), row, colour: line.colour, count, name: loss.name });
      }
      lines.push(line);
    });
  });
  return { x, lines, marks };
}

function sharesOf(view, key) {
  const names = view.losses.map((loss) => loss.name);
  const totals = view.curves.step.map((_, index) => names.reduce((sum, name) => sum + Math.abs(view.curves.each[name][key][index] || 0), 0));
  const share = (value, index) => (value === false || value == null ? value : totals[index] ? Math.abs(value) / totals[index] : null);
  return Object.fromEntries(names.map((name) => [name, view.curves.each[name][key].map(share)]));
}

function isStacked(key, choice, views) {
  return views.length === 1 && ((key === "weight" && choice.stack) || key === "part");
}

// ---- one chart

function showCharts(views, choice, change) {
  const home = document.querySelector("#charts");
  home.classList.toggle("multiples", choice.grid);
  for (const { key, title } of CHARTS) {
    if (!plots.has(key)) plots.set(key, newFigure(home, key, title, change));
    const figure = plots.get(key);
    if (key === "loss" && choice.grid) showMany(figure, views[0], choice, change);
    else showChart(figure, key, views, choice, change);
  }
}

function newFigure(home, key, title, change) {
  const note = element("span", { class: "note" });
  const plot = element("div", { class: "plot", role: "img", tabindex: 0, "aria-label": title });
  const figure = { key, title, note, plot, chart: null, shape: "", model: null };
  const saves = ["PNG", "SVG", "CSV"].map((kind) => element("button", { type: "button", "aria-label": `Save ${title} as ${kind}`, onclick: () => savePicture(figure, kind) }, kind));
  home.append(element("figure", { "data-chart": key }, element("figcaption", {}, element("h2", {}, title), note, ...saves), plot));
  plot.addEventListener("keydown", (event) => onKey(event, figure, change));
  plot.addEventListener("blur", hideTip);
  new ResizeObserver(() => {
    if (figure.chart && plot.clientWidth && plot.clientWidth !== figure.chart.width) figure.chart.setSize({ width: plot.clientWidth, height: figure.chart.height });
  }).observe(plot);
  return figure;
}

function showChart(figure, key, views, choice, change) {
  const model = { ...linesOf(key, views, choice), key, title: figure.title, choice, stacked: isStacked(key, choice, views) };
  model.scale = scaleOf(model);
  const { data, series, bands } = layersOf(model);
  const shape = JSON.stringify([series.map((one) => [one.label, one.stroke, one.dash, one.width, one.fill]), choice.x, model.scale.kind, isDark(), choice.grid]);
  figure.model = model;
  figure.note.textContent = noteOf(model, views, choice);
  figure.plot.setAttribute("aria-label", spoken(model));
  if (figure.chart && figure.shape === shape) {
    figure.chart.model = model;
    figure.chart.setData(data);
    return;
  }
  figure.chart?.destroy();
  figure.plot.replaceChildren();
  figure.shape = shape;
  figure.chart = null;
  figure.chart = new uPlot(optionsOf(figure, model, series, bands, choice, change), data, (self, init) => {
    self.model = model;
    figure.plot.append(self.root);
    init();
  });
}

function layersOf(model) {
  const data = [model.x], series = [{}], bands = [];
  const add = (values, options) => { data.push(values); series.push({ points: { show: false }, spanGaps: false, ...options }); return data.length - 1; };
  if (model.stacked) {
    const sums = model.x.map(() => 0);
    let below = 0;
    for (const line of model.lines) {
      const top = line.values.map((value, index) => (sums[index] += value || 0));
      const at = add(top, { label: line.name, stroke: ink("card"), width: 1, fill: below ? undefined : faded(line.colour, 0.72) });
      if (below) bands.push({ series: [at, below], fill: faded(line.colour, 0.72) });
      below = at;
    }
    return { data, series, bands };
  }
  for (const line of model.lines) {
    if (line.band) {
      const low = add(line.band[0], { label: `${line.name} low`, width: 0 });
      const high = add(line.band[1], { label: `${line.name} high`, width: 0 });
      bands.push({ series: [high, low], fill: faded(line.colour, 0.18) });
    }
    if (line.faint) add(line.raw, { label: `${line.name} raw`, stroke: faded(line.colour, 0.35), width: 1 });
    const few = model.x.length < 2;
    add(line.values, { label: line.name, stroke: line.colour, width: line.run ? 1.4 : 1.9, dash: line.dash, points: { show: few, size: 6, fill: line.colour } });
  }
  return { data, series, bands };
}

function scaleOf(model) {
  if (model.key !== "loss") return { kind: "linear" };
  let low = Infinity, floor = Infinity, top = 1e-300;
  for (const line of model.lines) {
    for (const value of [...line.values, ...(line.band?.[0] ?? line.raw)]) {
      if (value == null) continue;
      if (value < low) low = value;
      if (value && Math.abs(value) < floor) floor = Math.abs(value);
      top = Math.max(top, Math.abs(value));
    }
  }
  if (!model.choice.log || low === Infinity) return { kind: "linear" };
  return low > 0 ? { kind: "log" } : { kind: "symlog", floor: Math.max(floor, top / 1000) };
}

function noteOf(model, views, choice) {
  const notes = [];
  if (model.scale.kind === "symlog") notes.push("symlog, since some values are not positive");
  if (model.key === "loss" && choice.smooth > 1) notes.push(`mean of ${choice.smooth} steps`);
  if (model.lines.some((line) => line.band)) notes.push("line: mean, band: smallest to largest");
  const lost = model.marks.reduce((sum, mark) => sum + mark.count, 0);
  if (lost) notes.push(`× ${lost} not finite`);
  if (model.key === "weight") notes.push(model.stacked ? "share of each" : "dotted: equal weights");
  if (model.key === "cov") notes.push(choice.recent ? "std / mean of the last 100" : "std / mean so far");
  if (model.key === "part") notes.push("share of weight × loss");
  return notes.join(" · ");
}

function spoken(model) {
  const ends = model.lines.slice(0, 8).map((line) => `${line.name} ${figures(lastOf(line.values) ?? null, 3)}`);
  return `${model.title}: ${ends.join(", ")}. Arrows move the cursor, plus and minus zoom.`;
}

function lastOf(values) {
  for (let at = values.length - 1; at >= 0; at--) if (values[at] != null) return values[at];
  return undefined;
}

// ---- how uPlot draws it

function optionsOf(figure, model, series, bands, choice, change) {
  const narrow = figure.plot.clientWidth < 480;
  const axis = { stroke: ink("quiet"), font: "11.5px system-ui, sans-serif", grid: { stroke: ink("line"), width: 1 }, ticks: { show: false }, border: { show: false } };
  const { kind, floor } = model.scale;
  const y = { axis: { ...axis, size: 52, gap: 4, values: (_, splits) => splits.map((value) => (value === null ? "" : model.key === "part" || model.stacked ? percent(value) : figures(value, 3))) }, scale: {} };
  if (model.stacked) y.scale.range = [0, 1];
  if (kind === "log") Object.assign(y.scale, { distr: 3, range: (_, low, high) => logRange(low, high) });
  if (kind === "symlog") Object.assign(y.scale, { distr: 100, fwd: (value) => symlog(value, floor), bwd: (value) => unsymlog(value, floor), range: (_, low, high) => [low < 0 ? low * 1.3 : -floor / 2, high > 0 ? high * 1.3 : floor] });
  if (kind === "log") Object.assign(y.axis, { splits: (u, _, low, high) => logSplits(low, high), filter: (_, splits) => splits });
  if (kind === "symlog") Object.assign(y.axis, { splits: (u, _, low, high) => symlogSplits(low, high, floor), filter: apart });
  const time = choice.x === "time";
  const values = choice.x === "relative" ? (_, splits) => splits.map(duration) : time ? undefined : (_, splits) => splits.map(grouped);
  return {
    width: Math.max(200, figure.plot.clientWidth), height: narrow ? 240 : 270,
    padding: [10, labelRoom(model, narrow), 0, 0], series, bands, legend: { show: false },
    scales: { x: { time }, y: y.scale },
    axes: [{ ...axis, values, grid: { show: false }, size: 30 }, y.axis],
    cursor: {
      sync: { key: "losses", setSeries: false }, y: false, points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 5 },
      bind: { dblclick: () => () => { change.zoom(null, null); } },
    },
    hooks: {
      setSelect: [(u) => { if (u.select.width > 4) zoomTo(u, u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"), change); u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false); }],
      setCursor: [(u) => showTip(u)],
      drawClear: [(u) => drawReference(u)],
      draw: [(u) => drawMarks(u), (u) => drawLabels(u, narrow)],
      ready: [(u) => u.over.addEventListener("click", (event) => pick(u, event, change)), (u) => u.over.addEventListener("mouseleave", hideTip)],
    },
  };
}

function labelRoom(model, narrow) {
  const letters = Math.max(1, ...model.lines.map((line) => [...line.name].length));
  return 20 + 7.2 * Math.min(letters, narrow ? 10 : 14);
}

// A step range for the server, whatever the axis shows.
function zoomTo(u, low, high, change) {
  const { model } = u, view = model.lines[0]?.view;
  if (!view) return;
  if (model.choice.x === "step") return change.zoom(Math.ceil(low), Math.floor(high));
  const x = xOf(view.curves, model.choice, startOf(view));
  const inside = view.curves.step.filter((_, index) => x[index] >= low && x[index] <= high);
  if (inside.length > 1) change.zoom(inside[0], inside[inside.length - 1]);
}

function logRange(low, high) {
  if (!(low > 0) || !(high > 0)) return [0.1, 1];
  const room = Math.pow(high / low, 0.06) * 1.03;
  return [low / room, high * room];
}

function logSplits(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return evenSplits(low, high);
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += Math.max(1, Math.round(decades / 6))) {
    for (const digit of decades < 3 ? [1, 2, 5] : [1]) {
      const value = digit * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function evenSplits(low, high) {
  const rough = (high - low) / 4, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * size).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

function symlog(value, floor) { return Math.sign(value) * Math.log10(1 + Math.abs(value) / floor); }
function unsymlog(value, floor) { return Math.sign(value) * floor * (10 ** Math.abs(value) - 1); }

function symlogSplits(low, high, floor) {
  const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
  const bottom = Math.max(Math.ceil(Math.log10(floor)), top - 14);
  const stride = Math.max(1, Math.round((top - bottom) / 3));
  const found = [0];
  for (let power = top; power >= bottom; power -= stride) found.push(10 ** power, -(10 ** power));
  return found.filter((value) => value >= low && value <= high).sort((a, b) => a - b);
}

// Numbers that would touch are left out, those nearest to zero first.
function apart(u, splits) {
  const kept = [];
  for (const value of [0, ...splits.filter((one) => one).sort((a, b) => Math.abs(b) - Math.abs(a))]) {
    const at = u.valToPos(value, "y");
    if (splits.includes(value) && kept.every((other) => Math.abs(u.valToPos(other, "y") - at) > 13)) kept.push(value);
  }
  return splits.map((value) => (kept.includes(value) ? value : null));
}

function drawReference(u) {
  if (u.model.key !== "weight" || !u.model.lines.length) return;
  const view = u.model.lines[0].view;
  const weights = view.losses.map((loss) => loss.weight ?? 0);
  const equal = u.model.stacked ? null : weights.reduce((sum, weight) => sum + weight, 0) / (weights.length || 1);
  if (equal === null || equal < u.scales.y.min || equal > u.scales.y.max) return;
  const { ctx, bbox } = u, y = u.valToPos(equal, "y", true);
  ctx.save();
  ctx.strokeStyle = ink("quiet");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

// A cross above each place where a loss was lost, one row for each loss.
function drawMarks(u) {
  const { ctx, bbox } = u, size = 3.5 * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.8 * devicePixelRatio;
  for (const mark of u.model.marks) {
    const x = u.valToPos(u.model.x[mark.at], "x", true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    const y = bbox.top + (6 + 10 * (mark.row % 20)) * devicePixelRatio;
    ctx.strokeStyle = mark.colour;
    ctx.beginPath();
    ctx.moveTo(x - size, y - size); ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size); ctx.lineTo(x - size, y + size);
    ctx.stroke();
  }
  ctx.restore();
}

// Names beside the ends of the lines, none over another; too many are left to the table.
function labelsOf(u) {
  const room = u.bbox.height / devicePixelRatio, gap = LABEL + 3;
  let below = 0;
  const ends = u.model.lines.filter((line) => !line.run).map((line) => {
    const end = lastOf(line.values);
    const middle = below + (end ?? 0) / 2;
    if (u.model.stacked) below += end ?? 0;
    return { line, end, at: end === undefined ? null : u.valToPos(u.model.stacked ? middle : end, "y") };
  }).filter((label) => label.at !== null && Number.isFinite(label.at)).sort((a, b) => a.at - b.at);
  if (ends.length * gap > room) return [];
  ends.forEach((label, index) => { label.at = Math.max(label.at, index ? ends[index - 1].at + gap : 4); });
  for (let index = ends.length - 1, limit = room - 4; index >= 0; index--, limit = ends[index + 1].at - gap) ends[index].at = Math.min(ends[index].at, limit);
  return ends;
}

function drawLabels(u, narrow) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `600 ${LABEL * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const { line, at } of labelsOf(u)) {
    ctx.fillStyle = line.colour;
    ctx.fillText(shortened(line.name, narrow ? 10 : 14), bbox.left + bbox.width + 8 * devicePixelRatio, bbox.top + at * devicePixelRatio);
  }
  ctx.restore();
}

// ---- pointing

function nearest(u, top) {
  let best = null, distance = 14;
  const index = u.cursor.idx;
  if (index == null || u.model.stacked) return null;
  for (const line of u.model.lines) {
    const value = line.values[index];
    const away = value == null ? Infinity : Math.abs(u.valToPos(value, "y") - top);
    if (away < distance) [best, distance] = [line, away];
  }
  return best;
}

function pick(u, event, change) {
  const line = event.detail === 1 && nearest(u, u.cursor.top);
  if (line) change.isolate(line.name);
}

let tipOwner = null;

function showTip(u) {
  const tip = document.querySelector("#tip"), index = u.cursor.idx, { model } = u;
  const pointed = u.over.matches(":hover") || u.root.parentElement === document.activeElement;
  if (!pointed) return;
  if (index == null || u.cursor.left < 0) return hideTip();
  tipOwner = u;
  const shown = model.lines.map((line) => ({ line, value: line.values[index], raw: line.raw[index] })).filter((one) => one.value !== undefined || one.raw !== undefined);
  shown.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  const smooth = model.key === "loss" && model.choice.smooth > 1;
  const share = model.key === "part" || model.stacked;
  const write = (value) => (value === null ? "NaN" : value === undefined ? "–" : share ? percent(value) : figures(value, 5));
  const pointedAt = nearest(u, u.cursor.top);
  const rows = shown.slice(0, 64).map(({ line, value, raw }) => {
    const run = line.run || model.lines.some((other) => other.run) ? ` · ${line.view.name}` : "";
    const swatch = element("i");
    swatch.style.background = line.colour;
    const name = element("span", { class: "name" }, swatch, shortened(line.name, 28) + run);
    return element("div", { class: line === pointedAt ? "row near" : "row" }, name, element("b", {}, write(value)), smooth ? element("span", { class: "quiet" }, write(raw)) : null);
  });
  const lost = model.marks.filter((mark) => mark.at === index).map((mark) => element("div", { class: "lost" }, `${shortened(mark.name, 28)}: ${mark.count} not finite`));
  const more = shown.length > 64 ? element("div", { class: "quiet" }, `and ${shown.length - 64} more`) : null;
  const head = element("div", { class: "quiet" }, headOf(model, index) + (smooth ? " · smoothed, raw" : ""));
  tip.replaceChildren(head, element("div", { class: "rows", "data-columns": Math.min(3, Math.ceil(rows.length / 22)) }, ...rows), ...lost, ...(more ? [more] : []));
  tip.hidden = false;
  placeTip(u, tip);
}

function headOf(model, index) {
  const x = model.x[index];
  if (model.choice.x === "step") return `step ${grouped(x)}`;
  return model.choice.x === "relative" ? `after ${duration(x)}` : new Date(x * 1000).toLocaleString();
}

function placeTip(u, tip) {
  const box = u.over.getBoundingClientRect(), x = box.left + u.cursor.left;
  const left = x + 18 + tip.offsetWidth < innerWidth ? x + 18 : Math.max(4, x - 18 - tip.offsetWidth);
  const top = Math.min(Math.max(4, box.top + 12), innerHeight - tip.offsetHeight - 4);
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  document.querySelector("#tip").hidden = true;
  tipOwner = null;
}

function onKey(event, figure, change) {
  const u = figure.chart;
  if (!u) return;
  const at = u.cursor.idx ?? u.data[0].length - 1, count = u.data[0].length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -count, End: count };
  if (event.key in steps) {
    const next = Math.min(count - 1, Math.max(0, at + steps[event.key]));
    u.setCursor({ left: u.valToPos(u.data[0][next], "x"), top: 10 });
  } else if (event.key === "+" || event.key === "-") {
    const { min, max } = u.scales.x, middle = u.data[0][at] ?? (min + max) / 2;
    const reach = (max - min) * (event.key === "+" ? 0.25 : 1);
    zoomTo(u, Math.max(middle - reach, 0), middle + reach, change);
  } else if (event.key === "Escape") change.zoom(null, null);
  else return;
  event.preventDefault();
}

// ---- small multiples

function showMany(figure, view, choice, change) {
  figure.chart?.destroy();
  Object.assign(figure, { chart: null, shape: "", model: null });
  figure.note.textContent = `${view.losses.length} losses, each on its own scale`;
  const wanted = view.losses.filter((loss) => loss.name.toLowerCase().includes(choice.search.toLowerCase()));
  const cells = wanted.map((loss) => {
    const values = view.curves.each[loss.name].smooth ?? view.curves.each[loss.name].loss;
    const name = element("b", {}, `${loss.name} `, element("span", { class: "quiet" }, figures(loss.last)));
    return element("button", { type: "button", title: loss.name, onclick: () => change.alone(loss.name) }, name, sparkline(values.map((value) => (value === false ? null : value)), onPage(loss.colour), 170, 54));
  });
  figure.plot.replaceChildren(element("div", { class: "many" }, ...cells));
}
