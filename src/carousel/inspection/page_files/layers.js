// All layers at a glance, and what units of the chosen one follow best.

const COLUMNS = [
  ["units", "units", (layer) => layer.units.toLocaleString("en")],
  ["half-life", "median half-life, in steps", (layer) => rough(medianHalfLife(layer))],
  ["keeps", "mean of f over units and steps", (layer) => written(mean(layer.statistics.keep), 2)],
  ["writes", "mean of i |C̃|", (layer) => written(mean(layer.statistics.write), 2)],
  ["open", "mean of o", (layer) => written(mean(layer.statistics.read), 2)],
  ["f > 0.9", "share of steps with the forget gate above 0.9", (layer) => percent(mean(layer.statistics.high.f))],
  ["i < 0.1", "share of steps with the input gate below 0.1", (layer) => percent(mean(layer.statistics.low.i))],
  ["dead", "units whose hidden state never moves", (layer) => layer.statistics.dead.filter(Boolean).length],
  ["twins", "units that move like one before them", (layer) => layer.statistics.duplicate_of.filter((k) => k >= 0).length],
];

const real = (numbers) => numbers.filter((x) => !Number.isNaN(x));

/** The mean over the units that have a number; null where none has. */
const mean = (numbers) => {
  const found = real(numbers);
  return found.length ? found.reduce((sum, x) => sum + x, 0) / found.length : null;
};

function medianHalfLife(layer) {
  const sorted = real(layer.statistics.half_life).sort((a, b) => (a === b ? 0 : a - b)); // ∞ − ∞ is NaN
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function showLayers() {
  const recording = recordingAtCursor();
  const head = [
    make("th", { scope: "col" }, "Layer"),
    ...COLUMNS.map(([name, hint]) => make("th", { scope: "col", title: hint, class: "number" }, name)),
  ];
  const names = layerNames();
  const rows = recording.layers.map((layer) => {
    const name = names.includes(layer.name)
      ? make("button", { type: "button", class: "link", title: "Show this layer",
          onclick: () => change({ layer: layer.name }) }, onLine(seen(layer.name)))
      : onLine(seen(layer.name));
    const lost = layerLostWords(layer);
    return make(
      "tr",
      { class: layer.name === view.layer ? "shown" : null },
      make("th", { scope: "row" }, layer.reverse ? together(name, make("span", {}, "\u00a0←")) : name,
        lost ? make("div", { class: "note" }, lost) : null),
      COLUMNS.map(([, , of]) => make("td", { class: "number" }, of(layer))),
    );
  });
  byId("layers-body").replaceChildren(
    make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

const MOST_FOLLOWED = 14;
const UNITS_OF_EACH = 4;

/** Of each thing the units that follow it most closely, the closest first. */
function showFollowed() {
  const layer = ownLayer();
  const host = byId("followed-body");
  if (!layer) return;
  const best = layer.followings.map(() => []);
  layer.followed.forEach((each, unit) => {
    for (const [k, r] of each) best[k].push([unit, r]);
  });
  const things = layer.followings
    .map((name, k) => [name, best[k].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, UNITS_OF_EACH)])
    .filter(([, units]) => units.length)
    .sort((a, b) => Math.abs(b[1][0][1]) - Math.abs(a[1][0][1]))
    .slice(0, MOST_FOLLOWED);
  if (!things.length) {
    const lost = layerLostWords(layer);
    const words = lost ? `${capitalized(lost)}. What is not a number follows nothing.`
      : "Nothing is known here that a unit could follow.";
    host.replaceChildren(make("p", { class: "empty" }, words));
    return;
  }
  const rows = things.map(([name, units]) =>
    make("tr", {}, make("th", { scope: "row" }, onLine(seen(name))),
      make("td", { class: "chips" }, units.map(([unit, r]) => {
        const button = goTo(`${unit} (${written(r, 2)})`, unit, null, "Go to this unit, with the thing over its line");
        button.addEventListener("click", () => change({ follow: name }));
        return button;
      }))));
  host.replaceChildren(make("table", { class: "plain" }, make("tbody", {}, ...rows)));
}

function startLayers() {
  const show = () => {
    showLayers();
    showFollowed();
  };
  watch(["layer", "input", "on"], () => soon("layers", show));
  show();
}
