// Panes: a sequence, a heat map that scrolls and zooms, one unit's line; one, or two that go
// together.

const LARGEST_CELL = [72, 40]; // a cell's width and height, in CSS pixels
const FIT_HEIGHT = 22; // of a row, where there are few

class Pane {
  constructor(number) {
    this.number = number;
    this.title = make("h3", { class: "pane-title" });
    this.strip = make("canvas", { class: "strip", "aria-hidden": "true" });
    this.gutter = make("canvas", { class: "gutter", "aria-hidden": "true" });
    this.heat = make("canvas", { class: "heat" });
    this.overlay = make("canvas", { class: "overlay" });
    this.stage = make("div", { class: "stage" }, this.heat, this.overlay);
    this.spacer = make("div", { class: "spacer" }, this.stage);
    this.scroller = make(
      "div",
      {
        class: "scroller",
        tabindex: "0",
        role: "application",
        "aria-roledescription": "heat map",
        "aria-describedby": "keys-hint",
      },
      this.spacer,
    );
    this.line = make("canvas", { class: "unit-line", "aria-hidden": "true" });
    this.element = make(
      "section",
      { class: "pane" },
      this.title,
      this.strip,
      make("div", { class: "row" }, this.gutter, this.scroller),
      this.line,
    );
    this.values = null;
    this.listen();
  }

  isCurrent() {
    return layerAtCursor() === this.layer;
  }

  rowCount() {
    return this.order.length;
  }

  /** The row that shows a unit, -1 where none does. */
  rowOf(unit) {
    return this.places?.[unit] ?? -1;
  }

  visibleRows() {
    const rows = this.rowCount();
    const first = clamp(Math.floor(this.scroller.scrollTop / this.tall), 0, rows);
    const last = clamp(Math.ceil((this.scroller.scrollTop + this.height) / this.tall), first, rows);
    return [first, last];
  }

  /** Shows a layer; what it has of the old one stays until the new one is there. */
  async show(layer, steps) {
    const { quantity } = view;
    const loads = [layer.load(quantity), ...axesOf(layer).map((axis) => this.loadAxis(axis))];
    const [{ values }] = await Promise.all(loads);
    if (quantity !== view.quantity || !shownLayers().includes(layer)) return; // chosen otherwise
    this.layer = layer;
    this.values = values;
    this.quantity = quantity;
    this.longest = steps;
    this.order = unitOrder(layer);
    this.places = new Int32Array(this.order.length);
    this.order.forEach((unit, row) => {
      this.places[unit] = row;
    });
    const words = `${WORDS[quantity]} of ${count(this.order.length, "unit")} at ${count(layer.steps, "step")}`;
    this.scroller.setAttribute("aria-label", `${layer.name}: ${words}`);
    this.title.replaceChildren(...paneTitle(layer));
    this.title.hidden = recordings.length < 2;
    this.resize();
  }

  async loadAxis(axis) {
    if (axis.values) axis.drawn ??= await block(axis.values);
  }

  /** Sets every size from the room there is, then draws. */
  resize() {
    if (!this.layer || !this.scroller.clientWidth) return;
    const rows = this.rowCount();
    const panes = shownLayers().length;
    const room = clamp(innerHeight * 0.58, 360, 1000) / (panes > 1 ? 1.6 : 1);
    const wanted = Math.min(rows * FIT_HEIGHT, Math.max(room, Math.min(rows, 640) / panes));
    const frame = this.scroller.offsetHeight - this.scroller.clientHeight;
    this.scroller.style.height = `${Math.max(Math.round(wanted), 40) + frame}px`;
    this.width = this.scroller.clientWidth;
    this.height = this.scroller.clientHeight;
    this.fitCell = Math.min(this.width / Math.max(this.longest, 1), LARGEST_CELL[0]);
    this.cell = Math.max(this.fitCell, view.cellWidth ?? 0);
    this.fitTall = Math.min(this.height / Math.max(rows, 1), LARGEST_CELL[1]);
    this.tall = Math.max(this.fitTall, view.cellHeight ?? 0);
    this.spacer.style.width = `${Math.floor(this.longest * this.cell + 1e-3)}px`;
    this.spacer.style.height = `${Math.floor(rows * this.tall + 1e-3)}px`;
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
    this.draw();
  }

  draw() {
    if (!this.layer) return;
    this.place = {
      gutter: GUTTER,
      width: this.width,
      scroll: this.scroller.scrollLeft,
      cell: this.cell,
      steps: this.layer.steps,
    };
    drawHeat(this);
    this.drawCursor();
  }

  /** What moves with the cursor, all but the cells. */
  drawCursor() {
    if (!this.layer || !this.place) return;
    this.drawStrip();
    drawGutter(this);
    drawOverlay(this);
    drawUnitLine(this);
  }

  drawStrip() {
    const axes = axesOf(this.layer);
    const heights = axes.map((axis) => stripHeight(axis, this.fitCell));
    const total = heights.reduce((sum, height) => sum + height, 0);
    const context = prepared(this.strip, GUTTER + this.width, total);
    const { faint, mark } = colours();
    let top = 0;
    axes.forEach((axis, k) => {
      const place = { ...this.place, steps: axis.names.length };
      if (view.span && this.isCurrent()) {
        const [first, last] = view.span;
        context.fillStyle = mark;
        context.globalAlpha = 0.22;
        const left = Math.max(xOf(place, first - 0.5), GUTTER);
        const right = Math.min(xOf(place, last + 0.5), GUTTER + this.width);
        context.fillRect(left, top, Math.max(right - left, 0), heights[k] - RULER);
        context.globalAlpha = 1;
      }
      drawStrip(context, axis, place, top, this.fitCell, axis.drawn);
      if (axes.length > 1) {
        context.fillStyle = faint;
        context.font = `600 12px ${FONT}`;
        context.textAlign = "right";
        context.fillText("AB"[k], GUTTER - 14, top + (heights[k] - RULER) / 2);
      }
      const x = xOf(place, view.step);
      if (view.step < axis.names.length && x >= GUTTER && x <= GUTTER + this.width) {
        const words = `${view.step}  ${cut(context, seen(axis.names[view.step]), 300)}`;
        drawLabel(context, words, x, top + heights[k] - RULER / 2, GUTTER, GUTTER + this.width);
      }
      top += heights[k];
    });
    this.stripSize = total;
  }

  /** The cell at a place of the stage, null outside. */
  cellAt(event) {
    const box = this.scroller.getBoundingClientRect();
    const x = event.clientX - box.left - this.scroller.clientLeft + this.scroller.scrollLeft;
    const y = event.clientY - box.top - this.scroller.clientTop + this.scroller.scrollTop;
    const [step, row] = [Math.floor(x / this.cell), Math.floor(y / this.tall)];
    if (step < 0 || row < 0 || step >= this.layer.steps || row >= this.rowCount()) return null;
    return { step, unit: this.order[row] };
  }

  listen() {
    this.scroller.addEventListener("scroll", () => {
      for (const pane of panes) {
        if (pane === this) continue;
        pane.scroller.scrollLeft = this.scroller.scrollLeft;
        pane.scroller.scrollTop = this.scroller.scrollTop;
      }
      soon(`draw ${this.number}`, () => this.draw());
    });
    let grip = null; // where a drag began
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button === 0) grip = { x: event.clientX, y: event.clientY, moved: false };
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (grip && event.buttons & 1) this.pan(event, grip);
      else this.hover(event);
    });
    this.stage.addEventListener("pointerup", (event) => {
      if (grip && !grip.moved) this.pin(event);
      grip = null;
    });
    this.stage.addEventListener("pointercancel", () => {
      grip = null;
    });
    this.scroller.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    listenToSpan(this);
  }

  hover(event) {
    const cell = this.layer && this.cellAt(event);
    if (cell && !view.pinned) change({ ...cell, on: this.number });
  }

  pin(event) {
    const cell = this.layer && this.cellAt(event);
    if (!cell) return;
    const same = view.pinned && cell.step === view.step && cell.unit === view.unit;
    change({ ...cell, on: this.number, pinned: !same });
  }

  pan(event, grip) {
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    grip.moved = true;
    this.scroller.scrollLeft -= dx;
    this.scroller.scrollTop -= dy;
    [grip.x, grip.y] = [event.clientX, event.clientY];
  }

  wheel(event) {
    if (!(event.ctrlKey || event.metaKey) || !this.layer) return;
    event.preventDefault();
    const box = this.scroller.getBoundingClientRect();
    const anchor = { x: event.clientX - box.left, y: event.clientY - box.top };
    zoom(Math.exp(-event.deltaY / 200), { anchor, pane: this });
  }

  /** Scrolls so that a cell can be seen. */
  reveal(step, unit) {
    const row = this.rowOf(unit);
    if (row < 0) return;
    const into = (at, size, room, now) =>
      at < now ? at : at + size > now + room ? at + size - room : now;
    const { scroller } = this;
    scroller.scrollLeft = into(step * this.cell, this.cell, this.width, scroller.scrollLeft);
    scroller.scrollTop = into(row * this.tall, this.tall, this.height, scroller.scrollTop);
  }
}

/** What stands above a pane where there are two inputs. */
function paneTitle(layer) {
  const titled = ({ recording }) => onLine(`${recording.label}: ${seen(recording.title)}`);
  if (!(layer instanceof Difference)) return [titled(layer)];
  return ["A − B, to the end of the shorter ", titled(layer.left), " ", titled(layer.right)];
}

/** Choosing a span by a drag over the sequence, or a step by a click. */
function listenToSpan(pane) {
  let start = null;
  const stepAt = (event) => {
    const x = event.clientX - pane.strip.getBoundingClientRect().left - GUTTER;
    const step = Math.floor((x + pane.scroller.scrollLeft) / pane.cell);
    return clamp(step, 0, pane.layer.steps - 1);
  };
  pane.strip.addEventListener("pointerdown", (event) => {
    if (!pane.layer || event.button !== 0) return;
    start = stepAt(event);
    pane.strip.setPointerCapture(event.pointerId);
  });
  pane.strip.addEventListener("pointermove", (event) => {
    if (!pane.layer) return;
    const step = stepAt(event);
    if (start !== null && event.buttons & 1) {
      if (step !== start || view.span) {
        change({ span: [Math.min(start, step), Math.max(start, step)], on: pane.number });
      }
    } else if (!view.pinned) change({ step, on: pane.number });
  });
  pane.strip.addEventListener("pointerup", (event) => {
    if (start !== null && stepAt(event) === start && !view.span) {
      change({ step: start, on: pane.number });
    }
    start = null;
  });
}

const panes = [];

/** Puts as many panes up as there are layers to show, and fills them. */
async function showPanes() {
  if (!layerNames().includes(view.layer)) return;
  const layers = shownLayers();
  while (panes.length < layers.length) {
    panes.push(new Pane(panes.length));
    byId("panes").append(panes.at(-1).element);
  }
  panes.forEach((pane, k) => {
    pane.element.hidden = k >= layers.length;
  });
  const steps = Math.max(...layers.map((layer) => layer.steps));
  await Promise.all(layers.map((layer, k) => panes[k].show(layer, steps)));
  if (layers.length > 1) shownPanes().forEach((pane) => pane.draw()); // in the same shades
  soon("legend", showLegend);
}

const shownPanes = () => panes.filter((pane) => !pane.element.hidden && pane.layer);

/**
 * Zooms by a factor, so that one point stays where it is.
 *
 * only: "steps" or "units" for one direction; anchor: a point in the pane's own pixels, by default
 * the cell under the cursor, or the middle where that is out of sight.
 */
function zoom(factor, { only = null, anchor = null, pane = shownPanes()[0] } = {}) {
  if (!pane) return;
  const { scroller } = pane;
  const [left, top] = [scroller.scrollLeft, scroller.scrollTop];
  const row = Math.max(pane.rowOf(view.unit), 0);
  const inside = (x, room) => (x >= 0 && x <= room ? x : room / 2);
  const point = anchor ?? {
    x: inside((view.step + 0.5) * pane.cell - left, pane.width),
    y: inside((row + 0.5) * pane.tall - top, pane.height),
  };
  const at = { step: (left + point.x) / pane.cell, row: (top + point.y) / pane.tall };
  const bounded = (size, fit, most) => {
    const next = clamp(size * factor, fit, Math.max(most, fit));
    return next <= fit * 1.001 ? null : next;
  };
  const sizes = {};
  if (only !== "units") sizes.cellWidth = bounded(pane.cell, pane.fitCell, LARGEST_CELL[0]);
  if (only !== "steps") sizes.cellHeight = bounded(pane.tall, pane.fitTall, LARGEST_CELL[1]);
  change(sizes);
  scroller.scrollLeft = at.step * pane.cell - point.x;
  scroller.scrollTop = at.row * pane.tall - point.y;
}

/** Moves the cursor to a cell that can be seen then. */
function moveTo(step, unit, { pin = view.pinned, say = true } = {}) {
  const layer = layerAtCursor();
  if (!layer || !layer.steps) return;
  const cell = {
    step: clamp(step, 0, layer.steps - 1),
    unit: clamp(unit, 0, layer.rows(view.quantity) - 1),
  };
  change({ ...cell, pinned: pin });
  for (const pane of shownPanes()) pane.reveal(cell.step, cell.unit);
  if (say) speak(readingWords());
}

watch(["input", "layer", "quantity", "order"], showPanes);
watch(["scale", "theme"], () => soon("draw", () => shownPanes().forEach((pane) => pane.draw())));
watch(["cellWidth", "cellHeight"], () => shownPanes().forEach((pane) => pane.resize()));
watch(["step", "unit", "pinned", "found", "span", "on", "follow", "attribution"], () =>
  soon("cursor", () => shownPanes().forEach((pane) => pane.drawCursor())));

/** Fits the panes to their room again: the window may change, and so may a scroll bar beside it. */
function startPanes() {
  const fit = () => soon("resize", () => shownPanes().forEach((pane) => pane.resize()));
  let width = byId("panes").clientWidth;
  new ResizeObserver(() => {
    if (byId("panes").clientWidth === width) return;
    width = byId("panes").clientWidth;
    fit();
  }).observe(byId("panes"));
  addEventListener("resize", fit);
}
