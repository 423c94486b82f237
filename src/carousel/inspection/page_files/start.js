// The page begins: controls, legend and footer, the first picture, and a way in for tests.

const ORDERS = [
  ["number", "number"],
  ["half-life", "half-life of the memory"],
  ["activity", "activity"],
  ["similarity", "similarity"],
];
const INPUTS = [
  ["A", "A"],
  ["B", "B"],
  ["both", "A and B"],
  ["difference", "A − B"],
];
const EXTREMES = { f: ["forgets", "keeps"], i: ["shut", "open"], o: ["shut", "open"] };

/** A row of choices of which one is taken, made of radio buttons. */
function segments(host, key, choices) {
  const inputs = choices.map(([value, words, hint]) => {
    const input = make("input", { type: "radio", name: key, value, onchange: () => change({ [key]: value }) });
    return [input, make("label", { title: hint }, input, make("span", {}, words))];
  });
  host.append(...inputs.map(([, label]) => label));
  const show = () => {
    for (const [input] of inputs) input.checked = input.value === String(view[key]);
  };
  watch([key], show);
  show();
}

function startControls() {
  segments(
    byId("quantity"),
    "quantity",
    QUANTITIES.map((letter, k) => [
      letter,
      [make("var", {}, LETTERS[letter]), make("span", { class: "long" }, ` ${WORDS[letter]}`)],
      `${WORDS[letter]}: ${MEANINGS[letter]} (key ${k + 1})`,
    ]),
  );
  if (recordings.length > 1) {
    byId("input-control").hidden = false;
    segments(byId("input"), "input", INPUTS.map(([value, words]) => [value, words, "Which input is shown (key x)"]));
  }
  fill(byId("order"), ORDERS, view.order);
  for (const [id, key] of [["order", "order"], ["scale", "scale"], ["layer", "layer"]]) {
    byId(id).addEventListener("change", (event) => change({ [key]: event.target.value }));
    watch([key], () => {
      byId(id).value = view[key];
    });
  }
  const like = { "zoom-in": "+", "zoom-out": "-", "zoom-fit": "0", theme: "t" }; // the keys that do the same
  for (const [id, key] of Object.entries(like)) byId(id).addEventListener("click", () => actions[key]());
  byId("wider").addEventListener("click", () => zoom(1.4, { only: "steps" }));
  byId("narrower").addEventListener("click", () => zoom(1 / 1.4, { only: "steps" }));
  byId("pin").addEventListener("click", () => change({ pinned: !view.pinned }));
}

/** Keeps what is chosen possible: a layer that is there, a cell inside it. */
function keepPossible() {
  const names = layerNames();
  fill(byId("layer"), names.map((name) => [name, name]), view.layer);
  byId("nothing").hidden = names.length > 0;
  byId("panes").hidden = names.length === 0;
  if (!names.length) return;
  if (!names.includes(view.layer)) change({ layer: names[0] });
  const layer = layerAtCursor();
  change({
    unit: clamp(view.unit, 0, Math.max(layer.rows(view.quantity) - 1, 0)),
    on: Math.min(view.on, shownLayers().length - 1),
    ...(GATES.includes(view.quantity) ? { gate: view.quantity } : {}),
  });
}

/** The shades of the first pane's picture. */
function currentShade() {
  return shadesOf(shownPanes()[0])(view.unit);
}

/** The words at the two ends of the legend, with what has no shade behind them. */
function shadeWords(shade) {
  const [low, high] = rangeWords(shade);
  return [low, high, shownLayers().some(hasLost) ? "hatched: not a number" : ""];
}

function rangeWords(shade) {
  const { high } = shade;
  const { values, quantity } = shownPanes()[0];
  if (values.length && !values.some(Number.isFinite)) return ["–", "–"];
  if (high <= LEAST_RANGE) return ["0", "0"];
  const clipped = quantity === "c" && view.scale === "layer" && largestOf(values) > high;
  if (shade.signed) {
    return [`${clipped ? "≤ " : ""}${rough(-high)} dark`, `${clipped ? "≥ " : ""}${rough(high)} bright`];
  }
  const [least, most] = EXTREMES[quantity];
  return [`0 ${least}`, `${rough(high)} ${most}`];
}

function showLegend() {
  if (!shownPanes().length || !shownPanes()[0].values) return;
  const shade = currentShade();
  const [low, high, lost] = shadeWords(shade);
  const whose = view.scale === "unit" ? ` (of unit ${view.unit})` : "";
  byId("legend").replaceChildren(
    legend(shade, low, high + whose, shade.signed ? "0" : null),
    lost && make("span", { class: "note" }, ` · ${lost}`));
}

/** How exact the numbers in this page are. */
function precisionWords() {
  const { values, weights } = facts.precision;
  const { bounds } = facts;
  if (values === 32) {
    const sums = weights === 32 ? ", and so are the weights" : "";
    return `Every value is the float32 that the model computed${sums}.`;
  }
  const size = (x) => (x < 1e-4 ? written(x) : String(Number(x.toPrecision(2))));
  const known = QUANTITIES.filter((letter) => bounds[letter] !== undefined)
    .map((letter) => `${LETTERS[letter]} ${size(bounds[letter])}`);
  const first = `Values have ${values} bits each so that the page stays small; none is off by more than ${known.join(", ")}.`;
  if (!weights) return `${first} The weights did not fit, so sums are worked out from the gates.`;
  if (weights === 32) return `${first} Weights are exact.`;
  return `${first} Weights have ${weights} bits and are off by ${size(bounds.weights ?? 0)} at the most.`;
}

function startWords() {
  const { layers } = recordings[0];
  const titles = [...new Set(recordings.map((each) => seen(each.title)))];
  byId("title").replaceChildren(...(titles.length > 1
    ? [onLine(titles[0]), " and ", onLine(titles[1])]
    : [make("span", { class: "lines", title: titles[0] }, titles[0])]));
  const steps = recordings.map((each) => Math.max(0, ...each.layers.map((layer) => layer.steps)));
  const units = layers.reduce((sum, layer) => sum + layer.units, 0);
  const inputs = steps.map((n) => count(n, "step")).join(" and ");
  byId("subtitle").textContent =
    `${count(layers.length, "layer")}, ${count(units, "unit")}, ${inputs}. Steps and units count from 0.`;
  byId("precision").textContent = precisionWords();
  byId("made-by").textContent = `Made by carousel ${facts.version}.`;
}

const onceIdle = (work) =>
  "requestIdleCallback" in window ? requestIdleCallback(work, { timeout: 500 }) : setTimeout(work, 50);

async function start() {
  startWords();
  if (!("DecompressionStream" in window) || !CSS.supports("color", "light-dark(red, red)")) {
    byId("nothing").textContent = "This page needs a browser of 2024 or newer.";
    byId("nothing").hidden = false;
    return;
  }
  startControls();
  watch(["input", "layer", "quantity"], keepPossible);
  // Another input, layer or quantity has its legend from showPanes, once its values are there.
  watch(["scale", "theme"], () => soon("legend", showLegend));
  watch(["unit"], () => view.scale === "unit" && soon("legend", showLegend));
  startKeys();
  startSaving();
  startAttributions();
  view.layer = layerNames()[0] ?? null;
  keepPossible();
  if (view.layer === null) return;
  await showPanes();
  startPanes();
  showLegend();
  // The picture is there; the rest may take another frame.
  await new Promise((resolve) => requestAnimationFrame(resolve));
  performance.mark("first picture");
  showStep();
  showUnit();
  startLayers();
  startGates();
  startGradients();
  startAttention();
  startSearch();
  onceIdle(() => layerAtCursor()?.loadAll());
  watch(["layer", "input"], () => onceIdle(() => layerAtCursor()?.loadAll()));
}

const started = start();

/** For tests: what the page would show, and what is chosen. */
window.carousel = Object.freeze({
  ready: started,
  precision: facts.precision,
  bounds: facts.bounds,
  view: () => ({ ...view }),
  change,
  moveTo,
  async value(layer, quantity, step, unit, input = 0) {
    const found = recordings[input].layer(layer);
    await found.load(quantity);
    return found.at(quantity, step, unit);
  },
  async equation(layer, step, unit, input = 0) {
    const found = recordings[input].layer(layer);
    await found.loadAll();
    return found.equation(step, unit);
  },
  async largest(layer, gate, step, unit, input = 0) {
    const found = recordings[input].layer(layer);
    await found.loadAll();
    return found.products(gate, step, unit).found;
  },
  places: async (layer, quantity, span) => {
    const found = recordings[0].layer(layer);
    const { values } = await found.load(quantity);
    const units = unitsOn(values, found.steps, found.rows(quantity), span);
    return { units, places: placesLike(values, found.steps, found.rows(quantity), units, span) };
  },
  order: () => [...unitOrder(layerAtCursor())],
  csv: shownCsv,
  tsv: stepTsv,
  shades: () => ({ sequential: [...colours().sequential], diverging: [...colours().diverging] }),
  words: readingWords,
  seen,
});
