"use strict";
// The table: a row for each loss, changed in place so that focus and selection stay.

function showTable(view, choice, change) {
  const body = document.querySelector("#table tbody");
  const wanted = choice.search.toLowerCase();
  const known = new Map([...body.rows].map((row) => [row.dataset.name, row]));
  for (const loss of view.losses) {
    const row = known.get(loss.name) ?? body.appendChild(newRow(loss, change));
    known.delete(loss.name);
    fillRow(row, loss, view);
    row.classList.toggle("off", !isVisible(choice, loss.name));
    row.querySelector(".loss").setAttribute("aria-pressed", String(choice.only.includes(loss.name)));
    row.querySelector(".hide").textContent = choice.hide.includes(loss.name) ? "show" : "hide";
    row.hidden = !loss.name.toLowerCase().includes(wanted);
  }
  known.forEach((row) => row.remove());
  document.querySelector("#search").hidden = view.losses.length < 9;
  document.querySelector("#all").hidden = !choice.only.length && !choice.hide.length;
}

function isVisible(choice, name) {
  return choice.only.length ? choice.only.includes(name) : !choice.hide.includes(name);
}

function newRow(loss, change) {
  const cells = ["", "", "bars", "", "wide", "wide", "", "bars wide", "sparks", ""];
  const row = element("tr", { "data-name": loss.name }, ...cells.map((kind) => element("td", { class: kind || null })));
  const swatch = drawn("svg", { width: 22, height: 10, "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "loss", title: loss.name }, swatch, element("span", {}, loss.name));
  row.cells[0].append(button);
  row.cells[9].append(element("button", { type: "button", class: "hide", "aria-label": `Hide or show ${loss.name}`, onclick: (event) => { event.stopPropagation(); change.hide(loss.name); } }, "hide"));
  for (const at of [2, 7]) row.cells[at].append(element("span", { class: "meter" }, element("i")));
  onClickOrTwo(row, () => change.isolate(loss.name), () => change.hide(loss.name));
  return row;
}

// A click waits a moment for a second one; a key does not.
function onClickOrTwo(target, once, twice) {
  let timer = 0;
  target.addEventListener("click", (event) => {
    clearTimeout(timer);
    if (event.detail === 0) once();
    else if (event.detail === 1) timer = setTimeout(once, 220);
  });
  target.addEventListener("dblclick", () => { clearTimeout(timer); twice(); });
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
  weight.textContent = figures(loss.weight, 3);
  fillBar(bar, Math.abs(loss.weight ?? 0) / (isMany ? heaviest : Math.max(1, heaviest)), colour);
  last.textContent = figures(loss.last);
  last.classList.toggle("lost", typeof loss.last === "string");
  last.title = loss.lost ? `${loss.lost} values were not finite, the first at step ${loss.first_lost}` : "";
  mean.textContent = `${figures(loss.mean)} ± ${figures(loss.std, 2)}`;
  cov.textContent = figures(loss.cov, 3);
  share.textContent = percent(loss.share);
  fillBar(shareBar, (loss.share ?? 0) / (isMany ? largest : 1), colour);
  spark.replaceChildren(sparkline(loss.spark, colour, 110, 22));
}

function fillBar(cell, part, colour) {
  const bar = cell.querySelector("i");
  bar.style.width = `${Math.min(100, 100 * part)}%`;
  bar.style.background = colour;
}

function sparkline(values, colour, width, height) {
  const finite = values.filter((value) => value != null);
  const logs = finite.every((value) => value > 0) ? Math.log : (value) => value;
  const [low, high] = [Math.min(...finite.map(logs)), Math.max(...finite.map(logs))];
  let path = "";
  values.forEach((value, index) => {
    if (value == null) return;
    const x = (index / Math.max(1, values.length - 1)) * (width - 2) + 1;
    const y = height - 2 - ((logs(value) - low) / (high - low || 1)) * (height - 4);
    const joined = path && values[index - 1] != null;
    path += `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  const line = drawn("path", { d: path || "M0 0", fill: "none", stroke: colour, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" });
  return drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line);
}
