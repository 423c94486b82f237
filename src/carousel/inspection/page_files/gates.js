// How often the gates of each unit are nearly shut and nearly open: the plot of Karpathy, Johnson
// and Fei-Fei (2015), arXiv:1506.02078, section 4.

/** One gate: a circle for each unit, at its share of steps above 0.9 and below 0.1. */
function drawSaturation(host, layer, gate) {
  const { statistics } = layer;
  const share = { low: 0, high: 1 };
  const frame = chart(
    host,
    240,
    { ...share, label: "share of steps below 0.1" },
    { ...share, label: "share above 0.9" },
  );
  frame.svg.setAttribute("role", "img");
  frame.svg.setAttribute("aria-label", `Saturation of the ${WORDS[gate]} of ${count(layer.units, "unit")}`);
  frame.svg.append(
    make("line", { x1: frame.left, y1: frame.top, x2: frame.right, y2: frame.bottom, class: "limit" }));
  const circle = (unit, of) => {
    const [low, high] = [statistics.low[gate][unit], statistics.high[gate][unit]];
    if (Number.isNaN(low + high)) return ""; // no share of the steps is known
    return make("circle", { cx: frame.toX(low), cy: frame.toY(high), r: of, "data-unit": unit },
      make("title", {}, `unit ${unit}: ${percent(low)} below 0.1, ${percent(high)} above 0.9`));
  };
  const dots = make("g", { class: "dots" });
  for (let unit = 0; unit < layer.units; unit += 1) dots.append(circle(unit, 3.5));
  dots.addEventListener("click", (event) => {
    const unit = event.target.dataset.unit;
    if (unit !== undefined) moveTo(view.step, Number(unit), { pin: true });
  });
  const marked = make("g", { class: "marked", "pointer-events": "none" });
  frame.svg.append(dots, marked);
  host.mark = () => marked.replaceChildren(...(view.unit < layer.units ? [circle(view.unit, 5.5)] : []));
  host.mark();
}

function showGates() {
  const layer = ownLayer();
  if (!layer) return;
  for (const gate of ["f", "i", "o"]) drawSaturation(byId(`gate-${gate}`), layer, gate);
  const lost = layerLostWords(layer);
  byId("gates-lost").hidden = !lost;
  byId("gates-lost").textContent = `${capitalized(lost)}. Gates that are not a number have no circle.`;
}

function startGates() {
  redraw(byId("gate-f"), showGates, ["layer", "input", "on", "theme"]);
  watch(["unit"], () =>
    soon("marks", () => ["f", "i", "o"].forEach((gate) => byId(`gate-${gate}`).mark?.())));
}
