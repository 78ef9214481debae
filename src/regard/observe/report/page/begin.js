// What the overview lists, and the page's beginning.

function showBy(name) {
  overview.by = name;
  overview.paint();
  const { about, unit } = FIGURES[name];
  const [least, most] = overview.span ?? [];
  $("by-scale").textContent = !overview.span ? aboutPictures() : `From ${plain(least)} (faint) to ${plain(most)}${unit} (strong): ${about}.`;
}

function aboutPictures() {
  const what = rows.some(({ call }) => call.grid) ? "Means over parts of the matrix" : "The strongest weights kept";
  return `${what}; the same colours for all ${overview.sections > 1 ? "of a kind" : "heads"} (square root, from 0).`;
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
