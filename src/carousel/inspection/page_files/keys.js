// The keyboard: all that a pointer can do with the picture, and a page that says so.

const KEYS = [
  ["← → ↑ ↓", "move to the cell beside"],
  ["Page ↑ ↓", "ten units up or down, in the picture"],
  ["Home End", "first or last step, in the picture"],
  ["Shift ← →", "choose a span on the sequence"],
  ["1 … 6", "show f, i, C̃, o, C, h"],
  ["[ ]", "layer before or after"],
  ["s", "next order of the units"],
  ["+ − 0", "zoom in, zoom out, all of it"],
  ["Enter click", "pin the cell, or let it go"],
  ["/", "go to a step, or find words; small letters find capitals too"],
  ["c", "copy this step's numbers"],
  ["x", "next input: A, B, both, A − B"],
  ["t", "light or dark"],
  ["Esc", "let the cell go, then the span"],
  ["?", "this list"],
  ["Ctrl wheel", "zoom at the pointer"],
];

/** Moves by steps and by rows of the picture. */
function moveBy(steps, rows, { span = false } = {}) {
  const pane = shownPanes().find((each) => each.isCurrent());
  if (!pane) return;
  const row = clamp(pane.rowOf(view.unit) + rows, 0, pane.rowCount() - 1);
  const step = clamp(view.step + steps, 0, pane.layer.steps - 1);
  if (span) extendSpan(view.step, step);
  moveTo(step, pane.order[row]);
}

/** Lengthens or shortens the span at the end where the cursor is. */
function extendSpan(from, to) {
  const [first, last] = view.span ?? [from, from];
  const other = from === first ? last : first;
  change({ span: [Math.min(other, to), Math.max(other, to)] });
}

function nextOf(list, current, by = 1) {
  return list[(list.indexOf(current) + by + list.length) % list.length];
}

function release() {
  if (view.pinned) change({ pinned: false });
  else if (view.span) change({ span: null });
}

const actions = {
  ArrowLeft: () => moveBy(-1, 0),
  ArrowRight: () => moveBy(1, 0),
  ArrowUp: () => moveBy(0, -1),
  ArrowDown: () => moveBy(0, 1),
  "Shift ArrowLeft": () => moveBy(-1, 0, { span: true }),
  "Shift ArrowRight": () => moveBy(1, 0, { span: true }),
  PageUp: () => moveBy(0, -10),
  PageDown: () => moveBy(0, 10),
  Home: () => moveBy(-Infinity, 0),
  End: () => moveBy(Infinity, 0),
  "[": () => change({ layer: nextOf(layerNames(), view.layer, -1) }),
  "]": () => change({ layer: nextOf(layerNames(), view.layer) }),
  s: () => change({ order: nextOf(ORDERS.map(([name]) => name), view.order) }),
  "+": () => zoom(1.4),
  "=": () => zoom(1.4),
  "-": () => zoom(1 / 1.4),
  0: () => change({ cellWidth: null, cellHeight: null }),
  "/": () => openDialog("jump"),
  "?": () => openDialog("help"),
  c: () => copyStep(),
  t: () => chooseTheme(isDark() ? "light" : "dark"),
  x: () => recordings.length > 1 && change({ input: nextOf(INPUTS.map(([name]) => name), view.input) }),
  Escape: release,
};
QUANTITIES.forEach((quantity, k) => {
  actions[k + 1] = () => change({ quantity });
});

const OF_CONTROLS = ["Arrow", "Page", "Home", "End"]; // keys that a control may want for itself

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  if (target.closest("select, textarea, input:not([type=radio]):not([type=checkbox])")) return;
  const inPicture = Boolean(target.closest(".scroller"));
  if (!inPicture && target.closest("input, button, a") && OF_CONTROLS.some((own) => key.startsWith(own))) return;
  if (!inPicture && /^(Page|Home|End)/.test(key)) return; // which scroll the page
  const name = event.shiftKey && key.startsWith("Arrow") ? `Shift ${key}` : key;
  if (inPicture && (key === "Enter" || key === " ")) {
    change({ pinned: !view.pinned });
  } else if (actions[name]) {
    actions[name]();
    if (key.length === 1) speak(announcement());
  } else {
    return;
  }
  event.preventDefault();
}

/** What is shown now, in words. */
const announcement = () =>
  `${WORDS[view.quantity]} of ${view.layer}, units by ${view.order}`;

function openDialog(id) {
  byId("jump-problem").textContent = "";
  byId(id).showModal();
  byId(id).querySelector("input")?.select();
}

/**
 * Goes to a step by its number ("12", or "12, 3" for unit 3), or to the next place with some words.
 *
 * Returns why it does not, "" where it does.
 */
function jump(wanted) {
  const layer = layerAtCursor();
  if (!layer?.steps) return "There is no step here.";
  if (!wanted) return "Type a step, a step and a unit, or words of the sequence.";
  const numbers = /^\s*(\d+)(?:\s*[, ]\s*(\d+))?\s*$/.exec(wanted);
  if (!numbers) {
    const step = nextPlace(axesOf(layer)[0], layer.steps, wanted);
    if (step < 0) return `Not in this sequence${CAPITAL.test(wanted) ? " with these capitals" : ""}.`;
    moveTo(step, view.unit);
    return "";
  }
  const [step, unit] = [Number(numbers[1]), Number(numbers[2] ?? view.unit)];
  const [lastStep, lastUnit] = [layer.steps - 1, layer.rows(view.quantity) - 1];
  if (step > lastStep || unit > lastUnit) return `Steps go from 0 to ${lastStep}, units from 0 to ${lastUnit}.`;
  moveTo(step, unit);
  return "";
}

const CAPITAL = /[\p{Lu}\p{Lt}]/u;

/**
 * The next step, after the cursor and around, at which words begin or that has them in its name; -1
 * where there is none. Words without a capital are found in capitals too.
 */
function nextPlace(axis, steps, wanted) {
  const blanks = (words) => words.replaceAll("␣", " ");
  const like = CAPITAL.test(wanted) ? blanks : (words) => blanks(words).toLowerCase();
  const sought = like(seen(wanted));
  const names = axis.names.map((name) => like(seen(name)));
  const apart = axis.kind !== "characters"; // words, or parts of words with their own blanks
  const starts = (t, gap) => {
    let words = apart ? names[t].trimStart() : names[t];
    for (let k = t + 1; k < names.length && words.length < sought.length; k += 1) words += gap + names[k];
    return words.startsWith(sought);
  };
  for (let k = 1; k <= steps; k += 1) {
    const t = (view.step + k) % steps;
    if (names[t].includes(sought) || starts(t, "") || (apart && starts(t, " "))) return t;
  }
  return -1;
}

function startKeys() {
  byId("help-keys").replaceChildren(
    ...KEYS.flatMap(([keys, words]) => [
      make("dt", {}, keys.split(" ").map((key) => [make("kbd", {}, key), " "]).flat()),
      make("dd", {}, words),
    ]),
  );
  document.addEventListener("keydown", onKey);
  byId("open-help").addEventListener("click", () => openDialog("help"));
  byId("open-jump").addEventListener("click", () => openDialog("jump"));
  byId("jump-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const problem = jump(byId("jump-to").value);
    byId("jump-problem").textContent = problem;
    if (!problem) byId("jump").close();
  });
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
