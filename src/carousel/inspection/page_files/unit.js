// The unit under the cursor over the whole sequence: its half-life, budgets, and what it follows.

const STATISTICS = [
  ["half_life", "Half-life", "steps after which the forget gate alone has halved the memory: ln 2 / −mean ln f"],
  ["keep", "Keeps", "mean of f: the share of the memory that a step leaves there"],
  ["write", "Writes", "mean of i |C̃|: what a step adds to the memory"],
  ["read", "Open", "mean of o: how far the output gate is open"],
  ["shown", "Shows", "share of |tanh C| that the output gate let through"],
  ["activity", "Activity", "root mean square change of h from one step to the next"],
];

function statisticRow([key, name, formula], layer, unit) {
  const value = layer.statistics[key][unit];
  let words = key === "half_life" ? halfLifeWords(value) : written(value, 3);
  if (Number.isNaN(value)) words = lostOf(layer, unit) ? "not a number" : "–"; // of no steps there is none
  return [make("dt", { title: formula }, name), make("dd", { title: formula }, words)];
}

const halfLifeWords = (value) =>
  value === Infinity ? "never halved" : `${rough(value)} step${rough(value) === "1" ? "" : "s"}`;

/** How much of the time each gate is nearly shut and nearly open. */
function saturationTable(statistics, unit) {
  const rows = ["f", "i", "o"].map((gate) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, symbol(gate), ` ${WORDS[gate]}`),
      make("td", { class: "number" }, percent(statistics.low[gate][unit])),
      make("td", { class: "number" }, percent(statistics.high[gate][unit])),
    ));
  return make(
    "table",
    { class: "plain" },
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "Share of steps"),
      make("th", { scope: "col", title: "nearly shut" }, "below 0.1"),
      make("th", { scope: "col", title: "nearly open" }, "above 0.9"))),
    make("tbody", {}, ...rows),
  );
}

/** What the unit's memory goes along with; a click draws it over the unit's line. */
function followingTable(layer, unit) {
  const rows = layer.followed[unit].map(([k, r]) => {
    const name = layer.followings[k];
    const chosen = view.follow === name;
    const button = make(
      "button",
      {
        type: "button",
        class: "link",
        "aria-pressed": String(chosen),
        title: `${seen(name)}: ${chosen ? "take it off the unit's line" : "draw it over the unit's line"}`,
        onclick: () => change({ follow: chosen ? null : name }),
      },
      onLine(seen(name), null),
    );
    return make("tr", { class: chosen ? "shown" : null },
      make("th", { scope: "row" }, button), make("td", {}, bar(r, 1)),
      make("td", { class: "number" }, written(r, 2)));
  });
  if (!rows.length) {
    const words = lostOf(layer, unit)
      ? "What is not a number follows nothing." : "Nothing is known here that it could follow.";
    return make("p", { class: "empty" }, words);
  }
  return make("table", { class: "bars" }, make("tbody", {}, ...rows));
}

function showUnit() {
  const layer = layerAtCursor();
  const host = byId("unit-body");
  if (!layer) return;
  const { unit } = view;
  const own = ownLayer();
  byId("unit-title").textContent = `Unit ${unit} over all steps${own === layer ? "" : ", input A"}`;
  if (unit >= own.units || (view.quantity === "h" && own.outputs !== own.units)) {
    host.replaceChildren(make("p", { class: "empty" }, "Statistics are of cells, which a projection mixes."));
    return;
  }
  const { statistics } = own;
  const twin = statistics.duplicate_of[unit];
  const lost = lostOf(own, unit);
  const notes = [
    lost ? make("p", { class: "note" }, `${capitalized(lostWords(own, lost))}.`) : null,
    statistics.dead[unit]
      ? make("p", { class: "note" }, "Dead: its hidden state never moves by more than 0.01.")
      : null,
    twin >= 0
      ? make("p", { class: "note" }, "Duplicate: it moves like ", goTo(`unit ${twin}`, twin), ", |r| of 0.99 or more.")
      : null,
  ].filter(Boolean);
  host.replaceChildren(
    ...notes,
    make("dl", { class: "figures" }, ...STATISTICS.flatMap((each) => statisticRow(each, own, unit))),
    saturationTable(statistics, unit),
    make("h3", { title: "correlation of the memory cell C with each, over this sequence" }, "What its memory follows"),
    followingTable(own, unit),
  );
}

watch(["unit", "on", "layer", "input", "quantity", "follow"], () => soon("unit", showUnit));
