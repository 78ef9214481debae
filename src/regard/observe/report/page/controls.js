// What hands do: point, click, type, drag. Each changes `now` and has the page follow.

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
