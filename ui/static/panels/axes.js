// Where the marks of axes stand: on the clock of a time zone, at round numbers, and which part of a plot each scale has.
// No part of a page is touched here.

const MINUTE = 6e4, HOUR = 36e5, DAY = 864e5, WEEK = 7 * DAY;
// Whole steps of a time axis, in ms; months and years are stepped on the calendar of the zone.
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, WEEK, 2 * WEEK];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12000];
const MONTH = 30.44 * DAY;
const MOST = 200;

// How far the zone's clock is ahead of UTC at a moment, in ms.
export function offsetOf(zone) {
  if (!zone || zone === "UTC") return () => 0;
  let shape;
  try {
    shape = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", era: "short", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  } catch {
    return () => 0;
  }
  const known = new Map();
  return (ms) => {
    const quarter = Math.floor(ms / 9e5);  // zones change their clock on a quarter of an hour
    if (!known.has(quarter)) {
      const at = {};
      for (const { type, value } of shape.formatToParts(quarter * 9e5)) at[type] = type === "era" ? value : Number(value);
      const wall = new Date(Date.UTC(2000, at.month - 1, at.day, at.hour, at.minute, at.second));
      wall.setUTCFullYear(at.era === "BC" ? 1 - at.year : at.year, at.month - 1, at.day);
      known.set(quarter, wall.getTime() - quarter * 9e5);
    }
    return known.get(quarter);
  };
}

// Moments between `from` and `to` that are at least `least` apart and round on the clock of the zone; and their step.
export function ticksBetween(from, to, least, offset) {
  const local = (ms) => ms + offset(ms), back = (wall) => {
    const guess = wall - offset(wall);
    return wall - offset(guess);
  };
  const step = STEPS.find((one) => one >= least), found = [];
  const take = (ms) => { if (ms >= from && ms <= to && ms !== found.at(-1)) found.push(ms); };
  if (step && step <= HOUR) {
    // Clocks change by whole steps of these: counting elapsed time, a day of 25 hours has 25 of them.
    const ahead = offset(from);
    for (let ms = Math.ceil((from + ahead) / step) * step - ahead; ms <= to && found.length < MOST; ms += step) take(ms);
    return [found, step];
  }
  if (step) {
    const origin = step >= WEEK ? 4 * DAY : 0;  // weeks begin on Mondays
    for (let wall = Math.ceil((local(from) - origin) / step) * step + origin; wall - 2 * DAY <= local(to) && found.length < MOST; wall += step) take(back(wall));
    return [found, step];
  }
  const months = MONTHS.find((one) => one * MONTH >= least) ?? MONTHS.at(-1), first = new Date(local(from));
  for (let index = Math.floor((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; found.length < MOST; index += months) {
    const ms = back(new Date(Date.UTC(2000, 0, 1)).setUTCFullYear(Math.floor(index / 12), ((index % 12) + 12) % 12, 1));
    if (ms > to || Number.isNaN(ms)) break;
    take(ms);
  }
  return [found, months * MONTH];
}

// At most about `most` round numbers from `low` to `high`, and their step.
export function ticks(low, high, most) {
  if (!(high > low) || !Number.isFinite(high - low)) return [[low].filter(Number.isFinite), 0];
  const raw = (high - low) / Math.max(1, most), size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((one) => one * size >= raw * (1 - 1e-9)) * size, found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9 && found.length < MOST; at++) found.push(Number((at * step).toPrecision(12)));
  return [found, step];
}

// The same below bins: between whole numbers where bins end half-way between these, there is nothing to mark.
export const binTicks = (low, high, most, edges) => ticks(low, high, edges.every((edge) => Math.abs(edge % 1) === 0.5) ? Math.min(most, high - low) : most);

// The same on a logarithmic axis: powers of ten, with twos and fives between where few fit.
export function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), each = Math.max(1, Math.ceil((last - first) / Math.max(1, most)));
  const between = last - first <= Math.max(1, most / 3) ? [1, 2, 5] : [1], found = [];
  for (let power = first; power <= last; power += each) for (const one of between) {
    const value = Number(`${one}e${power}`);
    if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
  }
  return found.length > 1 ? found : ticks(low, high, most)[0].filter((value) => value > 0);
}

const PANES = { volume: 0.14, rsi: 0.18, macd: 0.18 };
const BETWEEN = 0.04;

// The range of each scale of a scene so that everything drawn by it lies in its own part of the plot: the main one above,
// small panes (volume, RSI, MACD) below one another. `limits` are the values that are drawn, `whole` what the full
// height of the plot stands for, `part` the share of the height from the bottom.
export function scalesOf(scene) {
  const names = Object.keys(PANES).filter((name) => scene.lines.some((line) => line.axis === name)).reverse();
  const found = {};
  let bottom = 0;
  for (const name of names) {
    const share = PANES[name] * (names.length > 2 ? 0.8 : 1), limits = name === "rsi" ? [0, 100] : padded(reach(scene, name), false, name === "volume" || name === "macd");
    if (name === "volume") limits[1] *= 1.3;  // room for its name
    found[name] = { limits, part: [bottom, bottom + share] };
    bottom += share + BETWEEN;
  }
  found.y = { limits: padded(reach(scene, "left"), scene.log, false), part: [bottom, 1], log: scene.log };
  if (scene.lines.some((line) => line.axis === "right")) found.y2 = { limits: padded(reach(scene, "right"), false, scene.zero), part: [bottom, 1] };
  for (const scale of Object.values(found)) scale.whole = whole(scale);
  return found;
}

// Where bars and shades of a scale stand: at 0, or where that is not drawn at the edge that is nearest to it.
export const footOf = ({ log, limits: [low, high] }) => log ? low : Math.max(low, Math.min(0, high));
// Whether a value has no place: 0 and what is below it on a logarithmic scale.
export const placeless = ({ log }, value) => !!log && value <= 0;

function whole({ limits: [low, high], part: [from, to], log }) {
  const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high], all = (b - a) / (to - from);
  const ends = [a - from * all, b + (1 - to) * all];
  return log ? ends.map((power) => 10 ** power) : ends;
}

// The least and the most that is drawn on an axis within the window; null for nothing.
export function reach(scene, axis) {
  let low = Infinity, high = -Infinity;
  const [from, to] = scene.x;
  const take = (t, lo, hi, until) => {
    for (let i = 0; i < t.length; i++) {
      if ((until ? until[i] : t[i]) < from || t[i] > to) continue;
      if (lo[i] < low && !(scene.log && axis === "left" && lo[i] <= 0)) low = lo[i];
      if (hi[i] > high) high = hi[i];
    }
  };
  for (const line of scene.lines) {
    if ((line.axis ?? "left") !== axis) continue;
    take(line.t, line.y, line.y, line.until);
    if (line.base) take(line.t, line.base, line.base, line.until);
  }
  for (const band of scene.bands) if ((band.axis ?? "left") === axis) {
    take(band.t, band.hi, band.hi);
    take(band.below ?? band.t, band.lo, band.lo);
  }
  if (axis === "left") {
    if (scene.candles) take(scene.candles.t, scene.candles.l, scene.candles.h, scene.candles.until);
    for (const { value } of scene.thresholds) if (!scene.log || value > 0) low = Math.min(low, value), high = Math.max(high, value);
    if (scene.zero && !scene.log) low = Math.min(low, 0), high = Math.max(high, 0);
  }
  return low <= high ? [low, high] : null;
}

export function padded(range, log, fromZero) {
  if (!range) return log ? [1, 10] : [0, 1];
  const [low, high] = fromZero ? [Math.min(0, range[0]), Math.max(0, range[1])] : range;
  if (log) return low > 0 ? (high > low * 1.01 ? [low / (high / low) ** 0.04, high * (high / low) ** 0.06] : [low / 2, high * 2]) : [1e-3, 1];
  const pad = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 1;
  return [low >= 0 && (low - pad < 0 || fromZero) ? 0 : low - pad, high <= 0 && (high + pad > 0 || fromZero) ? 0 : high + pad];
}

// The place of the last of sorted times that is not after `ms`, -1 when all are.
export function placeOf(t, ms) {
  let low = 0, high = t.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t[middle] <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
