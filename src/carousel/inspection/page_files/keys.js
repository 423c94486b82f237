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
  ["/", "go to a step, or find words"],
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
  byId(id).showModal();
  byId(id).querySelector("input")?.select();
}

/** Goes to a step by its number ("12", or "12, 3" for unit 3), or to the next place with some words. */
function jump(wanted) {
  const layer = layerAtCursor();
  const numbers = /^\s*(\d+)(?:\s*[, ]\s*(\d+))?\s*$/.exec(wanted);
  if (numbers) {
    moveTo(Number(numbers[1]), numbers[2] === undefined ? view.unit : Number(numbers[2]));
    return true;
  }
  const { names } = axesOf(layer)[0];
  const starts = (t) => {
    let words = "";
    for (let k = t; k < names.length && words.length < wanted.length; k += 1) words += names[k];
    return words.startsWith(wanted);
  };
  for (let k = 1; k <= layer.steps; k += 1) {
    const t = (view.step + k) % layer.steps;
    if (starts(t) || names[t].includes(wanted)) {
      moveTo(t, view.unit);
      return true;
    }
  }
  return false;
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
    const found = jump(byId("jump-to").value);
    byId("jump-problem").textContent = found ? "" : "Not in this sequence.";
    if (found) byId("jump").close();
  });
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
