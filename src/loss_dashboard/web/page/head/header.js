"use strict";
// The top of the page: which run, how it fares, and what in it deserves a look.

const GRAVE = ["crashed", "nonfinite"];

function showPicker() {
  const select = $("#run");
  const keys = library.runs.map((run) => run.key);
  if (keys.join("\n") !== [...select.options].map((option) => option.value).join("\n")) {
    select.replaceChildren(...keys.map((key) => element("option", { value: key }, key)));
    $("#choices").replaceChildren(...keys.map((key) => element("label", {}, element("input", { type: "checkbox", value: key }), key)));
  }
  select.value = choice.runs[0] ?? "";
  $("#title").textContent = isHome() ? "Runs" : choice.runs.length ? `Losses of ${choice.runs.join(" and ")}` : "losses";
  $(".picker").hidden = !choice.runs.length;
  $("#all-runs").hidden = keys.length < 2 || isHome() || Boolean(REPORT);
  $("#all-runs").href = addressOfHome();
  $("#others").hidden = keys.length < 2 || isHome() || Boolean(REPORT);
  for (const box of document.querySelectorAll("#choices input")) {
    box.checked = choice.runs.includes(box.value);
    box.disabled = box.value === choice.runs[0] || (!box.checked && choice.runs.length >= MOST);
  }
}

function showState() {
  const view = views[0], pill = $("#state");
  const isReading = view ? view.progress < 0.999 : choice.runs.length > 0;
  const state = isGone ? "gone" : isReading ? "reading" : view?.state ?? "";
  const since = view?.lastRow ? ` since ${new Date(view.lastRow).toLocaleTimeString([], { timeStyle: "short" })}` : "";
  const words = { gone: "server gone, retrying", stale: `stale${since}`, reading: view ? `reading ${percent(view.progress)}` : "reading" };
  pill.dataset.state = state;
  pill.hidden = !state;
  if (pill.textContent !== (words[state] ?? state)) pill.textContent = words[state] ?? state;
  const facts = view?.step == null ? [] : [["step", grouped(view.step)], ["steps/s", figures(view.steps_per_second, 3)], ["elapsed", duration(view.elapsed)]];
  if ($("#facts").children.length !== facts.length) $("#facts").replaceChildren(...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
  facts.forEach(([, value], index) => { $("#facts").children[index].lastChild.textContent = value; });
}

function showSettings(view) {
  $("#settings").replaceChildren(...(view ? [...notesOf(view), ...settingsOf(view)] : []));
}

// What the user wrote about the run; a report has none of it.
function notesOf({ key }) {
  const { tags = [], note } = library.runs.find((run) => run.key === key) ?? {};
  return [...tags.map((tag) => element("span", { class: "tag" }, tag)), ...(note ? [element("q", {}, note)] : [])];
}

function settingsOf({ hyperparameters }) {
  const { "weighting.method": method = hyperparameters.weighting, ...others } = hyperparameters;
  const words = Object.entries(others).filter(([key, value]) => value !== "none" && key !== "weighting");
  const shown = words.slice(0, 14).map(([key, value]) => element("span", {}, `${key.replace(/^weighting\./, "")} ${shortened(value, 40)}`));
  return [method ? element("b", {}, method) : null, ...shown].filter(Boolean);
}

// What deserves a look, in sentences.
function showExplained(view) {
  $("#explained").textContent = view?.explained ?? "";
}

function showAlerts(view) {
  const error = view?.state === "crashed" ? [view.error] : [];
  const said = [...(notice ? [{ text: notice }] : []), ...error.map((text) => ({ text, kind: "crashed" })), ...(view?.alerts ?? []), ...(view?.problems ?? []).map((text) => ({ text }))];
  const before = JSON.stringify(said);
  if ($("#alerts").dataset.said === before) return;
  $("#alerts").dataset.said = before;
  $("#alerts").replaceChildren(...said.map((alert) => alertItem(view, alert)));
}

function alertItem(view, alert) {
  const text = alert.loss && !alert.text.includes(alert.loss) ? `${alert.loss}: ${alert.text}` : alert.text;
  const shown = alert.step == null ? element("span", {}, text) : element("button", { type: "button", onclick: () => jump(view, alert) }, text);
  return element("li", { class: GRAVE.includes(alert.kind) ? "bad" : null }, shown);
}

function jump(view, alert) {
  const [first, last] = view.curves.range ?? [0, 0];
  const reach = Math.max(10, (last - first) / 20);
  if (alert.loss) change.reveal(alert.loss);
  change.zoom(Math.max(first, Math.floor(alert.step - reach)), Math.min(last, Math.ceil(alert.step + reach)));
  $("#charts").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}
