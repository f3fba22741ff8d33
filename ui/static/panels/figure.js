// Plotly figures of panels: on the page of those that are not over time, and as a picture of every kind.

import { colour, count, dark, faded, number, seriesColour, short } from "./look.js";
import { OVER_TIME, scene } from "./scene.js";

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOURS = Array.from({ length: 24 }, (_, hour) => `${String(hour).padStart(2, "0")}:00`);

function layoutOf({ width, height, titled }) {
  const axis = () => ({ gridcolor: colour("grid"), linecolor: colour("axis"), tickfont: { color: colour("text-3"), size: 12 }, zeroline: false, automargin: true, fixedrange: true });
  return { width, height, font: { family: "Inter Variable, Inter, system-ui, sans-serif", size: 12, color: colour("text-2") }, paper_bgcolor: titled ? colour("surface") : "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 44, r: 16, t: titled ? 72 : 8, b: titled ? 40 : 28 }, showlegend: !!titled, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" }, bargap: 0.08, hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: colour("raised"), bordercolor: colour("line-2"), font: { color: colour("text") } },
    ...(titled ? { title: { text: plain(titled), x: 0, xref: "paper", xanchor: "left", y: 1, yref: "container", yanchor: "top", pad: { t: 16 }, font: { size: 14, weight: 600, color: colour("text") } } } : {}),
    xaxis: { ...axis(), showgrid: false }, yaxis: axis() };
}

export function figure(panel, answer, context, size) {
  const layout = layoutOf(size);
  const make = OVER_TIME.has(panel.kind) ? overTime : { histogram, box, heat, calendar, scatter }[panel.kind];
  return make ? make(panel, answer, context, layout) : { data: [], layout };
}

const listed = (values) => Array.from(values, (value) => Number.isNaN(value) ? null : value);

// The scene of fast.js once more, as a picture that can be scaled.
function overTime(panel, answer, context, layout) {
  const drawn = scene(panel, answer, context), data = [], x = (t) => Array.from(t);
  for (const band of drawn.bands) data.push({ type: "scatter", x: [...x(band.t), ...x(band.t).reverse()], y: [...listed(band.hi), ...listed(band.lo).reverse()], fill: "toself", fillcolor: colour(band.colour), line: { width: 0 }, hoverinfo: "skip", showlegend: false });
  if (drawn.candles) {
    const { t, o, h, l, c } = drawn.candles;
    data.push({ type: "candlestick", x: x(t), open: listed(o), high: listed(h), low: listed(l), close: listed(c), name: "price", increasing: { line: { color: colour("series-1"), width: 1 }, fillcolor: colour("surface") }, decreasing: { line: { color: colour("series-5"), width: 1 }, fillcolor: colour("series-5") } });
    Object.assign(layout.xaxis, { rangeslider: { visible: false } });
  }
  if (drawn.volume) {
    data.push({ type: "bar", x: x(drawn.volume.t), y: listed(drawn.volume.y), name: "volume", yaxis: "y3", marker: { color: faded(colour("series-8"), 0.35) } });
    layout.yaxis3 = { overlaying: "y", range: [0, 4 * Math.max(...listed(drawn.volume.y))], visible: false };
  }
  for (const line of drawn.lines) {
    const tint = colour(line.colour), axis = line.axis === "right" ? "y2" : "y";
    data.push(line.fill === "bars" ? { type: "bar", x: x(line.t), y: listed(line.y), name: plain(line.name), marker: { color: tint }, yaxis: axis }
      : { type: "scatter", mode: line.points ? "lines+markers" : "lines", x: x(line.t), y: listed(line.y), name: plain(line.name), line: { color: tint, width: line.width, dash: line.dash?.length ? "dash" : "solid" }, marker: { size: 4 }, fill: line.fill === "area" ? "tozeroy" : "none", fillcolor: faded(tint, 0.22), yaxis: axis });
  }
  if (drawn.lines.some((line) => line.axis === "right")) layout.yaxis2 = { ...layout.yaxis, overlaying: "y", side: "right", showgrid: false };
  Object.assign(layout.xaxis, { type: "date", range: drawn.x, showline: true, tickfont: { color: colour("text-3") } });
  if (drawn.log) layout.yaxis.type = "log";
  layout.shapes = [
    ...drawn.gaps.map(([x0, x1]) => ({ type: "rect", x0, x1, y0: 0, y1: 1, yref: "paper", fillcolor: colour("sunken"), line: { width: 0 }, layer: "below" })),
    ...drawn.thresholds.map((one) => ({ type: "line", x0: 0, x1: 1, xref: "paper", y0: one.value, y1: one.value, line: { color: colour(one.colour), dash: "dash", width: 1.25 } })),
    ...drawn.notes.map((note) => ({ type: "line", x0: note.at, x1: note.at, y0: 0, y1: 1, yref: "paper", line: { color: colour("text-3"), dash: "dot", width: 1 } })),
  ];
  layout.annotations = [
    ...drawn.thresholds.map((one) => ({ x: 1, xref: "paper", xanchor: "right", y: one.value, yanchor: "bottom", text: plain(one.label || short(one.value)), showarrow: false, font: { color: colour(one.colour) } })),
    ...drawn.notes.map((note) => ({ x: note.at, y: 1, yref: "paper", yanchor: "top", xanchor: "left", text: plain(note.text), showarrow: false })),
  ];
  return { data, layout };
}

function histogram(panel, answer, context, layout) {
  const several = answer.lines.length > 1;
  const data = answer.lines.map((line, at) => {
    const { edges, count: counts } = line.columns, n = counts.length;
    const middle = Array.from(counts, (_, i) => n === 1 && edges[0] === edges[1] ? edges[0] : (edges[i] + edges[i + 1]) / 2);
    return { type: "bar", x: middle, y: Array.from(counts), width: n > 1 ? Array(n).fill(edges[1] - edges[0]) : undefined, name: plain(line.name), marker: { color: faded(seriesColour(at), several ? 0.55 : 0.85), line: { width: 0 } },
      customdata: Array.from(counts, (_, i) => [short(edges[i]), short(edges[i + 1] ?? edges[i])]), hovertemplate: `%{customdata[0]} to %{customdata[1]}: %{y:,}<extra>${several ? plain(line.name) : ""}</extra>` };
  });
  Object.assign(layout, { barmode: "overlay", bargap: 0.04 });
  return { data, layout };
}

// A box by its five figures: the bundle has no box trace, and the values themselves never come to the browser.
function box(panel, answer, context, layout) {
  const lines = answer.lines.filter((line) => line.columns.median.length), at = (line, name) => line.columns[name][0];
  const names = lines.map((line) => plain(line.name)), colours = lines.map((_, i) => seriesColour(i));
  const data = [
    { type: "bar", x: names, base: lines.map((line) => at(line, "lower")), y: lines.map((line) => at(line, "upper") - at(line, "lower")), marker: { color: colours.map((one) => faded(one, 0.35)), line: { color: colours, width: 1.5 } }, width: 0.5, showlegend: false,
      customdata: lines.map((line) => ["least", "lower", "median", "upper", "greatest"].map((name) => short(at(line, name)))),
      hovertemplate: "%{x}<br>greatest %{customdata[4]}<br>75% %{customdata[3]}<br>median %{customdata[2]}<br>25% %{customdata[1]}<br>least %{customdata[0]}<extra></extra>",
      error_y: { type: "data", symmetric: false, array: lines.map((line) => at(line, "whisker_high") - at(line, "upper")), arrayminus: lines.map((line) => at(line, "upper") - at(line, "whisker_low")), color: colour("text-3"), thickness: 1.25, width: 8 } },
    { type: "scatter", mode: "markers", x: names, y: lines.map((line) => at(line, "median")), marker: { symbol: "line-ew", size: 28, line: { color: colour("text"), width: 2 } }, hoverinfo: "skip", showlegend: false },
  ];
  return { data, layout };
}

// Cells are bars that stand on one another: the bundle has no heat map, and bars are as sharp at any size.
function cells(columns, rows, value, layout, hover) {
  let low = Infinity, high = -Infinity;
  for (const column of columns.keys()) for (const row of rows.keys()) {
    const found = value(column, row);
    if (!Number.isNaN(found)) low = Math.min(low, found), high = Math.max(high, found);
  }
  const shade = (found) => Number.isNaN(found) ? colour("sunken") : faded(colour("series-1"), 0.08 + 0.92 * (high > low ? (found - low) / (high - low) : 0.5));
  const data = rows.map((name, row) => ({ type: "bar", x: columns, y: columns.map(() => 1), base: rows.length - 1 - row, width: 1, name, showlegend: false, marker: { color: columns.map((_, column) => shade(value(column, row))), line: { color: colour("surface"), width: columns.length > 60 ? 0.5 : 1.5 } },
    text: columns.map((_, column) => hover(column, row)), textposition: "none", hovertemplate: "%{text}<extra></extra>" }));
  Object.assign(layout, { barmode: "overlay", bargap: 0 });
  Object.assign(layout.yaxis, { tickvals: rows.map((_, row) => rows.length - 0.5 - row), ticktext: rows, showgrid: false, range: [0, rows.length] });
  Object.assign(layout.xaxis, { type: "category", showgrid: false });
  return { data, layout, reach: [low, high] };
}

function heat(panel, answer, context, layout) {
  const line = answer.lines[0], { value, n } = line.columns, at = (hour, day) => value[day * 24 + hour];
  const found = cells(HOURS, DAYS, at, layout, (hour, day) => Number.isNaN(at(hour, day)) ? `${DAYS[day]} ${HOURS[hour]}: no values` : `${DAYS[day]} ${HOURS[hour]}: ${short(at(hour, day))} (${count(n[day * 24 + hour])} values)`);
  Object.assign(layout.xaxis, { tickvals: HOURS.filter((_, hour) => hour % 3 === 0) });
  return found;
}

function calendar(panel, answer, context, layout) {
  const { t, y } = answer.lines[0].columns, days = new Map();
  let first = Infinity, last = -Infinity;
  Array.from(t).forEach((ms, i) => {
    const local = new Intl.DateTimeFormat("en-CA", { timeZone: context.zone || "UTC" }).format(ms), day = Date.parse(`${local}T00:00Z`) / 864e5;
    days.set(day, y[i]);
    first = Math.min(first, day);
    last = Math.max(last, day);
  });
  const monday = (day) => Math.floor((day + 3) / 7), weeks = Array.from({ length: monday(last) - monday(first) + 1 }, (_, i) => monday(first) + i);
  const text = (week) => new Date((week * 7 - 3) * 864e5).toISOString().slice(0, 10), of = (column, row) => days.get(weeks[column] * 7 - 3 + row) ?? NaN;
  const found = cells(weeks.map(text), DAYS, of, layout, (column, row) => {
    const date = new Date((weeks[column] * 7 - 3 + row) * 864e5);
    return `${date.getUTCDate()} ${date.toLocaleDateString("en-US", { month: "short", timeZone: "UTC" })} ${date.getUTCFullYear()}: ${Number.isNaN(of(column, row)) ? "no values" : short(of(column, row))}`;
  });
  const each = Math.max(1, Math.ceil(weeks.length / Math.max(2, layout.width / 90))), shown = weeks.filter((_, i) => i % each === 0);
  Object.assign(layout.xaxis, { tickvals: shown.map(text), ticktext: shown.map((week) => new Date((week * 7 - 3) * 864e5).toLocaleDateString("en-US", { month: "short", year: "numeric", timeZone: "UTC" })), tickangle: 0 });
  return found;
}

// Two measures against one another, at the same buckets of time.
function scatter(panel, answer, context, layout) {
  const [mx, my] = panel.query.measures, bySeries = new Map();
  for (const line of answer.lines) if (line.role === "value") bySeries.set(line.series, { ...bySeries.get(line.series), [line.measure]: line.columns });
  const data = [...bySeries].filter(([, found]) => found[mx] && found[my ?? mx]).map(([series, found], at) => ({ type: "scatter", mode: "markers", name: plain(series || panel.title || my || mx),
    x: listed(found[mx].y), y: listed(found[my ?? mx].y), marker: { color: faded(seriesColour(at), 0.6), size: 5, line: { width: 0 } }, customdata: Array.from(found[mx].t, (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ")),
    hovertemplate: `${plain(mx)} %{x:,.5~g}<br>${plain(my ?? mx)} %{y:,.5~g}<br>%{customdata}<extra>${plain(series)}</extra>` }));
  const title = (text) => ({ text: plain(text), font: { size: 12, color: colour("text-3") }, standoff: 6 });
  Object.assign(layout.xaxis, { title: title(mx), showgrid: true });
  Object.assign(layout.yaxis, { title: title(my ?? mx) });
  if (panel.show.axis === "log") layout.yaxis.type = "log";
  layout.margin.b += 18;
  return { data, layout };
}

export const shaded = dark;
export const written = number;
