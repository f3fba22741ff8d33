// Variables of a dashboard: what all panels share. Their specification (core/panels.py) is overruled by the address.

import { offsetOf } from "./axes.js";
import { lengthOf, MONTH, parsed, partsOf } from "./durations.js";
import { parts } from "./look.js";

// What an object that names of the data index holds itself; a column may be called "constructor" or "__proto__".
export const valueUnder = (object, name) => object && Object.hasOwn(object, name) ? object[name] : undefined;
// Whether browsers send such a body even when its page is left: they do up to 64 KiB.
export const outlives = (body) => new TextEncoder().encode(body).length < 6e4;
export const copyOf = (value) => JSON.parse(JSON.stringify(value));
// What can be undone of a dashboard in this tab: the specifications that stood before its `revision`, the latest last.
const PAST = "variosync-past/", MOST_KEPT = 20;
export const undoable = {
  of(id, revision) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(PAST + id));
      return kept?.revision === revision ? kept.past : [];
    } catch {
      return [];
    }
  },
  keep(id, revision, past) {
    try {
      sessionStorage.setItem(PAST + id, JSON.stringify({ revision, past: past.slice(-MOST_KEPT) }));
    } catch { /* a browser that keeps nothing undoes what its page changed */ }
  },
};
const DAY = 864e5;
const LAST = 8.64e15;  // the last moment that a Date can be, in ms

// The moment that lies a duration before another one (after it by `way` 1): months and years by the calendar of a zone, on its clock.
export function before(ms, duration, zone, way = -1) {
  const { months, ms: rest } = parsed(duration);
  if (!months) return ms + way * rest;
  const offset = offsetOf(zone), wall = new Date(ms + offset(ms)), day = wall.getUTCDate(), shifted = new Date(wall);
  shifted.setUTCDate(1);
  shifted.setUTCMonth(shifted.getUTCMonth() + way * months);
  shifted.setUTCDate(Math.min(day, new Date(Date.UTC(shifted.getUTCFullYear(), shifted.getUTCMonth() + 1, 0)).getUTCDate()));
  const guess = shifted.getTime() - offset(shifted.getTime());
  return shifted.getTime() - offset(guess) + way * rest;
}

const NAMES = { Y: "year", M: "month", W: "week", D: "day", TH: "hour", TM: "minute", TS: "second" };
// "PT15M" → "15 minutes", "P1D" → "1 day".
export function written(duration) {
  if (!duration) return "Off";
  if (duration === "auto") return "Auto";
  return partsOf(duration).map(([amount, unit]) => `${amount} ${NAMES[unit]}${amount === 1 ? "" : "s"}`).join(" ") || duration;
}

export const compareWith = [["", "Off"], ["P1D", "Day before"], ["P1W", "Week before"], ["P1M", "Month before"], ["P1Y", "Year before"]];
const STEPS = ["PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "P1D", "P1W", "P1M", "P3M", "P1Y"];
const RANGES = [["1H", "PT1H"], ["6H", "PT6H"], ["24H", "P1D"], ["7D", "P7D"], ["30D", "P30D"], ["3M", "P3M"], ["1Y", "P1Y"], ["5Y", "P5Y"]];

const MOST_BUCKETS = 10_000;  // hours of a year, and what fifty lines may have in one answer

// Steps that leave at least one bucket in the window and not too many, none shorter than that of the data.
export function stepsFor({ range, span, step: own = 0 }) {
  const [from, to] = range ?? span ?? [0, DAY];
  return ["auto", ...STEPS.filter((step) => lengthOf(step) >= own * 0.9 && lengthOf(step) <= to - from && (to - from) / lengthOf(step) <= MOST_BUCKETS)];
}

// Ranges that hold some values of data that are `step` ms apart, and are shorter than what there is.
const MANY = 5;
const fitting = ({ span, step = 0 }) => RANGES.filter(([, duration]) => span && lengthOf(duration) < span[1] - span[0] && lengthOf(duration) >= MANY * step);

// Four of them at most, and all there is.
export function presetsOf(context) {
  return [...fitting(context).slice(-4).map(([label, last]) => [label, { last }]), ["All", {}]];
}

// Variables as they are chosen: those of the address before those of the specification.
export function addressed(variables, address = location.search) {
  const asked = new URLSearchParams(address), chosen = copyOf(variables);
  const [from, to] = ["from", "to"].map((name) => asked.get(name)?.trim() ? Number(asked.get(name)) : NaN);
  if (asked.has("last")) chosen.range = /^P/.test(asked.get("last")) ? { last: asked.get("last") } : {};
  else if (Math.abs(from) <= LAST && Math.abs(to) <= LAST && from < to) chosen.range = { from, to };
  if (asked.has("step")) chosen.every = /^(auto|P.+)$/.test(asked.get("step")) ? asked.get("step") : "auto";
  if (asked.has("compare")) chosen.compare = /^(P.+)?$/.test(asked.get("compare")) ? asked.get("compare") : "";
  for (const name of new Set(asked.keys())) if (name.startsWith("by.")) chosen.series = { ...chosen.series, [name.slice(3)]: asked.getAll(name).filter(Boolean) };
  return chosen;
}

const differs = (a, b) => JSON.stringify(a) !== JSON.stringify(b);
written.address = (into, chosen, variables) => {
  for (const name of [...into.keys()]) if (["from", "to", "last", "step", "compare"].includes(name) || name.startsWith("by.")) into.delete(name);
  if (differs(chosen.range, variables.range)) {
    if (chosen.range.last) into.set("last", chosen.range.last);
    else if (chosen.range.from !== undefined) { into.set("from", Math.round(chosen.range.from)); into.set("to", Math.round(chosen.range.to)); }
    else into.set("last", "all");
  }
  if (chosen.every !== variables.every) into.set("step", chosen.every);
  if (chosen.compare !== variables.compare) into.set("compare", chosen.compare);
  for (const [key, labels] of Object.entries(chosen.series)) {
    if (!differs(labels, valueUnder(variables.series, key) ?? [])) continue;
    if (labels.length) for (const label of labels) into.append(`by.${key}`, label);
    else into.set(`by.${key}`, "");
  }
};

// A moment as an input of the browser writes it, on the clock of a zone, and back.
const two = (value) => String(value).padStart(2, "0");
written.local = (ms, zone) => {
  const at = parts(ms, zone);
  return `${String(at.year).padStart(4, "0")}-${two(at.month)}-${two(at.day)}T${two(at.hour)}:${two(at.minute)}:${two(at.second)}`;
};
written.moment = (text, zone) => {
  const wall = Date.parse(`${text}${text.length === 16 ? ":00" : ""}Z`), offset = offsetOf(zone);
  return Number.isNaN(wall) ? NaN : wall - offset(wall - offset(wall));
};

// A name for a panel that no other one has.
written.id = (panels) => {
  const taken = new Set(panels.map((panel) => panel.id));
  for (let at = 1; ; at += 1) if (!taken.has(`p${at}`)) return `p${at}`;
};

// What a key holds as far as this page knows: the labels of series where there is one key, else what the server told.
export const labelsOf = (dataset, key) => valueUnder(dataset.labels, key) ?? (dataset.keys.length === 1 ? (dataset.first ?? []).filter(Boolean) : []);
export const labelsKnown = (dataset, key) => labelsOf(dataset, key).length >= (valueUnder(dataset.distinct, key) ?? dataset.series ?? 0);

// What is said of the datasets of panels that were deleted, which of them can be brought back, and whether they are all.
export function lost({ panels }, known, deleted) {
  const drawn = panels.filter((panel) => panel.dataset), none = drawn.filter((panel) => !known[panel.dataset]), ids = [...new Set(none.map((panel) => panel.dataset))];
  const back = ids.filter((id) => deleted[id]), away = none.filter((panel) => !deleted[panel.dataset]).length;
  const said = back.map((id) => `“${deleted[id].name}” was deleted. It is kept until ${deleted[id].until}; once it is back, its panels draw again.`);
  if (away) said.push(`${away} panel${away === 1 ? " draws" : "s draw"} what was removed for good. Remove ${away === 1 ? "it" : "them"}, or choose another dataset by Edit.`);
  return { text: said.join(" "), back, all: none.length > 0 && none.length === drawn.length };
}

// "P30D" → "Last 30 days".
export const lastOf = (duration) => `Last ${written(duration).replace(/^1 /, "")}`;
export const rangesFor = (context) => fitting(context).map(([, last]) => last);

// Until when the data of a dataset last: months by the calendar. A single moment lasts 1 ms.
const endOf = ({ span, step = 0 }, zone) => step > 27.5 * DAY ? before(span[1], `P${Math.round(step / MONTH)}M`, zone, 1) : span[1] + (step || 1);

// Dates are the same everywhere, whatever the zone that panels share.
export const datedBy = (dataset, context) => context.datasets[dataset]?.dates ? { ...context, zone: "UTC" } : context;

// What panels draw by: moments in place of durations, and what there is to choose from.
export function resolved(chosen, { datasets, zone, panels }) {
  const shown = [...new Set(panels.map((panel) => panel.dataset).filter((id) => datasets[id]))].map((id) => datasets[id]);
  const spans = shown.map((dataset) => dataset.span).filter(Boolean);
  const span = spans.length ? [Math.min(...spans.map(([from]) => from)), Math.max(...spans.map(([, to]) => to))] : null;
  const labels = Object.create(null), totals = Object.create(null);
  for (const dataset of shown) {
    for (const key of dataset.keys ?? []) {
      labels[key] = [...new Set([...(labels[key] ?? []), ...labelsOf(dataset, key)])];
      totals[key] = Math.max(totals[key] ?? 0, labels[key].length, valueUnder(dataset.distinct, key) ?? 0);
    }
  }
  const keys = Object.keys(labels).filter((key) => totals[key] > 1);
  const step = Math.min(...shown.map((dataset) => dataset.step || 0));
  let range = null;
  if (chosen.range.last && span) {
    // The last value stands for its step: the last 7 days of days are 7 whole ones.
    const end = Math.max(...shown.filter((dataset) => dataset.span).map((dataset) => endOf(dataset, chosen.zone || zone)));
    range = [before(end, chosen.range.last, chosen.zone || zone), end - 1];
  }
  else if (chosen.range.from !== undefined && chosen.range.to !== undefined) range = [chosen.range.from, chosen.range.to];
  const own = shown.length === 1 && shown[0].zone ? shown[0].zone : zone;
  return { datasets, range, span, zone: chosen.zone || own || "UTC", series: chosen.series, every: chosen.every, compare: chosen.compare, keys, labels, totals, step: Number.isFinite(step) ? step : 0 };
}
