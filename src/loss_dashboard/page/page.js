"use strict";
// The page: what is chosen (kept in the address), what the server says, and when to ask again.

const $ = (selector) => document.querySelector(selector);
const EMBEDDED = document.querySelector("#embedded");
const REPORT = EMBEDDED ? JSON.parse(EMBEDDED.textContent) : null;
const MOST = 6;
const POLL = 2000;
const choice = readChoice();
let library = { runs: [], places: [] };
let views = [];
let stream = null, leavePlace = null, attempts = 0, timer = 0, isAsking = false, isBehind = false, isGone = false, asked = 0, answered = 0;

// ---- the choice, in the address

function readChoice() {
  const query = new URLSearchParams(location.search);
  const number = (key) => (query.get(key) && Number.isFinite(Number(query.get(key))) ? Number(query.get(key)) : null);
  return {
    runs: query.getAll("run").slice(0, MOST), smooth: number("smooth") ?? 0,
    x: ["time", "relative"].includes(query.get("x")) ? query.get("x") : "step",
    log: query.get("log") !== "0", follow: query.get("follow") === "1", stack: query.get("stack") === "1",
    recent: query.get("cov") === "recent", grid: query.get("grid") === "1", theme: query.get("theme"),
    only: query.getAll("only"), hide: query.getAll("hide"), first: number("first"), last: number("last"), search: query.get("find") ?? "",
  };
}

function writeChoice() {
  const query = new URLSearchParams();
  choice.runs.forEach((run) => query.append("run", run));
  const flags = { log: choice.log ? null : "0", follow: choice.follow ? "1" : null, stack: choice.stack ? "1" : null, grid: choice.grid ? "1" : null, cov: choice.recent ? "recent" : null };
  const plain = { smooth: choice.smooth || null, x: choice.x === "step" ? null : choice.x, theme: choice.theme, first: choice.first, last: choice.last, find: choice.search || null, ...flags };
  for (const [key, value] of Object.entries(plain)) if (value != null) query.set(key, value);
  choice.only.forEach((name) => query.append("only", name));
  choice.hide.forEach((name) => query.append("hide", name));
  const text = query.toString();
  if (location.protocol !== "file:") history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

function choose(patch, asks = false) {
  Object.assign(choice, patch);
  writeChoice();
  if (asks && !REPORT) ask();
  else draw();
}

const change = {
  isolate(name) { choose({ only: choice.only.includes(name) ? [] : [name] }); },
  alone(name) { choose({ only: [name], grid: false }); },
  hide(name) { choose({ only: [], hide: choice.hide.includes(name) ? choice.hide.filter((other) => other !== name) : [...choice.hide, name] }); },
  zoom(first, last) { if (first === null || last > first) choose({ first, last }, true); },
};

// ---- asking the server

async function get(address) {
  const response = await fetch(address, { credentials: "same-origin" });
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
  return response.json();
}

function question(run) {
  const query = new URLSearchParams({ run });
  if (choice.smooth) query.set("smooth", choice.smooth);
  const width = choice.last - choice.first, end = views[0]?.curves.range?.[1];
  const follows = choice.follow && choice.first !== null && end != null;
  if (choice.first !== null) query.set("first", follows ? end - width : choice.first);
  if (choice.last !== null && !follows) query.set("last", choice.last);
  query.set("points", innerWidth < 700 ? 300 : 600);
  return `api/run?${query}`;
}

async function ask() {
  isBehind = true;
  if (isAsking) return;
  isAsking = true;
  while (isBehind) {
    isBehind = false;
    asked = performance.now();
    try {
      views = (await Promise.all(choice.runs.map((run) => get(question(run)).then((view) => ({ ...view, key: run }))))).filter(Boolean);
      isGone = false;
      draw();
    } catch (error) {
      if (error.status === 404) await forget();
      else { isGone = true; showState(); }
    }
    answered = performance.now();
    // The first change is asked for at once, later ones ten times a second, or less often if that is slow.
    await new Promise((done) => setTimeout(done, Math.min(1000, Math.max(100, 4 * (answered - asked)))));
    await new Promise((done) => requestAnimationFrame(done));
  }
  isAsking = false;
}

async function forget() {
  library = await get("api/runs");
  const known = library.runs.map((run) => run.key);
  choice.runs = choice.runs.filter((run) => known.includes(run));
  if (!choice.runs.length) views = [];
  await start();
}

// Browsers allow six connections to one server, over all tabs and windows. So a hidden tab holds
// none, four others may hold a stream, and the rest ask now and then.
const STREAMS = 4;

async function takePlace() {
  if (!navigator.locks) return () => {};
  for (let place = 0; place < STREAMS; place++) {
    const leave = await new Promise((taken) => {
      navigator.locks.request(`stream ${place}`, { ifAvailable: true }, (lock) => (lock ? new Promise(taken) : taken(null)));
    });
    if (leave) return leave;
  }
  return null;
}

function hush() {
  stream?.close();
  stream = null;
  leavePlace?.();
  leavePlace = null;
  clearTimeout(timer);
}

async function listen() {
  hush();
  const attempt = ++attempts;
  if (REPORT || document.hidden) return;
  if (!choice.runs.length) { timer = setTimeout(refreshLibrary, POLL); return; }
  const leave = await takePlace();
  if (attempt !== attempts) { leave?.(); return; }
  if (!leave) { poll(); return; }
  leavePlace = leave;
  const query = choice.runs.map((run) => `run=${encodeURIComponent(run)}`).join("&");
  stream = new EventSource(`api/changes?${query}`);
  let isOpen = false;
  stream.onopen = () => { isOpen = true; clearTimeout(timer); };
  stream.onmessage = () => { isOpen = true; ask(); };
  stream.onerror = () => { isGone = true; showState(); clearTimeout(timer); timer = setTimeout(revive, POLL); };
  timer = setTimeout(() => { if (!isOpen) { hush(); poll(); } }, POLL);
}

async function revive() {
  try {
    await get("api/runs");
    isGone = false;
    listen();
    ask();
  } catch { timer = setTimeout(revive, POLL); }
}

function poll() {
  ask();
  timer = setTimeout(listen, POLL);
}

async function refreshLibrary() {
  try {
    library = await get("api/runs");
    isGone = false;
    if (!choice.runs.length && library.runs.length) return start();
    showPicker();
  } catch { isGone = true; }
  showState();
  if (!choice.runs.length) timer = setTimeout(refreshLibrary, POLL);
}

// ---- drawing

function draw() {
  document.documentElement.dataset.theme = choice.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const view = views[0];
  showPicker();
  showState();
  showControls();
  showEmpty(view);
  const isEmpty = !view || !view.losses.length;
  for (const id of ["#summary", "#controls", "#charts"]) $(id).hidden = isEmpty;
  $("#settings").replaceChildren(...(view ? settingsOf(view) : []));
  showAlerts(view);
  showComparison(isEmpty ? [] : views);
  if (isEmpty) return;
  document.title = `${view.name} · losses`;
  showTable(view, choice, change);
  if (REPORT) showCharts(views.map(cut), { ...choice, smooth: 0 }, change);
  else showCharts(views, choice, change);
}

// In a report there is nobody to ask for a window, so it is cut from what there is.
function cut(view) {
  const { step, time, each } = view.curves;
  if (choice.first === null && choice.last === null) return view;
  const first = step.filter((one) => choice.first !== null && one < choice.first).length;
  const count = step.filter((one, index) => index >= first && (choice.last === null || one <= choice.last)).length;
  const part = (values) => values.slice(first, first + count);
  const inside = (lost) => lost.map(([at, times]) => [at - first, times]).filter(([at]) => at >= 0 && at < count);
  const curve = ({ lost, ...columns }) => ({ lost: inside(lost), ...Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, part(values)])) });
  const curves = { ...view.curves, step: part(step), time: part(time), each: Object.fromEntries(Object.entries(each).map(([name, own]) => [name, curve(own)])) };
  return { ...view, curves };
}

function showPicker() {
  const select = $("#run");
  const keys = library.runs.map((run) => run.key);
  if (keys.join("\n") !== [...select.options].map((option) => option.value).join("\n")) {
    select.replaceChildren(...keys.map((key) => element("option", { value: key }, key)));
    $("#choices").replaceChildren(...keys.map((key) => element("label", {}, element("input", { type: "checkbox", value: key }), key)));
  }
  select.value = choice.runs[0] ?? "";
  $(".picker").hidden = !keys.length;
  $("#others").hidden = keys.length < 2 || Boolean(REPORT);
  for (const box of document.querySelectorAll("#choices input")) {
    box.checked = choice.runs.includes(box.value);
    box.disabled = box.value === choice.runs[0] || (!box.checked && choice.runs.length >= MOST);
  }
}

function showState() {
  const view = views[0], pill = $("#state");
  const state = isGone ? "gone" : !view ? "" : view.progress < 0.999 ? "reading" : view.state;
  const words = { gone: "server gone, retrying", reading: `reading ${percent(view?.progress)}`, crashed: "crashed" };
  pill.dataset.state = state;
  pill.hidden = !state;
  if (pill.textContent !== (words[state] ?? state)) pill.textContent = words[state] ?? state;
  const facts = view ? [["step", grouped(view.step)], ["steps/s", figures(view.steps_per_second, 3)], ["elapsed", duration(view.elapsed)]] : [];
  if ($("#facts").children.length !== facts.length) $("#facts").replaceChildren(...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
  facts.forEach(([, value], index) => { $("#facts").children[index].lastChild.textContent = value; });
}

function settingsOf(view) {
  const { weighting, ...others } = view.settings;
  const { method, ...own } = weighting ?? {};
  const words = [...flat(own), ...flat(others)].filter(([, value]) => value !== "none");
  const shown = words.slice(0, 14).map(([key, value]) => element("span", {}, `${key} ${shortened(value, 40)}`));
  return [method ? element("b", {}, method) : null, ...shown].filter(Boolean);
}

function showAlerts(view) {
  const error = view?.state === "crashed" ? [view.error ?? "The process ended without a word."] : [];
  const said = [...error.map((text) => ({ text, kind: "crashed" })), ...(view?.alerts ?? []), ...(view?.problems ?? []).map((text) => ({ text }))];
  const grave = ["crashed", "nonfinite", "nan"];
  const items = said.map((alert) => {
    const text = alert.loss && !alert.text.includes(alert.loss) ? `${alert.loss}: ${alert.text}` : alert.text;
    const shown = alert.step == null ? element("span", {}, text) : element("button", { type: "button", onclick: () => jump(view, alert) }, text);
    return element("li", { class: grave.includes(alert.kind) ? "bad" : null }, shown);
  });
  const before = JSON.stringify(said);
  if ($("#alerts").dataset.said === before) return;
  $("#alerts").dataset.said = before;
  $("#alerts").replaceChildren(...items);
}

function jump(view, alert) {
  const [first, last] = view.curves.range ?? [0, 0];
  const reach = Math.max(10, (last - first) / 20);
  change.zoom(Math.max(first, Math.floor(alert.step - reach)), Math.min(last, Math.ceil(alert.step + reach)));
  $("#charts").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function showControls() {
  for (const key of ["log", "follow", "stack", "recent", "grid"]) $(`#${key}`).checked = choice[key];
  for (const key of ["smooth", "x"]) $(`#${key}`).value = String(choice[key]);
  if (document.activeElement !== $("#search")) $("#search").value = choice.search;
  $("#unzoom").hidden = choice.first === null && choice.last === null;
  $("#theme").textContent = isDark() ? "☀" : "☾";
  if (REPORT) for (const key of ["smooth", "follow"]) $(`#${key}`).parentElement.hidden = true;
}

const SNIPPET = `from loss_loggers import CsvLogger
group = LossGroup(["G", "D"], CsvLogger("runs/gan"))
group.update({"G": loss_g, "D": loss_d})  # each step`;

function showEmpty(view) {
  const home = $("#empty");
  home.hidden = Boolean(view?.losses.length) || isGone;
  if (home.hidden) return;
  const watched = view ? [view.path] : library.places;
  const paths = element("p", { class: "quiet" }, "Watching ", ...watched.flatMap((path, index) => [index ? ", " : "", element("code", {}, path)]), ".");
  if (view) home.replaceChildren(element("h1", {}, "Waiting for the first row"), element("p", {}, "The run has begun and has recorded no loss yet."), paths);
  else home.replaceChildren(element("h1", {}, "No run yet"), element("p", {}, "Record one, and it appears here:"), element("pre", {}, SNIPPET), element("p", {}, "Or type ", element("code", {}, "losses demo"), " for one of its own."), paths);
}

// ---- starting

function wire() {
  $("#run").addEventListener("change", (event) => {
    if (REPORT) return turnTo(event.target.value);
    views = [];
    choose({ runs: [event.target.value], first: null, last: null }, true);
    listen();
  });
  $("#choices").addEventListener("change", (event) => {
    const { value, checked } = event.target;
    choose({ runs: checked ? [...choice.runs, value] : choice.runs.filter((run) => run !== value), x: checked && choice.x === "time" ? "step" : choice.x }, true);
    listen();
  });
  for (const key of ["log", "stack", "recent", "grid"]) $(`#${key}`).addEventListener("change", (event) => choose({ [key]: event.target.checked }));
  $("#follow").addEventListener("change", (event) => choose({ follow: event.target.checked }, true));
  $("#smooth").addEventListener("change", (event) => choose({ smooth: Number(event.target.value) }, true));
  $("#x").addEventListener("change", (event) => choose({ x: event.target.value }));
  $("#search").addEventListener("input", (event) => choose({ search: event.target.value }));
  $("#all").addEventListener("click", () => choose({ only: [], hide: [] }));
  $("#unzoom").addEventListener("click", () => change.zoom(null, null));
  $("#theme").addEventListener("click", () => choose({ theme: isDark() ? "light" : "dark" }));
  $("#others").addEventListener("toggle", () => { if ($("#others").open) refreshLibrary(); });
  document.addEventListener("click", (event) => { if (!$("#others").contains(event.target)) $("#others").open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("#others").open = false; });
  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden && !REPORT) ask(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.querySelector("#run").addEventListener("pointerdown", () => { if (!REPORT) refreshLibrary(); });
}

// In a report the other runs stay, and the one that was picked comes first.
function turnTo(key) {
  views.sort((a, b) => Number(b.key === key) - Number(a.key === key));
  choose({ runs: views.map((view) => view.key), first: null, last: null });
}

async function start() {
  if (REPORT) {
    views = REPORT.views;
    library = { runs: views.map((view) => ({ key: view.key })), places: [] };
    choice.runs = views.map((view) => view.key);
    return draw();
  }
  if (!choice.runs.length && library.runs.length) choice.runs = [library.runs[0].key];
  draw();
  listen();
  if (choice.runs.length) ask();
}

wire();
if (REPORT) start();
else get("api/runs").then((answer) => { library = answer; return start(); }).catch(() => { isGone = true; draw(); timer = setTimeout(revive, POLL); });
