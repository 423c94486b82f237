// What a model that diverged leaves: values that are not finite, how that is said and how drawn.
//
// Lost, of a unit, is [t, n]: the first step, in the order in which its layer read, at which one of
// its values is not a number, and at how many steps that is so; null where all are numbers.

/** Where a unit of a layer that was recorded is lost. */
const lostOf = (layer, unit) => layer.lost?.[unit] ?? null;

/** From where on something is not a number, in words that can stand behind "is". */
function lostWords(layer, [t, n]) {
  const left = layer.reverse ? t + 1 : layer.steps - t;
  if (n === left) return `not a number from step ${t} on${layer.reverse ? ", backwards" : ""}`;
  if (n === 1) return `not a number at step ${t}`;
  return `not a number at ${n} steps, step ${t} the first of them`;
}

/** The same of a whole layer: how many of its units, and from where on the first; "" where all are numbers. */
function layerLostWords(layer) {
  const all = (layer.lost ?? []).filter(Boolean);
  if (!all.length) return "";
  const first = all.reduce((a, b) => ((layer.reverse ? b[0] > a[0] : b[0] < a[0]) ? b : a));
  const which = all.length === layer.units ? "" : `${all.length} of ${count(layer.units, "unit")}: `;
  return which + lostWords(layer, first);
}

const capitalized = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** Whether a layer that is shown has values that are not numbers. */
const hasLost = (layer) =>
  layer instanceof Difference ? hasLost(layer.left) || hasLost(layer.right) : layer.lost !== null;

/** Hatches the cells of a window that are not numbers, for they have no shade; see drawCells. */
function hatchLost(context, pane, { left, top, from, to, first, last }) {
  const { layer, values, order, cell, tall } = pane;
  context.fillStyle = hatching(context);
  for (let row = first; row < last; row += 1) {
    const base = order[row] * layer.steps;
    let begin = from; // of the cells behind the last number
    for (let t = from; t <= to; t += 1) {
      if (t < to && !Number.isFinite(values[base + t])) continue;
      if (begin < t) context.fillRect(left + (begin - from) * cell, top + (row - first) * tall, (t - begin) * cell, tall);
      begin = t + 1;
    }
  }
}

function hatching(context) {
  const tile = make("canvas", { width: 6, height: 6 });
  const lines = tile.getContext("2d");
  lines.strokeStyle = colours().faint;
  lines.beginPath();
  for (const x of [-6, 0, 6]) { // whole lines where tiles meet
    lines.moveTo(x - 1, 7);
    lines.lineTo(x + 7, -1);
  }
  lines.stroke();
  return context.createPattern(tile, "repeat");
}
