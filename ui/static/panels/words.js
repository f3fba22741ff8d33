// Panels that are read rather than looked at: a table, and a single figure with its sparkline.

import { el, icon } from "./dom.js";
import { colour, count, moment, number, short } from "./look.js";

const ROWS = 500;

// A table of what is shown, sorted by a press on a column's head.
export function table(place, answer, context) {
  const { columns, rows, total } = tabular(answer), state = place.sorting ?? { at: 0, down: true };
  place.sorting = state;
  const sorted = [...rows].sort((a, b) => {
    const [x, y] = [a[state.at], b[state.at]];
    const order = x === null ? 1 : y === null ? -1 : x < y ? -1 : x > y ? 1 : 0;
    return state.down ? -order : order;
  });
  const cell = (value, column) => column.kind === "time" ? moment(value, context.zone, answer.end - answer.start || 864e5) : column.kind === "number" ? number(value) : value ?? "";
  const head = columns.map((column, at) => el("th", { scope: "col", class: column.kind === "text" ? "" : "num", "aria-sort": state.at === at ? (state.down ? "descending" : "ascending") : "none" },
    el("button", { type: "button", onclick: () => { place.sorting = { at, down: state.at === at && !state.down }; table(place, answer, context); } }, column.name,
      state.at === at ? icon(state.down ? "arrow-down" : "arrow-up", "i12") : null)));
  place.replaceChildren(el("div", { class: "panel-table", tabindex: "0", role: "region", "aria-label": "Rows" },
    el("table", { class: "t" }, el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, sorted.slice(0, ROWS).map((row) => el("tr", {}, row.map((value, at) => el("td", { class: columns[at].kind === "text" ? "cut" : "num" }, String(cell(value, columns[at]))))))))),
  el("footer", { class: "t12 t3 panel-rows" }, rows.length < total ? `${count(Math.min(ROWS, rows.length))} of ${count(total)} rows; CSV holds all` : `${count(total)} rows`));
}

// Lines side by side, one row a moment.
function tabular(answer) {
  const lines = answer.lines.filter((line) => line.role === "value"), moments = new Map();
  lines.forEach((line, at) => line.columns.t.forEach((ms, i) => {
    if (Number.isNaN(line.columns.y[i])) return;
    if (!moments.has(ms)) moments.set(ms, [ms, ...Array(lines.length).fill(null)]);
    moments.get(ms)[at + 1] = line.columns.y[i];
  }));
  const rows = [...moments.values()].sort((a, b) => b[0] - a[0]);
  return { columns: [{ name: "time", kind: "time" }, ...lines.map((line) => ({ name: line.name, kind: "number" }))], rows, total: rows.length };
}

export function singleFigure(place, answer, spec, context) {
  const first = answer.lines[0], known = first.columns.y.reduce((found, value, i) => Number.isNaN(value) ? found : [...found.slice(-1), i], []);
  const at = known.at(-1) ?? null, value = at === null ? NaN : first.columns.y[at], before = known.length > 1 ? first.columns.y[known[0]] : null;
  const t = at === null ? null : first.columns.t[at], unit = context.datasets[spec.dataset]?.units?.[first.measure] ?? "", line = { t: first.columns.t, y: first.columns.y };
  const change = before ? (value - before) / Math.abs(before) * 100 : null, rises = change >= 0;
  place.replaceChildren(el("div", { class: "panel-figure" },
    el("div", { class: "metric" }, short(value), unit ? el("span", { class: "t3 panel-unit" }, ` ${unit}`) : null),
    el("div", { class: "t3 t12" }, t === null ? "" : `at ${moment(t, context.zone, 864e5 * 2)}`,
      change === null || !Number.isFinite(change) ? null : el("span", { class: `w5 ${rises ? "green" : "red"}` }, ` ${rises ? "↑" : "↓"} ${number(Math.abs(change), 0.1)}%`)),
    sparkline(line)));
}

const NS = "http://www.w3.org/2000/svg";
function sparkline({ t, y }) {
  const svg = document.createElementNS(NS, "svg"), path = document.createElementNS(NS, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 100 30", preserveAspectRatio: "none", class: "panel-spark", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const known = Array.from(y).filter((one) => !Number.isNaN(one)), low = Math.min(...known), high = Math.max(...known), span = t[t.length - 1] - t[0] || 1;
  let d = "", pen = "M";
  for (let i = 0; i < t.length; i++) {
    if (Number.isNaN(y[i])) { pen = "M"; continue; }
    d += `${pen}${((t[i] - t[0]) / span * 100).toFixed(2)} ${(28 - (high > low ? (y[i] - low) / (high - low) : 0.5) * 26).toFixed(2)}`;
    pen = "L";
  }
  for (const [key, value] of Object.entries({ d, fill: "none", stroke: colour("series-1"), "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" })) path.setAttribute(key, value);
  svg.append(path);
  return svg;
}
