// How far gradients reach back: gain against distance, and every end step against all before it.

let flowValues = []; // of each flow: {flow, h, c}, the decimal logarithms of its gains

async function loadFlows() {
  const { flows } = recordingAtCursor();
  flowValues = await Promise.all(
    flows.map(async (flow) => ({
      flow,
      h: await block(flow.h),
      c: flow.c ? await block(flow.c) : null,
    })),
  );
}

/** The mean logarithm of the gains at each distance, over the ends that have so many steps. */
function meanGains(flow, { values }) {
  const steps = flow.h.columns;
  const sums = new Float64Array(steps);
  const counts = new Uint16Array(steps);
  flow.ends.forEach((end, k) => {
    const [first, last] = flow.spans[k];
    for (let t = first; t <= last; t += 1) {
      sums[Math.abs(end - t)] += values[k * steps + t];
      counts[Math.abs(end - t)] += 1;
    }
  });
  const found = [];
  for (let d = 0; d < steps && counts[d]; d += 1) found.push(sums[d] / counts[d]);
  return found;
}

/** The flows that have the chosen quantity, with their curves of decimal logarithms. */
function shownFlows() {
  const quantity = byId("flow-quantity").value;
  return flowValues
    .filter((each) => each[quantity])
    .map((each) => ({ ...each, gains: meanGains(each.flow, each[quantity]) }));
}

function drawFlows() {
  const flows = shownFlows();
  const host = byId("flow-curve");
  const empty = !flows.length;
  byId("flow-empty").hidden = !empty;
  byId("flow-content").hidden = empty;
  if (empty) return;
  const longest = Math.max(2, ...flows.map((each) => each.gains.length));
  const [low, high] = rangeOf(flows.flatMap((each) => each.gains));
  const frame = chart(
    host,
    280,
    { low: 0, high: longest - 1, label: "steps back" },
    { low: Math.max(Math.floor(low), -39), high: Math.max(Math.ceil(high), 0.5), label: "gain", log: true },
  );
  frame.svg.setAttribute("role", "img");
  frame.svg.setAttribute("aria-label", "Gain of gradients against distance in steps");
  const { series } = colours();
  flows.forEach((each, k) => {
    const points = each.gains
      .map((gain, d) => [frame.toX(d), frame.toY(gain)])
      .filter((_, d) => each.gains[d] > LEAST);
    frame.svg.append(
      curve(points, {
        class: "curve",
        stroke: series[k % series.length],
        "stroke-dasharray": LINE_STYLES[k % LINE_STYLES.length].join(" ") || null,
      }));
  });
  const key = flows.map((each, k) => {
    const sample = make("svg", { width: 30, height: 10, "aria-hidden": "true" },
      make("line", { x1: 0, x2: 30, y1: 5, y2: 5, class: "curve", stroke: series[k % series.length],
        "stroke-dasharray": LINE_STYLES[k % LINE_STYLES.length].join(" ") || null }));
    return make("li", {}, sample, make("span", {}, onLine(`${seen(each.flow.layer)}:`), ` ${reachWords(each.gains)}`));
  });
  byId("flow-key").replaceChildren(...key);
  fill(byId("flow-layer"), flows.map((each, k) => [k, seen(each.flow.layer)]), byId("flow-layer").value);
  drawFlowMatrix(flows);
}

const LEAST = -37.9; // below it, gains count as this, as page_data.py says

/** From where on the gain stays below a hundredth, and what is left at the end. */
function reachWords(gains) {
  if (!gains.length) return "not a number";
  const last = gains.length - 1;
  const faded = gains.findLastIndex((gain) => gain >= -2) + 1;
  const words = `${gainWords(gains[last])} after ${count(last, "step")}`;
  return faded > last ? words : `below 0.01 from ${count(faded, "step")} on, ${words}`;
}

const gainWords = (logarithm) =>
  logarithm <= LEAST
    ? "next to nothing"
    : logarithm > -4 ? rough(10 ** logarithm) : written(10 ** logarithm);

/** Each end step against all steps before it. */
function drawFlowMatrix(flows) {
  const chosen = flows[Number(byId("flow-layer").value) || 0];
  const { flow } = chosen;
  const { rows, columns } = flow.h;
  const logs = Float32Array.from(chosen[byId("flow-quantity").value].values);
  flow.spans.forEach(([first, last], k) => {
    logs.fill(NaN, k * columns, k * columns + first);
    logs.fill(NaN, k * columns + last + 1, (k + 1) * columns);
  });
  const [low, high] = rangeOf(logs);
  const shade = { low, high, map: colours().sequential };
  const axis = recordingAtCursor().axes.find((each) => each.names.length === columns);
  const nameOf = (t) => (axis ? stepWords(axis, t) : `step ${t}`);
  drawMatrix(byId("flow-matrix"), { rows, columns, values: logs }, shade, {
    height: clamp(rows * 9, 90, 260),
    left: 52,
    label: `Gains of ${flow.layer}: ${count(rows, "end step")} by ${count(columns, "step")}`,
    words: (row, column) => {
      const gain = logs[row * columns + column];
      const none = chosen.gains.length ? "not read yet" : "not a number";
      const words = Number.isNaN(gain) ? none : `gain ${gainWords(gain)}`;
      return `from ${nameOf(flow.ends[row])} back to ${nameOf(column)}: ${words}`;
    },
    decorate: (context, place) => decorateEnds(context, place, flow),
  });
  const range = chosen.gains.length ? [gainWords(low), gainWords(high)] : ["–", "–"];
  byId("flow-range").replaceChildren(legend(shade, ...range));
}

/** The end steps' numbers beside their rows. */
function decorateEnds(context, place, flow) {
  context.font = `11px ${FONT}`;
  context.textAlign = "right";
  context.fillStyle = colours().faint;
  const tall = place.height / flow.ends.length;
  const every = Math.ceil(13 / tall);
  flow.ends.forEach((end, k) => {
    if (k % every === 0) context.fillText(end, place.left - 6, place.top + (k + 0.5) * tall);
  });
}

function startGradients() {
  const load = async () => {
    await loadFlows();
    drawFlows();
  };
  byId("flow-quantity").addEventListener("change", drawFlows);
  byId("flow-layer").addEventListener("change", () => drawFlowMatrix(shownFlows()));
  redraw(byId("flow-card"), drawFlows, ["theme"]);
  watch(["input", "on"], load);
  load();
}
