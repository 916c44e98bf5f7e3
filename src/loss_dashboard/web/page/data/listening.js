"use strict";
// Hearing from the server what is new, and what to do while it says nothing.
// Browsers allow six connections to one server, over all tabs and windows. So a hidden tab holds
// none, four others may hold a stream, and the rest ask now and then.

const STREAMS = 4;
const POLL = 2000;
let stream = null, leavePlace = null, attempts = 0, timer = 0;

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
  const attempt = ++attempts, runs = [...choice.runs];
  if (REPORT || document.hidden) return;
  if (isHome()) return refreshTable();
  if (!runs.length) { timer = setTimeout(refreshLibrary, POLL); return; }
  if (isGrouped()) return askForGroups(attempt);
  const leave = await takePlace();
  if (attempt !== attempts) { leave?.(); return; }
  if (!leave) { poll(attempt, runs); return; }
  leavePlace = leave;
  stream = new EventSource(`api/changes?${question()}`);
  let isOpen = false, isHeard = false;
  stream.onopen = () => { isOpen = true; clearTimeout(timer); };
  stream.onmessage = ({ data }) => { isHeard = true; take(runs, JSON.parse(data)); };
  stream.onerror = () => { hush(); timer = setTimeout(revive, isHeard ? 0 : POLL); };
  timer = setTimeout(() => { if (!isOpen) { hush(); poll(attempt, runs); } }, POLL);
}

// Asks now and then; each time there may be a place for a stream.
async function poll(attempt, runs) {
  try {
    const told = await get(`api/views?${question()}`);
    if (attempt !== attempts) return;
    take(runs, told);
    timer = setTimeout(listen, POLL);
  } catch { if (attempt === attempts) revive(); }
}

async function revive() {
  const attempt = attempts;
  try {
    library = await get("api/runs");
    isGone = false;
    if (attempt === attempts) await start();
  } catch {
    isGone = true;
    showState();
    timer = setTimeout(revive, POLL);
  }
}

async function refreshLibrary() {
  try {
    const before = library.runs.map(({ key }) => key);
    library = await get("api/runs");
    isGone = false;
    sayNew(library.runs.filter(({ key }) => before.length && !before.includes(key)));
    if (!choice.runs.length && library.runs.length) return start();
    showPicker();
  } catch { isGone = true; }
  showState();
  if (!choice.runs.length) timer = setTimeout(refreshLibrary, POLL);
}

// While one run is looked at, another may begin.
const LIBRARY = 15000;
setInterval(() => { if (!REPORT && !document.hidden && choice.runs.length && !isGone) refreshLibrary(); }, LIBRARY);

function sayNew(runs) {
  if (!runs.length) return;
  const text = runs.length > 3 ? `${runs.length} new runs` : `New run: ${runs.map(({ key }) => key).join(", ")}`;
  $("#said").textContent = text;
  $("#all-runs").textContent = `All runs · ${runs.length} new`;
  $("#all-runs").title = text;
}
