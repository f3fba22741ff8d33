// Where the words of a threshold stand: at its line, where they lie over as little of what is drawn as can be. No part of
// a page is touched here.

import { footOf, placeOf } from "./axes.js";

const PLACES = 14;  // from the right edge to the left one, above the line and below it
const EDGE = 4, BELOW = 4, ABOVE = 3;  // px to the edge of the plot, and to the line
const BAND = 0.5;  // of how much a shade counts beside a line

// The left and the top of words that are `wide` and `tall`, at the height `at` of their line, and how much they `hide` in
// px. `box` is the plot, `x(ms)` and `y(value, line)` place what is drawn in it, `taken` are boxes of other words as
// [left, top, right, bottom]; `ratio` px are one of the screen.
export function freeSpot(scene, scales, { box, x, y, at, wide, tall, taken = [], ratio = 1 }) {
  const [first, last] = scene.x, right = box.left + box.width - EDGE * ratio - wide, left = Math.min(right, box.left + EDGE * ratio), each = (right - left) / (PLACES - 1);
  const ms = (px) => first + (px - box.left) / box.width * (last - first), rows = [at + BELOW * ratio, at - ABOVE * ratio - tall].filter((top) => top >= box.top && top + tall <= box.top + box.height);
  let best = null;
  for (let place = 0; place < PLACES; place++) {
    const from = right - place * each, drawn = occupied(scene, scales, ms(from), ms(from + wide), y);
    for (const top of rows.length ? rows : [at - ABOVE * ratio - tall]) {
      const over = ([a, b]) => Math.max(0, Math.min(b, top + tall) - Math.max(a, top));
      let hides = drawn.reduce((all, [a, b, weight]) => all + over([a, b]) * weight, 0);
      for (const note of scene.notes ?? []) if (note.at >= ms(from) && note.at <= ms(from + wide)) hides += tall;
      for (const [a, up, b, down] of taken) if (a < from + wide && b > from) hides += 2 * over([up, down]);
      if (!best || hides < best.hides) best = { left: from, top, hides };
    }
    if (!best.hides || each <= 0) break;
  }
  return best;
}

// What is drawn between two moments: [top, bottom, weight] of each line, bar and band, in px.
function occupied({ lines, bands, candles }, scales, from, to, y) {
  const found = [], take = (line, t, low, high, weight, foot = false) => {
    const begin = Math.max(0, placeOf(t, from)), end = Math.min(t.length - 1, placeOf(t, to) + 1);
    let least = Infinity, most = -Infinity;
    for (let i = begin; i <= end; i++) {
      if (low[i] < least) least = low[i];
      if (high[i] > most) most = high[i];
    }
    if (!(least <= most)) return;
    if (foot) [least, most] = [Math.min(least, foot(line)), Math.max(most, foot(line))];
    const edges = [y(least, line), y(most, line)].sort((a, b) => a - b);
    found.push([edges[0] - 1, edges[1] + 1, weight]);
  };
  const foot = ({ axis }) => footOf(scales[axis === "right" ? "y2" : !axis || axis === "left" ? "y" : axis]);
  for (const line of lines) if (!line.nothing) take(line, line.t, line.base && line.fill === "bars" ? line.base : line.y, line.y, 1, line.fill === "bars" && !line.base ? foot : false);
  for (const band of bands) if (band.lo.length === band.hi.length) take(band, band.t, band.lo, band.hi, BAND);
  if (candles) take({ axis: "left" }, candles.t, candles.l, candles.h, 1);
  return found;
}
