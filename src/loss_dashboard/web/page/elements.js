"use strict";
// Elements of the page. Text from a run only ever becomes textContent.

const $ = (selector) => document.querySelector(selector);

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
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children.filter((child) => child != null));
  return made;
}

// A name that goes on below where one of its words ends, if there is little room; a long text anywhere.
function wrapping(text) {
  const words = String(text).length > 200 ? [text] : String(text).split(/(?<=[./_-])|(?<=[A-Za-z])(?=[A-Z][a-z])/);
  return words.flatMap((word, at) => at ? [element("wbr"), word] : [word]);
}

// A click waits a moment for a second one; a key does not. What was pointed at counts from the first.
function onClickOrTwo(target, once, twice, pointedAt = () => true) {
  let timer = 0, first = null;
  target.addEventListener("click", (event) => {
    clearTimeout(timer);
    if (event.detail < 2) first = pointedAt(event);
    if (event.detail === 0) once(first);
    else if (event.detail === 1) timer = setTimeout(() => once(first), 220);
  });
  target.addEventListener("dblclick", () => { clearTimeout(timer); twice(first); });
}
