// Small charts: axes with round numbers, in SVG, as wide as the room they have.

const MARGIN = { left: 60, right: 14, top: 10, bottom: 40 };

/**
 * A chart's frame: its axes, and functions from numbers to pixels.
 *
 * x, y: {low, high, label, log}; with `log` the range is of decimal logarithms.
 */
function chart(host, height, x, y) {
  const width = Math.max(host.clientWidth, 180);
  const inner = { right: width - MARGIN.right, bottom: height - MARGIN.bottom };
  const place = (axis, from, to) => (value) => from + ((value - axis.low) / (axis.high - axis.low)) * (to - from);
  const [toX, toY] = [place(x, MARGIN.left, inner.right), place(y, inner.bottom, MARGIN.top)];
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "chart" });
  const plain = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });
  const label = (axis, value) => (axis.log ? powerWords(value) : plain(value));
  const every = (axis, room) => {
    const found = ticks(axis.low, axis.high, room);
    return axis.log ? found.filter(Number.isInteger) : found;
  };
  for (const value of every(x, Math.floor(width / 90))) {
    svg.append(
      make("line", { x1: toX(value), x2: toX(value), y1: MARGIN.top, y2: inner.bottom, class: "grid" }),
      make("text", { x: toX(value), y: inner.bottom + 15, class: "middle" }, label(x, value)));
  }
  for (const value of every(y, Math.floor(height / 48))) {
    svg.append(
      make("line", { x1: MARGIN.left, x2: inner.right, y1: toY(value), y2: toY(value), class: "grid" }),
      make("text", { x: MARGIN.left - 7, y: toY(value) + 4, class: "end" }, label(y, value)));
  }
  svg.append(
    make("text", { x: (MARGIN.left + inner.right) / 2, y: height - 5, class: "axis middle" }, x.label),
    make("text", { transform: `translate(10 ${(MARGIN.top + inner.bottom) / 2}) rotate(-90)`, class: "axis middle" }, y.label));
  host.replaceChildren(svg);
  return { svg, toX, toY, left: MARGIN.left, right: inner.right, top: MARGIN.top, bottom: inner.bottom };
}

const powerWords = (power) => (power === 0 ? "1" : `10${raised(String(power))}`);

/** A curve through [x, y] pairs that are already pixels. */
const curve = (points, attributes) =>
  make("polyline", { points: points.map((pair) => pair.map((p) => p.toFixed(1)).join(",")).join(" "), ...attributes });

/** Draws again when the room changes its width, or the theme or something else that is named. */
function redraw(host, draw, keys) {
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    soon(host.id, draw);
  }).observe(host);
  watch(keys, () => soon(host.id, draw));
}

/**
 * A matrix as a small heat map in a canvas, with words for the cell under the pointer.
 *
 * matrix: {rows, columns, values}; shade as drawCells takes it; words(row, column) says what is there.
 */
function drawMatrix(host, matrix, shade, { height, left = 0, top = 0, words, label, decorate }) {
  const canvas = host.querySelector("canvas") ?? make("canvas", { role: "img" });
  const reading = host.querySelector("output") ?? make("output", { class: "reading" });
  if (!canvas.parentNode) host.replaceChildren(canvas, reading);
  canvas.setAttribute("aria-label", label);
  const width = Math.max(host.clientWidth, 240);
  const context = prepared(canvas, width, height);
  const { rows, columns, values } = matrix;
  const place = { left, top, width: width - left, height: height - top };
  const all = Array.from({ length: rows }, (_, row) => row);
  const window = { ...place, from: 0, to: columns, first: 0, last: rows };
  drawCells(context, values, columns, all, window, () => shade);
  decorate?.(context, place);
  reading.textContent ||= " ";
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left - left) / place.width) * columns);
    const row = Math.floor(((event.clientY - box.top - top) / place.height) * rows);
    const inside = column >= 0 && column < columns && row >= 0 && row < rows;
    reading.textContent = inside ? words(row, column) : " ";
  };
}

/** A strip of all shades, the lowest on the left, with its upper left corner at x and y. */
function drawShades(context, shade, x, y) {
  for (let k = 0; k < 160; k += 1) {
    context.fillStyle = css(shade.map[Math.floor((k / 160) * SHADES)]);
    context.fillRect(x + k, y, 1.5, 12);
  }
}

/** A strip of all shades with words at its ends. */
function legend(shade, low, high, middle = null) {
  const strip = make("canvas", { class: "legend-strip", "aria-hidden": "true" });
  drawShades(prepared(strip, 160, 12), shade, 0, 0);
  const words = middle === null ? null : make("span", { class: "legend-middle" }, middle);
  return make("span", { class: "legend" }, make("span", {}, low),
    make("span", { class: "legend-shades" }, strip, words), make("span", {}, high));
}
