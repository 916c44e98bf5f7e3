"use strict";
// What is said while there is nothing to draw.

const SNIPPET = `from loss_loggers import CsvLogger
from multi_loss_weighting import LossGroup

group = LossGroup(["G", "D"], CsvLogger("runs/gan"))
group.update({"G": loss_g, "D": loss_d})  # each step`;

function showEmpty(view) {
  const home = $("#empty");
  const isOnItsWay = !view && choice.runs.length;
  home.hidden = Boolean(view?.losses.length || isOnItsWay || isGone || isHome());
  if (!home.hidden) home.replaceChildren(...(view ? wordsOfWaiting(view) : wordsOfWelcome()), ...watchedPaths(view));
}

function wordsOfWaiting(view) {
  const words = (title, text) => [element("h2", {}, title), element("p", {}, text)];
  if (view.is_unreadable) return words("Nothing could be read", "What is wrong is said above.");
  const isOver = ["finished", "crashed", "stopped"].includes(view.state);
  if (view.step !== null) return words(isOver ? "No loss was recorded" : "Waiting for the first loss", "The run has recorded other numbers alone.");
  if (isOver) return words("No row was recorded", "The run ended before its first loss.");
  return words("Waiting for the first row", "The run has begun and has recorded no loss yet.");
}

function wordsOfWelcome() {
  const demo = element("p", {}, "Or type ", element("code", {}, "losses demo"), " for one of its own.");
  return [element("h2", {}, "No run yet"), element("p", {}, "Record one, and it appears here:"), element("pre", {}, SNIPPET), demo];
}

function watchedPaths(view) {
  const paths = (view ? [view.path] : library.places).filter(Boolean); // a report watches none
  const words = paths.flatMap((path, index) => [index ? ", " : "", element("code", {}, path)]);
  return words.length ? [element("p", { class: "quiet" }, "Watching ", ...words, ".")] : [];
}
