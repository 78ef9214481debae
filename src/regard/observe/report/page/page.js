// The page: what is shown now, what the controls change, and what follows from it. Data goes one way: a control changes
// `now`, `refresh` makes the picture, `draw` paints it, `follow` paints what moves with the cursor.

const $ = (id) => document.getElementById(id);

const now = {
  call: null, number: 0, head: null, picture: null,
  unit: "pieces", direction: "query", shape: "root", end: "one", cells: "mean",
  subject: null, locked: false, pair: null, step: 0, found: [], foundAt: -1,
};
let texts;
let rows;

const overview = new Overview($("kinds"), (call, number) => choose(call, number));
const details = new Details($("details"), $("said"));
const touched = {
  hover: (side, index) => !now.locked && isolate(side, index),
  leave: () => !now.locked && isolate(null),
  lock: (side, index) => lock(side, index),
  walk: (side, index) => { now.locked = false; isolate(side, index); reveal(); },
};
const panels = {
  query: new TextPanel($("query-text"), "query", touched),
  key: new TextPanel($("key-text"), "key", touched),
};

// ---- which head ----

async function choose(call, number) {
  const other = call !== now.call;
  Object.assign(now, { call, number });
  overview.mark(call, number);
  const head = await openHead(call, number);
  if (now.call !== call || now.number !== number) return; // another was chosen meanwhile
  if (other) newCall();
  now.pieces = head;
  refresh();
}

/** Another call has other sizes, texts and steps: what was chosen of the last one's does not hold. */
function newCall() {
  const { call } = now;
  Object.assign(now, { subject: null, locked: false, pair: null, step: 0, picture: null, chosenScale: false });
  const spread = Math.max(call.keys, call.queries);
  now.shape = spread <= 2048 ? "root" : "log";
  now.end = spread <= 64 ? "one" : "largest";
  now.cells = "mean";
  [$("shape").value, $("end").value, $("cells").value] = [now.shape, now.end, now.cells];
  const sliders = call.steps.length > 1 && call.steps.length;
  $("step-choice").hidden = !sliders;
  $("step").max = sliders || 1;
  $("step").value = 0;
  $("cells-choice").hidden = !(call.grid && (call.grid.cell[0] > 1 || call.grid.cell[1] > 1)) || !(call.k || call.largest);
  const wordly = Boolean(wordsOf(call.text) && wordsOf(call.keyText)) && (call.k > 0 || !pooled(call));
  for (const input of $("units").querySelectorAll("input")) input.disabled = !wordly;
  $("units").title = wordly ? "" : "No marks of subwords were found in these tokens, or only cells travelled";
  if (!wordly) setUnit("pieces");
}

const pooled = (call) => !call.grid || call.grid.cell[0] > 1 || call.grid.cell[1] > 1;
const wordsOf = (text) => (text < 0 ? null : texts[text].words);
const layerOf = (call) => rows.find((row) => row.call === call)?.layer ?? "";

/** Labels, groups and the first position of one side of the call, in the unit chosen. */
function sideOf(side) {
  const { call } = now;
  const query = side === "query";
  const [text, first, count] = query ? [call.text, call.first, call.queries] : [call.keyText, 0, call.keys];
  if (text < 0) return { labels: Array.from({ length: count }, (_, i) => `#${first + i}`), first };
  const { tokens, words } = texts[text];
  if (now.unit === "pieces") return { labels: tokens.slice(first, first + count), first };
  const groups = groupsWithin(words, first, count);
  const before = words.filter((word) => word[word.length - 1] < first).length;
  return { groups, first: before, labels: groups.map((group) => wordLabel(group.map((i) => tokens[i + first]))) };
}

// ---- from what is chosen to a picture ----

function refresh() {
  const { call, number } = now;
  const sides = { query: sideOf("query"), key: sideOf("key") };
  const head = now.unit === "words" ? merged(sides) : now.pieces;
  const same = now.head && now.head.queries === head.queries && now.head.keys === head.keys && now.sidesOf === call;
  Object.assign(now, { head, sides, sidesOf: call, sinks: sinksOf(sides) });
  now.massOfAll = head.mass ? head.mass.reduce((sum, mass) => sum + mass, 0) : 0;
  const { window } = now.picture ?? {};
  now.picture = new Picture({
    head, scale: scaleNow(), largest: now.cells === "largest", sinks: now.sinks, first: sides.query.first,
    queryLabels: sides.query.labels, keyLabels: sides.key.labels, ...axisNames(),
  });
  if (same && window) now.picture.window = window;
  else Object.assign(now, { subject: null, locked: false, pair: null });
  if (!same) showTexts();
  $("head-title").textContent = `Layer ${layerOf(call)}, head ${call.heads[number].number}`;
  $("module").textContent = call.name + (call.call ? ` · call ${call.call}` : "");
  $("carried").textContent = carried(head);
  find(false);
  draw();
}

function merged({ query, key }) {
  now.pieces.byWords ??= byWords(now.pieces, query.groups, key.groups);
  return now.pieces.byWords;
}

function sinksOf(sides) {
  const { sinks = [] } = now.call.heads[now.number];
  if (now.unit === "pieces") return sinks;
  return sides.key.groups.flatMap((group, word) => (group.some((piece) => sinks.includes(piece)) ? [word] : []));
}

function scaleNow() {
  const { head } = now;
  const means = pooledNow() && now.cells === "mean";
  const most = means ? head.largestMean : head.largestWeight;
  return new Scale(now.shape, now.end === "one" ? 1 : most);
}
const pooledNow = () => Boolean(now.head.grid) && !now.head.whole;

function axisNames() {
  const { call } = now;
  const noun = (text) => (call.cross || call.keyText === 1 ? (text === "query" && call.cross ? "target" : "source") : "");
  const unit = now.unit === "words" ? "words" : "tokens";
  return {
    queryName: `queries: ${[noun("query"), unit].filter(Boolean).join(" ")}`,
    keyName: `keys: ${[noun("key"), unit].filter(Boolean).join(" ")}`,
  };
}

/** How exact the numbers are that travelled. */
function carried(head) {
  const said = [];
  const off = (error) => `at most ±${digits(error)} off`;
  if (head.whole) said.push(`The whole matrix, in 8 bits: ${off(head.error)}${head.merged ? ", words added up" : ""}.`);
  else if (head.grid) {
    const [across, down] = [head.cell[1], head.cell[0]].map((n) => n.toLocaleString("en"));
    said.push(`Pooled: each cell is the mean over ${down} queries × ${across} keys, in 8 bits: ${off(head.error)}.`);
  }
  if (head.k && !head.merged) {
    said.push(`The ${head.k} strongest of each query by themselves, in 16 bits: ${off(Math.max(now.call.heads[now.number].tops.strongest, 1e-9) / 131070)}.`);
  }
  if (!head.whole && head.merged) said.push(`Words from the ${head.k} strongest of each query: at least so much.`);
  else if (!head.whole && !head.grid) said.push("No other weight was recorded.");
  return said.join(" ");
}

// ---- painting ----

const density = () => Math.min(window.devicePixelRatio || 1, 2);

function draw() {
  const { picture } = now;
  picture.scale = scaleNow();
  picture.layout($("matrix").clientWidth, Math.max(380, Math.min(window.innerHeight - 290, 820)));
  picture.paint(pen($("ground"), picture.width, picture.height));
  paintLegend();
  performance.mark("drawn");
  $("matrix").setAttribute("aria-label", `${$("head-title").textContent}: ${picture.head.queries} queries by ${picture.head.keys} keys`);
  follow();
}

function pen(canvas, width, height) {
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  return new CanvasPen(canvas, width, height, density());
}

let waiting = false;
function soon(paint) {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

/** What moves with the cursor: the isolated token in the picture, in the text and in words. */
function follow() {
  const { picture, subject, pair } = now;
  const over = pen($("cursor"), picture.width, picture.height);
  picture.paintCursor(over, { subject, pair, step: stepRange(), found: foundNow() });
  const strongest = subject ? now.head.strongestOf(subject.side, subject.index, LISTED) : [];
  paintTexts(strongest);
  describe(strongest);
  $("free").disabled = !now.locked;
}

function stepRange() {
  if (!now.step || now.unit === "words") return null;
  const before = now.call.steps.slice(0, now.step - 1).reduce((sum, queries) => sum + queries, 0);
  return [before, before + now.call.steps[now.step - 1]];
}

const oneText = () => now.call.text === now.call.keyText && now.sides.query.first === now.sides.key.first && !now.call.cross;

function showTexts() {
  const one = oneText();
  const { query, key } = now.sides;
  $("key-panel").hidden = one;
  const names = axisNames();
  $("query-text-title").textContent = one ? "Text" : names.queryName;
  $("key-text-title").textContent = names.keyName;
  panels.query.show(query.labels, one ? now.direction : "query", one ? "Text" : names.queryName);
  if (!one) panels.key.show(key.labels, "key", names.keyName);
}

function paintTexts(strongest) {
  const { subject, picture, locked } = now;
  const one = oneText();
  const weights = subject && ((other) => now.head.between(subject.side, subject.index, other));
  const found = foundNow();
  const sinks = now.sinks;
  const share = { scale: weightScale(), locked };
  if (subject) (one ? panels.query : panels[subject.side]).reach(subject.index);
  if (one) {
    panels.query.side = now.direction;
    panels.query.paint({ ...share, weights, subject: subject ? subject.index : null, found: found?.queries, sinks });
  } else {
    for (const [side, panel] of Object.entries(panels)) {
      const own = subject?.side === side;
      if (subject && !own && strongest.length) panel.reach(strongest[0][0]);
      panel.paint({
        ...share, weights: own ? null : weights, subject: own ? subject.index : null,
        found: side === "query" ? found?.queries : found?.keys, sinks: side === "key" ? sinks : null,
      });
    }
  }
}

/** Single weights in text and table: the picture's scale, unless that one is of means. */
function weightScale() {
  if (!pooledNow() || now.cells !== "mean") return now.picture.scale;
  return new Scale(now.shape, now.end === "one" ? 1 : now.head.largestWeight);
}

function describe(strongest) {
  const { head, subject, sides, sinks } = now;
  const scale = weightScale();
  if (!subject) return details.show({ ...tellHead(), rows: [], scale, pair: null });
  const labels = { query: sides.query.labels, key: sides.key.labels };
  const first = { query: sides.query.first, key: 0 };
  const told = tell({ head, subject, labels, first, sinks, strongest, shares: now.massOfAll, merged: head.merged });
  details.show({
    ...told, heading: told.own, subject, scale, other: subject.side === "query" ? "reads" : "is read by",
    pair: tellPair(labels, first),
  });
}

function tellHead() {
  const { call, number, sides } = now;
  const head = call.heads[number];
  const found = Object.entries(FIGURES).filter(([name]) => Number.isFinite(head[name]));
  const facts = found.map(([name, { label, unit }]) => [label, plain(head[name]) + unit]);
  for (const key of now.sinks) facts.push(["Sink ◆", `${quoted(sides.key.labels[key] ?? "")} (${key})`]);
  const size = `${now.head.queries.toLocaleString("en")} queries × ${now.head.keys.toLocaleString("en")} keys`;
  return {
    heading: "This head", facts,
    sentence: `${size}. Point at a token, or move with the arrow keys, to see what it reads. Figures are means over the queries.`,
  };
}

function tellPair(labels, first) {
  const { pair, head } = now;
  if (!pair) return null;
  const weight = head.at(pair.query, pair.key);
  const names = `${quoted(labels.query[pair.query])} (${place(pair.query, first.query)}) → ${quoted(labels.key[pair.key])} (${place(pair.key, 0)})`;
  if (weight === undefined) {
    const mean = head.cellAt(pair.query, pair.key);
    const rest = mean === undefined ? "" : `; its cell's mean is ${digits(mean)}`;
    return `${names}: not among the ${head.k || "weights"}${head.k ? " strongest" : ""} kept${rest}`;
  }
  return `${names}: ${weight === weight ? digits(weight) : "hidden by the mask"}`;
}
