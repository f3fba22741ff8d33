// From a panel and its answer to a scene: plain data of what is to be drawn over time, by fast.js on the page and by
// figure.js as a picture. No part of a page is touched here.

import { offsetOf, placeOf } from "./axes.js";
import { against, beforeOf, earlierOf, matched, periodOf, tooNear } from "./earlier.js";
import { endOf, foretell } from "./foretold.js";
import { count, dashOf, per, short, signed } from "./look.js";
import { standing } from "./marks.js";
import { bridged } from "./partial.js";
import { linesOf } from "./request.js";
import { valueUnder, written } from "./variables.js";

export const OVER_TIME = new Set(["line", "area", "bar", "candles"]);

// {x, zone, step, log, zero, lines, bands, gaps, thresholds, notes, marks, left, candles?, legend?}. Of a line, `y` is
// drawn and `own` is told; `base` is where it stands, `until` where a bar ends, `slot` of `slots` its place beside others;
// `axis` is left, right or a small pane (volume, rsi, macd); `partial` are the places of buckets that are not whole, and
// `path` is then what is drawn as a whole line. `left` values and lines lie outside a logarithmic axis, `unindexed` ones
// have no value above 0 to begin at, `unplaced` thresholds no place that is the same for all indexed lines. With `wide`, the
// px of the plot, bars that would be too thin beside one another are drawn as steps at their heights (`steps`), and `crowded`
// tells how many of them a pixel has to hold.
export function scene(panel, answer, context, { hidden = new Set(), forecast = null, wide = 0 } = {}) {
  const { kind, show } = panel, values = answer.lines.filter((line) => line.role === "value");
  const made = { x: windowOf(panel, answer, context), zone: context.zone, step: stepOf(values) || (answer.start === answer.end ? lasting(answer.start, context.zone) : 0), log: show.axis === "log", zero: kind === "bar" || kind === "area", lines: [], bands: [], gaps: [],
    thresholds: show.thresholds ?? [], notes: [...(show.annotations ?? [])], marks: [], left: 0, unindexed: 0, unplaced: 0, bucketed: values.some((line) => line.columns.until), exact: answer.exact };
  if (kind === "candles") candles(made, values, answer, context, hidden);
  else chart(made, panel, values, context, hidden, wide);
  const blocks = kind === "candles" || kind === "bar";
  overlays(made, answer, values, blocks, hidden);
  before(made, panel, answer, values, earlierOf(panel, context), hidden);
  if (values.length === 1) made.gaps = gaps(values[0], made.x);
  if (show.marks) made.marks = standing(answer.marks, values, namesOf(values), made.lines, made.x);
  if (forecast) {
    if (!context.foretold) made.x = reaching(made.x, forecast, panel, context);
    foretell(made, forecast, values, { show, names: namesOf(values), hidden, own: !!context.foretold });
  }
  if (made.log) positive(made);
  else if (show.axis === "index" && (kind === "line" || kind === "area") && !show.stacked) indexed(made, values);
  for (const line of made.lines) if (line.partial && line.fill !== "bars") line.path = Float64Array.from(line.y, (value, i) => line.partial[i] ? NaN : value);
  return made;
}

const DAY = 864e5;  // ms
const THIN = 3, SHARE = 0.8;  // px below which bars beside one another are not told apart; the part of a bucket that they fill

function chart(made, panel, values, context, hidden, wide) {
  const { kind, show } = panel, names = namesOf(values), units = context.datasets[panel.dataset]?.units ?? {}, bars = kind === "bar";
  const stacking = show.stacked && kind !== "line" && !show.right?.length && aligned(values);
  const shown = values.filter((line, at) => !hidden.has(names[at]) && line.n);  // who has no value here needs no room
  const below = { up: null, down: null }, each = bars && wide ? made.step / (made.x[1] - made.x[0]) * wide : 0;  // px of a bucket
  const steps = each > 0 && !stacking && shown.length > 1 && each * SHARE / shown.length < THIN;
  if (each) made.crowded = 1 / each;
  values.forEach((line, at) => {
    if (hidden.has(names[at])) return;
    const whole = bars || stacking || !line.columns.until ? null : bridged(line.columns), { t, y, until } = whole ?? line.columns, right = show.right?.includes(line.measure);
    const drawn = { name: names[at], colour: `series-${at % 8 + 1}`, dash: bars ? [] : dashOf(at), t, y, own: y, root: at, fill: bars ? "bars" : kind === "area" ? "area" : "", axis: right ? "right" : "left", partial: whole ? moved(line.partial, whole.kept) : line.partial, unit: valueUnder(units, line.measure) ?? "", width: 1.5 };
    if (stacking) Object.assign(drawn, stacked(below, y));
    if (line.columns.low && !made.exact) drawn.averaged = true;
    if (drawn.averaged) made.bands.push({ name: names[at], colour: drawn.colour, alpha: shown.length > 8 ? 0.1 : 0.2, t, below: t, lo: line.columns.low, hi: line.columns.high, axis: drawn.axis, root: at, edge: 0.4 });
    if (until && (bars || kind === "area")) drawn.until = until;
    if (values.length > CROWD && !bars) Object.assign(drawn, { dash: [], width: 1, faint: true });
    if (bars) Object.assign(drawn, stacking || steps ? { slot: 0, slots: 1, steps } : { slot: Math.max(0, shown.indexOf(line)), slots: Math.max(1, shown.length) });
    drawn.points = !bars && ((kind === "line" && (show.points || (t.length < 60 && line.n === known(y)))) || known(y) === 1);
    made.lines.push(drawn);
  });
}

// How many bars stand beside one another in a bucket.
export const besides = (panel, context) => panel.kind !== "bar" || (panel.show.stacked && !panel.show.right?.length) ? 1 : linesOf(panel, context);

// Whether several lines, or one and what is laid over it, would lie so dense that each hides the ones below it: then the
// mean of some pixels is drawn, and a band from their lowest to their highest value around it. Shares of a first value are
// drawn of values alone: a line of means begins at none.
const DENSE = 2;  // values a pixel, up to which all are drawn
export const AVERAGED = 4;  // px of a mean
export function dense(panel, context, width) {
  const { step = 0, span } = context.datasets[panel.dataset] ?? {}, { kind, query, show } = panel, own = show.own ?? {}, [from, to] = own.from !== undefined && own.to !== undefined ? [own.from, own.to] : context.range ?? span ?? [0, 0];
  const inside = Math.min(to, span?.[1] ?? to) - Math.max(from, span?.[0] ?? from);
  return (kind === "line" || (kind === "area" && !show.stacked)) && show.axis !== "index" && !query.group && step > 0 && inside / step / width > DENSE && (linesOf(panel, context) > 1 || query.overlays?.length > 0 || !!(query.compare || context.compare));
}

// Where the places of buckets are once some were left out.
const moved = (partial, kept) => partial && Object.fromEntries(Object.entries(partial).map(([place, said]) => [kept.indexOf(Number(place)), said]));

// How wide a scatter or a table asks to be: its points are values as they are, or figures of short steps, as many as can be
// told apart.
const POINTS = 4000, FEWEST = 250, A_BUCKET = 4, WIDEST = 10_000;
export const scattered = (panel, context) => Math.min(WIDEST, A_BUCKET * Math.max(FEWEST, Math.floor(POINTS / Math.max(1, linesOf(panel, context) / (panel.kind === "scatter" ? 2 : 1)))));
// Of how many values the usual point of buckets is made, and how long its bucket lasts, in ms.
export function behind(values) {
  const many = values.flatMap(({ columns: { n } }) => n ? [...n].filter((one) => one > 0) : []).sort((a, b) => a - b);
  return { n: many[many.length >> 1] ?? 0, step: stepOf(values) };
}

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
  // A single moment stands in the middle of its step, or of a day of those that are told without a clock.
  if (!(to > from)) {
    const half = (context.datasets?.[panel.dataset]?.step || lasting(from, context.zone)) * 1.5, bars = answer.lines.some((line) => line.columns.until);
    return bars ? [from - half * 2 / 3, from + half * 4 / 3] : [from - half, from + half];
  }
  if (range) return [from, to];
  const bars = panel.kind === "bar" || panel.kind === "candles";
  return [from, bars ? Math.max(to, ...answer.lines.map((line) => line.columns.until?.at(-1) ?? to)) : to];
}

// How long a moment lasts of which nothing else is known: a day at midnight, else an hour.
export function lasting(ms, zone) {
  const wall = ms + offsetOf(zone)(ms);
  return wall % 864e5 === 0 ? 864e5 : 36e5;
}

// The lines that are asked for themselves, without what is laid over them and what was earlier.
export const valuesOf = (answer) => answer.lines.filter(({ role }) => role === "value");

// What tells lines apart: their series, their measures, or both.
export function namesOf(values) {
  const measures = new Set(values.map((one) => one.measure)).size > 1, series = new Set(values.map((one) => one.series)).size > 1;
  return values.map((line) => [series || !measures ? line.series : "", measures || !line.series ? line.measure : ""].filter(Boolean).join(" · ") || line.measure);
}

const CALLED = { mean: "Rolling mean of", ema: "EMA", bollinger: "Bollinger", rsi: "RSI", macd: "MACD" };
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
    const at = place.get(line.of) ?? 0, axis = made.lines.find((one) => one.name === names[at])?.axis ?? "left", numbers = line.name.slice(line.of.length).trim().split("~").slice(1).join(", ");
    const title = `${CALLED[indicator]} ${numbers}`.trim(), name = several ? `${names[at]} ${title}` : title;
    if (hidden.has(name) || hidden.has(names[at])) continue;
    const colour = several ? `series-${at % 8 + 1}` : TINT[indicator], { y } = line.columns, t = through(line.columns.t, values[at], blocks), common = { t, y, own: y, root: at, width: 1.25, dash: several ? [2, 3] : [], axis };
    if (indicator === "bollinger" && part !== "middle") {
      const band = bands.get(name) ?? { name, colour, alpha: 0.12, axis, root: at };
      bands.set(name, part === "upper" ? { ...band, t, hi: y } : { ...band, below: t, lo: y });
      made.lines.push({ ...common, name: `${name} ${part}`, colour, width: 0.75, dash: [], quiet: true });
    } else if (indicator === "macd" && part === "histogram") made.lines.push({ ...common, t: line.columns.t, until: values[at]?.columns.until?.length === y.length ? values[at].columns.until : undefined, name: `${name} difference`, colour: several ? colour : "series-8", fill: "bars", axis: "macd", slot: 0, slots: 1, quiet: true });
    else if (indicator === "macd") made.lines.push({ ...common, name: part === "signal" ? `${name} signal` : name, colour: part === "signal" && !several ? "series-2" : colour, dash: several && part === "signal" ? [2, 3] : [], axis: "macd", quiet: part === "signal" });
    else made.lines.push({ ...common, name, colour, dash: several ? common.dash : [], axis: indicator === "rsi" ? "rsi" : axis });
  }
  for (const band of bands.values()) if (band.hi && band.lo) made.bands.push(band);
}

const ROOM = 6;  // px of a bar that bears a mark

// An earlier period: of lines a dashed one, of bars a mark at its height, of what stands on one another the sum of it all.
function before(made, panel, answer, values, chosen, hidden) {
  const names = namesOf(values), found = beforeOf(answer), by = chosen || /(P\w+) before$/.exec([...found.values()][0]?.name ?? "")?.[1];
  if (tooNear(by, made.bucketed ? made.step : 0)) return;
  const bars = panel.kind === "bar", own = (at) => made.lines.find(({ root, name }) => root === at && name === names[at]);
  const back = `${by ? `${written(by)} ` : ""}before`, ticked = (slots) => bars && made.crowded > 0 && 1 / made.crowded / slots >= ROOM;
  const take = (at, name, line) => { if (!hidden.has(name)) made.lines.push({ name, dash: [4, 3], own: line.y, root: at, width: 1.25, axis: own(at)?.axis ?? "left", unit: own(at)?.unit ?? "", faint: true, earlier: true, ...line }); };
  const mark = ({ t, until }, y, slot, slots) => ({ colour: "text", fill: "ticks", dash: [], t, until, y, slot, slots, faint: false });
  if (made.lines.some(({ base }) => base)) {
    const shown = values.filter((line, at) => own(at) && found.has(line.name)), sums = shown.map((line) => matched(line, found.get(line.name)));
    const y = Float64Array.from(sums[0] ?? [], (_, i) => sums.every((one) => Number.isNaN(one[i])) ? NaN : sums.reduce((all, one) => all + (one[i] || 0), 0)), { t, until } = values[0].columns;
    if (y.length) take(0, `${shown.length === 1 ? names[values.indexOf(shown[0])] : "total"}, ${back}`, ticked(1) ? mark({ t, until }, y, 0, 1) : { colour: "text", t: middles(t, bars && until), y });
    return;
  }
  values.forEach((line, at) => {
    const earlier = found.get(line.name), bar = own(at);
    if (!earlier || (bars && !bar)) return;
    const { slot = 0, slots = 1, steps } = bar ?? {}, { t, until, y } = earlier.columns;
    if (ticked(slots) && !steps) take(at, `${names[at]}, ${back}`, mark(line.columns, matched(line, earlier), slot, slots));
    else take(at, `${names[at]}, ${back}`, { colour: values.length > 1 ? `series-${at % 8 + 1}` : "series-8", t: middles(t, bars && until), y });
  });
}
const middles = (t, until) => until ? t.map((ms, i) => (ms + until[i]) / 2) : t;

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

// The window reaches to where a forecast does, unless it was chosen otherwise than to end with the data.
function reaching([from, to], found, panel, context) {
  const { span, step = 0 } = context.datasets[panel.dataset] ?? {}, end = endOf(found, panel.show), own = panel.show?.own ?? {};
  const chosen = own.from !== undefined || (context.range && !(span && to >= span[1] && to <= span[1] + Math.max(step, 1) * 1.1));
  return [from, chosen ? to : Math.max(to, end)];
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
  made.bands = made.bands.map((band) => band.axis !== "left" ? band : ({ ...band, lo: band.lo.map(floored), hi: band.hi.map((value) => value <= 0 ? NaN : value) }));
  made.marks = made.marks.filter((mark) => mark.axis !== "left" || !(mark.y <= 0));  // its value is among those that are left out
  const shown = made.thresholds.filter(({ value }) => value > 0);
  made.left += made.thresholds.length - shown.length;
  made.thresholds = shown;
}
const floored = (value) => value <= 0 ? 0 : value;

// Lines of very different size beside one another: each as a share of its first value in the window, which is 100. An
// earlier period begins at a first value of its own, what is laid over a line at that of the line.
function indexed(made, values) {
  const first = (y) => 100 / (y.find((value) => !Number.isNaN(value)) ?? NaN), factor = (y) => first(y) > 0 && Number.isFinite(first(y)) ? first(y) : NaN;
  const factors = values.map(({ columns: { y } }) => factor(y)), factorOf = (one) => one.earlier ? factor(one.own) : factors[one.root ?? 0];
  const times = (column, factor) => column.map((value) => value * factor), fits = (one) => one.axis !== "left" || factorOf(one) > 0;
  made.unindexed = values.filter((line, at) => line.n && Number.isNaN(factors[at])).length;
  made.lines = made.lines.filter(fits).map((line) => line.axis === "left" ? { ...line, y: times(line.y, factorOf(line)), indexed: true } : line);
  made.bands = made.bands.filter(fits).map((band) => band.axis === "left" ? { ...band, lo: times(band.lo, factors[band.root ?? 0]), hi: times(band.hi, factors[band.root ?? 0]) } : band);
  // A threshold is a share of the one first value; of several it would be several.
  const one = values.filter((_, at) => factors[at] > 0).length === 1 ? factors.find((factor) => factor > 0) : 0;
  made.unplaced = one ? 0 : made.thresholds.length;
  made.thresholds = [{ value: 100, label: " ", colour: "text-3" }, ...(one ? made.thresholds.map((own) => ({ ...own, value: own.value * one, label: own.label || short(own.value) })) : [])];
  made.marks = made.marks.filter((mark) => mark.axis !== "left" || factors[mark.root] > 0).map((mark) => mark.axis === "left" ? { ...mark, y: mark.y * factors[mark.root] } : mark);
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
const HOW = { mean: "mean", sum: "sum", min: "minimum", max: "maximum", first: "first value", last: "last value", count: "count of values", p50: "median" };
const share = (name) => /^p\d+$/.test(name) ? `${name.slice(1)}${/1\d$/.test(name) ? "th" : { 1: "st", 2: "nd", 3: "rd" }[name.at(-1)] ?? "th"} percentile` : name;
export const howOf = ({ aggregation = "mean" }) => HOW[aggregation] ?? share(aggregation);
export function subtitle(panel, answer, context) {
  const { query, kind } = panel, values = answer.lines.filter((line) => line.role === "value"), dataset = context.datasets[panel.dataset] ?? {};
  const units = new Set(values.map((line) => valueUnder(dataset.units, line.measure) ?? "")), stepped = values.some((line) => line.columns.until), step = stepped ? per(stepOf(values)).replace(/^3 months$/, "quarter") : "";
  const how = howOf(query), named = kind === "candles" ? "" : `${how} `;
  const only = values.length && new Set(values.map((line) => line.series)).size === 1 && !["heat", "calendar"].includes(kind) ? query.group === "*" && dataset.series > 1 ? `${query.across === "mean" ? "mean" : "sum"} of all series` : values[0].series : "";
  // The title of a figure with a step of its own may speak of that step already.
  const known = kind === "figure" && /\bper\b/.test(panel.title ?? "") && query.every, indexed = panel.show?.axis === "index" && (kind === "line" || kind === "area") && !panel.show.stacked;
  return [dataset.series > 1 || query.group ? only : "", units.size === 1 ? [...units][0] : "", kind === "heat" ? `${how} per hour` : kind === "scatter" && behind(values).n <= 1 ? step && `a point per ${step}` : step && !known && `${named}per ${step}`,
    (kind === "calendar" || (kind === "figure" && values.length > 1)) && against(panel, answer, context, kind === "calendar" ? DAY : stepOf(values)) && `change against the ${periodOf(earlierOf(panel, context))}`, indexed && "indexed to 100"].filter(Boolean).join(", ");
}

// The first row in which words from `from`, `wide` pixels wide, meet none of those `told` so far; they are told from then on.
export function rowFor(told, from, wide, apart) {
  const to = from + wide;
  let row = 0;
  while (wide && told.some((one) => one.row === row && from < one.to + apart && one.from < to + apart)) row++;
  if (wide) told.push({ row, from, to });
  return row;
}

// Whether lines on one plain axis differ so much in size that the small ones lie flat at its foot.
export function lieFlat({ lines, log }) {
  const drawn = lines.filter((line) => line.axis === "left" && !line.quiet && !line.earlier && line.fill !== "bars" && !line.base && !line.foretold);  // a forecast is as large as what it is of
  if (log || drawn.length < 2 || drawn.some((line) => line.indexed)) return false;
  const sizes = drawn.map(({ y }) => y.reduce((most, value) => Math.abs(value) > most ? Math.abs(value) : most, 0)).filter((size) => size > 0).sort((a, b) => a - b);
  return sizes.length > 1 && sizes.at(-1) / sizes[(sizes.length - 1) >> 1] > 12;
}

// Whether all of them can be drawn as a share of their first values.
export const shareable = ({ lines }) => lines.every((line) => line.axis !== "left" || line.quiet || !(line.y.find((value) => !Number.isNaN(value)) <= 0));

// Of how many series only the greatest are shown; "" when all are.
export function leftOut(panel, answer, context, asked) {
  const top = Number(asked.find(([name]) => name === "top")?.[1] ?? 0), shown = new Set(answer.lines.filter((line) => line.role === "value").map((line) => line.series)).size;
  if (!top || shown < top) return "";
  const all = context.datasets[panel.dataset]?.series ?? 0, some = asked.some(([name]) => name === "group" || name === "filters");
  if (!some && all <= shown) return "";
  const few = shown === 1 ? "greatest" : `top ${shown}`;
  return some ? few : `${few} of ${count(all)} series`;
}
