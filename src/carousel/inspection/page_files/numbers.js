// Arithmetic, and how numbers and names are written. Knows nothing of the page.

const QUANTITIES = ["f", "i", "g", "o", "c", "h"];
const GATES = ["i", "f", "g", "o"]; // the order in which weights are packed
const WORDS = {
  f: "forget gate",
  i: "input gate",
  g: "candidate",
  o: "output gate",
  c: "memory cell",
  h: "hidden state",
};
const LETTERS = { f: "f", i: "i", g: "C̃", o: "o", c: "C", h: "h" }; // the textbook's

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

const logit = (p) => Math.log(p) - Math.log1p(-p);

/** What a gate's or the candidate's sum must have been, from the value after its activation. */
const inverse = (letter, value) => (letter === "g" ? Math.atanh(value) : logit(value));

const raised = (power) => power.replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));

/**
 * Writes a number with so many decimals, and very small and very large ones with a power of ten;
 * null is no number at all.
 */
function written(x, decimals = 4) {
  if (x === null) return "–";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  if (size >= 1e5 || (decimals >= 4 && size > 0 && size < 10 ** -decimals / 2)) {
    const [digits, power] = x.toExponential(1).split("e");
    return `${digits.replace("-", "−")}·10${raised(power.replace("+", ""))}`;
  }
  const text = x.toFixed(decimals);
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

/** Writes a number with so many significant digits, such as a count of steps. */
function rough(x, digits = 3) {
  if (x === null || !Number.isFinite(x)) return x === Infinity ? "∞" : "–";
  if (x !== 0 && Math.abs(x) < 1e-4) return written(x);
  if (Math.abs(x) >= 1000) return Math.round(x).toLocaleString("en");
  return written(Number(x.toPrecision(digits)), Math.max(0, digits - 1 - power(x)));
}

const power = (x) => (x === 0 ? 0 : Math.floor(Math.log10(Math.abs(x))));

const percent = (x) => (x === null || Number.isNaN(x) ? "–" : `${(100 * x).toFixed(1)} %`);

/** The decimals that an error of this size leaves standing. */
const decimalsFor = (bound) => (bound < 2e-6 ? 4 : clamp(Math.floor(-Math.log10(2 * bound)), 1, 4));

/** The shortest text that gives this float32 again: what is copied. */
function shortest(x) {
  if (!Number.isFinite(x)) return String(x);
  for (let digits = 1; digits < 9; digits += 1) {
    const text = String(Number(x.toPrecision(digits)));
    if (Math.fround(Number(text)) === Math.fround(x)) return text;
  }
  return String(Number(x.toPrecision(9)));
}

/** The next 1, 2 or 5 times a power of ten. */
function round125(x) {
  const base = 10 ** Math.floor(Math.log10(x));
  return base * [1, 2, 5, 10].find((m) => base * m >= x * 0.999);
}

const roundUp = (x) => Math.max(1, Math.round(round125(Math.max(x, 1))));

/** Round numbers within a range, about as many as asked. */
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const step = round125((high - low) / Math.max(count, 1));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

const MARKS = new Map([[" ", "␣"], ["\n", "↵"], ["\t", "⇥"], ["\r", "␍"]]);

const markOf = (c) => MARKS.get(c) ?? `[${c.codePointAt(0).toString(16).padStart(4, "0")}]`;

// What has no picture of its own. Controls, ends of lines, halves of pairs; then, as in strips.py,
// soft hyphens, letters and blanks of no width, directions, joiners, fillers, tags; and, where they
// have no character before them, what chooses a variant of one.
const UNSEEN = new RegExp(
  "[\\p{Cc}\\p{Cs}\\p{Zl}\\p{Zp}"
    + "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f"
    + "\\u2800\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}"
    + "\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}]|^[\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]",
  "gu",
);

/** A name as it can be seen: marks for what has no picture, nothing that could turn the line around. */
function seen(name) {
  if (!name) return "∅";
  const words = name.replace(UNSEEN, markOf);
  return words.trim() ? words : words.replace(/\s/gu, markOf);
}

/** Words of at most so many letters, with an ellipsis where they were more. */
function shortened(words, most = 40) {
  const letters = words.length > most ? [...words] : [];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : words;
}
