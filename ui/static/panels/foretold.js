// A forecast over what happened: which of its models are drawn, the bands of one of them, where it was made, and on its
// own page what came since, what it started from and what stands out in the past. No part of a page is touched here.

import { count, instant } from "./look.js";

// What models are called on pages (ui/pages/forecast_words.py).
const MODELS = { auto: "Auto", seasonal_naive: "Seasonal naive", ets: "ETS", theta: "Theta", mstl: "MSTL", arima: "ARIMA", croston: "Croston", linear: "Linear", prophet: "Prophet", lightgbm: "LightGBM", tft: "TFT" };
export const called = (name) => Object.hasOwn(MODELS, name) ? MODELS[name] : name;

const NAMED = 4;  // changepoints that are told by a word each
const DASHES = [[6, 4], [2, 3]];
const listed = (values) => Float64Array.from(values, (value) => value ?? NaN);

// The models that gave values, and of those the ones that are drawn: those that were asked for, else the first one.
export const usable = ({ models }) => (models ?? []).filter((model) => model.t.length && model.mean.some((value) => value !== null));
export function drawnOf(found, { models = [], banded = "" } = {}) {
  const known = usable(found), asked = known.filter((model) => models.includes(model.name)), drawn = asked.length ? asked : known.slice(0, 1);
  return { drawn, banded: drawn.find((model) => model.name === banded) ?? drawn[0] };
}

// Pairs of quantiles around the middle, the widest first: {name: "95%", low, high} by the keys of `q`.
function levelsOf({ q }) {
  return Object.keys(q).filter((low) => Number(low) < 0.5).sort((a, b) => a - b).flatMap((low) => {
    const high = Object.keys(q).find((one) => Math.abs(Number(one) + Number(low) - 1) < 1e-9);
    return high ? [{ name: `${Math.round((1 - 2 * Number(low)) * 1000) / 10}%`, low, high, wide: Number(low) < 0.05 }] : [];
  });
}

// Until when the models that are drawn reach.
export const endOf = (found, show) => Math.max(-Infinity, ...drawnOf(found, show).drawn.map((model) => model.t.at(-1)));

// The query over which a forecast stands, as Explore knows it: its measure and one of its series, in the steps that it was
// made in. Of many series only the first ones are known, so that a chosen one may be among the others.
export function over(query, { asked, series, n_series }, several) {
  const { every, aggregation, ...rest } = query, next = { ...rest, ...asked }, [chosen] = query.series ?? [];
  if (!several || (chosen !== undefined && (series.includes(chosen) || n_series > series.length))) return next;
  const { top, by, group, across, ...kept } = next;
  return { ...kept, series: series.slice(0, 1) };
}

// How long what is drawn and the steps of a forecast over it last, in ms, where that is not the same: a sum of weeks does not
// lie beside one of days. `step` is of values that are drawn as they are stored.
const usual = (lengths) => lengths.sort((a, b) => a - b)[lengths.length >> 1] ?? 0;
const ALIKE = 1.3;  // months are of 28 to 31 days
export function otherSteps(found, lines, step) {
  const [{ t } = { t: [] }] = usable(found), buckets = lines.find((line) => line.columns.until)?.columns;
  const theirs = t.length > 1 ? usual(t.slice(1).map((ms, i) => ms - t[i])) : t.length ? t[0] - (found.cutoff ?? t[0]) : 0;
  const ours = buckets ? usual([...buckets.t].map((ms, i) => buckets.until[i] - ms)) : step;
  return ours > 0 && theirs > 0 && Math.max(ours / theirs, theirs / ours) > ALIKE ? [ours, theirs] : null;
}

// Which of the drawn values a forecast goes on from: its series and its measure, else what comes nearest to that.
function rootOf({ series, measure }, values) {
  const of = [(line) => line.series === series && line.measure === measure, (line) => line.measure === measure, (line) => line.series === series];
  return Math.max(0, of.map((one) => values.findIndex(one)).find((at) => at >= 0) ?? 0);
}

// Adds a forecast to a scene (REST, /forecasts/{id}/chart). Of `own` pages of a forecast its models are told by their names
// even where there is one, and `came`, `base` and `notes` are drawn along.
export function foretell(made, found, values, { show = {}, names = [], hidden = new Set(), own = false } = {}) {
  const { drawn, banded } = drawnOf(found, show), past = made.lines.filter((line) => line.axis === "left" && !line.quiet);
  if (!banded) return;
  const root = rootOf(found, values), axis = show.right?.includes(values[root]?.measure) ? "right" : "left";
  const colourOf = (model) => `series-${((values.length > 1 ? values.length : 0) + found.models.indexOf(model)) % 8 + 1}`;
  const of = names[root] && values[root].series === found.series ? names[root] : found.series, several = values.length > 1 && of ? `${of}, ` : "";
  const nameOf = (model) => `${several}${drawn.length > 1 || own ? called(model.name) : "forecast"}`;
  if (values.length === 1 && past.length && past[0].fill !== "bars") made.lines[made.lines.indexOf(past[0])] = { ...past[0], colour: "ink" };
  const take = (line) => { if (!hidden.has(line.name)) made.lines.push({ own: line.y, axis, root, foretold: true, dash: [], width: 1.25, points: line.t.length === 1, ...line }); };
  for (const { name, low, high, wide } of levelsOf(banded)) {
    const t = Float64Array.from(banded.t), tone = colourOf(banded), plain = tone === "series-1";
    if (!hidden.has(name)) made.bands.push({ name, t, below: t, lo: listed(banded.q[low]), hi: listed(banded.q[high]), told: true, axis, root, ...(plain ? { colour: wide ? "band-95" : "band-80" } : { colour: tone, alpha: wide ? 0.15 : 0.26 }) });
  }
  const before = own && (found.base ?? []).find((model) => model.name === banded.name);
  if (before) take({ name: `${called(before.name)} before the change`, colour: "text-3", dash: [6, 4], width: 1.5, t: Float64Array.from(before.t), y: listed(before.mean) });
  for (const model of drawn) if (model !== banded) take({ name: nameOf(model), colour: colourOf(model), dash: DASHES[found.models.indexOf(model) % 2], t: Float64Array.from(model.t), y: listed(model.mean) });
  take({ name: nameOf(banded), colour: colourOf(banded), width: 2, t: Float64Array.from(banded.t), y: listed(banded.mean) });
  if (own && found.came) take({ name: "came since", colour: "ink", dash: [2, 3], width: 1, t: Float64Array.from(found.came.t), y: listed(found.came.y), points: true });
  if (own) noted(made, found.notes ?? [], take);
  if (found.cutoff !== null && found.cutoff !== undefined) made.notes.push({ at: found.cutoff, text: `cutoff ${instant(found.cutoff, made.zone, 864e5)}`, colour: "text-3" });
}

// What stands out in the past: anomalies as rings, with what was expected in their place, and changepoints as posts.
function noted(made, notes, take) {
  const odd = notes.filter(({ kind, y }) => kind === "anomaly" && y !== null), turns = notes.filter(({ kind, t }) => kind === "changepoint" && t >= made.x[0] && t <= made.x[1]), column = (name) => listed(odd.map((one) => one[name]));
  const inside = odd.filter(({ t }) => t >= made.x[0] && t <= made.x[1]).length;
  if (odd.length) take({ counted: inside < odd.length ? `${count(inside)} of ${count(odd.length)}` : count(inside), name: odd.length === 1 ? "anomaly" : "anomalies", colour: "red", width: 0, ring: true, points: true, t: column("t"), y: column("y"), low: column("low"), high: column("high") });
  turns.forEach(({ t }, at) => made.notes.push({ at: t, text: turns.length <= NAMED || !at ? "changepoint" : "", colour: "amber" }));
}
