// Which units are on over a span, and where else the same ones are: Strobelt et al. (2018),
// arXiv:1606.07461, section 4.
//
// "On" is a value at or above a threshold (or at or below it) at every step of the span.

const MOST_PLACES = 50;
const MOST_UNITS = 60; // that are listed by name

/** Returns a test of one unit at one step. */
function onTest(values, steps) {
  const { threshold, above } = view;
  return (unit, t) => {
    const value = values[unit * steps + t];
    return above ? value >= threshold : value <= threshold;
  };
}

/** The units that are on from first to last, and off just outside if that is asked. */
function unitsOn(values, steps, units, [first, last]) {
  const on = onTest(values, steps);
  const found = [];
  for (let unit = 0; unit < units; unit += 1) {
    let all = true;
    for (let t = first; t <= last && all; t += 1) all = on(unit, t);
    if (all && view.alone) {
      all = !(first > 0 && on(unit, first - 1)) && !(last < steps - 1 && on(unit, last + 1));
    }
    if (all) found.push(unit);
  }
  return found;
}

/**
 * Other places where the same units are on, the best first.
 *
 * A place is a run of steps, as long as it gets, at each of which so many of the units are on: first
 * all of them, then fewer and fewer, down to half. Places do not overlap. They are ranked by how many
 * of the units are on throughout, then by how few others are, then by length.
 */
function placesLike(values, steps, units, found, [first, last]) {
  const on = onTest(values, steps);
  const counts = new Uint16Array(steps);
  for (const unit of found) {
    for (let t = 0; t < steps; t += 1) counts[t] += on(unit, t) ? 1 : 0;
  }
  const taken = new Uint8Array(steps).fill(1, first, last + 1);
  const places = [];
  const others = Array.from({ length: units }, (_, unit) => unit).filter((u) => !found.includes(u));
  const fewest = Math.max(1, Math.ceil(found.length / 2));
  for (let need = found.length; need >= fewest && places.length < MOST_PLACES; need -= 1) {
    for (let t = 0; t < steps; t += 1) {
      if (counts[t] < need) continue;
      let end = t;
      let free = !taken[t];
      while (end + 1 < steps && counts[end + 1] >= need) {
        end += 1;
        free = free && !taken[end];
      }
      if (free) {
        taken.fill(1, t, end + 1);
        places.push({ first: t, last: end, ...shared(on, found, others, t, end) });
      }
      t = end;
    }
  }
  const better = (a, b) =>
    b.same - a.same || a.more - b.more || b.last - b.first - (a.last - a.first) || a.first - b.first;
  return places.sort(better).slice(0, MOST_PLACES);
}

/** How many of the units, and how many of the others, are on at every step of a place. */
function shared(on, found, others, first, last) {
  const throughout = (unit) => {
    for (let t = first; t <= last; t += 1) if (!on(unit, t)) return false;
    return true;
  };
  return { same: found.filter(throughout).length, more: others.filter(throughout).length };
}

/** The words of a span, at most so many letters of them. */
function spanWords(axis, first, last, most = 48) {
  const gap = axis.kind === "characters" ? "" : " ";
  const name = (t) => (axis.names[t] === " " && !gap ? " " : seen(axis.names[t]));
  let words = "";
  for (let t = first; t <= last && words.length <= most; t += 1) {
    words += (words ? gap : "") + name(t);
  }
  return words.length > most ? `${words.slice(0, most)}…` : words;
}

const stepsWords = (first, last) => (first === last ? `step ${first}` : `steps ${first} to ${last}`);

function placeItem(axis, place, total) {
  const { first, last, same, more } = place;
  const extra = more ? `, ${count(more, "other")} too` : "";
  return make(
    "li",
    {},
    make(
      "button",
      {
        type: "button",
        class: "place",
        title: "Go to this place",
        onclick: () => moveTo(first, view.unit),
      },
      make("span", { class: "place-words" }, spanWords(axis, first, last)),
      make("small", {}, `${stepsWords(first, last)} · ${same} of ${total} units${extra}`),
    ),
  );
}

async function search() {
  const layer = layerAtCursor();
  const host = byId("search-body");
  byId("clear-span").disabled = !view.span;
  if (!layer) return;
  if (!view.span || !layer.steps) {
    change({ found: [] });
    const words = "Drag over the sequence above to choose a span: from the first to the last step of a quotation, a word, a peak.";
    host.replaceChildren(make("p", { class: "empty" }, words));
    return;
  }
  const { values } = await layer.load(view.quantity);
  if (layer !== layerAtCursor() || !view.span) return;
  const span = view.span.map((t) => clamp(t, 0, layer.steps - 1));
  const units = layer.rows(view.quantity);
  const found = unitsOn(values, layer.steps, units, span);
  const places = found.length ? placesLike(values, layer.steps, units, found, span) : [];
  showFound(host, layer, span, units, found, places);
  change({ found });
}

function showFound(host, layer, span, units, found, places) {
  const axis = axesOf(layer)[0];
  const sign = view.above ? "≥" : "≤";
  const order = new Map(unitOrder(layer).map((unit, row) => [unit, row]));
  const listed = [...found].sort((a, b) => order.get(a) - order.get(b)).slice(0, MOST_UNITS);
  const condition = `${LETTERS[view.quantity]} ${sign} ${written(view.threshold, 2)}`;
  host.replaceChildren(
    make("p", {},
      make("strong", {}, `${found.length} of ${count(units, "unit")}`),
      ` ${found.length === 1 ? "has" : "have"} ${condition} at ${stepsWords(...span)}`,
      view.alone ? " and not just outside" : "", ": ",
      make("span", { class: "quoted" }, spanWords(axis, ...span))),
    found.length
      ? make("p", { class: "chips" }, listed.map((unit) => goTo(String(unit), unit, span[0], "Go to this unit")),
          found.length > listed.length ? ` and ${found.length - listed.length} more` : null)
      : make("p", { class: "empty" }, "Move the threshold, or choose a shorter span."),
    ...(found.length
      ? [
          make("h3", {}, "Other places where they are on"),
          places.length
            ? make("ol", { class: "places" }, places.map((each) => placeItem(axis, each, found.length)))
            : make("p", { class: "empty" }, "None: they are on all around the span, or nowhere else. Another threshold may tell places apart."),
        ]
      : []),
  );
}

/** Sets the slider to the range of what is shown. */
async function fitThreshold() {
  const layer = layerAtCursor();
  if (!layer) return;
  const { quantity } = view;
  const { values } = await layer.load(quantity);
  if (quantity !== view.quantity) return;
  const gate = "fio".includes(quantity) && !(layer instanceof Difference);
  const [low, high] = gate ? [0, 1] : rangeOf(values);
  const slider = byId("threshold");
  slider.min = low.toFixed(3);
  slider.max = high.toFixed(3);
  slider.step = "any";
  const threshold = clamp(view.threshold, low, high);
  showThreshold(threshold);
  change({ threshold });
}

/** The slider and the number; the one that has the focus is being changed and stays. */
function showThreshold(threshold) {
  byId("threshold").value = threshold;
  const number = byId("threshold-number");
  if (document.activeElement !== number) number.value = Number(threshold.toFixed(3));
}

function startSearch() {
  byId("threshold").addEventListener("input", (event) => {
    change({ threshold: Number(event.target.value) });
  });
  byId("threshold-number").addEventListener("input", (event) => {
    const threshold = event.target.valueAsNumber;
    if (Number.isFinite(threshold)) change({ threshold });
  });
  byId("above").addEventListener("change", (event) => change({ above: event.target.value === "above" }));
  byId("alone").addEventListener("change", (event) => change({ alone: event.target.checked }));
  byId("clear-span").addEventListener("click", () => change({ span: null }));
  watch(["quantity", "layer", "input"], fitThreshold);
  watch(["threshold"], () => showThreshold(view.threshold));
  watch(["span", "threshold", "above", "alone", "quantity", "layer", "input", "on", "order"], () =>
    soon("search", search));
  fitThreshold();
  search();
}
