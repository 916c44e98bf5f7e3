"use strict";
// The table: a row for each loss, changed in place so that focus and selection stay.

const SORTED_ROWS = 10;

function showTable(view, choice, change) {
  const body = $("#table tbody");
  const known = new Map([...body.rows].map((row) => [row.dataset.name, row]));
  for (const loss of view.losses) {
    const row = known.get(loss.name) ?? body.appendChild(newRow(loss, change));
    known.delete(loss.name);
    fillRow(row, loss, view);
    row.classList.toggle("off", !isVisible(choice, loss.name));
    row.querySelector(".loss").setAttribute("aria-pressed", String(choice.only.includes(loss.name)));
    const isHidden = choice.hide.includes(loss.name), hide = row.querySelector(".hide");
    hide.textContent = isHidden ? "show" : "hide";
    hide.setAttribute("aria-label", `${isHidden ? "Show" : "Hide"} ${loss.name}`);
    row.hidden = !isFound(choice, loss.name);
  }
  known.forEach((row) => row.remove());
  sortRows(body, view);
  showTotals(view);
  $("#search").hidden = view.losses.length < MANY_ROWS;
  $("#all").hidden = !choice.only.length && !choice.hide.length;
}

// Of ten losses and more the one with the largest share comes first.
function sortRows(body, view) {
  const rows = new Map([...body.rows].map((row) => [row.dataset.name, row]));
  const shareOf = (loss) => loss.share ?? -1;
  const order = view.losses.length < SORTED_ROWS ? view.losses : [...view.losses].sort((a, b) => shareOf(b) - shareOf(a));
  const wanted = order.map((loss) => rows.get(loss.name));
  if (wanted.every((row, at) => body.rows[at] === row)) return;
  if (body.contains(document.activeElement) || body.matches(":hover")) return; // not under somebody's hand
  body.append(...wanted);
}

// What is optimised, below the losses that it is made of.
function showTotals(view) {
  const foot = $("#table").tFoot ?? $("#table").createTFoot();
  const rows = (view.totals ?? []).map((total) => {
    const last = element("td", { class: typeof total.last === "string" ? "lost" : null }, tabular(total.last));
    return element("tr", {}, element("td", {}, element("b", {}, total.name)), element("td"), element("td", { class: "bars" }), last, ...["wide", "wide", "", "bars wide", "sparks", ""].map((kind) => element("td", { class: kind || null })));
  });
  foot.replaceChildren(...rows);
}

function newRow(loss, change) {
  const cells = ["", "", "bars", "", "wide", "wide", "", "bars wide", "sparks", ""];
  const row = element("tr", { "data-name": loss.name }, ...cells.map((kind) => element("td", { class: kind || null })));
  const swatch = drawn("svg", { width: 22, height: 10, "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "loss", title: loss.name }, swatch, element("span", {}, loss.name));
  row.cells[0].append(button);
  row.cells[9].append(element("button", { type: "button", class: "hide", onclick: (event) => { event.stopPropagation(); change.hide(loss.name); } }, "hide"));
  for (const at of [2, 7]) row.cells[at].append(element("span", { class: "meter" }, element("i")));
  onClickOrTwo(row, () => change.isolate(loss.name), () => change.hide(loss.name));
  return row;
}

function fillRow(row, loss, view) {
  const colour = onPage(loss.colour);
  const [, weight, bar, last, mean, cov, share, shareBar, spark] = row.cells;
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
