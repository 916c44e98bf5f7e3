"use strict";
// Asking the server for what is chosen, one question after the other.

let library = { runs: [], places: [] };
let views = [];
let isAsking = false, isBehind = false, isGone = false, asked = 0, answered = 0;

async function get(address) {
  const response = await fetch(address, { credentials: "same-origin" });
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
  return response.json();
}

// What was told of a run before is not told again.
function question(run, before) {
  const query = new URLSearchParams({ run });
  if (choice.smooth) query.set("smooth", choice.smooth);
  const width = choice.last - choice.first, end = views[0]?.curves.range?.[1];
  const follows = choice.follow && choice.first !== null && end != null;
  if (choice.first !== null) query.set("first", follows ? end - width : choice.first);
  if (choice.last !== null && !follows) query.set("last", choice.last);
  query.set("points", innerWidth < 700 ? 300 : 600);
  if (before) query.set("drawing", before.curves.drawing);
  if (before) query.set("buckets", before.curves.full);
  return `api/run?${query}`;
}

async function viewOf(run) {
  const before = views.find((view) => view.key === run);
  const view = await get(question(run, before));
  return { ...view, key: run, curves: view.curves.kept ? goneOn(before.curves, view.curves) : view.curves };
}

// The buckets of curves that stay, and those that are new.
function goneOn(before, { kept, ...fresh }) {
  const join = (was, is) => [...was.slice(0, kept), ...is];
  const joined = ([name, curve]) => {
    const was = before.each[name];
    const columns = Object.entries(curve).map(([column, values]) => [column, join(was[column], values)]);
    return [name, { ...Object.fromEntries(columns), lost: [...was.lost.filter(([at]) => at < kept), ...curve.lost] }];
  };
  return { ...fresh, step: join(before.step, fresh.step), time: join(before.time, fresh.time), each: Object.fromEntries(Object.entries(fresh.each).map(joined)) };
}

async function ask() {
  isBehind = true;
  if (isAsking) return;
  isAsking = true;
  while (isBehind) {
    isBehind = false;
    asked = performance.now();
    try {
      views = await Promise.all(choice.runs.map(viewOf));
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
