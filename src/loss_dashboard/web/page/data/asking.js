"use strict";
// What the server has told: the runs that there are, and views of those that are chosen.

let library = { runs: [], places: [] };
let views = [];
let isGone = false;

async function get(address) {
  const response = await fetch(address, { credentials: "same-origin" });
  if (!response.ok) throw new Error(await response.text());
  return response.status === 204 ? null : response.json();
}

function question() {
  const query = new URLSearchParams();
  choice.runs.forEach((run) => query.append("run", run));
  if (choice.smooth) query.set("smooth", choice.smooth);
  if (choice.first !== null) query.set("first", choice.first);
  if (choice.last !== null) query.set("last", choice.last);
  if (choice.follow) query.set("follow", 1);
  query.set("points", innerWidth < 700 ? 300 : 600);
  return query;
}

// Views of these runs: of curves that were told before only what is new.
function take(runs, told) {
  views = told.map((view, index) => {
    const before = views.find((one) => one.key === runs[index]);
    const lastRow = view.silent == null ? null : Date.now() - 1000 * view.silent;
    return { ...view, lastRow, key: runs[index], curves: view.curves.kept ? goneOn(before.curves, view.curves) : view.curves };
  });
  isGone = false;
  drawSoon();
}

function goneOn(before, { kept, ...fresh }) {
  const join = (was, is) => [...was.slice(0, kept), ...is];
  const joined = (known) => ([name, curve]) => {
    const was = known[name];
    const columns = Object.entries(curve).map(([column, values]) => [column, join(was[column], values)]);
    return [name, { ...Object.fromEntries(columns), lost: [...was.lost.filter(([at]) => at < kept), ...curve.lost] }];
  };
  const all = (kind) => Object.fromEntries(Object.entries(fresh[kind]).map(joined(before[kind])));
  return { ...fresh, step: join(before.step, fresh.step), time: join(before.time, fresh.time), each: all("each"), extras: all("extras") };
}
