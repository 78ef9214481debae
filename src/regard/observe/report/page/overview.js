// Layers × heads at a glance: a small picture or one figure of each head. One tab stop; arrows move, and what they move
// to is opened.

const FIGURES = {
  map: { label: "Picture" },
  entropy: { label: "Entropy", unit: " nats", about: "mean over the queries" },
  strongest: { label: "Strongest weight", unit: "", about: "mean over the queries of each one's largest" },
  distance: { label: "Distance", unit: " positions", about: "mean over the queries" },
  sink: { label: "Share of one key", unit: "", about: "the most that one key got of the head's attention" },
};

class Overview {
  constructor(place, choose) {
    Object.assign(this, { place, choose, by: "map", cells: [] });
    place.addEventListener("keydown", (event) => this.move(event));
  }

  /** Lists the calls, one row each, in sections of a kind (encoder, decoder, ...). */
  show(rows) {
    this.rows = rows;
    this.cells = [];
    this.place.replaceChildren();
    const kinds = [...new Set(rows.map((row) => row.call.kind))];
    this.sections = kinds.length;
    for (const kind of kinds) this.section(kind, rows.filter((row) => row.call.kind === kind), kinds.length > 1);
    this.paint();
  }
  section(kind, rows, named) {
    const section = make("section", { className: "kind" });
    if (named) section.append(make("h3", { textContent: kind, title: kind }));
    const grid = make("div", { className: "heads" });
    grid.setAttribute("role", "grid");
    grid.setAttribute("aria-label", `Heads of ${kind}, a row for each layer`);
    const heads = Math.max(...rows.map((row) => row.call.heads.length));
    grid.style.setProperty("--heads", heads);
    grid.append(this.heading(heads, rows[0].call));
    rows.forEach((row) => grid.append(this.row(row)));
    section.append(grid);
    this.place.append(section);
  }
  heading(heads, call) {
    const row = make("div", { className: "row heading" });
    row.setAttribute("role", "row");
    const every = heads > 16 ? 4 : 1;
    for (let head = -1; head < heads; head++) {
      const number = call.heads[head]?.number ?? head;
      const cell = make("span");
      const unseen = head < 0 || head % every;
      cell.append(make("span", { className: unseen ? "hidden-from-sight" : "", textContent: head < 0 ? "layer" : number }));
      cell.setAttribute("role", "columnheader");
      row.append(cell);
    }
    return row;
  }
  row({ call, layer }) {
    const row = make("div", { className: "row" });
    row.setAttribute("role", "row");
    const header = make("span", { textContent: layer, title: call.name });
    header.setAttribute("role", "rowheader");
    header.setAttribute("aria-label", `layer ${layer}`);
    row.append(header);
    const cells = call.heads.map((head, number) => {
      const cell = make("button", { type: "button", tabIndex: -1 });
      cell.setAttribute("role", "gridcell");
      cell.append(make("canvas", { width: Math.max(1, head.side[1]), height: Math.max(1, head.side[0]) }));
      cell.addEventListener("click", () => this.choose(call, number));
      row.append(cell);
      return cell;
    });
    this.cells.push({ call, layer, cells });
    return row;
  }

  paint() {
    const scalar = this.by !== "map";
    const values = this.rows.flatMap(({ call }) => call.heads.map((head) => head[this.by])).filter(Number.isFinite);
    this.span = scalar && values.length ? [Math.min(...values), Math.max(...values)] : null;
    const tops = new Map();
    for (const { call } of this.rows) {
      tops.set(call.kind, Math.max(tops.get(call.kind) ?? 1e-9, ...call.heads.map((head) => head.thumbnailTop)));
    }
    for (const { call, layer, cells } of this.cells) {
      cells.forEach((cell, number) => {
        const head = call.heads[number];
        const said = describeHead(call, layer, number);
        cell.title = said;
        cell.setAttribute("aria-label", said);
        if (scalar) this.paintFigure(cell.firstChild, head[this.by]);
        else paintThumbnail(cell.firstChild, head, new Scale("root", tops.get(call.kind)));
      });
    }
  }
  paintFigure(canvas, value) {
    const brush = canvas.getContext("2d");
    brush.clearRect(0, 0, canvas.width, canvas.height);
    if (!Number.isFinite(value)) return;
    const [least, most] = this.span;
    brush.fillStyle = new Scale("even", 1).colour(most > least ? (value - least) / (most - least) : 0.5);
    brush.fillRect(0, 0, canvas.width, canvas.height);
  }

  /** Marks the head that is shown; only it is in the tab order. */
  mark(call, number) {
    for (const row of this.cells) {
      row.cells.forEach((cell, head) => {
        const here = row.call === call && head === number;
        cell.setAttribute("aria-selected", String(here));
        cell.tabIndex = here ? 0 : -1;
      });
    }
  }
  move(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const at = this.cells.findIndex((row) => row.cells.includes(event.target));
    if (at < 0) return;
    const head = this.cells[at].cells.indexOf(event.target);
    let [row, column] = [at, head];
    if (steps[event.key]) [row, column] = [at + steps[event.key][0], head + steps[event.key][1]];
    else if (event.key === "Home") column = 0;
    else if (event.key === "End") column = this.cells[at].cells.length - 1;
    else return;
    event.preventDefault();
    row = Math.min(Math.max(row, 0), this.cells.length - 1);
    column = Math.min(Math.max(column, 0), this.cells[row].cells.length - 1);
    this.choose(this.cells[row].call, column);
    this.cells[row].cells[column].focus();
  }
}

function describeHead(call, layer, number) {
  const head = call.heads[number];
  const figures = Object.entries(FIGURES)
    .filter(([name]) => Number.isFinite(head[name]))
    .map(([name, { label, unit }]) => `${label.toLowerCase()} ${plain(head[name])}${unit}`);
  const sinks = head.sinks?.length ? [`attention sink at position ${head.sinks.join(", ")}`] : [];
  return [`Layer ${layer}, head ${head.number}`, ...figures, ...sinks].join("; ");
}

const plain = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(2));

/** A head's small picture; what the mask hides is left open. */
function paintThumbnail(canvas, head, scale) {
  if (!head.levels?.length) return;
  const brush = canvas.getContext("2d");
  const image = brush.createImageData(canvas.width, canvas.height);
  weightsOf(head.levels, head.thumbnailTop, payload.pooledExponent).forEach((weight, i) => {
    if (weight !== weight) return;
    const at = 3 * scale.step(weight);
    for (let part = 0; part < 3; part++) image.data[4 * i + part] = ramp()[at + part];
    image.data[4 * i + 3] = 255;
  });
  brush.putImageData(image, 0, 0);
}

/** Thumbnails travel together, one after the other. */
async function openThumbnails() {
  const levels = await inflated(payload.thumbnails);
  let at = 0;
  for (const call of payload.calls) {
    for (const head of call.heads) {
      const size = head.side[0] * head.side[1];
      head.levels = levels.subarray(at, (at += size));
    }
  }
}

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
