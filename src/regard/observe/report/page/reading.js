// The text beside the picture: tokens painted by what the chosen one reads (or by who reads it), and the same in words
// and figures. Long texts show the part around the chosen token.

const AROUND = 300; // tokens shown on either side of the chosen one in a long text
const LISTED = 8;

class TextPanel {
  constructor(list, side, events) {
    Object.assign(this, { list, side, spans: [], from: 0, active: 0 });
    list.addEventListener("pointerover", (event) => this.pointed(event, events.hover));
    list.addEventListener("pointerleave", () => events.leave());
    list.addEventListener("click", (event) => this.pointed(event, events.lock));
    list.addEventListener("keydown", (event) => this.key(event, events));
    list.addEventListener("focus", () => this.labels.length && events.hover(this.side, this.active));
    this.events = events;
  }
  pointed(event, then) {
    const at = this.spans.indexOf(event.target.closest(".token"));
    if (at >= 0) then(this.side, this.from + at);
  }
  key(event, events) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -1e9, End: 1e9 };
    if (steps[event.key]) {
      this.active = Math.min(Math.max(this.active + steps[event.key], 0), this.labels.length - 1);
      events.walk(this.side, this.active);
    } else if (event.key === "Enter" || event.key === " ") events.lock(this.side, this.active);
    else return;
    event.preventDefault();
  }
  show(labels, side, name) {
    Object.assign(this, { labels, side, active: Math.min(this.active, Math.max(labels.length - 1, 0)) });
    this.list.setAttribute("aria-label", name);
    this.fill(0);
  }
  fill(around) {
    const { labels } = this;
    const all = labels.length <= 3 * AROUND;
    const from = all ? 0 : Math.max(0, Math.min(around - AROUND, labels.length - 2 * AROUND));
    this.to = all ? labels.length : Math.min(labels.length, from + 2 * AROUND);
    this.from = from;
    this.spans = labels.slice(from, this.to).map((label, i) => {
      const span = make("span", { className: "token", id: `${this.list.id}-${from + i}`, dir: "auto" });
      span.textContent = label;
      span.setAttribute("role", "option");
      span.setAttribute("aria-selected", "false");
      return span;
    });
    this.list.replaceChildren(...this.spans.flatMap((span) => [span, " "]));
    const part = all ? "" : `tokens ${from.toLocaleString("en")} to ${(this.to - 1).toLocaleString("en")} of `;
    this.list.previousElementSibling.querySelector(".part").textContent =
      `${part}${labels.length.toLocaleString("en")}`;
    this.painted = [];
  }
  /** Brings a token into the part that is shown. */
  reach(index) {
    if (index < this.from || index >= this.to) this.fill(index);
  }
  /** Paints the weight that `weights` gives for each token shown; marks the subject, the matches and the sinks. */
  paint({ weights, scale, subject, locked, found, sinks }) {
    for (const span of this.painted) {
      span.removeAttribute("style");
      span.className = "token";
      span.setAttribute("aria-selected", "false");
    }
    this.painted = [];
    const touch = (index, change) => {
      const span = this.spans[index - this.from];
      if (!span) return;
      change(span);
      this.painted.push(span);
    };
    for (let index = this.from; weights && index < this.to; index++) {
      const weight = weights(index);
      if (weight >= 0) touch(index, (span) => this.colour(span, scale, weight));
    }
    found?.forEach((index) => touch(index, (span) => span.classList.add("found")));
    sinks?.forEach((index) => touch(index, (span) => span.classList.add("sink")));
    if (subject === null) return this.list.removeAttribute("aria-activedescendant");
    this.active = subject;
    touch(subject, (span) => {
      span.classList.add("subject");
      span.setAttribute("aria-selected", String(locked));
    });
    this.list.setAttribute("aria-activedescendant", `${this.list.id}-${subject}`);
  }
  colour(span, scale, weight) {
    span.style.backgroundColor = scale.colour(weight);
    span.style.color = scale.inkOn(weight);
  }
  scrollTo(index) {
    const span = this.spans[index - this.from];
    if (!span) return;
    const { list } = this;
    const at = span.offsetTop - list.offsetTop;
    if (at < list.scrollTop || at + span.offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTop = at - list.clientHeight / 2;
    }
  }
}

const quoted = (label) => `“${label.length > 60 ? `${label.slice(0, 60)}…` : label}”`;
const place = (index, first) => (index + first).toLocaleString("en");

/** Everything that is said of one token: a sentence, facts, and the strongest as rows for a table. */
function tell({ head, subject, labels, first, sinks, strongest: most, shares, merged }) {
  const query = subject.side === "query";
  const other = query ? "key" : "query";
  const own = labels[subject.side][subject.index] ?? "";
  const rows = most.map(([index, weight]) => ({
    label: labels[other][index], place: place(index, first[other]), weight,
  }));
  const strongest = rows.filter(({ weight }) => weight > 0).slice(0, 3)
    .map(({ label, place, weight }) => `${quoted(label)} (${place}) ${digits(weight)}`).join(", ");
  const who = `${quoted(own)} (${place(subject.index, first[subject.side])})`;
  const partly = head.whole ? "" : query ? ` of ${head.k} strongest kept` : `, among each query's ${head.k} strongest`;
  const sentence = strongest
    ? `${who} ${query ? "reads most from" : "is read most by"} ${strongest}${query ? "" : partly}.`
    : `${who} ${query ? "reads nothing" : "is read by none"} that was kept.`;
  return { own, sentence, facts: facts({ head, subject, most, sinks, shares, merged }), rows };
}

function facts({ head, subject, most, sinks, shares, merged }) {
  const { side, index } = subject;
  const found = [];
  if (side === "query") {
    const listed = most.reduce((sum, [, weight]) => sum + weight, 0);
    if (most.length) found.push([`Its ${most.length} strongest`, `${digits(listed)} of all`]);
    if (head.entropy) {
      const wide = Math.exp(head.entropy[index]);
      found.push(["Entropy", `${head.entropy[index].toFixed(2)} nats, as ${plain(wide)} equal keys`]);
    }
    if (head.distance) found.push(["Distance", `${plain(head.distance[index])} positions`]);
  } else {
    if (head.mass) found.push(["Mass it got", `${plain(head.mass[index])}, ${percent(head.mass[index], shares)} of the head's`]);
    if (sinks.includes(index)) found.push(["Attention sink", "more goes here than meaning asks for, as a rule"]);
  }
  if (merged && !head.whole) found.push(["By words", "sums of the weights kept: at least"]);
  return found;
}

function percent(part, all) {
  const share = (100 * part) / (all || 1);
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
}

/** The panel in words and figures. */
class Details {
  constructor(place, live) {
    Object.assign(this, { place, live });
  }
  show({ heading, sentence, facts, rows, subject, other, pair, scale }) {
    const list = make("dl");
    for (const [term, said] of facts) list.append(make("dt", { textContent: term }), make("dd", { textContent: said }));
    const head = make("h2", { textContent: heading, dir: "auto", title: heading.slice(0, 200) });
    head.className = subject ? "token-name" : "";
    const parts = [head, make("p", { className: "sentence", textContent: sentence }), list];
    if (rows.length) parts.push(this.table(rows, other, scale));
    if (pair) parts.push(make("p", { className: "pair", textContent: pair }));
    this.place.replaceChildren(...parts);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => (this.live.textContent = pair ? `${pair} ${sentence}` : sentence), 250);
  }
  table(rows, other, scale) {
    const table = make("table");
    const title = table.createTHead().insertRow();
    for (const name of [other, "place", "weight"]) title.append(make("th", { scope: "col", textContent: name }));
    const body = table.createTBody();
    for (const { label, place, weight } of rows) {
      const row = body.insertRow();
      row.append(make("th", { scope: "row", textContent: label, dir: "auto", title: label.slice(0, 200) }));
      row.append(make("td", { textContent: place }));
      const cell = make("td", { className: "weight" });
      const bar = make("span", { className: "bar" });
      bar.style.width = `${Math.min(100, 100 * weight)}%`;
      bar.style.backgroundColor = scale.colour(weight);
      cell.append(make("span", { className: "number", textContent: digits(weight) }), bar);
      row.append(cell);
    }
    return table;
  }
}
