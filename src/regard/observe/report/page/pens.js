// Two pens that draw the same picture: one on a canvas, one as SVG. The picture knows only their strokes.

const FONT = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';

class CanvasPen {
  constructor(canvas, width, height, density) {
    canvas.width = Math.max(1, Math.round(width * density));
    canvas.height = Math.max(1, Math.round(height * density));
    this.density = density;
    this.brush = canvas.getContext("2d");
    this.brush.setTransform(density, 0, 0, density, 0, 0);
    this.brush.clearRect(0, 0, width, height);
  }
  rectangle(x, y, width, height, fill) {
    this.brush.fillStyle = fill;
    this.brush.fillRect(x, y, width, height);
  }
  frame(x, y, width, height, stroke, thick = 1) {
    this.brush.strokeStyle = stroke;
    this.brush.lineWidth = thick;
    this.brush.strokeRect(x, y, width, height);
  }
  line(points, stroke, thick = 1) {
    this.brush.strokeStyle = stroke;
    this.brush.lineWidth = thick;
    this.brush.beginPath();
    points.forEach(([x, y], i) => (i ? this.brush.lineTo(x, y) : this.brush.moveTo(x, y)));
    this.brush.stroke();
  }
  area(points, fill) {
    this.brush.fillStyle = fill;
    this.brush.beginPath();
    points.forEach(([x, y], i) => (i ? this.brush.lineTo(x, y) : this.brush.moveTo(x, y)));
    this.brush.fill();
  }
  text(words, x, y, { size = 12, fill, anchor = "start", weight = 400, turn = 0 } = {}) {
    this.brush.save();
    this.brush.translate(x, y);
    this.brush.rotate((turn * Math.PI) / 180);
    this.brush.font = `${weight} ${size}px ${FONT}`;
    this.brush.fillStyle = fill;
    this.brush.textAlign = { start: "left", middle: "center", end: "right" }[anchor];
    this.brush.textBaseline = "alphabetic";
    this.brush.fillText(words, 0, 0);
    this.brush.restore();
  }
  hatch(x, y, width, height, ground, ink) {
    this.rectangle(x, y, width, height, ground);
    this.brush.save();
    this.brush.beginPath();
    this.brush.rect(x, y, width, height);
    this.brush.clip();
    this.brush.strokeStyle = ink;
    this.brush.lineWidth = 1;
    this.brush.beginPath();
    for (let offset = -height; offset < width; offset += 6) {
      this.brush.moveTo(x + offset, y + height);
      this.brush.lineTo(x + offset + height, y);
    }
    this.brush.stroke();
    this.brush.restore();
  }
  image(canvas, x, y, width, height) {
    this.brush.imageSmoothingEnabled = false;
    this.brush.drawImage(canvas, x, y, width, height);
  }
}

class SvgPen {
  constructor(width, height, title, description) {
    this.root = this.element("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    this.root.append(this.element("title", {}, title), this.element("desc", {}, description));
    this.density = 2;
    this.hatches = 0;
  }
  element(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
    }
    if (text !== undefined) made.textContent = text;
    return made;
  }
  add(name, attributes, text) {
    this.root.append(this.element(name, attributes, text));
  }
  rectangle(x, y, width, height, fill) {
    this.add("rect", { x, y, width, height, fill });
  }
  frame(x, y, width, height, stroke, thick = 1) {
    this.add("rect", { x, y, width, height, fill: "none", stroke, "stroke-width": thick });
  }
  line(points, stroke, thick = 1) {
    this.add("polyline", { points: this.points(points), fill: "none", stroke, "stroke-width": thick });
  }
  area(points, fill) {
    this.add("polygon", { points: this.points(points), fill });
  }
  points(points) {
    return points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  }
  text(words, x, y, { size = 12, fill, anchor = "start", weight = 400, turn = 0 } = {}) {
    const place = turn ? { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn})` } : { x, y };
    const style = { "font-family": FONT, "font-size": size, "font-weight": weight, fill, "text-anchor": anchor };
    this.add("text", { ...place, ...style, "xml:space": "preserve" }, words);
  }
  hatch(x, y, width, height, ground, ink) {
    const id = `hatch${this.hatches++}`;
    const pattern = this.element("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(this.element("rect", { width: 6, height: 6, fill: ground }));
    pattern.append(this.element("path", { d: "M-1,1 L1,-1 M0,6 L6,0 M5,7 L7,5", stroke: ink, "stroke-width": 1 }));
    this.root.append(pattern);
    this.add("rect", { x, y, width, height, fill: `url(#${id})` });
  }
  image(canvas, x, y, width, height) {
    const href = canvas.toDataURL("image/png");
    this.add("image", { href, x, y, width, height, preserveAspectRatio: "none", "image-rendering": "pixelated" });
  }
  written() {
    return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(this.root)}`;
  }
}
