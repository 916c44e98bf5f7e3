"use strict";
// Numbers, colours and elements. Text from a run only ever becomes textContent.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function figures(value, digits = 4) {
  if (typeof value === "string") return value === "nan" ? "NaN" : value.replace("inf", "∞");
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("e+", "e");
  return Number(value.toPrecision(digits)).toString();
}

function percent(value) {
  if (value == null) return "–";
  const size = Math.abs(value) * 100;
  return `${(value * 100).toFixed(size < 10 && size > 0 ? 1 : 0)} %`;
}

function duration(seconds) {
  if (seconds == null) return "–";
  const sign = seconds < 0 ? "-" : "";
  const [s, m, h] = [Math.abs(seconds) % 60, Math.floor(Math.abs(seconds) / 60) % 60, Math.floor(Math.abs(seconds) / 3600)];
  if (h) return `${sign}${h} h ${String(m).padStart(2, "0")} min`;
  if (m) return `${sign}${m} min ${String(Math.floor(s)).padStart(2, "0")} s`;
  return `${sign}${s < 10 && s % 1 ? s.toFixed(1) : Math.floor(s)} s`;
}

function grouped(value) {
  return value == null ? "–" : Number(value).toLocaleString("en-US").replaceAll(",", "\u202f");
}

// Dark colours of the palette are lifted, so that they are seen on a dark page.
function onPage(colour) {
  if (!isDark() || !/^#[0-9a-f]{6}$/i.test(colour)) return colour;
  const channels = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const light = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
  const lift = Math.max(0, Math.min(0.55, (150 - light) / 200));
  const lifted = channels.map((channel) => Math.round(channel + (255 - channel) * lift));
  return `#${lifted.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

function faded(colour, alpha) {
  const part = Math.round(alpha * 255).toString(16).padStart(2, "0");
  return /^#[0-9a-f]{6}$/i.test(colour) ? colour + part : colour;
}

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Past the palette colours repeat, so lines of the same colour differ by their dashes.
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [1, 2]];

function dashOf(view, name) {
  const colour = view.losses.find((loss) => loss.name === name)?.colour;
  const same = view.losses.filter((loss) => loss.colour === colour).map((loss) => loss.name);
  return DASHES[Math.max(0, same.indexOf(name)) % DASHES.length];
}

function shortened(text, length) {
  const letters = [...text];
  return letters.length <= length ? text : `${letters.slice(0, length - 1).join("")}…`;
}
