"use strict";
// Losses whose names begin alike, up to the last dot or slash, are a group that folds: head.3.*

function groupsOf(view) {
  if (view.losses.length < MANY_ROWS) return [];
  const found = new Map();
  for (const loss of view.losses) {
    const end = Math.max(loss.name.lastIndexOf("."), loss.name.lastIndexOf("/"));
    if (end > 0 && end < loss.name.length - 1) found.set(loss.name.slice(0, end + 1), [...(found.get(loss.name.slice(0, end + 1)) ?? []), loss]);
  }
  return [...found].filter(([, losses]) => losses.length > 1).map(([start, losses]) => ({
    key: start, name: `${start}*`, losses, share: sumOf(losses, "share"), weight: sumOf(losses, "weight"), cov: null,
  }));
}

function sumOf(losses, key) {
  const known = losses.map((loss) => loss[key]).filter(isNumber);
  return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

function isFolded(choice, group) {
  return choice.fold.includes(group.key) && !choice.search; // what is searched for is seen
}

function newGroupRow(group, change) {
  const row = element("tr", { "data-group": group.key, class: "group" }, ...CELLS.map((kind) => element("td", { class: kind || null })));
  const button = element("button", { type: "button", class: "loss fold", title: group.name, onclick: () => change.fold(group.key) }, element("i", { class: "arrow", "aria-hidden": "true" }), element("span", {}, group.name), element("small", { class: "quiet" }));
  row.cells[0].append(button);
  row.cells[10].append(element("button", { type: "button", class: "hide", onclick: () => change.hideAll(group.key) }, "hide"));
  row.cells[8].append(element("span", { class: "meter" }, element("i")));
  return row;
}

function fillGroupRow(row, group, view, choice) {
  const folded = isFolded(choice, group), found = group.losses.filter((loss) => isFound(choice, loss.name));
  const [name, weight, , , , , , share, bar] = row.cells, hide = row.querySelector(".hide");
  row.hidden = !found.length;
  name.firstChild.setAttribute("aria-expanded", String(!folded));
  name.querySelector("small").textContent = `${group.losses.length}`;
  weight.textContent = tabular(group.weight, 3);
  share.textContent = percent(group.share);
  fillBar(bar, group.share ?? 0, ink("quiet"));
  const isHidden = group.losses.every((loss) => choice.hide.includes(loss.name));
  hide.textContent = isHidden ? "show" : "hide";
  hide.setAttribute("aria-label", `${isHidden ? "Show" : "Hide"} ${group.name}`);
  row.classList.toggle("off", group.losses.every((loss) => !isVisible(choice, loss.name)));
}
