"use strict";
// The controls: shown as they are chosen, and heard.

function showControls() {
  for (const key of ["log", "follow", "stack", "recent", "grid"]) $(`#${key}`).checked = choice[key];
  if (![...$("#smooth").options].some((option) => Number(option.value) === choice.smooth)) $("#smooth").append(element("option", {}, choice.smooth));
  $("#x option[value=epoch]").hidden = !hasEpochs(views);
  $("#smooth").value = String(choice.smooth);
  $("#x").value = hasX(views) ? choice.x : "step";
  if (document.activeElement !== $("#search")) $("#search").value = choice.search;
  $("#unzoom").hidden = choice.first === null && choice.last === null;
  $("#theme").textContent = isDark() ? "☀" : "☾";
  $("#follow").parentElement.hidden = Boolean(REPORT);
  $("#follow").disabled = choice.first === null && !choice.follow;
}

function wire() {
  wireRuns();
  $(".skip").addEventListener("click", skipToChart);
  for (const key of ["log", "stack", "recent", "grid"]) $(`#${key}`).addEventListener("change", (event) => choose({ [key]: event.target.checked }));
  $("#follow").addEventListener("change", (event) => choose({ follow: event.target.checked }, true));
  $("#smooth").addEventListener("change", (event) => choose({ smooth: Number(event.target.value) }, true));
  $("#x").addEventListener("change", (event) => choose({ x: event.target.value }));
  $("#search").addEventListener("input", (event) => choose({ search: event.target.value }));
  $("#all").addEventListener("click", () => choose({ only: [], hide: [] }));
  $("#unzoom").addEventListener("click", () => change.zoom(null, null));
  $("#theme").addEventListener("click", () => choose({ theme: isDark() ? "light" : "dark" }));
  document.addEventListener("visibilitychange", listen);
  window.addEventListener("resize", drawSoon);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function wireRuns() {
  $("#run").addEventListener("change", (event) => {
    if (REPORT) return turnTo(event.target.value);
    notice = "";
    const [, ...others] = choice.runs;
    choose({ runs: [event.target.value, ...others.filter((run) => run !== event.target.value)], first: null, last: null }, true);
  });
  $("#choices").addEventListener("change", (event) => {
    const { value, checked } = event.target;
    choose({ runs: checked ? [...choice.runs, value] : choice.runs.filter((run) => run !== value), x: checked && choice.x === "time" ? "step" : choice.x }, true);
  });
  for (const kind of ["pointerdown", "focus"]) $("#run").addEventListener(kind, () => { if (!REPORT) refreshLibrary(); });
  $("#others").addEventListener("toggle", () => { if ($("#others").open) refreshLibrary(); });
  document.addEventListener("click", (event) => { if (!$("#others").contains(event.target)) $("#others").open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if ($("#others").open) $("#others").open = false;
    else if (choice.only.length) choose({ only: [] });
  });
}

// To the first chart itself, where arrows and zoom are heard; or where there will be one.
function skipToChart(event) {
  event.preventDefault();
  const first = document.querySelector("#charts .plot[tabindex], #charts .many button") ?? $("#charts");
  first.focus();
  first.scrollIntoView({ block: "nearest" });
}
