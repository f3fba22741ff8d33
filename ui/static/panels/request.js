// What a panel asks of its dataset: its own query, and what it shares with the page.

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

export function requestOf(panel, context, width) {
  const { query, kind } = panel, show = panel.show ?? {}, own = show.own ?? {}, pairs = [["kind", ASKS[kind] ?? "line"], ["width", String(width)]];
  const dataset = context.datasets[panel.dataset] ?? {};
  for (const name of ["measures", "series", "overlays"]) for (const value of query[name] ?? []) pairs.push([name, value]);
  for (const one of query.filters ?? []) pairs.push(["filters", one]);
  for (const [key, labels] of Object.entries(context.series ?? {})) if (labels.length && dataset.keys?.includes(key)) pairs.push(["filters", filter(key, "in", ...labels)]);
  const range = own.from !== undefined && own.to !== undefined ? [own.from, own.to] : context.range;
  if (range) pairs.push(["from", String(Math.floor(range[0]))], ["to", String(Math.ceil(range[1]))]);
  for (const name of ["aggregation", "group", "across", "top", "by", "bins", "volume"]) if (query[name]) pairs.push([name, String(query[name])]);
  // More lines than a question may ask for: the greatest few, of which the panel says that they are.
  if (!query.top && !query.group && !query.series?.length && (dataset.series ?? 1) * (query.measures?.length || 1) > MOST_LINES) pairs.push(["top", String(FEW)]);
  // Only what shares its times can stand on one another.
  const auto = STEPPED.has(kind) || (kind === "area" && show.stacked);
  const shared = context.every && context.every !== "auto" && !keepsStep(panel) ? context.every : "";
  const every = kind === "calendar" ? "P1D" : shared || query.every || (auto ? "auto" : "");
  if (every && !["heat", "histogram", "box"].includes(kind)) pairs.push(["every", every]);
  const compare = query.compare || context.compare;
  if (compare && ["line", "area", "bar"].includes(kind) && !show.stacked) pairs.push(["compare", compare]);
  if (context.zone && context.zone !== "UTC" && (every || compare || query.group || kind === "heat" || kind === "calendar")) pairs.push(["zone", context.zone]);
  return pairs;
}
