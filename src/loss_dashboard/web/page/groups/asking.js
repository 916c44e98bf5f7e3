"use strict";
// Groups of runs: asked for every second or two while one of them goes on.

let grouping = null; // the last answer
const SELDOM = 10; // seconds, once all runs have ended
const PART = 20; // of the time at most one part in so many goes into answers

function isGrouped() {
  return choice.group !== null;
}

async function askForGroups(attempt, seen = "") {
  const begun = performance.now(), query = question();
  query.set("group", choice.group);
  query.set("points", innerWidth < 700 ? 120 : 200); // more would show noise over noise
  if (seen) query.set("seen", seen);
  try {
    const told = await get(`api/groups?${query}`);
    if (attempt !== attempts) return;
    const wasGone = isGone;
    isGone = false;
    if (told) grouping = told;
    if (told || wasGone) drawSoon();
    timer = setTimeout(() => askForGroups(attempt, grouping.name), restOfGroups(performance.now() - begun));
  } catch { if (attempt === attempts) revive(); }
}

function restOfGroups(took) {
  if (grouping.progress < 1) return 100;
  const isRunning = Object.values(grouping.states).some((state) => ["running", "waiting"].includes(state));
  return Math.max(isRunning ? POLL : 1000 * SELDOM, PART * took);
}

// In a report: an answer for each smoothing, cut to the steps that are looked at.
function openGroupReport({ groups, by }) {
  packedGroups = groups;
  const windows = Object.keys(groups).map(Number);
  choice.group = by;
  if (!windows.includes(choice.smooth)) choice.smooth = 0;
  for (const option of [...$("#smooth").options]) if (!windows.includes(Number(option.value))) option.remove();
  draw();
}

let packedGroups = null;

function groupsInReport() {
  const told = packedGroups[choice.smooth];
  return { ...told, losses: told.losses.map(lossInWindow) };
}

function lossInWindow(loss) {
  const isInside = (step) => (choice.first === null || step >= choice.first) && (choice.last === null || step <= choice.last);
  const first = Math.max(0, loss.step.findIndex(isInside)), count = loss.step.filter(isInside).length;
  const part = (values) => values.slice(first, first + count);
  const within = (places) => places.map(([at, told]) => [at - first, told]).filter(([at]) => at >= 0 && at < count);
  const cut = (curve) => curve && {
    mean: part(curve.mean), half: part(curve.half), n: part(curve.n), runs: curve.runs.map(part), reach: curve.reach.map(part),
    lost: within(curve.lost), far: curve.far.map(within),
  };
  return { ...loss, step: part(loss.step), curves: loss.curves.map(cut) };
}
