// Panels that are read rather than looked at: a table, and single figures with their sparklines.

import { el, icon } from "./dom.js";
import { against as againstOf, earlierOf, periodOf } from "./earlier.js";
import { apart, colour, count, digitsOf, instant, number, short, shortSigned, signed } from "./look.js";
import { bridged } from "./partial.js";
import { namesOf, stepOf, valuesOf } from "./scene.js";
import { valueUnder } from "./variables.js";

const ROWS = 500;
const FIGURES = 12;

// A table of what is shown, sorted by a press on a column's head.
export function table(place, answer, spec, context) {
  const { columns, rows } = tabular(answer, spec, context), state = place.sorting && place.sorting.at < columns.length ? place.sorting : { at: 0, down: true }, step = stepOf(valuesOf(answer)), partly = partials(answer);
  const called = apart(columns.map(({ name }) => name), 24), sorted = ordered(rows, state), box = place.querySelector(".panel-table"), scrolled = [box?.scrollTop ?? 0, box?.scrollLeft ?? 0];
  const head = columns.map((column, at) => el("th", { scope: "col", class: at ? "num" : "", "aria-sort": state.at === at ? (state.down ? "descending" : "ascending") : "none" },
    el("button", { type: "button", title: column.name, onclick: () => { place.sorting = { at, down: state.at !== at || !state.down }; table(place, answer, spec, context); place.querySelectorAll("th button")[at].focus(); } }, el("span", { class: "cut" }, called[at]),
      state.at === at ? icon(state.down ? "arrow-down" : "arrow-up", "i12") : null)));
  place.replaceChildren(el("div", { class: "panel-table", tabindex: "0", role: "region", "aria-label": "Rows" },
    el("table", { class: "t" }, el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, sorted.slice(0, ROWS).map((row) => el("tr", {}, row.map((value, at) => el(at ? "td" : "th", { class: at ? "num" : "when", scope: at ? null : "row" }, at ? (value === null ? "–" : number(value, columns[at].digits)) : [instant(value, context.zone, step), partly.has(value) && el("span", { class: "t3" }, `, ${partly.get(value)}`)]))))))),
  el("footer", { class: "t12 t3 panel-rows" }, rows.length > ROWS ? `${count(ROWS)} of ${count(rows.length)} rows are listed; CSV holds all` : `${count(rows.length)} row${rows.length === 1 ? "" : "s"}`));
  [place.querySelector(".panel-table").scrollTop, place.querySelector(".panel-table").scrollLeft] = scrolled;
}

// Rows by one of their columns; what is missing comes last either way.
export function ordered(rows, { at, down }) {
  return [...rows].sort((a, b) => {
    const [x, y] = [a[at], b[at]];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  });
}

// The moments whose buckets are not whole, and what is there of them.
const partials = (answer) => new Map(valuesOf(answer).flatMap((line) => Object.entries(line.partial ?? {}).map(([at, said]) => [line.columns.t[at], said])));

// Lines side by side, one row a moment, each with what it was an earlier period ago where one is asked for.
export function tabular(answer, spec = { query: {} }, context = {}) {
  const lines = valuesOf(answer), moments = new Map(), names = namesOf(lines), against = againstOf(spec, answer, context, stepOf(lines)), every = against ? 2 : 1, back = against && periodOf(earlierOf(spec, context));
  lines.forEach((line, at) => {
    const earlier = against?.(line);
    line.columns.t.forEach((ms, i) => {
      if (Number.isNaN(line.columns.y[i])) return;
      if (!moments.has(ms)) moments.set(ms, [ms, ...Array(lines.length * every).fill(null)]);
      const row = moments.get(ms);
      row[at * every + 1] = line.columns.y[i];
      if (earlier && !Number.isNaN(earlier[i])) row[at * every + 2] = earlier[i];
    });
  });
  const heads = lines.flatMap((line, at) => {
    const digits = digitsOf(line.columns.y);
    return [{ name: names[at], digits }, ...(against ? [{ name: lines.length > 1 ? `${names[at]}, ${back}` : back.replace(/^./, (letter) => letter.toUpperCase()), digits }] : [])];
  });
  return { columns: [{ name: "Time" }, ...heads], rows: [...moments.values()] };
}

// What a figure says of a line: its last whole bucket and the change against the one before, in percent and as `by` how much,
// or against `before`, its values an earlier period ago; what there is of the bucket after it (`now`), or of the only one
// (`open`: how much of it).
export function figureOf(line, before = null) {
  const { t, y } = line.columns, whole = [], known = (i) => !Number.isNaN(y[i]);
  let latest = y.length - 1;
  while (latest >= 0 && !known(latest)) latest -= 1;
  if (latest < 0) return null;
  for (let i = latest; i >= 0 && whole.length < 2; i--) if (known(i) && !line.partial?.[i]) whole.push(i);
  const [at = latest, last] = whole, then = before ? before[at] : last === undefined ? NaN : y[last], change = then && y[at] / then >= 0 ? (y[at] - then) / Math.abs(then) * 100 : NaN;
  const now = line.partial?.[latest] && at !== latest ? { t: t[latest], value: y[latest], part: line.partial[latest] } : null;
  return { t: t[at], value: y[at], open: line.partial?.[at] ?? "", change: Number.isFinite(change) ? change : null, now, ...(before ? { then: Number.isNaN(then) ? null : then } : {}) };
}
// Which bucket a figure is of: "Week of 9 Mar 2026".
export const named = ({ t, open }, zone, step) => `${step > 6.5 * 864e5 && step < 7.5 * 864e5 ? "Week of " : ""}${instant(t, zone, step)}${open ? `, ${open} so far` : ""}`;
// A half bucket beside whole ones looks like a fall.
const wholeOnly = (line) => line.partial && line.columns.y.length > Object.keys(line.partial).length ? { ...line.columns, y: line.columns.y.map((value, i) => line.partial[i] ? NaN : value) } : line.columns;

export function singleFigure(place, answer, spec, context) {
  const lines = valuesOf(answer), units = context.datasets[spec.dataset]?.units ?? {}, step = stepOf(lines), names = namesOf(lines), against = againstOf(spec, answer, context, stepOf(lines)), back = against ? periodOf(earlierOf(spec, context)) : "";
  if (lines.length === 1) {
    const said = figureOf(lines[0], against?.(lines[0]));
    place.replaceChildren(el("div", { class: "panel-figure" }, el("div", { class: "metric" }, short(said?.value ?? NaN), valueUnder(units, lines[0].measure) ? el("span", { class: "t3 panel-unit" }, ` ${valueUnder(units, lines[0].measure)}`) : null),
      said && el("div", { class: "t3 t12 panel-when" }, el("span", { class: "cut" }, named(said, context.zone, step)), changed(said, back)),
      said && back && el("div", { class: "t3 t12 cut panel-then" }, ...(said.then === null ? [`No value from the ${back}`] : [`${back[0].toUpperCase()}${back.slice(1)} `, el("span", { class: "t2 w5 tn" }, short(said.then))])),
      said?.now && el("div", { class: "t3 t12 cut panel-now", title: `From ${instant(said.now.t, context.zone, step)} on, not over yet` }, "Since then ", el("span", { class: "t2 w5 tn" }, short(said.now.value)), `, ${said.now.part}`), sparkline(wholeOnly(lines[0]))));
    return;
  }
  // Figures below one another have the same decimals.
  const shown = lines.slice(0, FIGURES), known = shown.map((line) => figureOf(line)?.value ?? NaN), most = Math.max(0, ...known.map(Math.abs).filter((value) => value >= 0));
  const called = apart(names, 28), digits = digitsOf(known), text = (value) => most >= 1e5 || most < 1e-3 || Number.isNaN(most) ? short(value) : number(value, digits);
  place.replaceChildren(el("ul", { class: "panel-figures", tabindex: "0", "aria-label": "Figures" }, shown.map((line, at) => {
    const said = figureOf(line, against?.(line));
    return el("li", {}, el("span", { class: "cut t2", title: names[at] }, called[at]), sparkline(wholeOnly(line), at), el("b", { class: "tn" }, text(said?.value ?? NaN), valueUnder(units, line.measure) ? el("span", { class: "t3" }, ` ${valueUnder(units, line.measure)}`) : null), el("span", { class: "t12" }, said && changed(said, back)));
  }), lines.length > FIGURES ? el("li", { class: "t12 t3" }, `${FIGURES} of ${lines.length} figures; CSV holds all`) : null));
}

// Up and down by an arrow and a sign, against the bucket before, or against an earlier period, then by how much too.
const changed = (said, back) => changeOf(said) && el("span", { class: "w5 t2 nowrap tn", title: back ? `Against the ${back}: ${said.then === null ? "no value" : short(said.then)}` : "Against the last whole one before" }, changeOf(said));
export const changeOf = ({ value, change, then = null }) => [change !== null && changeIn(change), then !== null && difference(value, then)].filter(Boolean).join(", ");
const difference = (a, b) => Math.max(Math.abs(a), Math.abs(b)) >= 1e5 ? shortSigned(a - b) : signed(a - b, digitsOf([a, b]));
const changeIn = (exact, change = Math.abs(exact) < 0.05 ? 0 : exact) => `${change > 0 ? "↑ " : change < 0 ? "↓ " : ""}${signed(change, 0.1)}%`;

const NS = "http://www.w3.org/2000/svg";
function sparkline(columns, at = 0) {
  const made = document.createElementNS(NS, "svg"), part = (d, attributes) => {
    const path = document.createElementNS(NS, "path");
    for (const [key, value] of Object.entries({ d, ...attributes })) path.setAttribute(key, value);
    made.append(path);
  };
  for (const [key, value] of Object.entries({ viewBox: "0 0 100 30", preserveAspectRatio: "none", class: "panel-spark", "aria-hidden": "true" })) made.setAttribute(key, value);
  const tone = colour(`series-${at % 8 + 1}`), { line, area } = paths(columns, 100, 30);
  part(area, { fill: tone, opacity: 0.1 });
  part(line, { fill: "none", stroke: tone, "stroke-width": 1.5, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" });
  return made;
}

// A line through values in a box of this size, and the area below it; interrupted where there is none.
export function paths(columns, width, height, left = 0, top = 0) {
  const { t, y } = bridged(columns) ?? columns;
  let low = Infinity, high = -Infinity, line = "", area = "", piece = [];
  for (const value of y) if (!Number.isNaN(value)) low = Math.min(low, value), high = Math.max(high, value);
  const known = (i) => !Number.isNaN(y[i]), first = y.findIndex((_, i) => known(i)), last = y.findLastIndex((_, i) => known(i));
  const begin = t[first] ?? 0, span = (t[last] ?? 0) - begin || 1, x = (ms) => (left + (ms - begin) / span * width).toFixed(2), place = (value) => (top + height - 2 - (high > low ? (value - low) / (high - low) : 0.5) * (height - 4)).toFixed(2);
  const end = () => {
    if (piece.length) {
      const points = piece.map((i) => `${x(t[i])} ${place(y[i])}`).join("L");
      line += `M${points}`;
      area += `M${x(t[piece[0]])} ${top + height}L${points}L${x(t[piece.at(-1)])} ${top + height}Z`;
    }
    piece = [];
  };
  for (let i = 0; i < t.length; i++) if (Number.isNaN(y[i])) end();
  else piece.push(i);
  end();
  return { line, area };
}

// The same as pictures; `tools` are those of figure.js.
export function sayTable(root, panel, answer, context, place, { words, rule, fit }) {
  const { columns, rows } = tabular(answer, panel, context), step = stepOf(valuesOf(answer)), most = Math.max(1, Math.floor((place.bottom - place.top - 40) / 24)), fits = Math.max(1, Math.floor((place.right - place.left - 140) / 96));
  const shown = columns.slice(0, fits + 1), right = (at) => at ? place.left + 140 + (place.right - place.left - 140) / (shown.length - 1) * at : place.left;
  shown.forEach((column, at) => root.append(words(right(at), place.top + 14, fit(column.name, at ? (place.right - place.left - 140) / (shown.length - 1) - 12 : 120), { anchor: at ? "end" : "start", weight: 500 })));
  root.append(rule(place.left, place.top + 22, place.right, place.top + 22, "line"));
  ordered(rows, { at: 0, down: true }).slice(0, most).forEach((row, line) => shown.forEach((column, at) => root.append(words(right(at), place.top + 40 + line * 24, at ? (row[at] === null ? "–" : number(row[at], column.digits)) : instant(row[0], context.zone, step), { anchor: at ? "end" : "start", fill: "text" }))));
  const left = [rows.length > most && `${count(most)} of ${count(rows.length)} rows`, columns.length > shown.length && `${shown.length - 1} of ${columns.length - 1} columns`].filter(Boolean).join(", ");
  if (left) root.append(words(place.left, place.bottom, left));
}

export function sayFigures(root, panel, answer, context, place, { words, svg, fit, widthOf }) {
  const lines = valuesOf(answer), units = context.datasets[panel.dataset]?.units ?? {}, names = namesOf(lines), step = stepOf(lines), shown = lines.slice(0, FIGURES), tall = (place.bottom - place.top) / shown.length, wide = place.right - place.left, against = againstOf(panel, answer, context, step), back = against ? periodOf(earlierOf(panel, context)) : "";
  shown.forEach((line, at) => {
    const said = figureOf(line, against?.(line)), top = place.top + tall * at, unit = valueUnder(units, line.measure) ?? "", tone = colour(`series-${at % 8 + 1}`), big = lines.length === 1 ? 28 : 16;
    const text = short(said?.value ?? NaN), below = said ? [named(said, context.zone, step), changeOf(said), back && (said.then === null ? `no value from the ${back}` : `${back} ${short(said.then)}`)].filter(Boolean).join("  ") : "";
    if (lines.length > 1) root.append(words(place.left, top + tall / 2 + 5, fit(names[at], wide * 0.3), { fill: "text-2" }));
    const start = lines.length > 1 ? place.left + wide * 0.7 : place.left, foot = lines.length > 1 ? top + tall / 2 + 5 : top + 32;
    root.append(words(start, foot, text, { fill: "text", size: big, weight: 600 }));
    if (unit) root.append(words(start + widthOf(text, `600 ${big}px Inter Variable`) + 6, foot, unit));
    if (lines.length === 1) root.append(words(place.left, foot + 20, below));
    else if (said && changeOf(said)) root.append(words(place.right, foot, changeOf(said), { anchor: "end", fill: "text-2" }));
    const { line: d, area } = lines.length > 1 ? paths(wholeOnly(line), wide * 0.3, tall * 0.7, place.left + wide * 0.35, top + tall * 0.15) : paths(wholeOnly(line), wide, Math.max(10, tall - 64), place.left, top + 60);
    root.append(svg("path", { d: area, fill: tone, opacity: 0.1 }), svg("path", { d, fill: "none", stroke: tone, "stroke-width": 1.5, "stroke-linejoin": "round" }));
  });
  if (lines.length > FIGURES) root.append(words(place.left, place.bottom, `${FIGURES} of ${lines.length} figures`));
}
