// From a panel and its answer to a scene: plain data of what is to be drawn over time, by fast.js on the page and by
// figure.js as a picture. No part of a page is touched here.

import { placeOf } from "./axes.js";
import { count, dashOf, instant, per, short, signed } from "./look.js";
import { standing } from "./marks.js";
import { bridged } from "./partial.js";
import { valueUnder, written } from "./variables.js";

export const OVER_TIME = new Set(["line", "area", "bar", "candles"]);

// {x, zone, step, log, zero, lines, bands, gaps, thresholds, notes, marks, left, candles?, legend?}. Of a line, `y` is
// drawn and `own` is told; `base` is where it stands, `until` where a bar ends, `slot` of `slots` its place beside others;
// `axis` is left, right or a small pane (volume, rsi, macd); `partial` are the places of buckets that are not whole, and
// `path` is then what is drawn as a whole line. `left` values and lines lie outside a logarithmic axis, `unindexed` ones
// have no value above 0 to begin at, `unplaced` thresholds no place that is the same for all indexed lines.
export function scene(panel, answer, context, { hidden = new Set(), forecast = null } = {}) {
  const { kind, show } = panel, values = answer.lines.filter((line) => line.role === "value");
  const made = { x: windowOf(panel, answer, context), zone: context.zone, step: stepOf(values), log: show.axis === "log", zero: kind === "bar" || kind === "area", lines: [], bands: [], gaps: [],
    thresholds: show.thresholds ?? [], notes: [...(show.annotations ?? [])], marks: [], left: 0, unindexed: 0, unplaced: 0, bucketed: values.some((line) => line.columns.until) };
  if (kind === "candles") candles(made, values, answer, context, hidden);
  else chart(made, panel, values, context, hidden);
  const blocks = kind === "candles" || kind === "bar";
  overlays(made, answer, values, blocks, hidden);
  before(made, answer, values, blocks, hidden);
  if (values.length === 1) made.gaps = gaps(values[0], made.x);
  if (show.marks) made.marks = standing(answer.marks, values, namesOf(values), made.lines, made.x);
  if (forecast) forecasted(made, forecast, context, hidden);
  if (made.log) positive(made);
  else if (show.axis === "index" && (kind === "line" || kind === "area") && !show.stacked) indexed(made, values);
  for (const line of made.lines) if (line.partial && line.fill !== "bars") line.path = Float64Array.from(line.y, (value, i) => line.partial[i] ? NaN : value);
  return made;
}

function chart(made, panel, values, context, hidden) {
  const { kind, show } = panel, names = namesOf(values), units = context.datasets[panel.dataset]?.units ?? {}, bars = kind === "bar";
  const stacking = show.stacked && kind !== "line" && !show.right?.length && aligned(values);
  const shown = values.filter((line, at) => !hidden.has(names[at]) && line.n);  // who has no value here needs no room
  const below = { up: null, down: null };
  values.forEach((line, at) => {
    if (hidden.has(names[at])) return;
    const whole = bars || stacking || !line.columns.until ? null : bridged(line.columns), { t, y, until } = whole ?? line.columns, right = show.right?.includes(line.measure);
    const drawn = { name: names[at], colour: `series-${at % 8 + 1}`, dash: bars ? [] : dashOf(at), t, y, own: y, root: at, fill: bars ? "bars" : kind === "area" ? "area" : "", axis: right ? "right" : "left", partial: whole ? moved(line.partial, whole.kept) : line.partial, unit: valueUnder(units, line.measure) ?? "", width: 1.5 };
    if (stacking) Object.assign(drawn, stacked(below, y));
    if (until && (bars || kind === "area")) drawn.until = until;
    if (values.length > CROWD && !bars) Object.assign(drawn, { dash: [], width: 1, faint: true });
    if (bars) Object.assign(drawn, stacking ? { slot: 0, slots: 1 } : { slot: Math.max(0, shown.indexOf(line)), slots: Math.max(1, shown.length) });
    drawn.points = kind === "line" && (show.points || (t.length < 60 && line.n === known(y)) || t.length === 1);
    made.lines.push(drawn);
  });
}

// Where the places of buckets are once some were left out.
const moved = (partial, kept) => partial && Object.fromEntries(Object.entries(partial).map(([place, said]) => [kept.indexOf(Number(place)), said]));

const CROWD = 24;  // lines that colours and dashes can tell apart; more of them are drawn thin, and pointed at by their names

// Values of one sign stand on one another, those below zero hang below one another.
function stacked(below, y) {
  const up = below.up ?? new Float64Array(y.length), down = below.down ?? new Float64Array(y.length), base = new Float64Array(y.length), top = new Float64Array(y.length);
  const nextUp = up.slice(), nextDown = down.slice();
  for (let i = 0; i < y.length; i++) {
    if (Number.isNaN(y[i])) {
      base[i] = top[i] = NaN;
      continue;
    }
    const side = y[i] < 0 ? down : up, next = y[i] < 0 ? nextDown : nextUp;
    base[i] = side[i];
    top[i] = next[i] = side[i] + y[i];
  }
  below.up = nextUp;
  below.down = nextDown;
  return { base, y: top };
}

function aligned(values) {
  const first = values[0]?.columns.t;
  return values.every(({ columns: { t } }) => t === first || (t.length === first.length && t.every((ms, i) => ms === first[i])));
}

const known = (y) => y.reduce((all, value) => all + (Number.isNaN(value) ? 0 : 1), 0);

// How far apart values are, in ms: of buckets how long the usual one lasts, else the least distance.
export function stepOf(values) {
  let least = Infinity;
  for (const { columns: { t, until } } of values) {
    if (until?.length) least = Math.min(least, until.length > 2 ? until[1] - t[1] : until[0] - t[0]);
    else for (let i = 1; i < t.length; i++) if (t[i] > t[i - 1]) least = Math.min(least, t[i] - t[i - 1]);
  }
  return Number.isFinite(least) ? least : 0;
}

// The window that is drawn: what was asked for, else all there is.
function windowOf(panel, answer, context) {
  const own = panel.show?.own ?? {}, range = own.from !== undefined && own.to !== undefined ? [own.from, own.to] : context.range;
  const [from, to] = range ?? [answer.start, answer.end];
  if (!(to > from)) return [from - 1000, from + 1000];
  if (range) return [from, to];
  const bars = panel.kind === "bar" || panel.kind === "candles";
  return [from, bars ? Math.max(to, ...answer.lines.map((line) => line.columns.until?.at(-1) ?? to)) : to];
}

// What tells lines apart: their series, their measures, or both.
export function namesOf(values) {
  const measures = new Set(values.map((one) => one.measure)).size > 1, series = new Set(values.map((one) => one.series)).size > 1;
  return values.map((line) => [series || !measures ? line.series : "", measures || !line.series ? line.measure : ""].filter(Boolean).join(" · ") || line.measure);
}

const CALLED = { mean: "Mean", ema: "EMA", bollinger: "Bollinger", rsi: "RSI", macd: "MACD" };
const TINT = { mean: "series-2", ema: "series-4", bollinger: "series-8", rsi: "series-4", macd: "series-1" };

// What is drawn over bars and candles runs through their middles.
function through(t, line, blocks) {
  const { until } = line?.columns ?? {};
  return blocks && until?.length === t.length ? t.map((ms, i) => (ms + until[i]) / 2) : t;
}

function overlays(made, answer, values, blocks, hidden) {
  const names = namesOf(values), several = values.length > 1, place = new Map(values.map((line, at) => [line.name, at])), bands = new Map();
  for (const line of answer.lines) {
    const [indicator, part = ""] = line.role.split(".");
    if (!(indicator in CALLED)) continue;
    const at = place.get(line.of) ?? 0, numbers = line.name.slice(line.of.length).trim().split("~").slice(1).join(", ");
    const title = `${CALLED[indicator]} ${numbers}`.trim(), name = several ? `${names[at]} ${title}` : title;
    if (hidden.has(name) || hidden.has(names[at])) continue;
    const colour = several ? `series-${at % 8 + 1}` : TINT[indicator], { y } = line.columns, t = through(line.columns.t, values[at], blocks), common = { t, y, own: y, root: at, width: 1.25, dash: several ? [2, 3] : [], axis: "left" };
    if (indicator === "bollinger" && part !== "middle") {
      const band = bands.get(name) ?? { name, colour, alpha: 0.12, axis: "left", root: at };
      bands.set(name, part === "upper" ? { ...band, t, hi: y } : { ...band, below: t, lo: y });
      made.lines.push({ ...common, name: `${name} ${part}`, colour, width: 0.75, dash: [], quiet: true });
    } else if (indicator === "macd" && part === "histogram") made.lines.push({ ...common, t: line.columns.t, until: values[at]?.columns.until?.length === y.length ? values[at].columns.until : undefined, name: `${name} difference`, colour: several ? colour : "series-8", fill: "bars", axis: "macd", slot: 0, slots: 1, quiet: true });
    else if (indicator === "macd") made.lines.push({ ...common, name: part === "signal" ? `${name} signal` : name, colour: part === "signal" && !several ? "series-2" : colour, dash: several && part === "signal" ? [2, 3] : [], axis: "macd", quiet: part === "signal" });
    else made.lines.push({ ...common, name, colour, dash: several ? common.dash : [], axis: indicator === "rsi" ? "rsi" : "left" });
  }
  for (const band of bands.values()) if (band.hi && band.lo) made.bands.push(band);
}

function before(made, answer, values, blocks, hidden) {
  const names = namesOf(values), place = new Map(values.map((line, at) => [line.name, at]));
  for (const line of answer.lines) {
    if (line.role !== "before") continue;
    const at = place.get(line.of) ?? 0, back = /(P\w+) before$/.exec(line.name)?.[1], name = `${names[at] ?? line.measure}, ${back ? `${written(back)} ` : ""}before`, { y } = line.columns, t = through(line.columns.t, line, blocks);
    if (hidden.has(name)) continue;
    made.lines.push({ name, colour: values.length > 1 ? `series-${at % 8 + 1}` : "series-8", dash: [4, 3], t, y, own: y, root: at, width: 1.25, axis: made.lines.find((one) => one.name === names[at])?.axis ?? "left", faint: true, earlier: true });
  }
}

// Where a line is interrupted for more than a hundredth of the window.
function gaps(line, [from, to]) {
  if (!line.columns.y) return [];
  const { t, y, until } = (line.columns.until && bridged(line.columns)) || line.columns, found = [];
  for (let i = 0; i < y.length; i++) {
    if (!Number.isNaN(y[i])) continue;
    let j = i;
    while (j < y.length && Number.isNaN(y[j])) j += 1;
    const a = until?.[i - 1] ?? t[i - 1], b = t[j], inside = i > 0 && j < y.length;  // before and after a series is no gap
    if (inside && b - a > (to - from) / 100) found.push([a, b]);
    i = j;
  }
  return found.slice(0, 200);
}

// How long there are no values: between two that are a step apart none is missing.
export function missing([from, to], { step, bucketed }) {
  const length = Math.max(to - from - (bucketed ? 0 : step), Math.min(step, to - from)), said = per(length);
  return /^\d/.test(said) ? said : said ? `1 ${said}` : `${count(length / 1000)} s`;
}

const listed = (values) => Float64Array.from(values, (value) => value ?? NaN);

// A forecast over what happened: its mean, both bands and where it was made (REST, /forecasts/{id}/chart).
function forecasted(made, found, context, hidden) {
  const model = found.models?.[0];
  if (!model || !model.t.length) return;
  const t = Float64Array.from(model.t), level = (low, high, colour, name) => {
    if (model.q[low] && model.q[high] && !hidden.has(name)) made.bands.push({ name, t, below: t, lo: listed(model.q[low]), hi: listed(model.q[high]), colour, told: true, axis: "left" });
  };
  level("0.025", "0.975", "band-95", "95%");
  level("0.1", "0.9", "band-80", "80%");
  const y = listed(model.mean);
  const name = made.lines.filter((line) => !line.quiet).length > 1 && found.series ? `${found.series}, forecast` : "forecast";
  if (!hidden.has(name)) made.lines.push({ name, colour: "series-1", t, y, own: y, width: 2, dash: [], axis: "left" });
  if (made.lines.filter((line) => line.axis === "left" && !line.quiet && line.name !== name).length === 1) made.lines[0] = { ...made.lines[0], colour: "ink" };
  if (found.cutoff !== null && found.cutoff !== undefined) made.notes.push({ at: found.cutoff, text: `cutoff ${instant(found.cutoff, made.zone, 864e5)}`, colour: "text-3" });
  if (!context.range) made.x = [made.x[0], Math.max(made.x[1], t.at(-1))];
}

// What a logarithmic axis cannot show is left out, and counted.
function positive(made) {
  made.lines = made.lines.map((line) => {
    if (line.axis !== "left") return line;
    let out = 0;
    for (const value of line.y) if (value <= 0) out += 1;
    made.left += line.quiet ? 0 : out;
    const y = out ? line.y.map((value) => value <= 0 ? NaN : value) : line.y;
    return line.base ? { ...line, y, base: line.base.map(floored) } : { ...line, y };
  });
  // A band that reaches to 0 or below it is drawn down to the foot of the plot; a missing bound interrupts it.
  made.bands = made.bands.map((band) => ({ ...band, lo: band.lo.map(floored), hi: band.hi.map((value) => value <= 0 ? NaN : value) }));
  made.marks = made.marks.map((mark) => mark.y <= 0 ? { ...mark, y: NaN } : mark);
  const shown = made.thresholds.filter(({ value }) => value > 0);
  made.left += made.thresholds.length - shown.length;
  made.thresholds = shown;
}
const floored = (value) => value <= 0 ? 0 : value;

// Lines of very different size beside one another: each as a share of its first value in the window, which is 100.
function indexed(made, values) {
  const factors = values.map(({ columns: { y } }) => 100 / (y.find((value) => !Number.isNaN(value)) ?? NaN)).map((one) => one > 0 && Number.isFinite(one) ? one : NaN);
  const times = (column, factor) => column.map((value) => value * factor), fits = (one) => one.axis !== "left" || factors[one.root ?? 0] > 0;
  made.unindexed = values.filter((line, at) => line.n && Number.isNaN(factors[at])).length;
  made.lines = made.lines.filter(fits).map((line) => line.axis === "left" ? { ...line, y: times(line.y, factors[line.root ?? 0]), indexed: true } : line);
  made.bands = made.bands.filter(fits).map((band) => ({ ...band, lo: times(band.lo, factors[band.root ?? 0]), hi: times(band.hi, factors[band.root ?? 0]) }));
  // A threshold is a share of the one first value; of several it would be several.
  const one = values.filter((_, at) => factors[at] > 0).length === 1 ? factors.find((factor) => factor > 0) : 0;
  made.unplaced = one ? 0 : made.thresholds.length;
  made.thresholds = [{ value: 100, label: " ", colour: "text-3" }, ...(one ? made.thresholds.map((own) => ({ ...own, value: own.value * one, label: own.label || short(own.value) })) : [])];
  made.marks = made.marks.map((mark) => ({ ...mark, y: mark.y * factors[values.findIndex((line) => line.series === mark.of && (!mark.measure || line.measure === mark.measure))] }));
  made.zero = false;
}

function candles(made, values, answer, context, hidden) {
  const line = values[0];
  if (!line) return;
  const { t, until, open: o, high: h, low: l, close: c, volume } = line.columns;
  made.candles = { t, until, o, h, l, c, partial: line.partial };
  if (volume && !hidden.has("volume")) made.lines.push({ name: "volume", colour: "series-8", t, until, y: volume, own: volume, fill: "bars", slot: 0, slots: 1, axis: "volume", dash: [], width: 1, quiet: true, partial: line.partial });
  // Open, high, low and close at a moment, or of the last candle; pairs of a name and a text.
  made.legend = (ms) => {
    let at = ms === null ? c.length - 1 : placeOf(t, ms);
    while (at > 0 && Number.isNaN(c[at])) at -= 1;
    if (at < 0 || Number.isNaN(c[at])) return [];
    const change = o[at] ? (c[at] - o[at]) / Math.abs(o[at]) * 100 : NaN;
    return [["O", short(o[at])], ["H", short(h[at])], ["L", short(l[at])], ["C", short(c[at])], ...(volume && !Number.isNaN(volume[at]) ? [["V", short(volume[at])]] : []),
      ...(line.partial?.[at] ? [["partial", line.partial[at]]] : []), ...(Number.isFinite(change) ? [["", `${change > 0 ? "↑ " : change < 0 ? "↓ " : ""}${signed(change, 0.1)}%`]] : [])];
  };
}

// What stands behind the numbers, for the head of a panel: units, how buckets are made, and what was left out.
const HOW = { mean: "mean", sum: "sum", min: "least", max: "greatest", first: "first", last: "last", count: "count", p50: "median" };
export function subtitle(panel, answer, context) {
  const { query, kind } = panel, values = answer.lines.filter((line) => line.role === "value"), dataset = context.datasets[panel.dataset] ?? {};
  const units = new Set(values.map((line) => valueUnder(dataset.units, line.measure) ?? "")), stepped = values.some((line) => line.columns.until), step = stepped ? per(stepOf(values)) : "";
  const how = HOW[query.aggregation ?? "mean"] ?? query.aggregation, named = kind === "candles" ? "" : `${how} `;
  const only = values.length && new Set(values.map((line) => line.series)).size === 1 && !["heat", "calendar"].includes(kind) ? values[0].series : "";
  // The title of a figure with a step of its own speaks of that step already.
  const known = kind === "figure" && panel.title && query.every, indexed = panel.show?.axis === "index" && (kind === "line" || kind === "area") && !panel.show.stacked;
  return [dataset.series > 1 || query.group ? only : "", units.size === 1 ? [...units][0] : "", kind === "heat" ? `${how} per hour` : step && !known && `${named}per ${step}`, indexed && "indexed to 100"].filter(Boolean).join(", ");
}

// Whether lines on one plain axis differ so much in size that the small ones lie flat at its foot.
export function lieFlat({ lines, log }) {
  const drawn = lines.filter((line) => line.axis === "left" && !line.quiet && !line.earlier && line.fill !== "bars" && !line.base);
  if (log || drawn.length < 3 || drawn.some((line) => line.indexed)) return false;
  const sizes = drawn.map(({ y }) => y.reduce((most, value) => Math.abs(value) > most ? Math.abs(value) : most, 0)).filter((size) => size > 0).sort((a, b) => a - b);
  return sizes.length > 2 && sizes.at(-1) / sizes[sizes.length >> 1] > 20 && drawn.every(({ y }) => !(y.find((value) => !Number.isNaN(value)) <= 0));
}

// Of how many series only the greatest are shown; "" when all are.
export function leftOut(panel, answer, context, asked) {
  const top = Number(asked.find(([name]) => name === "top")?.[1] ?? 0), shown = new Set(answer.lines.filter((line) => line.role === "value").map((line) => line.series)).size;
  if (!top || shown < top) return "";
  const all = context.datasets[panel.dataset]?.series ?? 0, some = asked.some(([name]) => name === "group" || name === "filters");
  if (!some && all <= shown) return "";
  const few = shown === 1 ? "greatest" : `top ${shown}`;
  return some ? few : `${few} of ${count(all)} series`;
}
