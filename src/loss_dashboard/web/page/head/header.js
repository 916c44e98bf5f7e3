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
  $("#title").textContent = choice.runs.length ? `Losses of ${choice.runs.join(" and ")}` : "losses";
  $(".picker").hidden = !keys.length;
  $("#others").hidden = keys.length < 2 || Boolean(REPORT);
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
  $("#settings").replaceChildren(...(view ? settingsOf(view) : []));
}

function settingsOf(view) {
  const { weighting, ...others } = view.settings;
  const { method, ...own } = typeof weighting === "object" ? weighting ?? {} : { method: `${weighting ?? ""}` };
  const words = [...flat(own), ...flat(others)].filter(([, value]) => value !== "none");
  const shown = words.slice(0, 14).map(([key, value]) => element("span", {}, `${key} ${shortened(value, 40)}`));
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
