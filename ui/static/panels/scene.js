// From a panel and its answer to a scene: plain data of what is to be drawn over time, by fast.js on the page and by
// figure.js as a picture.

import { dashOf, moment, number, short } from "./look.js";

export const OVER_TIME = new Set(["line", "area", "bar", "candles"]);

const CALM = { ema: "series-6", mean: "series-8" };

export function scene(panel, answer, context) {
  const { kind, query, show } = panel, values = answer.lines.filter((line) => line.role === "value");
  const made = { x: window_(panel, answer, context), zone: context.zone, log: show.axis === "log", zero: kind === "bar" || kind === "area", lines: [], bands: [], gaps: [],
    thresholds: show.thresholds ?? [], notes: [...(show.annotations ?? [])], marks: [] };
  if (kind === "candles") return candles(made, values, answer, context);
  const place = new Map(values.map((line, at) => [line.name, at])), unit = (line) => context.datasets[panel.dataset]?.units?.[line.measure] ?? "";
  let stacked = null;
  values.forEach((line, at) => {
    const { t, y } = line.columns, right = show.right?.includes(line.measure);
    let drawn = y;
    if (show.stacked && kind !== "line" && !right) drawn = stacked = stack(stacked, y);
    made.lines.push({ name: named(line, values), colour: `series-${at % 8 + 1}`, dash: dashOf(at), t, y: drawn, fill: kind === "bar" ? "bars" : kind === "area" ? "area" : "",
      axis: right ? "right" : "left", unit: unit(line), points: show.points || (answer.exact && t.length < 60 && kind === "line"), width: 1.5 });
  });
  // What is stacked is drawn from the top down, so that the lower ones stand before the higher ones.
  if (show.stacked && kind !== "line") made.lines.reverse();
  for (const line of answer.lines) {
    if (line.role === "value") continue;
    const at = place.get(line.of) ?? 0, colour = `series-${at % 8 + 1}`, { t, y } = line.columns;
    if (line.role === "before") made.lines.push({ name: `${named(values[at] ?? line, values)}, before`, colour: values.length > 1 ? colour : "series-8", dash: [4, 3], t, y, width: 1.25, axis: "left" });
    else if (line.role === "bollinger.low" || line.role === "bollinger.upper" || line.role === "bollinger.lower" || line.role === "bollinger.high") made.lines.push({ name: line.role.includes("low") ? "lower band" : "upper band", colour, dash: [2, 3], t, y, width: 1, axis: "left" });
    else made.lines.push({ name: line.name.replace(`${line.of} `, "").replaceAll("~", " "), colour: CALM[line.role] ?? "series-4", dash: line.role.startsWith("macd.signal") ? [4, 3] : [], t, y, width: 1.25,
      axis: /^(rsi|macd)/.test(line.role) ? "right" : "left" });
  }
  made.gaps = gaps(values, made.x);
  overlay(made, panel, context);
  void query;
  return made;
}

// The window that is drawn: what was asked for, else all there is.
function window_(panel, answer, context) {
  const own = panel.show?.own ?? {}, range = own.from !== undefined ? [own.from, own.to] : context.range;
  const [from, to] = range ?? [answer.start, answer.end];
  if (!(to > from)) return [from - 1000, from + 1000];
  const last = panel.kind === "bar" || panel.kind === "candles" ? Math.max(to, ...answer.lines.map((line) => line.columns.until?.at(-1) ?? to)) : to;
  return [from, range ? to : last];
}

function named(line, all) {
  const measures = new Set(all.map((one) => one.measure)).size > 1, series = new Set(all.map((one) => one.series)).size > 1;
  return [series || !measures ? line.series : "", measures || !line.series ? line.measure : ""].filter(Boolean).join(" · ") || line.measure;
}

function stack(below, y) {
  if (!below) return y;
  return Float64Array.from(y, (value, i) => Number.isNaN(value) ? below[i] : value + (Number.isNaN(below[i]) ? 0 : below[i] ?? 0));
}

// Where every line is interrupted at once, for more than a hundredth of the window.
function gaps(lines, [from, to]) {
  if (lines.length !== 1) return [];
  const { t, y } = lines[0].columns, found = [];
  for (let i = 0; i < y.length; i++) {
    if (!Number.isNaN(y[i])) continue;
    let j = i;
    while (j < y.length && Number.isNaN(y[j])) j += 1;
    const a = i ? t[i - 1] : from, b = j < y.length ? t[j] : to;
    if (b - a > (to - from) / 100) found.push([a, b]);
    i = j;
  }
  return found.slice(0, 200);
}

// A forecast over what happened: its mean, both bands and where it was made; the page has fetched it.
function overlay(made, panel, context) {
  const found = context.forecasts?.[panel.show.forecast];
  if (!found) return;
  const model = found.models[0];
  if (!model) return;
  const level = (low, high, colour) => {
    if (model.q[low] && model.q[high]) made.bands.push({ t: model.t, lo: model.q[low].map((v) => v ?? NaN), hi: model.q[high].map((v) => v ?? NaN), colour });
  };
  level("0.025", "0.975", "band-95");
  level("0.1", "0.9", "band-80");
  made.lines.push({ name: "forecast", colour: "series-1", t: model.t, y: model.mean.map((v) => v ?? NaN), width: 2, axis: "left" });
  if (made.lines.length === 2) made.lines[0].colour = "ink";
  if (found.cutoff !== null) made.notes.push({ at: found.cutoff, text: "cutoff", colour: "text-3" });
  if (!context.range && model.t.length) made.x = [made.x[0], Math.max(made.x[1], model.t.at(-1))];
}

function candles(made, values, answer, context) {
  const line = values[0];
  if (!line) return made;
  const { t, until, open: o, high: h, low: l, close: c, volume } = line.columns;
  const middle = Float64Array.from(t, (at, i) => (at + until[i]) / 2);
  made.candles = { t: middle, o, h, l, c };
  if (volume) made.volume = { t: middle, y: volume };
  for (const other of answer.lines) {
    if (other.role === "value") continue;
    const name = other.role.startsWith("bollinger") ? other.role.replace("bollinger.", "band ") : other.name.replace(`${other.of} `, "").replaceAll("~", " ");
    made.lines.push({ name, colour: other.role.startsWith("bollinger") ? "series-8" : CALM[other.role] ?? "series-4", dash: other.role.startsWith("bollinger") ? [2, 3] : [], t: middle, y: other.columns.y, width: 1.25,
      axis: /^(rsi|macd)/.test(other.role) ? "right" : "left" });
  }
  made.legend = (ms) => {
    let at = c.length - 1;
    if (ms !== null) at = Math.max(0, Math.min(at, middle.findIndex((_, i) => until[i] > ms)));
    while (at > 0 && Number.isNaN(c[at])) at -= 1;
    const change = at > 0 && c[at - 1] ? (c[at] - c[at - 1]) / Math.abs(c[at - 1]) * 100 : null;
    return [["O", short(o[at])], ["H", short(h[at])], ["L", short(l[at])], ["C", short(c[at])],
      ...(volume ? [["V", short(volume[at])]] : []),
      ...(change === null || !Number.isFinite(change) ? [] : [["", `${change >= 0 ? "↑" : "↓"} ${number(change, 0.1)}%`]]), ["", moment(t[at], context.zone, until[at] - t[at] >= 864e5 ? 1e14 : 864e6)]];
  };
  return made;
}
