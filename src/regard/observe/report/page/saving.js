// The picture as a file: the same strokes with either pen, under a title and above the scale.

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
