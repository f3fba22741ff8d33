// How long the interruptions of a line last, written at the widest of them where there is room.

const MOST = 3, LEAST = 8, ROOM = 500, BESIDE = 6;  // gaps that are written, px of one, px of the plot, px between

// `x` places a moment in the plot (`left`, `width`, in px of the canvas), `write(text, left)` writes at its top, `said`
// tells of how long nothing is missing. No word is written over another one,
// nor in part; where words stand is returned.
export function writeGaps(ctx, gaps, { x, left, width, ratio, write, said }) {
  if (width < ROOM * ratio) return [];
  const taken = [];
  for (const [from, to] of [...gaps].sort((a, b) => b[1] - b[0] - a[1] + a[0]).slice(0, MOST)) {
    const text = `gap, ${said([from, to])}`, wide = ctx.measureText(text).width, [begin, end] = [x(from), x(to)];
    if (end - begin < LEAST * ratio) continue;
    const inside = (begin + end - wide) / 2, right = end + BESIDE * ratio;
    const at = wide + 2 * BESIDE * ratio <= end - begin ? inside : right + wide < left + width ? right : begin - BESIDE * ratio - wide;
    if (at < left || at + wide > left + width || taken.some(([from_, to_]) => at < to_ + BESIDE * ratio && at + wide > from_ - BESIDE * ratio)) continue;
    taken.push([at, at + wide]);
    write(text, at);
  }
  return taken;
}
