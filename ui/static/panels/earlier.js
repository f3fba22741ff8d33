// An earlier period beside what is shown: which kinds of panels have a place for it, its values by the buckets that they
// stand beside, and why there are none. No part of a page is touched here.

import { placeOf } from "./axes.js";
import { lengthOf } from "./durations.js";
import { before, compareWith, written } from "./variables.js";

export const COMPARED = new Set(["line", "area", "bar", "calendar", "figure", "table"]);
const CALLED = { scatter: "A scatter", heat: "A heat map of hours", histogram: "A histogram", box: "A box plot", candles: "A chart of candles" };
const ALIKE = 0.9;  // months are of 28 to 31 days

// How far back it lies, "" for none: a panel's own choice goes before that of the dashboard.
export const earlierOf = ({ query }, { compare }) => query.compare || compare || "";

// "P1Y" → "year before", "P2W" → "2 weeks before".
export const periodOf = (by) => (compareWith.find(([value]) => by && value === by)?.[1] ?? `${written(by)} before`).toLowerCase();

// The lines of the earlier period by the names of those that they belong to.
export const beforeOf = (answer) => new Map(answer.lines.filter(({ role }) => role === "before").map((line) => [line.of, line]));

// The earlier values at the buckets of a line, NaN where there is none: the one in whose middle a bucket lies counts, since
// weeks of another year begin on other days. A part of a bucket is laid beside a part alone (`partial`).
export function matched({ columns: { t, until }, partial }, then) {
  const found = new Float64Array(t.length).fill(NaN);
  if (!then) return found;
  const { columns: { t: their, until: ends, y } } = then;
  for (let i = 0; i < t.length; i++) {
    const at = placeOf(their, (t[i] + until[i]) / 2);
    if (at >= 0 && (t[i] + until[i]) / 2 < ends[at] && (partial?.[i] || ends[at] - their[at] >= (until[i] - t[i]) * ALIKE)) found[i] = y[at];
  }
  return found;
}

// The answer without the earlier buckets in which the data begin: they hold less than they stand for. Times of that period
// are told as those of now. `step` is how far values lie apart, in ms.
export function withoutBegun(answer, by, { zone, step }) {
  const begun = by && answer.span ? before(answer.span[0], by, zone, 1) : -Infinity;
  const less = ({ role, columns: { t, until } }) => role === "before" && until?.some((end, i) => t[i] < begun && begun < end);
  if (!answer.lines.some(less)) return answer;
  const kept = ({ t, until, y }) => y.map((value, i) => begun > t[i] && begun < until[i] && begun - t[i] > Math.max(step * 0.95, (until[i] - t[i]) * 0.02) ? NaN : value);
  return { ...answer, lines: answer.lines.map((line) => less(line) ? { ...line, columns: { ...line.columns, y: kept(line.columns) } } : line) };
}

// Whether the period lies less far back than a bucket lasts: then it would be laid beside itself.
export const tooNear = (by, step) => !!by && step > 0 && lengthOf(by) < step * ALIKE;

// Of each line that is told its values an earlier period ago; null where none is asked for or none can be told.
export function against(panel, answer, context, step) {
  const by = earlierOf(panel, context), found = beforeOf(answer);
  return by && COMPARED.has(panel.kind) && !tooNear(by, step) && found.size ? (line) => matched(line, found.get(line.name)) : null;
}

// Why no earlier period is shown though one was asked for, in words; "" where one is, or nobody asked. `step` is how long
// the buckets last, in ms, 0 for values as they are.
export function notCompared(panel, answer, context, step) {
  const by = earlierOf(panel, context);
  if (!by || panel.kind === "note") return "";
  if (!COMPARED.has(panel.kind)) return `${CALLED[panel.kind] ?? "This chart"} has no place for an earlier period. Lines, areas, bars, calendars, figures and tables show one`;
  if (tooNear(by, step)) return `${written(by)} is less than a step of what is drawn here: choose a shorter step, or a period further back`;
  return [...beforeOf(answer).values()].some(({ n }) => n > 0) ? "" : `There are no values from the ${periodOf(by)}`;
}
