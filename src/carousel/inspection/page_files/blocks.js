// Numbers out of the page's own text, each block when it is first wanted. Knows nothing of layers.
//
// encoding.py writes the blocks and says what is in them.

const openedBlocks = new Map();

/** Returns the bytes that a block's text holds, inflated. */
async function inflated(text) {
  let packed;
  if (Uint8Array.fromBase64) {
    packed = Uint8Array.fromBase64(text);
  } else {
    const characters = atob(text);
    packed = new Uint8Array(characters.length);
    for (let k = 0; k < packed.length; k += 1) packed[k] = characters.charCodeAt(k);
  }
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Puts together float32 from its planes of bytes, the highest first. */
function wholeNumbers(bytes, length) {
  const joined = new Uint8Array(4 * length);
  for (let plane = 0; plane < 4; plane += 1) {
    const place = 3 - plane; // the machine's order, little end first
    for (let k = 0; k < length; k += 1) joined[4 * k + place] = bytes[plane * length + k];
  }
  return new Float32Array(joined.buffer);
}

/** Returns whole levels from the plane of high bits and the low bits behind it. */
function levelsOf(bytes, length, bits) {
  const low = Math.max(bits - 8, 0);
  const levels = new Uint16Array(length);
  for (let k = 0; k < length; k += 1) levels[k] = bytes[k] << low;
  if (low) {
    const mask = (1 << low) - 1;
    const perByte = 8 / low;
    for (let k = 0; k < length; k += 1) {
      const byte = bytes[length + Math.floor(k / perByte)];
      levels[k] |= (byte >> (low * (k % perByte))) & mask;
    }
  }
  return levels;
}

function readBlock(head, bytes) {
  const { rows, columns, bits } = head;
  const length = rows * columns;
  if (bits === 32) return { values: wholeNumbers(bytes, length), bound: () => 0 };
  const fixed = "low" in head;
  const scale = fixed ? null : new DataView(bytes.buffer, bytes.byteOffset, 8 * rows);
  const lowOf = (row) => (fixed ? head.low : scale.getFloat32(4 * row, true));
  const stepOf = (row) => (fixed ? head.step : scale.getFloat32(4 * (rows + row), true));
  const levels = levelsOf(fixed ? bytes : bytes.subarray(8 * rows), length, bits);
  const values = new Float32Array(length);
  const mask = (1 << bits) - 1;
  const middle = fixed ? 0.5 : 0;
  for (let row = 0; row < rows; row += 1) {
    const low = lowOf(row);
    const step = stepOf(row);
    let level = 0;
    for (let k = row * columns; k < (row + 1) * columns; k += 1) {
      level = head.differences ? (level + levels[k]) & mask : levels[k];
      values[k] = low + (level + middle) * step;
    }
  }
  const bound = (row) => {
    const [low, step] = [lowOf(row), stepOf(row)];
    const largest = Math.max(Math.abs(low), Math.abs(low + step * 2 ** bits), 2 ** -100);
    return step / 2 + largest * 2 ** -22;
  };
  return { values, bound };
}

/**
 * Reads rows that nearly follow a recurrence: x_t = a_t x_{t-1} + b_t i_t, and the rest in the block.
 *
 * a, b and i are values of other blocks; start gives x before the first step, or null for zeros.
 */
function readRest(head, bytes, { a, b, i, start, backwards }) {
  const { rows, columns, rest } = head;
  const levels = levelsOf(bytes, rows * columns, 16);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    let seen = start ? Math.fround(start[row]) : 0; // the float32 that was meant
    for (let n = 0; n < columns; n += 1) {
      const k = row * columns + (backwards ? columns - 1 - n : n);
      const level = levels[k];
      values[k] = a[k] * seen + i[k] * b[k] + (level & 1 ? -(level + 1) / 2 : level / 2) * rest;
      seen = values[k];
    }
  }
  return { values, bound: () => head.bound };
}

const textOf = (head) => document.getElementById(`block-${head.block}`).textContent;

/** Promises the values of a block, row after row, and the bound of each row's error. */
function block(head) {
  if (!openedBlocks.has(head.block)) {
    openedBlocks.set(head.block, inflated(textOf(head)).then((bytes) => readBlock(head, bytes)));
  }
  return openedBlocks.get(head.block);
}
