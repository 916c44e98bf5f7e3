"use strict";
// Numbers and names as a screen has room for them.

function figures(value, digits = 4) {
  if (typeof value === "string") return value === "nan" ? "NaN" : value.replace("inf", "∞");
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(Math.max(2, digits - 2)).replace(/\.?0*e\+?/, "e");
  return Number(value.toPrecision(digits)).toString();
}

// The same with as many figures in each row of a table.
function tabular(value, digits = 4) {
  const size = Math.abs(value);
  return size >= 1e-3 && size < 10 ** digits ? value.toPrecision(digits) : figures(value, digits);
}

function percent(value) {
  if (value == null) return "–";
  const size = Math.abs(value) * 100;
  if (size && size < 0.05) return value < 0 ? "-<0.1 %" : "<0.1 %";
  return `${(value * 100).toFixed(size < 10 && size > 0 ? 1 : 0)} %`;
}

function duration(seconds) {
  if (seconds == null) return "–";
  const [sign, s, m, h] = clockParts(seconds);
  if (h >= 48) return `${sign}${Math.floor(h / 24)} d ${h % 24} h`;
  if (h) return `${sign}${h} h ${String(m).padStart(2, "0")} min`;
  if (m) return `${sign}${m} min ${String(Math.floor(s)).padStart(2, "0")} s`;
  return `${sign}${s < 10 && s % 1 ? s.toFixed(1) : Math.floor(s)} s`;
}

// The same for a scale, where what is zero is left out.
function roundDuration(seconds) {
  const [sign, s, m, hours] = clockParts(seconds);
  const [d, h] = [Math.floor(hours / 24), hours % 24];
  const parts = [d && `${d} d`, h && `${h} h`, m && `${m} min`, s && `${Number(s.toPrecision(3))} s`].filter(Boolean);
  return sign + (parts.join(" ") || "0");
}

function clockParts(seconds) {
  const size = Math.abs(seconds);
  return [seconds < 0 ? "-" : "", size % 60, Math.floor(size / 60) % 60, Math.floor(size / 3600)];
}

function grouped(value) {
  return value == null ? "–" : Number(value).toLocaleString("en-US").replaceAll(",", "\u202f");
}

function shortened(text, length) {
  const letters = [...text];
  return letters.length <= length ? text : `${letters.slice(0, length - 1).join("")}…`;
}
