// The picture itself: cells, the gutter with unit numbers, the cursor, and one unit's line.
//
// A pane gives itself: its layer, canvases, and how its cells lie.

const GUTTER = 64;
const LINE_HEIGHT = 76;

/** The largest size among some numbers that are finite. */
function largestOf(values, from = 0, to = values.length) {
  let most = 0;
  for (let k = from; k < to; k += 1) {
    const size = Math.abs(values[k]);
    if (size > most && size < Infinity) most = size;
  }
  return most;
}

/** The shade of each row: one range for the layer, or one for each unit. */
function shadesOf({ layer, values, quantity }) {
  const difference = layer instanceof Difference;
  if (view.scale === "layer") {
    // Two inputs side by side have the same shades.
    const alike = shownPanes().filter((pane) => pane.values && pane.quantity === quantity);
    const ranges = alike.map((pane) => layerRange(pane.layer, quantity, pane.values));
    const shade = colourScale(quantity, Math.max(...ranges), difference);
    return () => shade;
  }
  const { steps } = layer;
  layer.unitRanges ??= {};
  layer.unitRanges[quantity] ??= Array.from({ length: layer.rows(quantity) }, (_, unit) =>
    largestOf(values, unit * steps, (unit + 1) * steps));
  return (unit) => {
    const largest = layer.unitRanges[quantity][unit];
    const shade = colourScale(quantity, largest, difference);
    return shade.signed ? shade : { ...shade, high: Math.max(largest, LEAST_RANGE) };
  };
}

/** The range of a whole layer: a candidate's is known, a cell's leaves out the most extreme. */
function layerRange(layer, quantity, values) {
  layer.ranges ??= {};
  layer.ranges[quantity] ??=
    quantity === "g" && !(layer instanceof Difference)
      ? 1
      : quantity === "c" && values.length >= 2000
        ? mostOf(values)
        : largestOf(values);
  return layer.ranges[quantity];
}

/** What 199 of 200 sizes are below. */
function mostOf(values) {
  const every = Math.max(1, Math.floor(values.length / 20000));
  const sizes = [];
  for (let k = 0; k < values.length; k += every) {
    if (Number.isFinite(values[k])) sizes.push(Math.abs(values[k]));
  }
  return sizes.sort((a, b) => a - b)[Math.floor(0.995 * (sizes.length - 1))] ?? 1;
}

function drawHeat(pane) {
  const { layer, values, order } = pane;
  const { width, height, cell, tall } = pane;
  const context = prepared(pane.heat, width, height);
  if (!values) return;
  const [from, to] = visible(pane.place);
  const [first, last] = pane.visibleRows();
  const window = {
    left: from * cell - pane.place.scroll,
    top: first * tall - pane.scroller.scrollTop,
    width: (to - from) * cell,
    height: (last - first) * tall,
    from,
    to,
    first,
    last,
  };
  drawCells(context, values, layer.steps, order, window, shadesOf(pane));
  if (hasLost(layer)) hatchLost(context, pane, window);
}

/** Numbers of units where there is room, and a mark at each one that is on. */
function drawGutter(pane) {
  const { faint, ink, accent, mark } = colours();
  const { order, tall, height } = pane;
  const context = prepared(pane.gutter, GUTTER, height);
  const found = new Set(pane.isCurrent() ? view.found : []);
  const [first, last] = pane.visibleRows();
  context.font = `11px ${FONT}`;
  context.textAlign = "right";
  const every = view.order === "number" ? roundUp(14 / tall) : Math.ceil(14 / tall);
  const numbered = tall >= 11 || view.order === "number";
  for (let row = first; row < last; row += 1) {
    const y = (row + 0.5) * tall - pane.scroller.scrollTop;
    if (found.has(order[row])) {
      context.fillStyle = mark;
      const size = Math.max(tall - 1, 1.5);
      context.fillRect(GUTTER - 10, y - size / 2, 6, size);
    }
    if (numbered && row % every === 0 && y > 5 && y < height - 5) {
      context.fillStyle = faint;
      context.fillText(order[row], GUTTER - 14, y + 0.5);
    }
  }
  if (!numbered) drawOrderWords(context, pane);
  const row = pane.rowOf(view.unit);
  const y = (row + 0.5) * tall - pane.scroller.scrollTop;
  if (row >= 0 && y >= 0 && y <= height) {
    const words = String(view.unit);
    context.font = `600 12px ${FONT}`;
    const w = context.measureText(words).width + 10;
    context.fillStyle = view.pinned ? accent : ink;
    context.beginPath();
    context.roundRect(GUTTER - 4 - w, clamp(y - 9, 0, height - 18), w, 18, 4);
    context.fill();
    context.fillStyle = colours().ground;
    context.fillText(words, GUTTER - 9, clamp(y, 9, height - 9) + 0.5);
  }
}

const ORDER_WORDS = {
  "half-life": ["longest", "memory", "shortest", "memory"],
  activity: ["most", "active", "least", "active"],
  similarity: ["alike", "together", "", ""],
};

/** What is at the top and at the bottom, where single units have no room for their numbers. */
function drawOrderWords(context, pane) {
  const [top, above, bottom, below] = ORDER_WORDS[view.order] ?? ["", "", "", ""];
  context.fillStyle = colours().faint;
  context.fillText(top, GUTTER - 14, 8);
  context.fillText(above, GUTTER - 14, 21);
  context.fillText(bottom, GUTTER - 14, pane.height - 21);
  context.fillText(below, GUTTER - 14, pane.height - 8);
}

/** The cursor, the chosen span, and places that were found. */
function drawOverlay(pane) {
  const { ink, ground, accent, mark } = colours();
  const { cell, tall, width, height } = pane;
  const context = prepared(pane.overlay, width, height);
  const left = (step) => step * cell - pane.place.scroll;
  const lines = (x, colour, dash) => {
    context.setLineDash(dash);
    for (const [shade, thick] of [[ground, 3], [colour, 1.5]]) {
      context.strokeStyle = shade;
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, Math.min(height, pane.rowCount() * tall));
      context.stroke();
    }
    context.setLineDash([]);
  };
  if (view.span && pane.isCurrent()) {
    lines(left(view.span[0]), mark, [5, 4]);
    lines(left(view.span[1] + 1), mark, [5, 4]);
  }
  const row = pane.rowOf(view.unit);
  const { step } = view;
  if (row < 0 || step >= pane.layer.steps) return;
  const x = left(step);
  const y = row * tall - pane.scroller.scrollTop;
  context.fillStyle = ink;
  context.globalAlpha = 0.45;
  context.fillRect(x + cell / 2 - 0.5, 0, 1, Math.max(y - 3, 0));
  context.fillRect(x + cell / 2 - 0.5, y + tall + 3, 1, height);
  context.fillRect(0, y + tall / 2 - 0.5, Math.max(x - 3, 0), 1);
  context.fillRect(x + cell + 3, y + tall / 2 - 0.5, width, 1);
  context.globalAlpha = 1;
  const grow = Math.max(0, (7 - Math.min(cell, tall)) / 2);
  const frame = [x - grow, y - grow, cell + 2 * grow, tall + 2 * grow];
  context.lineWidth = 4;
  context.strokeStyle = ground;
  context.strokeRect(...frame);
  context.lineWidth = 2;
  context.strokeStyle = view.pinned ? accent : ink;
  context.strokeRect(...frame);
}

/** The line of the unit under the cursor, over the same steps. */
function drawUnitLine(pane) {
  const { ink, faint, line, accent, series } = colours();
  const context = prepared(pane.line, GUTTER + pane.width, LINE_HEIGHT);
  const { layer, values, place } = pane;
  const { unit, quantity } = view;
  if (!values || unit >= pane.rowCount()) return;
  const at = (t) => values[unit * layer.steps + t];
  const own = rangeOf(values.subarray(unit * layer.steps, (unit + 1) * layer.steps));
  const gate = "fio".includes(quantity) && !(layer instanceof Difference);
  const [low, high] = gate ? [0, 1] : [Math.min(own[0], 0), Math.max(own[1], 0)];
  const y = (value) => 8 + (1 - (value - low) / (high - low)) * (LINE_HEIGHT - 16);
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, pane.width, LINE_HEIGHT);
  context.clip();
  context.fillStyle = line;
  context.fillRect(GUTTER, y(0) - 0.5, pane.width, 1);
  if (gate) context.fillRect(GUTTER, y(1) - 0.5, pane.width, 1);
  const [from, to] = visible(place);
  const [begin, end] = [Math.max(from - 1, 0), Math.min(to + 1, layer.steps)];
  const x = (t) => xOf(place, t);
  const track = trackOf(layer, view.follow);
  if (track) {
    const [least, most] = rangeOf(track);
    context.strokeStyle = series[1];
    context.lineWidth = 1.25;
    context.setLineDash([4, 3]);
    const place2 = (value) => 8 + (1 - (value - least) / (most - least)) * (LINE_HEIGHT - 16);
    drawLine(context, (t) => track[t], x, place2, begin, end);
    context.setLineDash([]);
  }
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  drawLine(context, at, x, y, begin, end);
  if (view.step < layer.steps) {
    context.fillStyle = view.pinned ? accent : ink;
    context.beginPath();
    context.arc(x(view.step), y(at(view.step)), 3.5, 0, 2 * Math.PI);
    context.fill();
  }
  context.restore();
  context.font = `11px ${FONT}`;
  context.textAlign = "right";
  context.fillStyle = faint;
  context.fillText(rough(high), GUTTER - 8, 9);
  context.fillText(rough(low), GUTTER - 8, LINE_HEIGHT - 9);
  context.fillText(`unit ${unit}`, GUTTER - 8, LINE_HEIGHT / 2);
}

/** The numbers of something that a unit may follow; null where the axis has no such thing. */
function trackOf(layer, name) {
  if (name === null) return null;
  const axis = axesOf(layer)[0];
  if (Object.hasOwn(axis.tracks, name)) return axis.tracks[name];
  if (name === "position") return axis.names.map((_, t) => t);
  const column = axis.values
    ? Array.from({ length: axis.values.rows }, (_, k) => columnName(axis, k)).indexOf(name)
    : -1;
  if (column < 0 || !axis.drawn) return null;
  const { columns } = axis.values;
  return axis.drawn.values.subarray(column * columns, (column + 1) * columns);
}
