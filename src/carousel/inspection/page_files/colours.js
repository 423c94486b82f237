// From numbers to colours: maps that grey print can be read by, in light and dark.
//
// Brightness alone orders the values of either map. Gates go from the ground's brightness to its
// opposite. Values with a sign go from dark (negative) over a middle grey (zero) to bright
// (positive), whatever the theme; blue and amber say the same to whoever sees colours.

/** OKLCH to a packed pixel (little end first: red, green, blue, opaque). */
function pixel(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const [red, green, blue] = linear.map((x) => {
    const bounded = clamp(x, 0, 1);
    const curved = bounded <= 0.0031308 ? 12.92 * bounded : 1.055 * bounded ** (1 / 2.4) - 0.055;
    return Math.round(255 * curved);
  });
  return (255 << 24) | (blue << 16) | (green << 8) | red;
}

const SHADES = 256;

const shades = (shade) => Int32Array.from({ length: SHADES }, (_, k) => shade(k / (SHADES - 1)));

/** 256 shades from 0 to 1. */
const sequential = (dark) =>
  shades((x) => {
    if (dark) return pixel(0.2 + 0.74 * x, 0.02 + 0.11 * Math.sin(Math.PI * x ** 0.8), 262 - 40 * x);
    return pixel(0.975 - 0.7 * x, 0.01 + 0.12 * Math.sin(0.78 * Math.PI * x), 225 + 40 * x);
  });

/** 256 shades from -1 to 1. */
const diverging = () =>
  shades((x) => {
    const signed = 2 * x - 1;
    const chroma = 0.13 * Math.abs(signed) ** 0.7;
    return pixel(0.62 + 0.32 * signed, chroma, signed < 0 ? 262 : 70 + 25 * signed);
  });

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null; // "light" or "dark", once somebody chose

const isDark = () => (chosenTheme ? chosenTheme === "dark" : systemIsDark.matches);

let palette = null;

/** The maps and the inks of the current theme. */
function colours() {
  if (palette) return palette;
  const probe = document.getElementById("probe");
  const ink = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  palette = { sequential: sequential(isDark()), diverging: diverging() };
  for (const name of ["ground", "ink", "faint", "line", "accent", "mark"]) {
    palette[name] = ink(name);
  }
  palette.series = [0, 1, 2, 3, 4, 5].map((k) => ink(`series-${k}`));
  return palette;
}

const css = (shade) => `rgb(${shade & 255} ${(shade >> 8) & 255} ${(shade >> 16) & 255})`;

const LEAST_RANGE = 1e-9; // of values that are all 0

/** How a quantity's values become shades: a map, and the range that it spans. */
function colourScale(quantity, largest, difference) {
  const signed = difference || !"fio".includes(quantity);
  const high = signed ? Math.max(largest, LEAST_RANGE) : 1;
  return { signed, low: signed ? -high : 0, high, map: colours()[signed ? "diverging" : "sequential"] };
}

function chooseTheme(theme) {
  chosenTheme = theme;
  document.documentElement.style.colorScheme = theme;
  palette = null;
  change({ theme });
}

systemIsDark.addEventListener("change", () => {
  palette = null;
  if (!chosenTheme) change({ theme: systemIsDark.matches ? "dark" : "light" });
});
