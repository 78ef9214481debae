"use strict";
// What travelled, read back: base64 → deflate → levels → weights. A head is opened when it is first looked at.

const payload = JSON.parse(document.getElementById("data").textContent);
const HIDDEN = 255;
const LEVELS = 254;

async function inflated(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Levels as weights m · (q / 254)^p; NaN where the mask hides. */
function weightsOf(levels, top, exponent) {
  const table = new Float32Array(256);
  for (let q = 0; q <= LEVELS; q++) table[q] = top * Math.pow(q / LEVELS, exponent);
  table[HIDDEN] = NaN;
  const weights = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) weights[i] = table[levels[i]];
  return weights;
}

/** Reads one part after the other from a head's bytes. */
class Parts {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  take(count) {
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
  /** `count` whole numbers whose highest bytes all come first. */
  wholes(count, size) {
    const numbers = new Uint32Array(count);
    for (let byte = 0; byte < size; byte++) {
      const plane = this.take(count);
      for (let i = 0; i < count; i++) numbers[i] = (numbers[i] << 8) | plane[i];
    }
    return numbers;
  }
  shares(count, top) {
    const wholes = this.wholes(count, 2);
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = (wholes[i] * top) / 65535;
    return values;
  }
}

/**
 * One head's weights: `grid` holds them pair by pair (cell 1 × 1) or as means of cells; `positions` and `strongest`
 * hold the k largest of each query. Either may be missing.
 */
class Head {
  constructor(fields) {
    Object.assign(this, fields);
  }

  /** Whether every weight is there by itself. */
  get whole() {
    return Boolean(this.grid) && this.cell[0] === 1 && this.cell[1] === 1;
  }

  /** The weight of a pair: a number, NaN for a hidden pair, undefined where it did not travel. */
  at(query, key) {
    if (this.whole) return this.grid[query * this.columns + key];
    for (let i = query * this.k; i < (query + 1) * this.k; i++) if (this.positions[i] === key) return this.strongest[i];
    return this.cellAt(query, key) !== this.cellAt(query, key) ? NaN : undefined;
  }

  /** The mean of the cell a pair lies in; undefined without cells. */
  cellAt(query, key) {
    if (!this.grid) return undefined;
    return this.grid[Math.floor(query / this.cell[0]) * this.columns + Math.floor(key / this.cell[1])];
  }

  /** The `count` largest of a query's weights (or of the weights a key gets): [other's index, weight], largest first. */
  strongestOf(side, index, count) {
    const found = [];
    const offer = (other, weight) => {
      if (!(weight >= 0) || (found.length === count && weight <= found[count - 1][1])) return;
      let at = found.length;
      while (at > 0 && found[at - 1][1] < weight) at--;
      found.splice(at, 0, [other, weight]);
      if (found.length > count) found.pop();
    };
    if (side === "query" && this.k) this.eachStrongest(index, offer);
    else if (this.whole) {
      const others = side === "query" ? this.keys : this.queries;
      for (let other = 0; other < others; other++) offer(other, this.between(side, index, other));
    } else {
      const { positions, strongest, k } = this;
      for (let i = 0; i < this.queries * k; i++) if (positions[i] === index) offer(Math.floor(i / k), strongest[i]);
    }
    return found;
  }
  eachStrongest(query, visit) {
    for (let i = query * this.k; i < (query + 1) * this.k; i++) {
      if (this.positions[i] >= 0) visit(this.positions[i], this.strongest[i]);
    }
  }
  /** The weight between a token of one side and one of the other. */
  between(side, index, other) {
    return side === "query" ? this.at(index, other) : this.at(other, index);
  }

  /** Whether the mask hides any pair (or cell of pairs). */
  get hides() {
    this.hidden ??= Boolean(this.grid?.some((weight) => weight !== weight));
    return this.hidden;
  }
  /** The largest weight there is, for a scale that ends there. */
  get largestWeight() {
    const most = (numbers) => numbers.reduce((most, x) => (x > most ? x : most), 0);
    this.most ??= Math.max(most(this.grid ?? []), most(this.strongest ?? []), most(this.largest ?? [])) || 1;
    return this.most;
  }
  get largestMean() {
    this.mostMean ??= (this.grid ?? []).reduce((most, x) => (x > most ? x : most), 0) || 1;
    return this.mostMean;
  }
}

async function openHead(call, number) {
  const head = call.heads[number];
  head.opened ??= readHead(call, head);
  return head.opened;
}

async function readHead(call, head) {
  const parts = new Parts(await inflated(head.data));
  const { queries, keys, k } = call;
  const fields = { queries, keys, k, cell: [1, 1], rows: 0, columns: 0, error: head.error ?? 0, top: head.tops.grid };
  if (call.grid) {
    const { rows, columns, cell } = call.grid;
    Object.assign(fields, { rows, columns, cell });
    fields.grid = weightsOf(parts.take(rows * columns), head.tops.grid, call.exponent);
    if (call.largest) fields.largest = weightsOf(parts.take(rows * columns), head.tops.largest, call.exponent);
  }
  if (k) Object.assign(fields, readStrongest(parts, call, head.tops.strongest));
  for (const strip of call.strips) fields[strip] = parts.shares(strip === "mass" ? keys : queries, head.tops[strip]);
  return new Head(fields);
}

/** Positions travel as steps from one to the next, one rank of all queries after the other. */
function readStrongest(parts, call, top) {
  const { queries, keys, k } = call;
  const steps = parts.wholes(queries * k, call.bytes);
  const weights = parts.shares(queries * k, top);
  const positions = new Int32Array(queries * k);
  const strongest = new Float32Array(queries * k);
  for (let query = 0; query < queries; query++) {
    let position = 0;
    for (let rank = 0; rank < k; rank++) {
      position += steps[rank * queries + query];
      positions[query * k + rank] = position < keys ? position : -1;
      strongest[query * k + rank] = weights[rank * queries + query];
    }
  }
  return { positions, strongest };
}

/** A text and its words: `tokens` are strings, `words` lists of token numbers or null where nothing tells. */
async function openTexts() {
  return JSON.parse(new TextDecoder().decode(await inflated(payload.texts)));
}
