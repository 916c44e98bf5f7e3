"use strict";
// The table: a row for each loss, changed in place so that focus and selection stay.

const CELLS = ["", "", "bars", "", "wide", "wide", "wide", "", "bars wide", "sparks", ""];

function showTable(view, choice, change) {
  const body = $("#table tbody"), groups = groupsOf(view);
  const known = new Map([...body.rows].map((row) => [row.dataset.name ?? row.dataset.group, row]));
  const rows = orderOf(view, groups, choice).map((one) => {
    const key = one.loss?.name ?? one.group.key, isLoss = Boolean(one.loss);
    const old = known.get(key), isSame = old && ("name" in old.dataset) === isLoss;
    const row = isSame ? old : isLoss ? newRow(one.loss, change) : newGroupRow(one.group, change);
    if (isLoss) showLoss(row, one, view, choice);
    else fillGroupRow(row, one.group, view, choice);
    return row;
  });
  placeRows(body, rows);
  showTotals(view);
  showSorting(choice, change);
  $("#search").hidden = view.losses.length < MANY_ROWS;
  $("#all").hidden = !choice.only.length && !choice.hide.length;
  hearArrows($("#table"), view.losses.length >= MANY_ROWS);
}

function showLoss(row, { loss, group }, view, choice) {
  fillRow(row, loss, view);
  row.classList.toggle("off", !isVisible(choice, loss.name));
  row.classList.toggle("inner", Boolean(group));
  row.querySelector(".loss").setAttribute("aria-pressed", String(choice.only.includes(loss.name)));
  const isHidden = choice.hide.includes(loss.name), hide = row.querySelector(".hide");
  hide.textContent = isHidden ? "show" : "hide";
  hide.setAttribute("aria-label", `${isHidden ? "Show" : "Hide"} ${loss.name}`);
  row.hidden = !isFound(choice, loss.name) || (group !== null && isFolded(choice, group));
}

// Not under somebody's hand: rows that only change their places wait.
function placeRows(body, rows) {
  const before = [...body.rows], isSameSet = before.length === rows.length && rows.every((row) => row.parentElement === body);
  if (rows.every((row, at) => before[at] === row) && isSameSet) return;
  if (isSameSet && !sortedNow && (body.contains(document.activeElement) || body.matches(":hover"))) return;
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  body.replaceChildren(...rows);
  focused?.focus();
  sortedNow = false;
}

// What is optimised, below the losses that it is made of.
function showTotals(view) {
  const foot = $("#table").tFoot ?? $("#table").createTFoot();
  const rows = (view.totals ?? []).map((total) => {
    const row = element("tr", {}, ...CELLS.map((kind) => element("td", { class: kind || null })));
    row.cells[0].append(element("b", {}, total.name));
    row.cells[3].textContent = tabular(total.last);
    row.cells[3].classList.toggle("lost", typeof total.last === "string");
    row.cells[4].textContent = tabular(total.best);
    return row;
  });
  foot.replaceChildren(...rows);
}

function newRow(loss, change) {
  const row = element("tr", { "data-name": loss.name }, ...CELLS.map((kind) => element("td", { class: kind || null })));
  const swatch = drawn("svg", { width: 22, height: 10, "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "loss", title: loss.name }, swatch, element("span", {}, loss.name));
  row.cells[0].append(button);
  row.cells[10].append(element("button", { type: "button", class: "hide", onclick: (event) => { event.stopPropagation(); change.hide(loss.name); } }, "hide"));
  for (const at of [2, 8]) row.cells[at].append(element("span", { class: "meter" }, element("i")));
  onClickOrTwo(row, () => change.isolate(loss.name), () => change.hide(loss.name));
  return row;
}

function fillRow(row, loss, view) {
  const colour = onPage(loss.colour);
  const [, weight, bar, last, best, mean, cov, share, shareBar, spark] = row.cells;
  const line = { x1: 0, x2: 22, y1: 5, y2: 5, stroke: colour, "stroke-width": 4, "stroke-dasharray": dashOf(view, loss.name).join(" ") };
  row.querySelector("svg").replaceChildren(drawn("line", line));
  // Of many losses each is small, so the bars compare them with the largest.
  const isMany = view.losses.length > 8;
  const largest = Math.max(...view.losses.map((other) => other.share ?? 0)) || 1;
  const heaviest = Math.max(...view.losses.map((other) => Math.abs(other.weight ?? 0))) || 1;
  weight.textContent = tabular(loss.weight, 3);
  fillBar(bar, Math.abs(loss.weight ?? 0) / (isMany ? heaviest : Math.max(1, heaviest)), colour);
  last.textContent = tabular(loss.last);
  last.classList.toggle("lost", typeof loss.last === "string");
  last.title = loss.lost ? `${loss.lost} values were not finite, the first at step ${loss.first_lost}` : "";
  best.textContent = tabular(loss.best);
  mean.textContent = `${tabular(loss.mean)} ± ${tabular(loss.std, 2)}`;
  cov.textContent = tabular(loss.cov, 3);
  share.textContent = percent(loss.share);
  fillBar(shareBar, (loss.share ?? 0) / (isMany ? largest : 1), colour);
  spark.replaceChildren(sparkline(loss.spark, colour, 110, 22));
}

function fillBar(cell, part, colour) {
  const bar = cell.querySelector("i");
  bar.style.width = `${Math.min(100, 100 * part)}%`;
  bar.style.background = colour;
}
