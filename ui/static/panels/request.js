// What a panel asks of its dataset: its own query, and what it shares with the page.

// Kinds of panels and the kind of question each asks.
const ASKS = { line: "line", area: "line", bar: "buckets", scatter: "buckets", heat: "hours", calendar: "buckets", histogram: "histogram", box: "box", candles: "ohlc", table: "buckets", figure: "buckets" };

const DIVIDER = "~";
const escaped = (text) => String(text).replace(/\\/g, "\\\\").replace(/~/g, "\\~");
export const filter = (column, relation, ...values) => [column, relation, ...values].map(escaped).join(DIVIDER);

export function requestOf(panel, context, width) {
  const { query, kind } = panel, own = panel.show?.own ?? {}, pairs = [["kind", ASKS[kind] ?? "line"], ["width", String(width)]];
  const dataset = context.datasets[panel.dataset] ?? {};
  for (const name of ["measures", "series", "overlays"]) for (const value of query[name] ?? []) pairs.push([name, value]);
  for (const one of query.filters ?? []) pairs.push(["filters", one]);
  for (const [key, labels] of Object.entries(context.series ?? {})) if (labels.length && dataset.keys?.includes(key)) pairs.push(["filters", filter(key, "in", ...labels)]);
  const range = own.from !== undefined ? [own.from, own.to] : context.range;
  if (range) pairs.push(["from", String(Math.floor(range[0]))], ["to", String(Math.ceil(range[1]))]);
  for (const name of ["aggregation", "group", "across", "top", "by", "bins", "volume"]) if (query[name]) pairs.push([name, String(query[name])]);
  const every = kind === "calendar" ? "P1D" : query.every || (context.every !== "auto" ? context.every : ["bar", "scatter", "candles", "table", "figure"].includes(kind) ? "auto" : "");
  if (every && !["heat", "histogram", "box"].includes(kind)) pairs.push(["every", every]);
  const compare = query.compare || context.compare;
  if (compare && ["line", "area", "bar"].includes(kind)) pairs.push(["compare", compare]);
  if (context.zone && context.zone !== "UTC" && (every || ["heat", "calendar", "bar", "candles", "table", "figure", "scatter"].includes(kind))) pairs.push(["zone", context.zone]);
  return pairs;
}
