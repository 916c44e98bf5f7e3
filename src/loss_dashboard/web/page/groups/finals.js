"use strict";
// How the losses ended in each group: a table, and in each row a small picture of it.

const WHISKER = { width: 150, height: 16 };

function showFinals(told) {
  const { finals, groups, losses } = told;
  const home = $("#groups .finals"), said = JSON.stringify([finals, groups, isDark()]);
  home.hidden = !finals.length;
  if (home.said === said) return;
  home.said = said;
  const heads = [["group"], ["mean ± interval"], ["", "wide picture"], ["n"], ["smallest", "wide"], ["largest", "wide"], ["last step", "wide"]];
  const head = element("tr", {}, ...heads.map(([text, kind]) => element("th", { scope: "col", class: kind }, text || element("span", { class: "unseen" }, "interval as a picture"))));
  const bodies = losses.map((loss) => finalsOf(loss, finals.filter((row) => row.loss === loss.name), groups, heads.length));
  const table = element("table", {}, element("caption", { class: "quiet" }, captionOfFinals(told)), element("thead", {}, head), ...bodies);
  const scroll = home.querySelector(".scroll") ?? element("div", { class: "scroll", tabindex: 0 });
  scroll.replaceChildren(table);
  if (!scroll.isConnected) home.append(element("h2", {}, "Final values"), scroll);
}

function captionOfFinals({ smoothing, interval, groups, losses }) {
  const value = smoothing > 1 ? `The mean of the last ${grouped(smoothing)} rows of each run` : "The last row of each run";
  const isMixed = groups.length > 1 && losses.some(({ name }) => name.split("/").at(-1) === "total");
  const total = isMixed ? " A total is a sum of weighted losses: that of another weighting is another sum." : "";
  return `${value}: mean ± ${interval}, from the smallest on.${total}`;
}

function finalsOf(loss, rows, groups, columns) {
  const name = element("tr", {}, element("th", { scope: "rowgroup", colspan: columns, class: "loss-name" }, shortened(loss.name, 60)));
  const reach = reachOfFinals(rows);
  return element("tbody", {}, name, ...rows.map((row) => finalRow(row, groups, loss, reach)));
}

function reachOfFinals(rows) {
  const ends = rows.flatMap((row) => [row.least, row.greatest]).filter(isNumber);
  const [low, high] = [Math.min(...ends), Math.max(...ends)], room = (high - low) * 0.06 || Math.abs(high) * 0.06 || 1;
  return [low - room, high + room];
}

function finalRow(row, groups, loss, reach) {
  const group = groups[row.group], colour = onPage(groups.length > 1 ? group.colour : loss.colour);
  const name = element("td", {}, element("span", { class: "group" }, lineSample(colour, groupDash(row.group)), element("span", {}, shortened(group.name, 40))));
  const half = row.half === null ? null : element("span", { class: "quiet" }, ` ± ${tabular(row.half, 3)}`);
  const lost = row.lost ? element("span", { class: "lost", title: "not finite" }, ` × ${grouped(row.lost)}`, element("span", { class: "wide" }, " not finite")) : null;
  const steps = [...new Set(row.steps)].map(grouped).join("–");
  return element("tr", {}, name, element("td", {}, tabular(row.mean), half), element("td", { class: "wide picture" }, whisker(row, colour, reach)),
    element("td", {}, String(row.n), lost), element("td", { class: "wide" }, tabular(row.least)), element("td", { class: "wide" }, tabular(row.greatest)), element("td", { class: "wide" }, steps));
}

// From the smallest to the largest thinly, the interval thickly, and a dot at the mean.
function whisker({ mean, half, least, greatest }, colour, [low, high]) {
  const { width, height } = WHISKER, middle = height / 2;
  const at = (value) => Math.min(width - 1, Math.max(1, ((value - low) / (high - low)) * width));
  const line = (from, to, wide) => drawn("line", { x1: at(from), x2: at(to), y1: middle, y2: middle, stroke: colour, "stroke-width": wide, "stroke-opacity": wide > 1 ? 0.35 : 0.8 });
  const parts = mean === null ? [] : [line(least, greatest, 1), half === null ? null : line(mean - half, mean + half, 7), drawn("circle", { cx: at(mean), cy: middle, r: 3.5, fill: colour })];
  return drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...parts);
}
