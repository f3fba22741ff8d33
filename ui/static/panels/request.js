// What a panel asks of its dataset: its own query, and what it shares with the page.

import { COMPARED, earlierOf } from "./earlier.js";
import { count } from "./look.js";
import { valueUnder } from "./variables.js";

// Kinds of panels and the kind of question each asks.
const ASKS = { line: "line", area: "line", bar: "buckets", scatter: "buckets", heat: "hours", calendar: "buckets", histogram: "histogram", box: "box", candles: "ohlc", table: "buckets", figure: "buckets" };
const STEPPED = new Set(["bar", "scatter", "candles", "table", "figure"]);
const MOST_LINES = 50;  // that a question may ask for
const FEW = 8;

const DIVIDER = "~";
const escaped = (text) => String(text).replace(/\\/g, "\\\\").replace(/~/g, "\\~");
export const filter = (column, relation, ...values) => [column, relation, ...values].map(escaped).join(DIVIDER);

// Whether the step that panels share does not move this one: hours of a week and days of a calendar are what such a panel
// is made of, and a figure with a step of its own tells of that period in its title.
export const keepsStep = ({ kind, query }) => kind === "heat" || kind === "calendar" || (kind === "figure" && !!query.every);

export const ownStep = ({ kind, query }) => kind === "heat" ? "PT1H" : kind === "calendar" ? "P1D" : query.every;

// How many series or groups there will be, as far as that is known before they are asked for: at most so many.
function several({ query, dataset }, { datasets, series = {} }) {
  const { keys = [], distinct, series: all = 1 } = datasets[dataset] ?? {}, chosen = keys.filter((key) => series[key]?.length);
  const left = chosen.length && chosen.length === keys.length ? Math.min(all, chosen.reduce((many, key) => many * series[key].length, 1)) : all;
  if (query.group) return query.group === "*" ? 1 : Math.min(valueUnder(distinct, query.group) ?? left, series[query.group]?.length || Infinity);
  return query.series?.length || left;
}

const measuresOf = ({ query }) => query.measures?.length || 1;

// To how many of them a panel keeps, the greatest first; 0 for all. What is more than a question may ask for is cut to a
// few, of which the panel says that they are; series that were chosen by name are not.
export function topOf(panel, context) {
  const { top, series } = panel.query;
  return top || (!series?.length && several(panel, context) * measuresOf(panel) > MOST_LINES ? FEW : 0);
}

// Which series are drawn where none is chosen by its name, in words: "All 12 series", "Top 8 of 200 series".
export function drawnOf(panel, context) {
  const { query, dataset } = panel, { series = 1 } = context.datasets[dataset] ?? {}, top = topOf(panel, context);
  if (query.group) return `All ${count(series)} series, ${query.group === "*" ? "as one" : `by ${query.group}`}${top && query.group !== "*" ? `, top ${top}` : ""}`;
  return top && top < series ? `Top ${top} of ${count(series)} series` : `All ${count(series)} series`;
}

// How many lines there will be.
export const linesOf = (panel, context) => measuresOf(panel) * Math.min(several(panel, context), topOf(panel, context) || Infinity);

export function requestOf(panel, context, width) {
  const { query, kind } = panel, show = panel.show ?? {}, own = show.own ?? {}, pairs = [["kind", ASKS[kind] ?? "line"], ["width", String(width)]];
  const dataset = context.datasets[panel.dataset] ?? {};
  for (const name of ["measures", "series", "overlays"]) for (const value of query[name] ?? []) pairs.push([name, value]);
  for (const one of query.filters ?? []) pairs.push(["filters", one]);
  for (const [key, labels] of Object.entries(context.series ?? {})) if (labels.length && dataset.keys?.includes(key)) pairs.push(["filters", filter(key, "in", ...labels)]);
  const range = own.from !== undefined && own.to !== undefined ? [own.from, own.to] : context.range;
  if (range) pairs.push(["from", String(Math.floor(range[0]))], ["to", String(Math.ceil(range[1]))]);
  for (const name of ["aggregation", "group", "across", "by", "bins", "volume"]) if (query[name]) pairs.push([name, String(query[name])]);
  const top = topOf(panel, context);
  if (top) pairs.push(["top", String(top)]);
  // Only what shares its times can stand on one another.
  const auto = STEPPED.has(kind) || (kind === "area" && show.stacked);
  const shared = context.every && context.every !== "auto" && !keepsStep(panel) ? context.every : "";
  const every = kind === "calendar" ? "P1D" : shared || query.every || (auto ? "auto" : "");
  if (every && !["heat", "histogram", "box"].includes(kind)) pairs.push(["every", every]);
  const compare = COMPARED.has(kind) && earlierOf(panel, context);
  if (compare) pairs.push(["compare", compare]);
  if (context.zone && context.zone !== (dataset.zone || "UTC") && (every || compare || query.group || kind === "heat" || kind === "calendar")) pairs.push(["zone", context.zone]);
  return pairs;
}
