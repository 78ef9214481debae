// The large picture: weights as pixels, words or positions on the axes, entropy beside the queries, mass below the keys.
// It is drawn from a window (which queries, which keys) and never makes an element for a weight.

const STRIP = 30;
const LEGIBLE = { query: 9.5, key: 11 }; // pixels a token needs for its name, level or slanted
const NUMBERED = [34, 17]; // pixels a cell needs for its weight
const HATCHED = 0;
const UNKNOWN = 1; // levels of the raster; a colour's step is two higher

const measure = (() => {
  const brush = document.createElement("canvas").getContext("2d");
  const widths = new Map();
  return (words, size) => {
    const key = `${size} ${words}`;
    if (!widths.has(key)) {
      if (widths.size > 20000) widths.clear();
      brush.font = `${size}px ${FONT}`;
      widths.set(key, brush.measureText(words).width);
    }
    return widths.get(key);
  };
})();

/** The words cut with a sign where they are wider than `width` pixels. */
function clipped(words, size, width) {
  if (words.length > 80) words = `${[...words.slice(0, 80)].join("")}…`;
  if (measure(words, size) <= width) return words;
  const characters = [...words.replace(/…$/, "")];
  while (characters.length > 1 && measure(`${characters.join("")}…`, size) > width) {
    characters.length = Math.min(characters.length - 1, Math.ceil(characters.length * 0.94));
  }
  return `${characters.join("")}…`;
}

/** Round numbers, `apart` or more, from `start` to `end`. */
function ticks(start, end, apart) {
  const power = Math.pow(10, Math.floor(Math.log10(Math.max(apart, 1))));
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= apart) ?? power * 10;
  const found = [];
  for (let at = Math.ceil(start / step) * step; at < end; at += step) found.push(at);
  return found;
}

class Picture {
  /**
   * What is shown: the head, its scale, `largest` (the strongest weights in the place of means), labels and names of
   * both sides, sinks, and the offset of the first query's position.
   */
  constructor(shown) {
    Object.assign(this, shown);
    this.window = { q0: 0, q1: Math.max(this.head.queries, 1), k0: 0, k1: Math.max(this.head.keys, 1) };
    this.whole = { ...this.window };
  }

  /** Places everything within `width` pixels; the height follows. */
  layout(width, tallest) {
    const narrow = width < 560;
    const { queries, keys } = this.head;
    const widest = (labels) => {
      let most = 0;
      const every = Math.max(1, Math.ceil(labels.length / 400));
      for (let i = 0; i < labels.length; i += every) most = Math.max(most, measure(clipped(labels[i], 12.5, 150), 12.5));
      return Math.ceil(most) + 1;
    };
    // Where there is no room for words from the start, room for one is enough: that of the token under the cursor.
    const worded = { query: tallest / queries > LEGIBLE.query, key: (width - 150) / keys > LEGIBLE.key };
    const named = Math.min(widest(this.queryLabels), narrow ? 76 : 140);
    const left = (worded.query ? Math.max(named, 30) : Math.min(Math.max(named, 50), 96)) + 36;
    this.slanted = Math.min(Math.max(widest(this.keyLabels), 26), worded.key ? (narrow ? 84 : 120) : 46);
    const top = this.slanted * 0.82 + 34;
    const right = Math.max(this.head.entropy ? STRIP + 40 : 12, worded.key ? this.slanted * 0.57 + 4 : 0);
    const bottom = this.head.mass ? STRIP + 32 : this.head.entropy ? 32 : 14;
    const room = { x: width - left - right, y: Math.max(160, tallest - top - bottom) };
    const cell = Math.min(room.x / keys, room.y / queries, 46);
    // Words want room; cells too small for them stay square.
    const roomy = (each, least, most) => (each >= least ? Math.max(cell, Math.min(most, each)) : cell);
    const across = keys * roomy(room.x / keys, LEGIBLE.key, 26);
    const down = queries * roomy(room.y / queries, LEGIBLE.query, 20);
    const plot = {
      x: left, y: top,
      width: Math.max(40, Math.min(room.x, across)),
      height: Math.max(24, Math.min(room.y, down)),
    };
    Object.assign(this, { width, height: top + plot.height + bottom, plot });
  }

  get cellWidth() {
    return this.plot.width / (this.window.k1 - this.window.k0);
  }
  get cellHeight() {
    return this.plot.height / (this.window.q1 - this.window.q0);
  }
  x(key) {
    return this.plot.x + (key - this.window.k0) * this.cellWidth;
  }
  y(query) {
    return this.plot.y + (query - this.window.q0) * this.cellHeight;
  }
  /** The pair under a point, null outside. */
  pairAt(x, y) {
    const key = Math.floor((x - this.plot.x) / this.cellWidth + this.window.k0);
    const query = Math.floor((y - this.plot.y) / this.cellHeight + this.window.q0);
    const inside = x >= this.plot.x && x < this.plot.x + this.plot.width && y >= this.plot.y;
    const there = key >= 0 && key < this.head.keys && query >= 0 && query < this.head.queries;
    return inside && y < this.plot.y + this.plot.height && there ? { query, key } : null;
  }

  get zoomed() {
    const { window, whole } = this;
    return window.q1 - window.q0 < whole.q1 - 1e-6 || window.k1 - window.k0 < whole.k1 - 1e-6;
  }
  /** Makes the window `times` smaller about a point given as shares of the plot. */
  zoom(times, shareX = 0.5, shareY = 0.5) {
    const limit = (from, to, most, share) => {
      const span = Math.min(most, Math.max((to - from) / times, Math.min(4, most)));
      const start = Math.min(Math.max(from + (to - from - span) * share, 0), most - span);
      return [start, start + span];
    };
    const { window, whole } = this;
    [window.k0, window.k1] = limit(window.k0, window.k1, whole.k1, shareX);
    [window.q0, window.q1] = limit(window.q0, window.q1, whole.q1, shareY);
  }
  pan(keys, queries) {
    const { window, whole } = this;
    const moved = (from, to, by, most) => Math.min(Math.max(from + by, 0), most - (to - from)) - from;
    const [right, down] = [
      moved(window.k0, window.k1, keys, whole.k1), moved(window.q0, window.q1, queries, whole.q1),
    ];
    Object.assign(window, {
      k0: window.k0 + right, k1: window.k1 + right, q0: window.q0 + down, q1: window.q1 + down,
    });
  }
  /** Moves the window so that a pair is in it. */
  reveal({ query, key }) {
    const off = (at, from, to) => (at < from || at + 1 > to ? at + 0.5 - (from + to) / 2 : 0);
    this.pan(off(key, this.window.k0, this.window.k1), off(query, this.window.q0, this.window.q1));
  }

  /** Whether the strongest weights are drawn pair by pair over (or without) cells. */
  get drawsStrongest() {
    if (this.head.whole || !this.head.k) return false;
    return !this.head.grid || this.largest || Math.min(this.cellWidth, this.cellHeight) >= 3;
  }

  paint(pen) {
    const { plot } = this;
    const ink = inks();
    pen.rectangle(0, this.above ?? 0, this.width, this.height - (this.above ?? 0), ink.paper);
    pen.hatch(plot.x, plot.y, plot.width, plot.height, ink.paper, ink.hatch);
    if (pen instanceof SvgPen && this.head.whole && this.visible() <= 3000) this.paintCells(pen);
    else pen.image(this.raster(pen.density), plot.x, plot.y, plot.width, plot.height);
    this.paintNumbers(pen);
    pen.frame(plot.x - 0.5, plot.y - 0.5, plot.width + 1, plot.height + 1, ink.line);
    this.paintQueries(pen);
    this.paintKeys(pen);
    if (this.head.entropy) this.paintEntropy(pen);
    if (this.head.mass) this.paintMass(pen);
  }

  range(from, to, most) {
    return [Math.max(0, Math.floor(from)), Math.min(most, Math.ceil(to))];
  }
  queriesShown() {
    return this.range(this.window.q0, this.window.q1, this.head.queries);
  }
  keysShown() {
    return this.range(this.window.k0, this.window.k1, this.head.keys);
  }
  visible() {
    const [[q0, q1], [k0, k1]] = [this.queriesShown(), this.keysShown()];
    return (q1 - q0) * (k1 - k0);
  }

  paintCells(pen) {
    this.each((query, key, weight) => {
      const [x, y] = [Math.max(this.x(key), this.plot.x), Math.max(this.y(query), this.plot.y)];
      const right = Math.min(this.x(key + 1), this.plot.x + this.plot.width);
      const below = Math.min(this.y(query + 1), this.plot.y + this.plot.height);
      pen.rectangle(x, y, right - x + 0.3, below - y + 0.3, this.scale.colour(weight));
    });
  }
  each(visit) {
    const [[q0, q1], [k0, k1]] = [this.queriesShown(), this.keysShown()];
    for (let query = q0; query < q1; query++) {
      for (let key = k0; key < k1; key++) {
        const weight = this.head.at(query, key);
        if (weight === weight && weight !== undefined) visit(query, key, weight);
      }
    }
  }
  paintNumbers(pen) {
    if (this.cellWidth < NUMBERED[0] || this.cellHeight < NUMBERED[1] || !(this.head.whole || this.drawsStrongest)) return;
    this.each((query, key, weight) => {
      const [x, y] = [this.x(key + 0.5), this.y(query + 0.5)];
      const inside = x > this.plot.x + 14 && x < this.plot.x + this.plot.width - 14;
      if (!inside || y < this.plot.y + 7 || y > this.plot.y + this.plot.height - 7) return;
      const text = weight < 0.005 ? "·" : weight >= 0.995 ? "1.0" : weight.toFixed(2).slice(1);
      pen.text(text, x, y + 4, { size: 11, fill: this.scale.inkOn(weight), anchor: "middle" });
    });
  }

  /** The window's weights as pixels; where several pairs fall on one pixel, the largest. */
  raster(density) {
    const width = Math.max(1, Math.round(this.plot.width * density));
    const height = Math.max(1, Math.round(this.plot.height * density));
    const levels = new Uint16Array(width * height);
    if (this.head.grid) this.rasterCells(levels, width, height);
    else levels.fill(UNKNOWN);
    if (this.drawsStrongest) this.rasterStrongest(levels, width, height);
    return this.coloured(levels, width, height);
  }
  rasterCells(levels, width, height) {
    const { head, window } = this;
    const onlyGround = this.largest && head.k > 0 && !head.whole;
    const source = this.largest && head.largest ? head.largest : head.grid;
    const steps = this.steps(source, onlyGround);
    const spans = (from, to, pixels, cell, most) => {
      const edge = (i) => Math.min(Math.max((from + ((to - from) * i) / pixels) / cell, 0), most - 1e-9);
      return Array.from({ length: pixels }, (_, i) => {
        const start = Math.floor(edge(i));
        const middle = Math.floor(edge(i + 0.5));
        const end = Math.floor(edge(i + 1));
        return end - start <= 1 ? [middle, middle + 1] : [start, end];
      });
    };
    const across = spans(window.k0, window.k1, width, head.cell[1], head.columns);
    const down = spans(window.q0, window.q1, height, head.cell[0], head.rows);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let most = 0;
        for (let row = down[y][0]; row < down[y][1]; row++) {
          for (let column = across[x][0]; column < across[x][1]; column++) {
            const step = steps[row * head.columns + column];
            if (step > most) most = step;
          }
        }
        levels[y * width + x] = most;
      }
    }
  }
  steps(weights, onlyGround) {
    const steps = new Uint16Array(weights.length);
    for (let i = 0; i < weights.length; i++) {
      steps[i] = weights[i] !== weights[i] ? HATCHED : onlyGround ? UNKNOWN : this.scale.step(weights[i]) + 2;
    }
    return steps;
  }
  rasterStrongest(levels, width, height) {
    const { head, window } = this;
    const [perKey, perQuery] = [width / (window.k1 - window.k0), height / (window.q1 - window.q0)];
    const over = this.largest || !head.grid;
    const drawn = over ? levels : new Uint16Array(levels.length);
    const [q0, q1] = this.queriesShown();
    for (let i = q0 * head.k; i < q1 * head.k; i++) {
      const key = head.positions[i];
      if (key < 0 || key + 1 < window.k0 || key > window.k1) continue;
      const query = Math.floor(i / head.k);
      const step = this.scale.step(head.strongest[i]) + 2;
      const x0 = Math.max(0, Math.round((key - window.k0) * perKey));
      const x1 = Math.min(width, Math.max(x0 + 1, Math.round((key + 1 - window.k0) * perKey)));
      const y0 = Math.max(0, Math.round((query - window.q0) * perQuery));
      const y1 = Math.min(height, Math.max(y0 + 1, Math.round((query + 1 - window.q0) * perQuery)));
      for (let y = y0; y < y1; y++) {
        for (let x = x0; x < x1; x++) if (step > drawn[y * width + x]) drawn[y * width + x] = step;
      }
    }
    if (!over) for (let i = 0; i < drawn.length; i++) if (drawn[i]) levels[i] = drawn[i];
  }
  coloured(levels, width, height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const brush = canvas.getContext("2d");
    const image = brush.createImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    const packed = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    const colours = new Uint32Array(258);
    const unknown = parseInt(inks().unknown.slice(1), 16);
    colours[UNKNOWN] = packed(unknown >> 16, (unknown >> 8) & 255, unknown & 255);
    for (let i = 0; i < 256; i++) colours[i + 2] = packed(ramp()[3 * i], ramp()[3 * i + 1], ramp()[3 * i + 2]);
    for (let i = 0; i < levels.length; i++) words[i] = colours[levels[i]];
    brush.putImageData(image, 0, 0);
    return canvas;
  }

  paintQueries(pen) {
    const { plot } = this;
    const ink = inks();
    const [q0, q1] = this.queriesShown();
    pen.text(this.queryName, 12, plot.y + plot.height / 2, { size: 11, fill: ink.faint, anchor: "middle", turn: -90 });
    if (this.cellHeight >= LEGIBLE.query) {
      const size = Math.min(12.5, this.cellHeight * 0.95);
      for (let query = q0; query < q1; query++) {
        const y = this.y(query + 0.5);
        if (y < plot.y || y > plot.y + plot.height) continue;
        const label = clipped(this.queryLabels[query], size, plot.x - 33);
        pen.text(label, plot.x - 8, y + size * 0.36, { size, fill: ink.ink, anchor: "end" });
      }
      return;
    }
    for (const at of ticks(q0 + this.first, q1 + this.first, 42 / this.cellHeight)) {
      const y = this.y(at - this.first + 0.5);
      if (y < plot.y || y > plot.y + plot.height) continue;
      pen.line([[plot.x - 5, y], [plot.x, y]], ink.faint);
      pen.text(at.toLocaleString("en"), plot.x - 8, y + 4, { size: 11, fill: ink.faint, anchor: "end" });
    }
  }
  paintKeys(pen) {
    const { plot } = this;
    const ink = inks();
    const [k0, k1] = this.keysShown();
    pen.text(this.keyName, plot.x + plot.width / 2, (this.above ?? 0) + 13, { size: 11, fill: ink.faint, anchor: "middle" });
    const sinks = new Set(this.sinks);
    if (this.cellWidth >= LEGIBLE.key) {
      const size = Math.min(12.5, this.cellWidth * 0.84);
      for (let key = k0; key < k1; key++) {
        const x = this.x(key + 0.5);
        if (x < plot.x || x > plot.x + plot.width) continue;
        this.paintKey(pen, key, x, { size, fill: ink.ink }, sinks.has(key));
      }
      return;
    }
    for (const at of ticks(k0, k1, 64 / this.cellWidth)) {
      const x = this.x(at + 0.5);
      if (x < plot.x || x > plot.x + plot.width) continue;
      pen.line([[x, plot.y - 5], [x, plot.y]], ink.faint);
      pen.text(at.toLocaleString("en"), x, plot.y - 9, { size: 11, fill: ink.faint, anchor: "middle" });
    }
    for (const key of sinks) {
      const x = this.x(key + 0.5);
      if (x >= plot.x && x <= plot.x + plot.width) this.diamond(pen, x, plot.y - 26);
    }
  }
  paintKey(pen, key, x, style, sink) {
    const { plot } = this;
    if (sink) this.diamond(pen, x, plot.y - 8);
    const label = clipped(this.keyLabels[key], style.size, this.slanted);
    pen.text(label, x + style.size * 0.3, plot.y - (sink ? 16 : 7), { ...style, turn: -55 });
  }
  diamond(pen, x, y) {
    pen.area([[x, y - 4.5], [x + 4.5, y], [x, y + 4.5], [x - 4.5, y]], inks().accent);
  }

  /** Largest and mean value of the entries that fall on each pixel from `from` to `to`. */
  perPixel(values, from, to, pixels) {
    return Array.from({ length: pixels }, (_, i) => {
      const start = Math.min(values.length - 1, Math.floor(from + ((to - from) * i) / pixels));
      const end = Math.min(values.length, Math.max(start + 1, Math.floor(from + ((to - from) * (i + 1)) / pixels)));
      let [most, sum] = [0, 0];
      for (let at = start; at < end; at++) [most, sum] = [Math.max(most, values[at]), sum + values[at]];
      return { most, mean: sum / (end - start) };
    });
  }
  largestOf(name) {
    this.tops ??= {};
    this.tops[name] ??= this.head[name].reduce((most, x) => (x > most ? x : most), 0) || 1;
    return this.tops[name];
  }
  paintEntropy(pen) {
    const { plot, window } = this;
    const ink = inks();
    const top = Math.max(Math.log(Math.max(this.head.keys, 2)), this.largestOf("entropy"));
    const x = plot.x + plot.width + 8;
    pen.rectangle(x, plot.y, STRIP, plot.height, ink.unknown);
    this.perPixel(this.head.entropy, window.q0, window.q1, Math.round(plot.height)).forEach(({ most, mean }, i) => {
      if (most > mean) pen.rectangle(x, plot.y + i, (most / top) * STRIP, 1, ink.line);
      pen.rectangle(x, plot.y + i, (mean / top) * STRIP, 1, ink.strip);
    });
    pen.text("entropy,", x, plot.y + plot.height + 14, { size: 10.5, fill: ink.faint });
    pen.text(`0–${top.toFixed(1)} nats`, x, plot.y + plot.height + 27, { size: 10.5, fill: ink.faint });
  }
  paintMass(pen) {
    const { plot, window } = this;
    const ink = inks();
    const top = this.largestOf("mass");
    const y = plot.y + plot.height + 8;
    pen.rectangle(plot.x, y, plot.width, STRIP, ink.unknown);
    this.perPixel(this.head.mass, window.k0, window.k1, Math.round(plot.width)).forEach(({ most, mean }, i) => {
      const tall = [(most / top) * STRIP, (mean / top) * STRIP];
      if (most > mean) pen.rectangle(plot.x + i, y + STRIP - tall[0], 1, tall[0], ink.line);
      pen.rectangle(plot.x + i, y + STRIP - tall[1], 1, tall[1], ink.strip);
    });
    const most = top >= 100 ? Math.round(top).toLocaleString("en") : top.toFixed(2);
    pen.text(`mass each key got, 0 to ${most}`, plot.x, y + STRIP + 14, { size: 10.5, fill: ink.faint });
  }

  /** What changes with every movement: the token under the cursor isolated, the step, what was found. */
  paintCursor(pen, { subject, pair, step, found }) {
    const { plot } = this;
    if (subject) this.isolate(pen, subject.side === "query", subject.index, subject.index + 1);
    else if (step) this.isolate(pen, true, step[0], step[1]);
    if (found) this.paintFound(pen, found);
    if (pair) {
      const [x, y] = [this.x(pair.key), this.y(pair.query)];
      const [width, height] = [Math.max(this.cellWidth, 4), Math.max(this.cellHeight, 4)];
      if (x + width > plot.x && x < plot.x + plot.width && y + height > plot.y && y < plot.y + plot.height) {
        pen.frame(x, y, width, height, inks().paper, 4);
        pen.frame(x, y, width, height, inks().accent, 2);
      }
      this.chip(pen, "key", pair.key, false);
      this.chip(pen, "query", pair.query, false);
    }
    if (subject) this.chip(pen, subject.side, subject.index, true);
  }
  /** Veils all but these rows (or columns). */
  isolate(pen, rows, from, to) {
    const { plot } = this;
    const { veil, accent } = inks();
    const [start, size] = rows ? [plot.y, plot.height] : [plot.x, plot.width];
    const place = (at) => Math.min(Math.max(rows ? this.y(at) : this.x(at), start), start + size);
    let [a, b] = [place(from), place(to)];
    if (b - a < 3) [a, b] = [Math.max(start, (a + b) / 2 - 1.5), Math.min(start + size, (a + b) / 2 + 1.5)];
    for (const [at, long] of [[start, a - start], [b, start + size - b]]) {
      if (rows) pen.rectangle(plot.x, at, plot.width, long, veil);
      else pen.rectangle(at, plot.y, long, plot.height, veil);
    }
    for (const at of [a - 0.5, b + 0.5]) {
      if (rows) pen.line([[plot.x, at], [plot.x + plot.width, at]], accent);
      else pen.line([[at, plot.y], [at, plot.y + plot.height]], accent);
    }
  }
  /** A token's name at its place on the axis, in front of the others. */
  chip(pen, side, index, strong) {
    const { plot } = this;
    const ink = inks();
    const style = { size: 12.5, fill: strong ? ink.accent : ink.ink, weight: 650 };
    if (side === "query") {
      const y = Math.min(Math.max(this.y(index + 0.5), plot.y), plot.y + plot.height);
      const label = clipped(this.queryLabels[index], 12.5, plot.x - 33);
      pen.rectangle(24, y - 9, plot.x - 26, 18, ink.paper);
      pen.text(label, plot.x - 8, y + 4.5, { ...style, anchor: "end" });
    } else {
      const x = this.x(index + 0.5);
      if (x < plot.x || x > plot.x + plot.width) return;
      const label = clipped(this.keyLabels[index], 12.5, this.slanted);
      if (this.cellWidth < LEGIBLE.key) {
        const width = measure(label, 12.5) + 16;
        const start = Math.min(Math.max(x - width / 2, 24), this.width - width);
        pen.rectangle(start, plot.y - 42, width, 19, ink.paper);
        pen.text(label, start + 8, plot.y - 28, style);
        pen.line([[x, plot.y - 20], [x, plot.y]], style.fill, 2);
      } else {
        this.underlay(pen, x, label);
        this.paintKey(pen, index, x, style, this.sinks.includes(index));
      }
    }
  }
  underlay(pen, x, label) {
    const long = measure(label, 12.5) + 10;
    const [cos, sin] = [Math.cos((55 * Math.PI) / 180), Math.sin((55 * Math.PI) / 180)];
    const at = (along, across) => [x + 4 + along * cos + across * sin, this.plot.y - 7 - along * sin + across * cos];
    pen.area([at(-1, 4), at(long, 4), at(long, -14), at(-1, -14)], inks().paper);
  }
  paintFound(pen, { queries, keys }) {
    const { plot } = this;
    for (const query of queries) {
      const y = this.y(query + 0.5);
      if (y >= plot.y && y <= plot.y + plot.height) pen.rectangle(plot.x - 5, y - 1.5, 5, 3, inks().match);
    }
    for (const key of keys) {
      const x = this.x(key + 0.5);
      if (x >= plot.x && x <= plot.x + plot.width) pen.rectangle(x - 1.5, plot.y - 5, 3, 5, inks().match);
    }
  }
}
