// The scale, with its numbers, and what the other grounds mean: on the page and in saved pictures.

const LEGEND = 66; // pixels it is high

function paintLegend() {
  const canvas = $("legend");
  const width = Math.min(420, $("matrix").clientWidth);
  drawLegend(pen(canvas, width, LEGEND), 0, 0, width);
  const { scale } = now.picture;
  canvas.setAttribute("aria-label", `Scale: ${legendName()}, from 0 to ${digits(scale.top)}${swatches().map(([, words]) => `; ${words}`).join("")}`);
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
}

function swatches() {
  const { head, picture } = now;
  const found = [];
  if (head.hides) found.push(["hidden", "hidden by the mask"]);
  if (!head.whole && (picture.largest || !head.grid)) found.push(["unknown", `not among the ${head.k} strongest`]);
  if (now.sinks.length) found.push(["sink", "sink"]);
  return found;
}
