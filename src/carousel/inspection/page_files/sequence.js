// The sequence along the top: characters, words, series as lines, a spectrogram as an image.
//
// A place is {gutter, width, scroll, cell, steps}: where steps lie, in CSS pixels.

const NAMES_HEIGHT = { characters: 28, words: 30, series: 92, spectrogram: 100, steps: 0 };
const WORDS_UPRIGHT = 76; // where words do not fit side by side
const RULER = 20;
const BARS = 46;

const xOf = (place, step) => place.gutter + (step + 0.5) * place.cell - place.scroll;

/** The steps that can be seen, the last not included. */
function visible(place) {
  const from = clamp(Math.floor(place.scroll / place.cell), 0, place.steps);
  const to = clamp(Math.ceil((place.scroll + place.width) / place.cell), from, place.steps);
  return [from, to];
}

const wordWidths = new Map();

/** The width of each name of an axis, measured once. */
function widthsOf(axis) {
  if (!wordWidths.has(axis)) {
    const context = scratch.getContext("2d");
    context.font = `13px ${FONT}`;
    wordWidths.set(axis, axis.names.map((name) => context.measureText(seen(name)).width));
  }
  return wordWidths.get(axis);
}

const widest = (axis) => widthsOf(axis).reduce((most, width) => Math.max(most, width), 0);

/** How the parts of an axis lie below one another, with their heights. */
function stripParts(axis, fitCell) {
  let names = NAMES_HEIGHT[axis.kind];
  if (axis.kind === "words" && widest(axis) + 8 > fitCell) names = WORDS_UPRIGHT;
  if (axis.kind === "steps" && axis.values) names = NAMES_HEIGHT.series;
  const attribution = axis.attribution ?? null;
  return { bars: attribution ? BARS : 0, names, ruler: RULER };
}

const stripHeight = (axis, fitCell) =>
  Object.values(stripParts(axis, fitCell)).reduce((sum, height) => sum + height, 0);

/** Draws one axis from `top` on; loaded values come in `drawn`. */
function drawStrip(context, axis, place, top, fitCell, drawn) {
  const parts = stripParts(axis, fitCell);
  let y = top;
  if (parts.bars) drawAttribution(context, axis.attribution, place, y, parts.bars);
  y += parts.bars;
  if (axis.kind === "characters") drawCharacters(context, axis, place, y, parts.names);
  else if (axis.kind === "words") drawWords(context, axis, place, y, parts.names);
  else if (drawn && axis.kind === "spectrogram") {
    drawSpectrogram(context, axis, place, y, parts.names, drawn);
  } else if (drawn && parts.names) drawSeries(context, axis, place, y, parts.names, drawn);
  drawRuler(context, axis, place, y + parts.names, parts.ruler);
}

/** Characters; where there is no room for them, marks as tall as they are. */
function drawCharacters(context, axis, place, top, height) {
  const { ink, faint } = colours();
  const [from, to] = visible(place);
  const bottom = top + height - 8;
  if (place.cell >= 6.5) {
    context.font = `${clamp(Math.floor(place.cell * 1.45), 10, 17)}px ${MONO}`;
    context.textAlign = "center";
    for (let t = from; t < to; t += 1) {
      const name = seen(axis.names[t]);
      context.fillStyle = name === axis.names[t] ? ink : faint;
      context.fillText(cut(context, name, place.cell * 1.6), xOf(place, t), top + height / 2 - 2);
    }
    return;
  }
  context.fillStyle = faint;
  // Several in a pixel could not be told apart.
  const every = Math.max(1, Math.floor(0.5 / place.cell));
  for (let t = from; t < to; t += every) {
    const tall = tallness(axis.names[t]);
    if (tall) {
      const width = Math.max(place.cell * 0.8, 0.6);
      context.fillRect(xOf(place, t) - width / 2, bottom - tall, width, tall);
    }
  }
}

/** How tall a character stands: nothing for white space, most for capitals and digits. */
function tallness(name) {
  if (/^\s*$/u.test(name)) return 0;
  if (/^[\p{Lu}\p{Nd}]/u.test(name)) return 14;
  if (/^[\p{P}\p{S}]/u.test(name)) return 4;
  return 9;
}

/** Words side by side or upright; where there is no room at all, a bar for each. */
function drawWords(context, axis, place, top, height) {
  const { ink, faint } = colours();
  const [from, to] = visible(place);
  context.font = `13px ${FONT}`;
  const widths = widthsOf(axis);
  let side = true;
  for (let t = from; t < to; t += 1) side = side && widths[t] + 6 <= place.cell;
  const upright = !side && place.cell >= 13 && height === WORDS_UPRIGHT;
  const every = Math.max(1, Math.floor(0.5 / place.cell));
  for (let t = from; t < to; t += every) {
    const name = seen(axis.names[t]);
    const x = xOf(place, t);
    context.fillStyle = name === axis.names[t] ? ink : faint;
    if (upright) {
      context.save();
      context.translate(x, top + height - 4);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(cut(context, name, height - 8), 0, 0);
      context.restore();
    } else if (side || place.cell >= 26) {
      context.textAlign = "center";
      context.fillText(cut(context, name, place.cell - 4), x, top + height - 14);
    } else {
      const width = Math.max(place.cell * 0.75, 0.6);
      const tall = clamp(widths[t] / 4, 4, 16);
      context.fillStyle = faint;
      context.fillRect(x - width / 2, top + height - 6 - tall, width, tall);
    }
  }
}

/** One line for each column; each has its own range, since units differ. */
function drawSeries(context, axis, place, top, height, drawn) {
  const { series, faint } = colours();
  const { rows, columns } = axis.values;
  const [from, to] = visible(place);
  const begin = Math.max(from - 1, 0);
  const end = Math.min(to + 1, columns);
  if (rows > series.length) {
    drawSpectrogram(context, axis, place, top, height, drawn);
    return;
  }
  axis.ranges ??= Array.from({ length: rows }, (_, k) =>
    rangeOf(drawn.values.subarray(k * columns, (k + 1) * columns)));
  context.save();
  context.beginPath();
  context.rect(place.gutter, top, place.width, height);
  context.clip();
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  for (let k = 0; k < rows; k += 1) {
    const [low, high] = axis.ranges[k];
    context.strokeStyle = series[k];
    context.setLineDash(LINE_STYLES[k % LINE_STYLES.length]);
    const head = rows > 1 ? 18 : 6; // room for the names
    const yOf = (value) => top + head + (1 - (value - low) / (high - low)) * (height - head - 8);
    drawLine(context, (t) => drawn.values[k * columns + t], (t) => xOf(place, t), yOf, begin, end);
  }
  if (rows > 1) drawSeriesNames(context, axis, place, top);
  context.restore();
  if (rows === 1) {
    const [low, high] = axis.ranges[0];
    context.fillStyle = faint;
    context.font = `11px ${FONT}`;
    context.textAlign = "right";
    context.fillText(rough(high), place.gutter - 6, top + 8);
    context.fillText(rough(low), place.gutter - 6, top + height - 9);
  }
}

/** Which line is which: a piece of each with its name. */
function drawSeriesNames(context, axis, place, top) {
  const { series, ink } = colours();
  context.font = `11px ${FONT}`;
  context.textAlign = "left";
  const room = Math.max((place.width - 20) / axis.values.rows - 36, 20);
  let x = place.gutter + 6;
  for (let k = 0; k < axis.values.rows; k += 1) {
    const words = cut(context, seen(columnName(axis, k)), room);
    context.strokeStyle = series[k];
    context.setLineDash(LINE_STYLES[k % LINE_STYLES.length]);
    context.beginPath();
    context.moveTo(x, top + 8);
    context.lineTo(x + 22, top + 8);
    context.stroke();
    context.fillStyle = ink;
    context.fillText(words, x + 26, top + 8.5);
    x += context.measureText(words).width + 38;
  }
}

const LINE_STYLES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [12, 4]]; // tell lines apart in grey

/** The bands of a spectrogram, low ones at the bottom. */
function drawSpectrogram(context, axis, place, top, height, drawn) {
  const { rows, columns } = axis.values;
  const [from, to] = visible(place);
  axis.range ??= rangeOf(drawn.values);
  const [low, high] = axis.range;
  const shade = { low, high, map: colours().sequential };
  const bands = Array.from({ length: rows }, (_, k) => rows - 1 - k);
  const window = {
    left: place.gutter + from * place.cell - place.scroll,
    top: top + 4,
    width: (to - from) * place.cell,
    height: height - 8,
    from,
    to,
    first: 0,
    last: rows,
  };
  context.save();
  context.beginPath();
  context.rect(place.gutter, top, place.width, height);
  context.clip();
  drawCells(context, drawn.values, columns, bands, window, () => shade);
  context.restore();
}

/** Bars over the steps: up where a step raised what the model said, down where it lowered it. */
function drawAttribution(context, attribution, place, top, height) {
  const { line, diverging: map } = colours();
  const [from, to] = visible(place);
  const largest = Math.max(largestOf(attribution.values), 1e-30);
  const middle = top + height / 2;
  context.fillStyle = line;
  context.fillRect(place.gutter, middle - 0.5, place.width, 1);
  const width = Math.max(Math.min(place.cell * 0.8, place.cell - 1), 0.8);
  // No step is left out here: one may be the only one that counts.
  for (let t = from; t < to; t += 1) {
    const share = clamp(attribution.values[t] / largest, -1, 1) || 0; // what is not a number has no bar
    const tall = (Math.abs(share) * (height - 6)) / 2;
    context.fillStyle = css(map[share < 0 ? 30 : 205]);
    context.fillRect(xOf(place, t) - width / 2, share < 0 ? middle : middle - tall, width, tall);
  }
}

/** Numbers of steps, or their names where these are times, as many as there is room for. */
function drawRuler(context, axis, place, top, height) {
  const { faint, line } = colours();
  const [from, to] = visible(place);
  const timed = !["characters", "words"].includes(axis.kind);
  context.font = `11px ${FONT}`;
  const nameOf = (t) => (timed ? cut(context, seen(axis.names[t]), 120) : String(t));
  const room = to > from ? context.measureText(nameOf(to - 1)).width + 24 : 60;
  context.fillStyle = line;
  context.fillRect(place.gutter, top + 0.5, place.width, 1);
  context.textAlign = "center";
  const every = roundUp(room / place.cell);
  for (let t = Math.ceil(from / every) * every; t < to; t += every) {
    const x = xOf(place, t);
    context.fillStyle = line;
    context.fillRect(x - 0.5, top, 1, 4);
    context.fillStyle = faint;
    const words = nameOf(t);
    const half = context.measureText(words).width / 2;
    const edge = place.gutter + place.width;
    if (x + half <= edge + 4) context.fillText(words, Math.max(x, place.gutter + half - 8), top + 12);
  }
}
