"use strict";
// The four charts: figures that stay, with what each shows drawn by uPlot.

const CHARTS = [
  { key: "loss", title: "Losses" },
  { key: "weight", title: "Weights" },
  { key: "cov", title: "CoV" },
  { key: "part", title: "Contribution" },
];
const PLOT = 270; // the height of a chart
const MANY = 12; // from so many lines on, the one that is pointed at stands out
const plots = new Map();

function showCharts(views, choice, change) {
  const home = $("#charts");
  home.classList.toggle("multiples", choice.grid);
  for (const { key, title } of CHARTS) {
    if (!plots.has(key)) plots.set(key, newFigure(home, key, title, change));
    const figure = plots.get(key);
    if (key === "loss" && choice.grid) showMany(figure, views, choice, change);
    else showChart(figure, views, choice, change);
  }
  showEpochs(home, views, choice, change);
  showExtras(home, views, choice, change);
}

function newFigure(home, key, title, change) {
  const figure = newPlot({ key, title, note: element("span", { class: "note" }), height: PLOT }, change);
  figure.saves = ["PNG", "SVG", "CSV"].map((kind) => element("button", { type: "button", "aria-label": `Save ${title} as ${kind}`, onclick: () => savePicture(figure, kind) }, kind));
  home.append(element("figure", { "data-chart": key }, element("figcaption", {}, element("h2", {}, title), figure.note, ...figure.saves), figure.plot));
  return figure;
}

// What a chart is drawn in: it hears keys, and is as wide as there is room.
function newPlot(figure, change) {
  const plot = element("div", { class: "plot" });
  Object.assign(figure, { plot, chart: null, shape: "", model: null });
  plot.addEventListener("keydown", (event) => onKey(event, figure, change));
  plot.addEventListener("blur", hideTip);
  new ResizeObserver(() => {
    if (figure.chart && plot.clientWidth && plot.clientWidth !== figure.chart.width) figure.chart.setSize({ width: plot.clientWidth, height: figure.chart.height });
  }).observe(plot);
  return figure;
}

function showChart(figure, views, choice, change) {
  const model = modelOf(figure.key, figure.title, views, choice);
  const blank = blankOf(model, views, choice);
  if (blank) return showBlank(figure, model, blank);
  say(figure, noteOf(model, views, choice));
  drawChart(figure, model, choice, change);
}

function drawChart(figure, model, choice, change) {
  const { data, series, bands } = layersOf(model);
  const shape = JSON.stringify([series.map((one) => [one.label, one.stroke, one.dash, one.width, one.fill, one.points?.show]), choice.x, model.scale, isDark(), choice.grid]);
  figure.model = model;
  for (const [name, value] of Object.entries({ role: "img", tabindex: 0, "aria-label": spoken(model) })) figure.plot.setAttribute(name, value);
  if (figure.chart && figure.shape === shape) {
    figure.chart.model = model;
    figure.chart.setData(data);
    return;
  }
  clearFigure(figure);
  figure.shape = shape;
  figure.chart = new uPlot(optionsOf(figure, model, series, bands, choice, change), data, (self, init) => {
    self.model = model;
    figure.plot.append(self.root);
    init();
  });
}

// Words in the place of a chart.
function showBlank(figure, model, words) {
  clearFigure(figure);
  figure.model = model;
  say(figure, "", true);
  for (const name of ["role", "tabindex", "aria-label"]) figure.plot.removeAttribute(name);
  const said = element("p", { class: "quiet blank" }, words);
  Object.assign(said.style, { display: "grid", placeContent: "center", textAlign: "center", height: `${figure.height}px`, margin: 0 });
  figure.plot.append(said);
}

function say(figure, note, isBlank = false) {
  figure.note.textContent = figure.note.title = note;
  figure.saves.forEach((button) => { button.hidden = isBlank; });
}

function clearFigure(figure) {
  if (figure.chart && figure.chart === tipped) hideTip();
  figure.chart?.destroy();
  figure.plot.replaceChildren();
  Object.assign(figure, { chart: null, shape: "" });
}

function layersOf(model) {
  const data = [model.x], series = [{}], bands = [];
  const add = (values, options) => { data.push(values); series.push({ points: { show: false }, spanGaps: false, ...options }); return data.length - 1; };
  const dots = (fill, size, isShown = false) => ({ show: isShown, size, fill, filter: (u, at, all) => (all ? null : aloneIn(u.data[at])) });
  if (model.stacked) {
    stacksOf(model).forEach((top, index) => {
      const line = model.lines[index], fill = faded(line.colour, 0.72);
      line.layer = add(top, { label: line.name, stroke: ink("card"), width: 1, fill: index ? undefined : fill });
      if (index) bands.push({ series: [line.layer, line.layer - 1], fill });
    });
    return { data, series, bands };
  }
  const isMany = model.lines.length > MANY;
  for (const line of model.lines) for (const values of line.behind ?? []) add(values, { label: `${line.name} run`, stroke: faded(line.colour, faintness(line)), width: 1, points: dots(line.colour, 2) });
  for (const line of model.lines) {
    if (line.band) {
      const auto = !line.behind; // an interval may be wider than all that was recorded
      const low = add(line.band[0], { label: `${line.name} low`, width: 0, auto });
      const high = add(line.band[1], { label: `${line.name} high`, width: 0, auto });
      bands.push({ series: [high, low], fill: faded(line.colour, isMany ? 0.07 : 0.18) });
    }
    if (line.strokes?.length) for (const ends of endsOf(line, model)) add(ends, { label: `${line.name} extremes`, width: 0 });
    if (line.faint) add(line.raw, { label: `${line.name} raw`, stroke: faded(line.colour, 0.35), width: 1, points: dots(line.colour, 2) });
    const [width, alpha] = strengthOf(line, model);
    line.layer = add(line.values, { label: line.name, stroke: faded(line.colour, alpha), width, dash: line.dash, points: dots(line.colour, isPoint(line, model.key) ? 6 : 3, isPoint(line, model.key)) });
  }
  return { data, series, bands };
}

// The places of values between two that were lost: a line has none there. Null for nowhere.
function aloneIn(values) {
  const told = values.map((_, at) => at).filter((at) => values[at] !== undefined);
  const alone = told.filter((at, place) => isNumber(values[at]) && !isNumber(values[told[place - 1]]) && !isNumber(values[told[place + 1]]));
  return alone.length ? alone : null;
}

// The lowest and the highest ends of strokes, for the scale to reach them.
function endsOf({ strokes }, { x }) {
  return [Math.min, Math.max].map((choose) => {
    const ends = new Array(x.length).fill(undefined);
    for (const [at, , to] of strokes) ends[at] = choose(ends[at] ?? to, to);
    return ends;
  });
}

// Of many runs each is fainter, so that their mean stays clear.
function faintness({ behind }) {
  return Math.max(0.1, 0.6 / Math.sqrt(behind.length));
}

// How wide and how faint a line is drawn: noise of other runs stays behind that of the first.
function strengthOf(line, model) {
  if (line.run && isRough(model) && ["loss", "part"].includes(model.key)) return [1, 0.5];
  return [line.run || model.lines.length > MANY ? 1.4 : 1.9, 1];
}

function optionsOf(figure, model, series, bands, choice, change) {
  const narrow = isNarrow(figure.plot.clientWidth), height = narrow ? Math.min(240, figure.height) : figure.height;
  const axis = { stroke: ink("quiet"), font: "12px system-ui, sans-serif", grid: { stroke: ink("line"), width: 1 }, ticks: { show: false }, border: { show: false } };
  const x = horizontalOf(choice), y = verticalOf(model);
  return {
    width: Math.max(200, figure.plot.clientWidth), height,
    padding: [10, labelRoom(model, narrow, height), 0, 0], series, bands, legend: { show: false },
    scales: { x: x.scale, y: y.scale },
    axes: [{ ...axis, grid: { show: false }, size: 30, ...x.axis }, { ...axis, size: 52, gap: 4, ...y.axis }],
    focus: { alpha: 0.18 },
    cursor: {
      sync: { key: model.key === "epoch" ? "epochs" : "losses", setSeries: false }, y: false, points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 5 },
      bind: { dblclick: () => () => {}, mouseleave: (u, _, leave) => onLeave(u, leave) },
    },
    hooks: {
      setSelect: [(u) => zoomToSelection(u, change)],
      setCursor: [(u) => pointAt(u)],
      drawClear: [(u) => drawReference(u)],
      draw: [(u) => drawStrokes(u), (u) => drawMarks(u), (u) => drawLabels(u)],
      ready: [(u) => listenTo(u, change)],
    },
  };
}
