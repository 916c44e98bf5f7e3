"use strict";
// Above the groups: by which setting they are made, of which runs, and which colour is whose.

function drawGroups() {
  if (REPORT) grouping = groupsInReport();
  const told = grouping, isEmpty = !told?.losses.length;
  document.documentElement.dataset.view = "groups";
  showControls();
  showGroupState(told);
  showGroupHead(told);
  showAlerts({ alerts: [], problems: [told?.amiss, ...(told?.problems ?? []), ...tooManyRuns()].filter(Boolean) });
  $(".skip").href = "#groups";
  $("#controls").hidden = isEmpty;
  $("#groups").hidden = !told;
  if (!told) return;
  const shown = { ...choice, search: "", only: choice.only.filter((name) => told.groups.some((group) => group.name === name)) };
  showGroupKey(told, shown);
  showGroupPanels(told, shown, change);
  showFinals(told);
}

function tooManyRuns() {
  const all = library.runs.length;
  return choice.runs.length >= MOST_GROUPED && all > MOST_GROUPED ? [`${grouped(choice.runs.length)} of ${grouped(all)} runs are grouped, which is as many as can be.`] : [];
}

function titleOfGroups({ groups, by }) {
  const runs = groups.reduce((sum, group) => sum + group.members.length, 0);
  return `${counted(runs, "run")} by ${by || "nothing"}`;
}

function counted(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

function showGroupState(told) {
  const states = Object.values(told?.states ?? {}), pill = $("#state");
  const isReading = !REPORT && (told?.progress ?? 0) < 0.999;
  const state = isGone ? "gone" : isReading ? "reading" : ["running", "crashed", "stale"].find((one) => states.includes(one)) ?? states[0] ?? "";
  const count = states.filter((one) => one === state).length;
  const words = { gone: "server gone, retrying", reading: told ? `reading ${percent(told.progress)}` : "reading" };
  const text = words[state] ?? (count === states.length ? state : `${grouped(count)} ${state}`);
  pill.dataset.state = state;
  pill.hidden = !state;
  if (pill.textContent !== text) pill.textContent = text;
}

function showGroupHead(told) {
  const title = told ? titleOfGroups(told) : "Groups of runs";
  $("#title").textContent = title;
  document.title = `${title} · losses`;
  $("#all-runs").hidden = Boolean(REPORT);
  $("#all-runs").href = addressOfHome();
  const home = $("#made") ?? newGroupHead();
  home.hidden = !told;
  if (!told) return;
  showKeys(home.querySelector("select"), told);
  const runs = told.groups.flatMap((group) => group.members);
  home.querySelector(".made").textContent = `${counted(runs.length, "run")} in ${counted(told.groups.length, "group")}`;
  showMembers(runs);
}

function newGroupHead() {
  const select = element("select", { "aria-label": "Group by", disabled: Boolean(REPORT), onchange: (event) => choose({ group: event.target.value, only: [], hide: [] }, true) });
  const members = REPORT ? null : element("details", { id: "members" }, element("summary", {}, "Runs"), element("div", { class: "menu", role: "group", "aria-label": "Runs to group" }));
  const home = element("div", { id: "made" }, element("label", {}, element("span", { class: "quiet" }, "group by "), select), element("span", { class: "made quiet" }), members, element("a", { href: "#finals" }, "Final values"));
  members?.addEventListener("change", chooseMembers);
  members?.addEventListener("toggle", () => { if (members.open) refreshLibrary(); });
  document.addEventListener("click", (event) => { if (members && !members.contains(event.target)) members.open = false; });
  document.addEventListener("keydown", (event) => { if (members && event.key === "Escape") members.open = false; });
  $("#all-runs").after(home);
  return home;
}

function showKeys(select, { keys, by }) {
  const all = [...new Set([...(REPORT ? [by] : [...keys, by]), ...(REPORT ? [] : [""])])];
  if (JSON.stringify(all) !== select.keys) {
    select.keys = JSON.stringify(all);
    select.replaceChildren(...all.map((key) => element("option", { value: key }, key ? shortened(key, 60) : "nothing: all runs as one")));
  }
  select.value = choice.group;
}

function showMembers(runs) {
  const menu = $("#members .menu");
  if (!menu) return;
  const keys = library.runs.map((run) => run.key), said = JSON.stringify(keys);
  if (menu.keys !== said) {
    menu.keys = said;
    menu.replaceChildren(...keys.map((key) => element("label", {}, element("input", { type: "checkbox", value: key }), key)));
  }
  for (const box of menu.querySelectorAll("input")) {
    box.checked = choice.runs.includes(box.value);
    box.disabled = box.checked ? runs.length < 2 : choice.runs.length >= MOST_GROUPED;
  }
}

function chooseMembers({ target: { value, checked } }) {
  choose({ runs: checked ? [...choice.runs, value] : choice.runs.filter((run) => run !== value) }, true);
}

// Which colour and which dashes are whose; of one group each loss has its own.
function showGroupKey(told, shown) {
  const home = $("#groups .key") ?? newGroupPlaces();
  const hint = `Lines are means over runs, bands the ${told.interval}, faint lines single runs.`;
  $("#groups .hint").textContent = told.groups.some((group) => group.members.length > 1) ? hint : "";
  home.hidden = told.groups.length < 2;
  const said = JSON.stringify([told.groups, isDark(), shown.only, shown.hide]);
  if (home.said === said) return;
  home.said = said;
  const place = [...home.children].indexOf(document.activeElement);
  home.replaceChildren(...told.groups.map((group, at) => keyOf(group, at, shown)));
  home.children[place]?.focus();
}

function keyOf(group, at, shown) {
  const isShown = isVisible(shown, group.name);
  const count = group.is_single ? "single" : `n ${group.members.length}`;
  const button = element("button", { type: "button", class: isShown ? null : "off", title: group.members.slice(0, 20).join(", "), "aria-pressed": String(shown.only.includes(group.name)) },
    lineSample(onPage(group.colour), groupDash(at)), element("b", {}, shortened(group.name, 40)), " ", element("span", { class: "quiet" }, count));
  onClickOrTwo(button, () => change.isolate(group.name), () => change.hide(group.name));
  return button;
}

function newGroupPlaces() {
  $("#groups").append(
    element("div", { class: "key", role: "group", "aria-label": "Groups" }), element("p", { class: "hint quiet" }),
    element("div", { class: "panels" }), element("section", { id: "finals", class: "finals", tabindex: -1, "aria-label": "Final values" }));
  return $("#groups .key");
}
