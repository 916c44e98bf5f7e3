"use strict";
// What is chosen of the table of runs, kept in the address.

const MOST_PICKED = 100; // what the server answers for at once
const wanted = readWanted();

function readWanted() {
  const query = new URLSearchParams(location.search);
  return {
    sort: query.get("sort") ?? "", find: query.get("find") ?? "", folder: query.get("folder") ?? "", best: query.get("best") === "1",
    show: query.getAll("show"), omit: query.getAll("omit"), picked: query.getAll("pick").slice(0, MOST_PICKED), by: query.get("by") ?? "",
  };
}

function writeWanted() {
  const query = new URLSearchParams();
  for (const key of ["find", "folder", "sort", "by"]) if (wanted[key]) query.set(key, wanted[key]);
  if (wanted.best) query.set("best", 1);
  wanted.show.forEach((id) => query.append("show", id));
  wanted.omit.forEach((id) => query.append("omit", id));
  wanted.picked.forEach((key) => query.append("pick", key));
  if (choice.theme) query.set("theme", choice.theme);
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  rememberHome(text);
}

function wantRuns(patch) {
  Object.assign(wanted, patch);
  writeWanted();
  drawHome();
}

// So that the way back from a run leads to the table as it was; a private window may keep nothing.
function rememberHome(text) {
  try { sessionStorage.setItem("home", text); } catch { /* then it leads to the table as it is at first */ }
}

function addressOfHome() {
  let text = null;
  try { text = sessionStorage.getItem("home"); } catch { /* as above */ }
  const query = new URLSearchParams(text ?? "");
  if (choice.theme) query.set("theme", choice.theme);
  return `./?${query}`;
}

function addressOf(keys, more = {}) {
  const query = new URLSearchParams(more);
  keys.forEach((key) => query.append("run", key));
  if (choice.theme) query.set("theme", choice.theme);
  return `./?${query}`;
}
