// The step under the cursor: the textbook's six equations with this step's numbers in them.

const MEANINGS = {
  f: "what to erase",
  i: "what to write",
  g: "what could be written",
  o: "what to show",
  c: "what is remembered",
  h: "what others see",
};
const MOST_CONTRIBUTIONS = 8;

/** A number, or several joined, with a word below it. */
const term = (words, below) =>
  make("span", { class: "term" }, make("span", {}, words), make("small", {}, below));

/** What stays on one line. */
const together = (...children) => make("span", { class: "together" }, ...children);

/** Terms added up, each with its own sign: [words, below]. */
function added(terms) {
  return terms.map(([words, below], k) => {
    const negative = words.startsWith("−");
    if (k === 0) return term(words, below);
    return together(negative ? " − " : " + ", term(negative ? words.slice(1) : words, below));
  });
}

/** W·[h, x] + b inside the function that makes a gate of it. */
function gateLaw(letter) {
  const name = LETTERS[letter];
  const index = letter === "g" ? "C" : letter;
  return [
    symbol(name), letter === "g" ? " = tanh(" : " = σ(",
    make("var", {}, "W"), make("sub", {}, index), "·[", symbol("h", "t−1"), ", ", symbol("x"), "] + ",
    make("var", {}, "b"), make("sub", {}, index), ")",
  ];
}

const laws = {
  f: () => gateLaw("f"),
  i: () => gateLaw("i"),
  g: () => gateLaw("g"),
  o: () => gateLaw("o"),
  c: () => [
    symbol("C"), " = ", symbol("f"), " ⋆ ", symbol("C", "t−1"), " + ", symbol("i"), " ⋆ ", symbol("C̃"),
  ],
  h: () => [symbol("h"), " = ", symbol("o"), " ⋆ tanh(", symbol("C"), ")"],
};

function gateNumbers(letter, gate) {
  const places = decimalsFor(gate.bound);
  // Rounded weights give nearly the gate's own sum.
  const sign = gate.off > 1e-4 ? "≈" : "=";
  const opening = letter === "g" ? ` ${sign} tanh(` : ` ${sign} σ(`;
  const value = make("b", { class: "value" }, written(gate.value, places));
  if (gate.recurrent === undefined) return [value, opening, written(gate.sum, 3), ")"];
  // Errors of many parts rarely all go one way: digits are those of the likely error.
  const off = Number.isNaN(gate.likely) || gate.likely < 2e-6 ? 4 : clamp(Math.round(-Math.log10(gate.likely)), 1, 4);
  const parts = added([
    [written(gate.recurrent, off), "from h"],
    [written(gate.input, off), "from x"],
    [written(gate.bias, off), "bias"],
  ]);
  return [value, opening, ...parts, together(" = ", term(written(gate.sum, off), "sum"), ")")];
}

/** The numbers of C = f C + i C̃, with what was kept and what was written. */
function cellNumbers(found) {
  const { f, i, g, c } = found;
  const places = decimalsFor(Math.max(c.bound, f.bound));
  const product = (a, b) => `${written(a, places)} × ${written(b, places)}`;
  const [kept, put] = [f.value * c.before, i.value * g.value];
  return [
    make("b", { class: "value" }, written(c.value, places)), " = ",
    term(product(f.value, c.before), `kept ${written(kept, places)}`),
    together(" + ", term(product(i.value, g.value), `written ${written(put, places)}`)),
  ];
}

function shownNumbers(found) {
  const { o, c, h } = found;
  const places = decimalsFor(h ? h.bound : Math.max(o.bound, c.bound));
  return [
    make("b", { class: "value" }, written(h ? h.value : found.shown, places)), " = ",
    `${written(o.value, places)} × tanh(${written(c.value, places)})`,
  ];
}

/** Whether C is not what the equation says, as a clipped or zoned out cell's; of NaN nobody knows. */
function breaksEquation(found) {
  const { f, i, g, c } = found;
  const sum = f.value * c.before + i.value * g.value;
  const off =
    f.bound * Math.abs(c.before) + c.bound * 2 + g.bound + i.bound + 1e-5 * (1 + Math.abs(c.value));
  return Number.isFinite(sum) && Number.isFinite(c.value) && Math.abs(sum - c.value) > off;
}

/** What is not as the textbook has it, in one sentence: numbers that are none, or another cell. */
function oddityNote(layer, found) {
  const { unit, f, i, g, o, c } = found;
  const all = [f.value, i.value, g.value, o.value, c.before, c.value];
  const lost = all.every(Number.isFinite) ? null : lostOf(layer, unit);
  if (lost) return make("p", { class: "note" }, `Unit ${unit} is ${lostWords(layer, lost)}.`);
  if (!breaksEquation(found)) return null;
  return make("p", { class: "note" }, "This cell does more than the equation of C says: it is a variant.");
}

function equationRow(letter, numbers) {
  const gate = GATES.includes(letter);
  const row = make(
    "div",
    {
      class: `equation${view.quantity === letter ? " shown" : ""}`,
      "data-quantity": letter,
      title: gate ? "Click for what moved this gate most" : null,
    },
    make("div", { class: "law" }, make("span", {}, ...laws[letter]()),
      make("small", {}, `${WORDS[letter]}: ${MEANINGS[letter]}`)),
    make("div", { class: "numbers" }, ...numbers),
  );
  if (gate) row.addEventListener("click", () => change({ gate: letter }));
  return row;
}

/** How large a product is; one that is not a number, which makes the sum none, before all others. */
const sizeOf = (product) => (Number.isNaN(product) ? Infinity : Math.abs(product));

/** The products that moved a gate's sum most, as bars. */
function contributions(layer, step, unit) {
  const { gate } = view;
  const choose = make(
    "span",
    { class: "segments small", role: "group", "aria-label": "Whose sum" },
    ["f", "i", "g", "o"].map((letter) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(gate === letter),
          title: `What moved the ${WORDS[letter]}`,
          onclick: () => change({ gate: letter }),
        },
        LETTERS[letter],
      )),
  );
  const head = make("h3", {}, "Largest parts of the sum of ", choose);
  if (!layer.weights) return [];
  const { found } = layer.products(gate, step, unit);
  const largest = found
    .sort((a, b) => sizeOf(b.product) - sizeOf(a.product) || 0)
    .slice(0, MOST_CONTRIBUTIONS);
  const most = Math.abs(largest.find((each) => Number.isFinite(each.product))?.product ?? 0);
  const rows = largest.map((each) => {
    const name =
      each.from === "h"
        ? goTo(`unit ${each.k} before`, each.k, layer.previous(step) ?? step, "Go to this unit, one step before")
        : onLine(layer.inputName(each.k));
    return make(
      "tr",
      { title: `weight ${written(each.weight)} × value ${written(each.value)}` },
      make("th", { scope: "row" }, name),
      make("td", {}, bar(each.product, most)),
      make("td", { class: "number" }, written(each.product, 3)),
    );
  });
  return [head, make("table", { class: "bars" }, make("tbody", {}, ...rows))];
}

/** Two inputs and their difference, quantity by quantity. */
function comparison(layer, step, unit) {
  const rows = QUANTITIES.filter((letter) => unit < layer.rows(letter)).map((letter) => {
    const values = [layer.left, layer.right, layer].map((each) => each.at(letter, step, unit));
    const places = decimalsFor(layer.bound(letter, unit));
    return make(
      "tr",
      { class: view.quantity === letter ? "shown" : null },
      make("th", { scope: "row" }, symbol(LETTERS[letter]), ` ${WORDS[letter]}`),
      values.map((value) => make("td", { class: "number" }, written(value, places))),
    );
  });
  const head = ["", "A", "B", "A − B"].map((words) => make("th", { scope: "col" }, words));
  return make("table", { class: "plain" },
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

/** Why this page has no parts of sums, in one sentence. */
function withoutWeights(layer) {
  if (layer.weights) return null;
  const lost = layerLostWords(layer); // whose numbers could not be checked against the weights
  const known = lost ? `This layer is ${lost}` : "This cell is a variant of the textbook's";
  const why = facts.precision.weights ? known : "The weights did not fit into this page";
  return make("p", { class: "note" }, `${why}, so each sum is worked out backwards from its gate.`);
}

const emptyStep = (words) => byId("step-body").replaceChildren(make("p", { class: "empty" }, words));

async function showStep() {
  const layer = layerAtCursor();
  if (!layer || !layer.steps) return;
  const { step, unit } = view;
  const axis = axesOf(layer)[0];
  const where = step < layer.steps ? stepWords(axis, step) : "past the end of this input";
  byId("step-title").textContent = `Unit ${unit} at ${where}`;
  byId("step-title").title = step < layer.steps ? seen(axis.names[step]) : ""; // which is cut above
  byId("pin").textContent = view.pinned ? "Unpin" : "Pin";
  byId("pin").setAttribute("aria-pressed", String(view.pinned));
  byId("reading").textContent = readingWords();
  if (step >= layer.steps) return void emptyStep("This input is shorter.");
  if (!layer.complete) {
    emptyStep("Reading the numbers …");
    await layer.loadAll();
    soon("step", showStep); // whatever the cursor is at by then
    return;
  }
  if (view.quantity === "h" && layer.outputs !== layer.units) {
    return void emptyStep(
      "A projected hidden state mixes all cells of its layer. Show another quantity to see a cell.");
  }
  if (layer instanceof Difference) {
    byId("step-body").replaceChildren(comparison(layer, step, unit));
    return;
  }
  const found = layer.equation(step, unit);
  const rows = ["f", "i", "g", "o"].map((letter) =>
    [letter, equationRow(letter, gateNumbers(letter, found[letter]))]);
  const byLetter = Object.fromEntries(rows);
  const projected = found.h === null;
  byId("step-body").replaceChildren(
    byLetter.f, byLetter.i, byLetter.g,
    equationRow("c", cellNumbers(found)),
    byLetter.o,
    equationRow("h", shownNumbers(found)),
    ...[
      oddityNote(layer, found),
      projected ? make("p", { class: "note" }, "The hidden state is a projection of these.") : null,
      withoutWeights(layer),
      ...contributions(layer, step, unit),
    ].filter(Boolean),
  );
}

/** The cell under the cursor, in words. */
function readingWords() {
  const layer = layerAtCursor();
  const { step, unit, quantity } = view;
  if (!layer || step >= layer.steps || !layer.loaded[quantity]) return "";
  const value = written(layer.at(quantity, step, unit), decimalsFor(layer.bound(quantity, unit)));
  const axis = axesOf(layer)[0];
  const number = layer instanceof Difference ? "difference of the " : "";
  const read = seriesWords(axis, step);
  return `${stepWords(axis, step)}${read} · unit ${unit} · ${number}${WORDS[quantity]} ${value}`;
}

/** The values of a few series at a step. */
function seriesWords(axis, step) {
  if (!axis.drawn || axis.values.rows > 4) return "";
  const { rows, columns } = axis.values;
  const values = Array.from({ length: rows }, (_, k) =>
    `${shortened(seen(columnName(axis, k)), 30)} ${rough(axis.drawn.values[k * columns + step], 4)}`);
  return ` · ${values.join(", ")}`;
}

watch(["step", "unit", "on", "pinned", "layer", "input", "quantity", "gate"], () =>
  soon("step", showStep));
