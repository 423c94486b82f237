// What every canvas needs: a size in pixels of the screen, and ways to draw numbers on it.

const FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** Sizes a canvas in CSS pixels and returns its context, empty and in CSS pixels. */
function prepared(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  return context;
}

const scratch = document.createElement("canvas");

/**
 * Draws a window of a matrix, cell by cell; where cells are smaller than pixels, their means.
 *
 * rows: row numbers from top to bottom; valueAt gives the data, row r at [r stride].
 * window: {left, top, width, height, from, to, first, last} in CSS pixels and cells, to and last
 * not included. shadeOf(row) returns {low, high, map} for a row.
 */
function drawCells(context, data, stride, rows, window, shadeOf) {
  const ratio = devicePixelRatio || 1;
  const { from, to, first, last } = window;
  const [steps, units] = [to - from, last - first];
  if (steps <= 0 || units <= 0) return;
  const columns = Math.min(steps, Math.max(1, Math.round(window.width * ratio)));
  const lines = Math.min(units, Math.max(1, Math.round(window.height * ratio)));
  const shades = rows.slice(first, last).map(shadeOf);
  const image = new ImageData(columns, lines);
  const pixels = new Int32Array(image.data.buffer);
  for (let y = 0; y < lines; y += 1) {
    const top = Math.floor((y * units) / lines);
    const bottom = Math.floor(((y + 1) * units) / lines);
    const { map } = shades[top];
    for (let x = 0; x < columns; x += 1) {
      const left = from + Math.floor((x * steps) / columns);
      const right = from + Math.floor(((x + 1) * steps) / columns);
      let sum = 0;
      for (let r = top; r < bottom; r += 1) {
        const { low, high } = shades[r];
        const base = rows[first + r] * stride;
        for (let t = left; t < right; t += 1) sum += (data[base + t] - low) / (high - low);
      }
      const mean = sum / ((bottom - top) * (right - left));
      if (Number.isNaN(mean)) continue; // the ground shows
      pixels[y * columns + x] = map[clamp(Math.floor(mean * SHADES), 0, SHADES - 1)];
    }
  }
  scratch.width = columns;
  scratch.height = lines;
  scratch.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch, window.left, window.top, window.width, window.height);
}

/** Draws a curve through numbers, broken where there is none. */
function drawLine(context, values, xOf, yOf, from, to) {
  context.beginPath();
  let open = false;
  for (let t = from; t < to; t += 1) {
    const value = values(t);
    if (Number.isFinite(value)) {
      if (open) context.lineTo(xOf(t), yOf(value));
      else context.moveTo(xOf(t), yOf(value));
    }
    open = Number.isFinite(value);
  }
  context.stroke();
}

/** The smallest and largest of some numbers, never both the same. */
function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (Number.isFinite(value)) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Text cut to a width, with an ellipsis. */
function cut(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}

/** A pill with words in it at x, kept between two edges. */
function drawLabel(context, words, x, y, left, right) {
  const { ink, ground } = colours();
  context.font = `600 12px ${FONT}`;
  const width = context.measureText(words).width + 12;
  const start = clamp(x - width / 2, left, Math.max(left, right - width));
  context.fillStyle = ink;
  context.beginPath();
  context.roundRect(start, y - 9, width, 18, 4);
  context.fill();
  context.fillStyle = ground;
  context.textAlign = "left";
  context.fillText(words, start + 6, y + 0.5);
}
