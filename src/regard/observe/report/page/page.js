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

// ---- the scale, with its numbers ----

function paintLegend() {
  const canvas = $("legend");
  const width = Math.min(420, $("matrix").clientWidth);
  const height = drawLegend(pen(canvas, width, 62), 0, 0, width);
  canvas.style.height = `${height}px`;
  pen(canvas, width, height);
  drawLegend(pen(canvas, width, height), 0, 0, width);
  const { scale } = now.picture;
  canvas.setAttribute("aria-label", `Scale: ${legendName()}, from 0 to ${digits(scale.top)}; hatched pairs are hidden by the mask`);
}

function legendName() {
  const shape = { even: "even", root: "square root", log: `logarithmic, ${DECADES} decades` }[now.shape];
  return `${pooledNow() && now.cells === "mean" ? "mean weight of a cell" : "weight α"} (${shape})`;
}

function drawLegend(pen, x, y, width) {
  const ink = inks();
  const { scale } = now.picture;
  const long = Math.min(width - 40, 300);
  pen.text(legendName(), x + 6, y + 11, { size: 11, fill: ink.faint });
  for (let i = 0; i < 100; i++) {
    pen.rectangle(x + 6 + (i * long) / 100, y + 17, long / 100 + 0.5, 11, scale.colour(scale.weight((i + 0.5) / 100)));
  }
  pen.frame(x + 6, y + 17, long, 11, ink.line);
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    const words = (at === 0 && now.shape === "log" ? "≤ " : "") + digits(scale.weight(at));
    pen.text(words, x + 6 + at * long, y + 41, { size: 10.5, fill: ink.faint, anchor: at === 0 ? "start" : "middle" });
  }
  let right = x + 6;
  for (const [kind, words] of swatches()) {
    const wide = measure(words, 11) + 34;
    if (kind === "sink") now.picture.diamond(pen, right + 9, y + 55);
    else if (kind === "hidden") pen.hatch(right, y + 49, 18, 12, ink.paper, ink.hatch);
    else pen.rectangle(right, y + 49, 18, 12, ink.unknown);
    if (kind !== "sink") pen.frame(right, y + 49, 18, 12, ink.line);
    pen.text(words, right + 23, y + 59, { size: 11, fill: ink.faint });
    right += wide;
  }
  return 66;
}

function swatches() {
  const { head, picture } = now;
  const found = [];
  if (head.grid) found.push(["hidden", "hidden by the mask"]);
  if (!head.whole && (picture.largest || !head.grid)) found.push(["unknown", `not among the ${head.k} strongest`]);
  if (now.sinks.length) found.push(["sink", "sink"]);
  return found;
}

// ---- a token isolated, locked, found ----

function isolate(side, index, pair = null) {
  now.subject = side ? { side, index } : null;
  now.pair = pair;
  soon(follow);
}

function lock(side, index) {
  const same = now.locked && now.subject?.side === side && now.subject.index === index;
  now.locked = !same;
  isolate(side, index, now.pair);
}

function free() {
  now.locked = false;
  isolate(null);
}

/** Brings what was walked to into the picture and the text. */
function reveal() {
  const { subject, picture, pair } = now;
  const at = pair ?? (subject.side === "query" ? { query: subject.index, key: null } : { query: null, key: subject.index });
  const { window } = picture;
  const before = { ...window };
  picture.reveal({ query: at.query ?? Math.floor((window.q0 + window.q1) / 2), key: at.key ?? Math.floor((window.k0 + window.k1) / 2) });
  if (before.q0 !== window.q0 || before.k0 !== window.k0) draw();
  const panel = oneText() ? panels.query : panels[subject.side];
  panel.reach(subject.index);
  panel.scrollTo(subject.index);
}

function find(go) {
  const wanted = $("find").value.trim().toLowerCase();
  const matching = (labels) => labels.flatMap((label, i) => (label.toLowerCase().includes(wanted) ? [i] : []));
  const queries = wanted ? matching(now.sides.query.labels) : [];
  const keys = !wanted ? [] : oneText() ? queries : matching(now.sides.key.labels);
  now.sets = wanted ? { queries, keys } : null;
  now.found = [...queries.map((i) => ["query", i]), ...(oneText() ? [] : keys.map((i) => ["key", i]))];
  now.foundAt = -1;
  $("matches").textContent = wanted ? (now.found.length ? `${now.found.length.toLocaleString("en")} found` : "none") : "";
  if (go && now.found.length) toMatch(1);
  else if (go) soon(follow);
}
const foundNow = () => now.sets && { queries: now.sets.queries.slice(0, 5000), keys: now.sets.keys.slice(0, 5000) };

function toMatch(by) {
  if (!now.found.length) return;
  now.foundAt = (now.foundAt + by + now.found.length + (now.foundAt < 0 && by < 0 ? 1 : 0)) % now.found.length;
  const [side, index] = now.found[now.foundAt];
  $("matches").textContent = `${(now.foundAt + 1).toLocaleString("en")} of ${now.found.length.toLocaleString("en")}`;
  now.locked = true;
  isolate(oneText() ? now.direction : side, index);
  reveal();
}

// ---- controls ----

function setUnit(unit) {
  now.unit = unit;
  for (const input of $("units").querySelectorAll("input")) input.checked = input.value === unit;
}
function setDirection(direction) {
  now.direction = direction;
  for (const input of $("directions").querySelectorAll("input")) input.checked = input.value === direction;
  if (now.subject && (oneText() || now.pair)) {
    now.subject = { side: direction, index: now.pair ? now.pair[direction] : now.subject.index };
  }
  soon(follow);
}

function step(number) {
  now.step = number;
  $("step").value = number;
  const range = stepRange();
  $("step-said").textContent = range ? `${number} of ${now.call.steps.length}` : "all";
  now.locked = Boolean(range) && range[1] - range[0] === 1;
  if (now.locked) {
    isolate("query", range[0]);
    reveal();
  } else isolate(null);
}

function zoom(times, x, y) {
  now.picture.zoom(times, x, y);
  soon(draw);
}
function fit() {
  now.picture.window = { ...now.picture.whole };
  soon(draw);
}

function neighbour(by) {
  const heads = rows.flatMap(({ call }) => call.heads.map((_, number) => [call, number]));
  const at = heads.findIndex(([call, number]) => call === now.call && number === now.number);
  choose(...heads[(at + by + heads.length) % heads.length]);
}

function wire() {
  $("units").addEventListener("change", (event) => { setUnit(event.target.value); now.subject = null; refresh(); });
  $("directions").addEventListener("change", (event) => setDirection(event.target.value));
  for (const name of ["shape", "end"]) $(name).addEventListener("change", (event) => { now[name] = event.target.value; draw(); });
  $("cells").addEventListener("change", (event) => { now.cells = event.target.value; refresh(); });
  $("by").addEventListener("change", (event) => showBy(event.target.value));
  $("call").addEventListener("change", (event) => showCalls(Number(event.target.value)));
  $("find").addEventListener("input", () => find(true));
  $("find").addEventListener("keydown", (event) => {
    if (event.key === "Enter") toMatch(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") free();
  });
  $("next").addEventListener("click", () => toMatch(1));
  $("previous").addEventListener("click", () => toMatch(-1));
  $("step").addEventListener("input", (event) => step(Number(event.target.value)));
  $("closer").addEventListener("click", () => zoom(1.6));
  $("farther").addEventListener("click", () => zoom(1 / 1.6));
  $("fit").addEventListener("click", fit);
  $("free").addEventListener("click", () => { free(); $("matrix").focus(); });
  $("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  $("save-png").addEventListener("click", savePng);
  $("save-svg").addEventListener("click", saveSvg);
  $("matrix").addEventListener("keydown", matrixKey);
  $("matrix").addEventListener("focus", () => $("matrix").matches(":focus-visible") && !now.pair && walk(0, 0));
  document.addEventListener("keydown", (event) => event.key === "Escape" && free());
  wirePointer($("cursor"));
  new ResizeObserver(() => now.picture && soon(draw)).observe($("matrix"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
}

function walk(right, down) {
  const { head } = now;
  const at = now.pair ?? { query: now.subject?.side === "query" ? now.subject.index : 0, key: now.subject?.side === "key" ? now.subject.index : 0 };
  const pair = {
    query: Math.min(Math.max(at.query + down, 0), head.queries - 1),
    key: Math.min(Math.max(at.key + right, 0), head.keys - 1),
  };
  const subject = now.locked ? now.subject : { side: now.direction, index: pair[now.direction] };
  isolate(subject.side, subject.index, pair);
  reveal();
}

function matrixKey(event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], PageUp: [0, -10], PageDown: [0, 10], Home: [-1e9, 0], End: [1e9, 0] };
  const commands = {
    Enter: () => now.subject && lock(now.subject.side, now.subject.index),
    " ": () => now.subject && lock(now.subject.side, now.subject.index),
    "+": () => zoomHere(1.6), "=": () => zoomHere(1.6), "-": () => zoomHere(1 / 1.6), "−": () => zoomHere(1 / 1.6), 0: fit,
    "[": () => neighbour(-1), "]": () => neighbour(1),
    n: () => toMatch(1), N: () => toMatch(-1),
    d: () => setDirection(now.direction === "query" ? "key" : "query"),
    w: () => !$("units").querySelector("input").disabled && (setUnit(now.unit === "words" ? "pieces" : "words"), refresh()),
  };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const move = moves[event.key];
  if (move && event.shiftKey) pan(0.15 * Math.sign(move[0]), 0.15 * Math.sign(move[1]));
  else if (move) walk(...move);
  else if (commands[event.key] ?? commands[event.key.toLowerCase()]) (commands[event.key] ?? commands[event.key.toLowerCase()])();
  else return;
  event.preventDefault();
}

/** Zooms about the cursor's pair where there is one. */
function zoomHere(times) {
  zoom(times);
  if (now.pair) now.picture.reveal(now.pair);
}
function pan(shareRight, shareDown) {
  const { window } = now.picture;
  now.picture.pan(shareRight * (window.k1 - window.k0), shareDown * (window.q1 - window.q0));
  soon(draw);
}

function wirePointer(canvas) {
  let grabbed = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    grabbed = { from: at(event), moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    const { picture } = now;
    if (grabbed && picture.zoomed && (grabbed.moved || Math.hypot(x - grabbed.from[0], y - grabbed.from[1]) > 4)) {
      canvas.classList.add("moving");
      picture.pan((grabbed.from[0] - x) / picture.cellWidth, (grabbed.from[1] - y) / picture.cellHeight);
      grabbed = { from: [x, y], moved: true };
      return soon(draw);
    }
    point(picture.pairAt(x, y));
  });
  canvas.addEventListener("pointerup", (event) => {
    const pair = now.picture.pairAt(...at(event));
    if (grabbed && !grabbed.moved && pair) {
      now.pair = pair;
      lock(now.direction, pair[now.direction]);
    }
    grabbed = null;
    canvas.classList.remove("moving");
  });
  canvas.addEventListener("pointercancel", () => (grabbed = null));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("dblclick", (event) => zoomAt(event, 2, at));
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) zoomAt(event, Math.exp(-event.deltaY / 250), at);
    else if (now.picture.zoomed) pan(event.deltaX / 800, event.deltaY / 800);
    else return;
    event.preventDefault();
  }, { passive: false });
}

function zoomAt(event, times, at) {
  const { plot } = now.picture;
  const [x, y] = at(event);
  const share = (value) => Math.min(Math.max(value, 0), 1);
  zoom(times, share((x - plot.x) / plot.width), share((y - plot.y) / plot.height));
  event.preventDefault();
}

function point(pair) {
  if (now.locked) isolate(now.subject.side, now.subject.index, pair);
  else if (pair) isolate(now.direction, pair[now.direction], pair);
  else isolate(null);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  recolour();
}
function recolour() {
  newPalette();
  $("theme").textContent = isDark() ? "Light" : "Dark";
  overview.paint();
  showBy(overview.by);
  if (now.picture) draw();
}

// ---- saving ----

/** The picture with title, scale and caveat, drawn by either pen. */
function drawForSaving(makePen) {
  const picture = Object.assign(Object.create(Picture.prototype), now.picture);
  picture.layout(960, 1000);
  const [above, below] = [64, 96];
  const [width, height] = [picture.width, picture.height + above + below];
  const pen = makePen(width, height);
  const ink = inks();
  pen.rectangle(0, 0, width, height, ink.paper);
  shift(picture, above);
  picture.height += above;
  picture.paint(pen);
  picture.paintCursor(pen, { subject: now.subject, pair: null, step: stepRange(), found: foundNow() });
  pen.text(clipped(payload.title, 20, width - 32), 16, 30, { size: 20, weight: 680, fill: ink.ink });
  pen.text(clipped(`${$("head-title").textContent} · ${now.call.name}`, 12.5, width - 32), 16, 50, { size: 12.5, fill: ink.faint });
  drawLegend(pen, 10, picture.height + 4, width);
  pen.text("Attention shows where information was read, not why the output was produced.", 16, height - 12, { size: 11, fill: ink.faint });
  return pen;
}

function shift(picture, by) {
  picture.plot = { ...picture.plot, y: picture.plot.y + by };
  picture.above = by;
}

const fileName = () => `attention-layer-${layerOf(now.call)}-head-${now.call.heads[now.number].number}`.replace(/[^\w.-]+/g, "-");

function savePng() {
  const canvas = document.createElement("canvas");
  drawForSaving((width, height) => new CanvasPen(canvas, width, height, 2));
  canvas.toBlob((blob) => download(blob, `${fileName()}.png`), "image/png");
}
function saveSvg() {
  const pen = drawForSaving((width, height) => new SvgPen(width, height, payload.title, $("details").textContent));
  download(new Blob([pen.written()], { type: "image/svg+xml" }), `${fileName()}.svg`);
}
function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- the overview's choices ----

function showBy(name) {
  overview.by = name;
  overview.paint();
  const { about, unit } = FIGURES[name];
  const [least, most] = overview.span ?? [];
  $("by-scale").textContent = !overview.span ? `Means over parts of the matrix; the same colours for all ${overview.sections > 1 ? "of a kind" : "heads"} (square root, from 0).` : `From ${plain(least)} (faint) to ${plain(most)}${unit} (strong): ${about}.`;
}

/** The calls listed: of a module called several times, the one chosen. Layers are named by the number that differs. */
function showCalls(number) {
  const byName = Map.groupBy ? Map.groupBy(payload.calls, (call) => call.name) : grouped(payload.calls);
  const chosen = [...byName.values()].map((calls) => calls[Math.min(number, calls.length - 1)]);
  rows = chosen.map((call) => ({ call, layer: layerName(call, chosen.filter((other) => other.kind === call.kind)) }));
  overview.show(rows);
  showBy(overview.by);
  choose(rows[0].call, 0);
}
function grouped(calls) {
  const found = new Map();
  for (const call of calls) found.set(call.name, [...(found.get(call.name) ?? []), call]);
  return found;
}
function layerName(call, others) {
  if (!call.numbers.length) return String(others.indexOf(call));
  const differs = call.numbers.findIndex((number, i) => others.some((other) => other.numbers[i] !== number));
  return String(call.numbers[Math.max(differs, 0)]);
}

async function begin() {
  texts = await openTexts();
  const { calls, unread, sink } = payload;
  for (const [name, { label }] of Object.entries(FIGURES)) {
    const known = name === "map" || calls.some((call) => call.heads.some((head) => Number.isFinite(head[name])));
    if (known) $("by").append(make("option", { value: name, textContent: label }));
  }
  const most = Math.max(...calls.map((call) => call.call)) + 1;
  for (let i = 0; i < most; i++) $("call").append(make("option", { value: String(i), textContent: String(i) }));
  $("call-choice").hidden = most < 2;
  $("sink-share").textContent = `${Math.round(100 * sink)} %`;
  $("rows-are").textContent = payload.rows;
  $("unread").hidden = !unread.length;
  $("unread").querySelector("summary").textContent = `Not read: ${unread.length} of the model's attentions`;
  $("unread").querySelector("ul").append(...unread.map(([name, why]) => make("li", { textContent: `${name}: ${why}` })));
  $("theme").textContent = isDark() ? "Light" : "Dark";
  wire();
  showCalls(0);
  $("sizes").textContent = sizes();
  await openThumbnails();
  overview.paint();
  document.documentElement.dataset.ready = "true";
}

function sizes() {
  const heads = rows.reduce((sum, { call }) => sum + call.heads.length, 0);
  const tokens = texts.map(({ tokens }) => tokens.length).filter(Boolean).map((n) => n.toLocaleString("en"));
  const counted = tokens.length ? ` · ${tokens.join(" and ")} tokens` : "";
  return `${rows.length} ${rows.length === 1 ? "attention layer" : "attention layers"} · ${heads} ${heads === 1 ? "head" : "heads"}${counted}`;
}

begin();
