// From weights to colours: one scale for everything that shows weights, its numbers beside it, and the page's inks.

const RAMPS = payload.ramps.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
const DECADES = 4; // of a logarithmic scale

const INKS = {
  light: {
    paper: "#ffffff", ink: "#1d1b26", faint: "#625f70", line: "#d9d6e0", accent: "#7b2a83", unknown: "#f1eff4",
    hatch: "#b7b2c4", veil: "rgba(255,255,255,0.74)", strip: "#9b95ad", match: "#0072b2",
  },
  dark: {
    paper: "#191820", ink: "#eceaf2", faint: "#a8a4b6", line: "#3a3846", accent: "#f0a3d2", unknown: "#24232d",
    hatch: "#565366", veil: "rgba(25,24,32,0.74)", strip: "#7f7a94", match: "#56b4e9",
  },
};

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
// Asked for at every pixel: looked up again only when the theme changes.
let palette;
function newPalette() {
  palette = isDark() ? { inks: INKS.dark, ramp: RAMPS[1] } : { inks: INKS.light, ramp: RAMPS[0] };
}
newPalette();
const inks = () => palette.inks;
const ramp = () => palette.ramp;

/** A scale: how far along the ramp, 0 to 255, a weight lies. `shape` is even, root or log; `top` is where it ends. */
class Scale {
  constructor(shape, top) {
    this.shape = shape;
    this.top = top;
  }
  step(weight) {
    const share = Math.min(Math.max(weight / this.top, 0), 1);
    if (this.shape === "root") return Math.round(255 * Math.sqrt(share));
    if (this.shape === "log") return share > 0 ? Math.round(255 * Math.max(0, 1 + Math.log10(share) / DECADES)) : 0;
    return Math.round(255 * share);
  }
  /** The weight that lies this far, 0 to 1, along the ramp. */
  weight(place) {
    if (this.shape === "root") return this.top * place * place;
    if (this.shape === "log") return this.top * Math.pow(10, DECADES * (place - 1));
    return this.top * place;
  }
  colour(weight) {
    const at = 3 * this.step(weight);
    return `rgb(${ramp()[at]}, ${ramp()[at + 1]}, ${ramp()[at + 2]})`;
  }
  /** Black or white, whichever reads better on a weight's colour. */
  inkOn(weight) {
    const at = 3 * this.step(weight);
    const [r, g, b] = [0, 1, 2].map((i) => {
      const part = ramp()[at + i] / 255;
      return part <= 0.04045 ? part / 12.92 : Math.pow((part + 0.055) / 1.055, 2.4);
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
  }
}

/** A weight in digits: three of them where it is small, never a bare 0 for what is not. */
function digits(weight) {
  if (weight === 0) return "0";
  if (weight >= 0.0995) return weight.toFixed(2);
  if (weight >= 0.001) return weight.toFixed(3);
  if (weight >= 0.0001) return weight.toFixed(4);
  return weight.toExponential(0).replace("e-", "e−");
}
