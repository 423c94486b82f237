// What was recorded: layers and their values, step by step, as the textbook's equations have them.
// Knows nothing of pictures. carousel/equations.py is what its numbers must equal.
//
// Letters: T steps, H units, P outputs, I inputs. Arrays lie unit after unit: unit u at step t is
// at u T + t.

/** A number as page_data.py writes it: null for NaN, words for infinity. */
const number = (x) => (x === null ? NaN : Number(x));

/** All numbers of a list, or of lists by name. */
const numbersOf = (found) =>
  Array.isArray(found)
    ? found.map(number)
    : Object.fromEntries(Object.entries(found).map(([name, values]) => [name, numbersOf(values)]));

/** One layer and direction at one input. */
class Layer {
  constructor(facts, recording) {
    Object.assign(this, facts); // name, axis, reverse, steps, units, outputs, orders, lost ...
    this.statistics = numbersOf(facts.statistics);
    for (const start of ["before_h", "before_c"]) this[start] = facts[start] && numbersOf(facts[start]);
    this.recording = recording;
    this.promised = {}; // by quantity, from when they are first asked for
    this.loaded = {}; // by quantity, once they are there
    this.complete = false;
  }

  /** How many rows a quantity has: a projection gives h fewer than the others. */
  rows(quantity) {
    return quantity === "h" ? this.outputs : this.units;
  }

  /** Promises one quantity, which is worked out once: values and the bound of each row's error. */
  load(quantity) {
    this.promised[quantity] ??= this.opened(quantity).then((found) => (this.loaded[quantity] = found));
    return this.promised[quantity];
  }

  /** What `load` promises, out of the page's blocks. */
  async opened(quantity) {
    if (quantity === "c" && "rest" in this.blocks.c) return this.remembered();
    if (quantity !== "h" || this.blocks.h) return block(this.blocks[quantity]);
    const [o, c] = await Promise.all([this.load("o"), this.load("c")]);
    const values = new Float32Array(o.values.length);
    for (let k = 0; k < values.length; k += 1) values[k] = o.values[k] * Math.tanh(c.values[k]);
    // 2e-6 is what page_data.py lets o tanh(C) differ from the h that was recorded.
    return { values, bound: (unit) => o.bound(unit) + c.bound(unit) + 2e-6 };
  }

  /** Promises C, of which the page holds what is left beside f C_{t-1} + i C̃. */
  async remembered() {
    const gates = ["f", "i", "g"].map((gate) => this.load(gate));
    const [f, i, g] = (await Promise.all(gates)).map((each) => each.values);
    const bytes = await inflated(textOf(this.blocks.c));
    const how = { a: f, i, b: g, start: this.before_c, backwards: this.reverse };
    return readRest(this.blocks.c, bytes, how);
  }

  /** Promises all that an equation needs: six quantities, weights and inputs. */
  async loadAll() {
    await Promise.all(QUANTITIES.map((quantity) => this.load(quantity)));
    if (this.weights) {
      const [input, recurrent, bias] = await Promise.all([
        block(this.weights.input),
        block(this.weights.recurrent),
        block(this.weights.bias),
      ]);
      this.matrices = { input, recurrent, bias };
      if (this.inputs.layers) {
        this.sources = this.inputs.layers.map((number) => this.recording.layers[number]);
        await Promise.all(this.sources.map((source) => source.load("h")));
      } else {
        this.table = await block(this.inputs.block);
      }
    }
    this.complete = true;
  }

  /** One value, of a quantity that is loaded. */
  at(quantity, step, unit) {
    return this.loaded[quantity].values[unit * this.steps + step];
  }

  bound(quantity, unit) {
    return this.loaded[quantity].bound(unit);
  }

  /** The step that the layer read before this one; null where there is none. */
  previous(step) {
    const before = this.reverse ? step + 1 : step - 1;
    return before >= 0 && before < this.steps ? before : null;
  }

  /** c or h of one unit before a step. */
  before(quantity, step, unit) {
    const previous = this.previous(step);
    if (previous !== null) return this.at(quantity, previous, unit);
    const start = quantity === "c" ? this.before_c : this.before_h;
    return start ? start[unit] : 0;
  }

  /** What the layer read at a step: number k of its input, and the bound of its error. */
  read(step, k) {
    if (this.sources) {
      for (const source of this.sources) {
        if (k < source.outputs) return { value: source.at("h", step, k), bound: source.bound("h", k) };
        k -= source.outputs;
      }
    }
    const row = this.inputs.rows ? this.inputs.rows[step] : step;
    const width = this.inputs.block.columns;
    return { value: this.table.values[k * width + row], bound: this.table.bound(k) };
  }

  /** What number k of the input is called. */
  inputName(k) {
    if (this.inputs.names) return seen(this.inputs.names[k]);
    for (const source of this.sources ?? []) {
      if (k < source.outputs) return `unit ${k} of ${source.name}`;
      k -= source.outputs;
    }
    return `input ${k}`;
  }

  /**
   * Every product in the sum of one gate at one step:
   *
   *   Σ_k W_h[u, k] h_{t-1}[k] + Σ_k W_x[u, k] x_t[k] + b[u]
   */
  products(gate, step, unit) {
    const row = GATES.indexOf(gate) * this.units + unit;
    const { input, recurrent, bias } = this.matrices;
    const found = [];
    const add = (matrix, width, from, valueAt) => {
      const error = matrix.bound(row);
      for (let k = 0; k < width; k += 1) {
        const weight = matrix.values[row * width + k];
        const { value, bound } = valueAt(k);
        const off = Math.abs(weight) * bound + (Math.abs(value) + bound) * error;
        found.push({ from, k, weight, value, product: weight * value, off });
      }
    };
    const first = this.previous(step) === null;
    add(recurrent, this.outputs, "h", (k) => ({
      value: this.before("h", step, k),
      bound: first ? 0 : this.bound("h", k),
    }));
    add(input, this.width, "x", (k) => this.read(step, k));
    return { found, bias: bias.values[row] };
  }

  /**
   * The parts of one gate's sum, or only the sum where the weights are not in the page.
   *
   * off is the bound of the error of a part, likely its standard deviation, as if the roundings were
   * independent and even.
   */
  gate(gate, step, unit) {
    const value = this.at(gate, step, unit);
    const bound = this.bound(gate, unit);
    if (!this.weights) return { value, bound, sum: inverse(gate, value) };
    const { found, bias } = this.products(gate, step, unit);
    const part = (from) =>
      found.reduce((sum, each) => (each.from === from ? sum + each.product : sum), 0);
    const [recurrent, input] = [part("h"), part("x")];
    const off = found.reduce((sum, each) => sum + each.off, 0);
    const likely = Math.sqrt(found.reduce((sum, each) => sum + each.off ** 2, 0) / 3);
    return { value, bound, recurrent, input, bias, sum: recurrent + input + bias, off, likely };
  }

  /** The six equations at one step and unit, with their numbers; all must be loaded. */
  equation(step, unit) {
    const found = { step, unit, name: this.name };
    for (const gate of ["f", "i", "g", "o"]) found[gate] = this.gate(gate, step, unit);
    found.c = { value: this.at("c", step, unit), bound: this.bound("c", unit) };
    found.c.before = this.before("c", step, unit);
    // The units of a projected h are not the cells.
    const own = this.outputs === this.units;
    found.h = own ? { value: this.at("h", step, unit), bound: this.bound("h", unit) } : null;
    found.shown = found.o.value * Math.tanh(found.c.value);
    return found;
  }
}

/** A layer at one input less the same layer at another, step by step up to the shorter's end. */
class Difference {
  constructor(left, right) {
    this.left = left;
    this.right = right;
    for (const key of ["name", "units", "outputs", "recording"]) this[key] = left[key];
    this.steps = Math.min(left.steps, right.steps);
    this.promised = {};
    this.loaded = {};
  }

  rows(quantity) {
    return this.left.rows(quantity);
  }

  async opened(quantity) {
    const [a, b] = await Promise.all([this.left.load(quantity), this.right.load(quantity)]);
    const values = new Float32Array(this.rows(quantity) * this.steps);
    for (let unit = 0; unit < this.rows(quantity); unit += 1) {
      for (let t = 0; t < this.steps; t += 1) {
        values[unit * this.steps + t] =
          a.values[unit * this.left.steps + t] - b.values[unit * this.right.steps + t];
      }
    }
    return { values, bound: (unit) => a.bound(unit) + b.bound(unit) };
  }

  async loadAll() {
    await Promise.all(QUANTITIES.map((quantity) => this.load(quantity)));
    this.complete = true;
  }
}
Difference.prototype.load = Layer.prototype.load;
Difference.prototype.at = Layer.prototype.at;
Difference.prototype.bound = Layer.prototype.bound;

/** All that was recorded of one input. */
class Recording {
  constructor(facts, label) {
    Object.assign(this, facts); // title, axes, attentions, flows, attributions
    this.axes = facts.axes.map((axis) => ({ ...axis, tracks: numbersOf(axis.tracks) }));
    this.attributions = facts.attributions.map((each) => ({
      ...each, values: numbersOf(each.values), total: number(each.total),
    }));
    this.label = label;
    this.layers = facts.layers.map((each) => new Layer(each, this));
  }

  axis(name) {
    return this.axes.find((each) => each.name === name);
  }

  layer(name) {
    return this.layers.find((each) => each.name === name);
  }
}

const facts = JSON.parse(document.getElementById("contents").textContent);
const recordings = facts.recordings.map((each, k) => new Recording(each, "AB"[k]));

/** Whether two layers can be told apart step by step: the same name and sizes. */
const comparable = (a, b) => Boolean(a && b && a.units === b.units && a.outputs === b.outputs);
