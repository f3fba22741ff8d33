// Buckets that hold less than they stand for: where the range begins or ends inside one, or the data do. A half month
// beside whole ones looks like a fall, so it is told of and drawn otherwise. No part of a page is touched here.

import { offsetOf } from "./axes.js";
import { lengthOf, MONTH, parsed } from "./durations.js";
import { count, number } from "./look.js";

const MINUTE = 6e4, HOUR = 36e5, DAY = 864e5, MONDAY = 4 * DAY;
// What buckets that are chosen for the screen last (core/analysis/query/buckets.py).
const STEPS = ["PT1S", "PT5S", "PT15S", "PT30S", "PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT3H", "PT6H", "PT12H", "P1D", "P7D", "P1M", "P3M", "P1Y", "P5Y", "P10Y", "P100Y"];

// From when to when the bucket lasts that a moment lies in, on the calendar of a zone.
export function bucketAt(at, duration, offset) {
  const step = parsed(duration), wall = at + offset(at), back = (local) => local - offset(local - offset(local));
  if (step.months) {
    const day = new Date(wall), number = Math.floor((day.getUTCFullYear() * 12 + day.getUTCMonth()) / step.months) * step.months;
    const first = (months) => back(new Date(Date.UTC(2000, 0, 1)).setUTCFullYear(Math.floor(months / 12), ((months % 12) + 12) % 12, 1));
    return [first(number), first(number + step.months)];
  }
  const origin = step.ms % (7 * DAY) === 0 ? MONDAY : step.ms % DAY === 0 ? 0 : Math.floor(wall / DAY) * DAY;
  const begin = Math.floor((wall - origin) / step.ms) * step.ms + origin;
  if (step.ms % DAY === 0) return [back(begin), back(begin + step.ms)];
  const start = back(begin);
  return [start, Math.min(start + step.ms, back(origin + DAY))];
}

// The usual length of the inner buckets tells which step was chosen; "" where there are too few of them.
function chosen(lines) {
  for (const { columns: { t, until } } of lines) {
    if (!until || t.length < 4) continue;
    const lengths = [...t].slice(1, -1).map((ms, i) => until[i + 1] - ms).sort((a, b) => a - b), usual = lengths[lengths.length >> 1];
    const near = (duration) => Math.abs(Math.log(lengthOf(duration) / usual)), best = STEPS.reduce((a, b) => near(b) < near(a) ? b : a);
    return near(best) < 0.15 ? best : "";
  }
  return "";
}

const REGULAR = 1.75, IRREGULAR = 4;  // how many usual steps interrupt a line (core/analysis/ingest/pyramid.py)

// A line of buckets without the empty ones that recur, as the weekends of prices do: those do not interrupt it, longer
// ones do. `kept` are the places of those that stay; null when all do.
export function bridged({ t, y, ...rest }) {
  const known = [];
  for (let i = 0; i < y.length; i++) if (!Number.isNaN(y[i])) known.push(i);
  if (known.length === y.length || known.length < 8) return null;
  const steps = known.slice(1).map((place, at) => t[place] - t[known[at]]), sorted = [...steps].sort((a, b) => a - b);
  const median = sorted[Math.ceil(sorted.length * 0.5) - 1], upper = sorted[Math.ceil(sorted.length * 0.9) - 1];
  if (upper <= REGULAR * median) return null;
  const kept = known.flatMap((place, at) => steps[at] > IRREGULAR * upper ? [place, place + 1] : [place]);
  const some = (column) => column && Float64Array.from(kept, (i) => column[i]);
  return { kept, t: some(t), y: some(y), ...Object.fromEntries(Object.entries(rest).map(([name, column]) => [name, some(column)])) };
}

const UNITS = [[MONTH, "months"], [DAY, "days"], [HOUR, "hours"], [MINUTE, "minutes"], [1e3, "seconds"]];
const FEW = 3;  // of which a tenth is told
// A share of a bucket in words: "3 of 7 days", "6 minutes of 24 hours".
function said(covered, whole) {
  const fits = UNITS.findIndex(([unit], place) => whole >= (place ? 1.9 * unit : 300 * DAY)), at = fits < 0 ? UNITS.length - 1 : fits;
  const [unit, name] = UNITS[at], [less, smaller] = UNITS[at + 1] ?? [], all = Math.round(whole / unit), part = covered / unit, near = Math.round(part);
  const some = part < 1 && less ? Math.max(1, Math.round(covered / less)) : 0;
  if (some) return `${some} ${some === 1 ? smaller.slice(0, -1) : smaller} of ${all} ${name}`;
  return `${part < FEW && Math.abs(part - near) >= 0.05 ? number(part, 0.1) : Math.min(near, all - 1)} of ${all} ${name}`;
}

const TELLING = 8;  // buckets within the range, of which one can tell how much they usually hold
const SOME = 4;  // values of a usual bucket
const ALIKE = 0.9, MUCH_LESS = 0.79;  // shares of what is usual: a week of prices with one holiday has four days of five

// Whether sorted numbers lie close to their median, but for a few.
const alike = (sorted, usual = sorted[sorted.length >> 1]) => sorted[sorted.length >> 2] >= usual * ALIKE && sorted[Math.floor(sorted.length * 0.9)] <= usual / ALIKE;

// How much of a bucket's usual number of values is there: {place: "5 of 24 values"} of those within the range that hold
// much less than they should. Told only where buckets are alike but for a few, each by how long it lasts: who buys by
// chance, or trades by day alone, has buckets of any size, and none of them lacks anything. Empty ones are gaps.
export function sparse({ t, until, n }) {
  const found = {}, rates = [];
  if (!n) return found;
  for (let i = 1; i < n.length - 1; i++) if (n[i] > 0) rates.push(n[i] / (until[i] - t[i]));
  if (rates.length < TELLING) return found;
  rates.sort((a, b) => a - b);
  const usual = rates[rates.length >> 1];
  if (!alike(rates)) return found;
  for (let i = 1; i < n.length - 1; i++) {
    const whole = Math.round(usual * (until[i] - t[i]));
    if (n[i] > 0 && whole >= SOME && n[i] < whole * MUCH_LESS) found[i] = `${count(n[i])} of ${count(whole)} values`;
  }
  return found;
}

// Marks the buckets of each line that are not whole: `line.partial` is {place: words}. The first and the last one are those
// that the range or the data cut, the others those with gaps in them. `step` is how far apart values are in ms, 0 for
// unknown. Days on which there never are values, as weekends of prices, are not missed.
export function markPartial(answer, { every = "", zone = "UTC", step = 0 } = {}) {
  const lines = answer.lines.filter((line) => line.role === "value" && line.columns.until?.length), duration = every && every !== "auto" ? every : chosen(lines);
  const told = duration && answer.span && lengthOf(duration), offset = offsetOf(zone), end = answer.span ? answer.span[1] + step : 0;
  // What a range cuts it cuts for all lines: together they tell whether a bucket holds as much as usual.
  const together = new Map();
  for (const { columns: { t, n } } of lines) if (n) for (let i = 0; i < t.length; i++) together.set(t[i], (together.get(t[i]) ?? 0) + n[i]);
  // Where buckets usually differ in that, as those of bookings do, it tells nothing.
  const inner = [...together.keys()].sort((a, b) => a - b).slice(1, -1).map((at) => together.get(at)).filter((many) => many > 0).sort((a, b) => a - b), usual = inner.length ? inner[inner.length >> 1] : Infinity, differ = inner.length >= TELLING && !alike(inner);
  for (const line of lines) {
    const { t, until, n } = line.columns, last = t.length - 1, found = sparse(line.columns);
    for (const i of told ? new Set([0, last]) : []) {
      const [a, b] = bucketAt(t[i], duration, offset), covered = Math.min(b, Math.max(until[i], t[i]), end) - Math.max(a, t[i], answer.span[0]);
      const missing = b - a - covered, few = !n || differ || together.get(t[i]) < usual * 0.95;
      if (covered > 0 && n?.[i] !== 0 && few && missing >= Math.max(step * 0.95, (b - a) * 0.02)) found[i] = said(covered, b - a);
    }
    if (Object.keys(found).length) line.partial = found;
  }
}
