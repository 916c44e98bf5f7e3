"use strict";
// Hearing from the server that there is news, and what to do while it says nothing.
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
