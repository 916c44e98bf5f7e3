"use strict";
// In which order the losses stand: as they were recorded, or by one of their columns.

const SORTED_ROWS = 10; // from so many on the largest share comes first
const SORTS = { name: "ascending", weight: "descending", cov: "descending", share: "descending" }; // at the first click
let sortedNow = false; // somebody just asked for an order

// A minus before the column turns its first order round.
function sortingOf(choice, view) {
  const key = choice.sort.replace("-", "");
  if (key in SORTS) return { key, isTurned: choice.sort.startsWith("-") };
  return view.losses.length < SORTED_ROWS ? null : { key: "share", isTurned: false };
}

function comparing(choice, view) {
  const sorting = sortingOf(choice, view);
  if (!sorting) return () => 0;
  const { key, isTurned } = sorting, sign = isTurned ? -1 : 1;
  if (key === "name") return (a, b) => sign * a.name.localeCompare(b.name, undefined, { numeric: true });
  // What has no such number comes last, either way.
  return (a, b) => Number(a[key] == null) - Number(b[key] == null) || sign * ((b[key] ?? 0) - (a[key] ?? 0));
}

function showSorting(choice, change) {
  const sorting = sortingOf(choice, views[0]);
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    const key = head.dataset.sort;
    if (!head.querySelector("button")) head.replaceChildren(element("button", { type: "button", class: "sort", onclick: () => change.sort(key) }, head.textContent));
    const isBy = sorting?.key === key, isDescending = isBy && (SORTS[key] === "descending") !== sorting.isTurned;
    head.setAttribute("aria-sort", !isBy ? "none" : isDescending ? "descending" : "ascending");
  }
}

// The rows in their order: losses, and before those of a group the group itself.
function orderOf(view, groups, choice) {
  const compare = comparing(choice, view), byKey = new Map(groups.map((group) => [group.key, group]));
  const groupOf = new Map(groups.flatMap((group) => group.losses.map((loss) => [loss.name, group])));
  const tops = [...new Set(view.losses.map((loss) => groupOf.get(loss.name) ?? loss))].sort(compare);
  return tops.flatMap((top) => {
    if (!byKey.has(top.key)) return [{ loss: top, group: null }];
    return [{ group: top }, ...[...top.losses].sort(compare).map((loss) => ({ loss, group: top }))];
  });
}
