"use strict";
// Colours of losses as they are seen on this page, light or dark, and the dashes past the palette.

const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [1, 2]];
const READABLE = 4.5; // the contrast that text needs

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function isHex(colour) {
  return /^#[0-9a-f]{6}$/i.test(colour);
}

function channelsOf(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function mixed(colour, other, part) {
  const [from, to] = [channelsOf(colour), channelsOf(other)];
  const channels = from.map((channel, index) => Math.round(channel + (to[index] - channel) * part));
  return `#${channels.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

// Dark colours of the palette are lifted, so that they are seen on a dark page.
function onPage(colour) {
  if (!isDark() || !isHex(colour)) return colour;
  const [red, green, blue] = channelsOf(colour);
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return mixed(colour, "#ffffff", Math.max(0, Math.min(0.55, (150 - light) / 200)));
}

// A colour of the page as a name is written in: as much darker, or lighter, as reading needs.
function readable(colour) {
  if (!isHex(colour)) return ink("ink");
  const towards = isDark() ? "#ffffff" : "#000000", card = isDark() ? "#1b1d21" : "#ffffff";
  let text = colour;
  for (let part = 0; part < 1 && contrast(text, card) < READABLE; part += 0.05) text = mixed(colour, towards, part);
  return text;
}

// The contrast of two colours, from 1 to 21, as WCAG defines it.
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const [red, green, blue] = channelsOf(colour).map((channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function faded(colour, alpha) {
  const part = Math.round(alpha * 255).toString(16).padStart(2, "0");
  return isHex(colour) ? colour + part : colour;
}

// Past the palette colours repeat, so lines of the same colour differ by their dashes.
// A validation is dotted, in the colour of the loss that it stands beside.
function dashOf(view, name) {
  if (view.losses.find((loss) => loss.name === name)?.of) return [1, 3];
  const colour = view.losses.find((loss) => loss.name === name)?.colour;
  const same = view.losses.filter((loss) => loss.colour === colour && !loss.of).map((loss) => loss.name);
  return DASHES[Math.max(0, same.indexOf(name)) % DASHES.length];
}
