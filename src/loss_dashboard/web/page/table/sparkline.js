"use strict";
// A small curve without axes: the trend in the table.

function sparkline(values, colour, width, height) {
  const path = pathOf(values, scaleInto(values, width, height));
  const line = drawn("path", { d: path || "M0 0", fill: "none", stroke: colour, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" });
  return drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line);
}

// Places in a box for the indices and values; logarithmic where all values are positive.
function scaleInto(values, width, height) {
  let low = Infinity, high = -Infinity, isPositive = true;
  for (const value of values) {
    if (value == null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    isPositive &&= value > 0;
  }
  const scaled = isPositive ? Math.log : (value) => value;
  const [bottom, reach] = [scaled(low), scaled(high) - scaled(low) || 1];
  return {
    across: (index, count = values.length) => (index / Math.max(1, count - 1)) * (width - 2) + 1,
    down: (value) => height - 2 - ((scaled(value) - bottom) / reach) * (height - 4),
  };
}

// A gap where a value was lost (null); over what is not there (undefined) the line goes on. A value
// between two gaps is a dot.
function pathOf(values, { across, down }) {
  let path = "", pen = false;
  const alone = new Set(aloneIn(values));
  values.forEach((value, index) => {
    if (value === null) pen = false;
    if (value == null) return;
    path += `${pen ? "L" : "M"}${across(index).toFixed(1)} ${down(value).toFixed(1)}${alone.has(index) ? "h2" : ""}`;
    pen = true;
  });
  return path;
}
