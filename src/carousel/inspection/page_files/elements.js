// Making elements, without ever reading words as HTML.

const SVG = new Set(["svg", "g", "line", "circle", "text", "title", "polyline"]);

/** Returns an element with attributes, listeners (on...) and children, words as text. */
function make(tag, attributes = {}, ...children) {
  const element = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);

/** Words of any length on one line, cut by the style sheet; the title has all of them. */
const onLine = (words, title = words) => make("span", { class: "line", title }, words);

/** A letter of the textbook with its index: f with t, C with t-1. */
const symbol = (letter, index = "t") => [make("var", {}, letter), make("sub", {}, index)];

/** A bar from the middle: to the right above 0, to the left below. */
function bar(value, largest) {
  const share = largest > 0 ? clamp(value / largest, -1, 1) : 0;
  const inner = make("span", { class: share < 0 ? "bar-inner negative" : "bar-inner" });
  inner.style.width = `${50 * Math.abs(share)}%`;
  inner.style.left = `${share < 0 ? 50 * (1 + share) : 50}%`;
  return make("span", { class: "bar", "aria-hidden": "true" }, inner);
}

/** A button that goes to a unit, and to a step if one is given. */
function goTo(words, unit, step = null, hint = "Go there") {
  const go = () => moveTo(step === null ? view.step : step, unit, { pin: true });
  return make("button", { type: "button", class: "link", title: hint, onclick: go }, words);
}

/** A select whose choices are [value, words]. */
function fill(select, choices, chosen) {
  select.replaceChildren(
    ...choices.map(([value, words]) =>
      make("option", { value, selected: String(value) === String(chosen) }, words)),
  );
}

/** Says something to whoever cannot see the picture. */
function speak(words) {
  byId("spoken").textContent = words;
}
