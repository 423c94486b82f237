// What is looked at: one set of choices, and who wants to know when one of them changes.

const view = {
  input: "A", // or "B", "both", "difference"
  layer: null, // its name
  quantity: "c",
  order: "number",
  scale: "layer", // or "unit": whether each unit has the whole range of colours to itself
  step: 0, // the cell under the cursor
  unit: 0,
  on: 0, // which of the panes the cursor is in
  pinned: false,
  cellWidth: null, // in CSS pixels; null: as wide as all steps fit
  cellHeight: null,
  gate: "f", // whose contributions are listed
  span: null, // [first, last] chosen on the sequence
  threshold: 0.5,
  above: true, // on is at or above the threshold, and not at or below it
  alone: false, // units must be off just before and after the span
  found: [], // numbers of the units that are on
  follow: null, // the thing that is drawn over the unit's line
  attribution: -1, // which is drawn over the sequence
  theme: null,
};

const watchers = [];

/** Calls `act` whenever one of these choices changes. */
function watch(keys, act) {
  watchers.push({ keys, act });
}

/** Makes choices and tells whoever watches one that is really another than before. */
function change(choices) {
  const changed = Object.keys(choices).filter((key) => view[key] !== choices[key]);
  Object.assign(view, choices);
  for (const { keys, act } of watchers) {
    if (changed.some((key) => keys.includes(key))) act();
  }
}

const waiting = new Map();

/** Runs work once before the next picture, however often it is asked for. */
function soon(name, work) {
  if (!waiting.size) {
    requestAnimationFrame(() => {
      const all = [...waiting.values()];
      waiting.clear();
      for (const each of all) each();
    });
  }
  waiting.set(name, work);
}

const differences = new Map();

/** The names of the layers that can be shown with the chosen inputs. */
function layerNames() {
  if (view.input === "A") return recordings[0].layers.map((each) => each.name);
  if (view.input === "B") return recordings[1].layers.map((each) => each.name);
  return recordings[0].layers
    .map((each) => each.name)
    .filter((name) => comparable(recordings[0].layer(name), recordings[1].layer(name)));
}

/** The layers that are shown: one in each pane; none where the inputs have none in common. */
function shownLayers() {
  if (!layerNames().includes(view.layer)) return [];
  const found = recordings.map((each) => each.layer(view.layer));
  if (view.input === "A") return found.slice(0, 1);
  if (view.input === "B") return found.slice(1);
  if (view.input === "both") return found;
  if (!differences.has(view.layer)) {
    differences.set(view.layer, new Difference(...found));
  }
  return [differences.get(view.layer)];
}

/** The layer that the cursor is in. */
const layerAtCursor = () => {
  const layers = shownLayers();
  return layers[Math.min(view.on, layers.length - 1)];
};

/** The layer at the cursor as it was recorded: of a difference, the first one. */
const ownLayer = () => {
  const layer = layerAtCursor();
  return layer instanceof Difference ? layer.left : layer;
};

/** The recording at the cursor: of a difference, the first one. */
const recordingAtCursor = () => layerAtCursor()?.recording ?? recordings[0];

/** Units from top to bottom; two inputs have the first one's order, so that rows stay in place. */
function unitOrder(layer) {
  const rows = layer.rows(view.quantity);
  const first = recordings[0].layer(layer.name);
  const owner = comparable(first, layer) ? first : layer;
  const order = owner.orders[view.order];
  return order.length === rows ? order : Array.from({ length: rows }, (_, k) => k);
}

/** The axis of a layer that is shown, and of a difference the other one's too. */
const axesOf = (layer) =>
  layer instanceof Difference
    ? [layer.left, layer.right].map((each) => each.recording.axis(each.axis))
    : [layer.recording.axis(layer.axis)];

/** What a column of an axis is called. */
const columnName = (axis, k) => axis.columns[k] ?? `value ${k}`;

/** A step in words: its number and its name. */
const stepWords = (axis, step) => `step ${step} ${quoted(axis.names[step])}`;

const quoted = (name) => (name === undefined ? "(past the end)" : `‘${shortened(seen(name))}’`);
