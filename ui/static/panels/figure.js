// Panels as SVG: on the page those that are not over time, and as a picture every kind. Names are set as text, never as
// markup, and colours are those of the theme, so that a picture looks as the panel does.

import { binTicks, footOf, logTicks, offsetOf, placeless, scalesOf, ticks, ticksBetween } from "./axes.js";
import { against, earlierOf, periodOf } from "./earlier.js";
import { barOf, PANE, shadeOf, stairs, strokes, tint } from "./fast.js";
import { writeGaps } from "./gaps.js";
import { alike, colour, count, faded, instant, middle, seriesColour, short, shortSigned, tick, written } from "./look.js";
import { freeSpot } from "./labels.js";
import { lookOf } from "./marks.js";
import { missing, namesOf, OVER_TIME, rowFor, valuesOf } from "./scene.js";
import { valueUnder } from "./variables.js";
import { sayTable, sayFigures } from "./words.js";

const NS = "http://www.w3.org/2000/svg";
const FONT = "Inter Variable, Inter, system-ui, sans-serif";
const DAY = 864e5;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const GAP = 16;

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

let pen;
export function widthOf(text, font = `12px ${FONT}`) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = font;
  return pen.measureText(text).width;
}
export function fit(text, width, font) {
  if (widthOf(text, font) <= width) return text;
  let cut = text;
  while (cut.length > 1 && widthOf(`${cut}…`, font) > width) cut = cut.slice(0, -1);
  return `${cut.trimEnd()}…`;
}

// The same for names, of which the end is kept too.
function fitName(text, width) {
  let most = text.length;
  while (most > 3 && widthOf(middle(text, most)) > width) most -= 1;
  return middle(text, most);
}

const rounded = (value) => Number(value.toFixed(2));
const words = (x, y, text, { anchor = "start", fill = "text-3", size = 12, weight = 400 } = {}) =>
  svg("text", { x: rounded(x), y: rounded(y), "text-anchor": anchor, fill: colour(fill), "font-size": size, "font-weight": weight }, text);
const rule = (x1, y1, x2, y2, stroke, extra = {}) => svg("line", { x1: rounded(x1), y1: rounded(y1), x2: rounded(x2), y2: rounded(y2), stroke: colour(stroke), "stroke-width": 1, ...extra });
const rect = (x, y, width, height, fill, extra = {}) => svg("rect", { x: rounded(x), y: rounded(y), width: rounded(Math.max(0, width)), height: rounded(Math.max(0, height)), fill, ...extra });
const empty = (value) => value === null || value === undefined || Number.isNaN(value);

// A drawing of `width` × `height` px. With `titled` it is a picture to take away: a ground, a title and the names of lines.
export function figure(panel, answer, context, { width, height, titled = "", about = "", drawn = null, chosen = 0 }) {
  const root = svg("svg", { xmlns: NS, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT, style: "font-variant-numeric: tabular-nums", role: "img", "aria-label": titled || `${panel.title || panel.kind}` });
  let top = 0;
  if (titled) {
    root.append(rect(0, 0, width, height, colour("surface")), words(16, 26, fit(titled, width - 32, `600 14px ${FONT}`), { fill: "text", size: 14, weight: 600 }));
    if (about) root.append(words(16 + widthOf(titled, `600 14px ${FONT}`) + 8, 26, fit(about, Math.max(0, width - 48 - widthOf(titled, `600 14px ${FONT}`)))));
    top = 36 + keys(root, entries(panel, answer, drawn), width, 44);
  }
  const box = { left: titled ? 16 : 8, top, right: width - (titled ? 16 : 12), bottom: height - (titled ? 12 : 4), titled: !!titled };
  if (OVER_TIME.has(panel.kind)) overTime(root, drawn, box);
  else (KINDS[panel.kind] ?? (() => {}))(root, panel, answer, context, box, chosen);
  return root;
}
const KINDS = { histogram, box, heat, calendar, scatter, table: (root, panel, answer, context, place) => sayTable(root, panel, answer, context, place, { words, rule, fit: fitName, widthOf }), figure: (root, panel, answer, context, place) => sayFigures(root, panel, answer, context, place, { words, svg, fit: fitName, widthOf }) };

// What the key of a picture lists: a colour and a name each.
function entries(panel, answer, drawn) {
  if (drawn) {
    return [...drawn.lines.filter((line) => !line.quiet && !line.nothing).map((line) => ({ fill: tint(line), name: `${line.name}${line.axis === "right" ? " (right)" : ""}`, box: line.fill === "bars" || line.ring, dash: line.dash })),
      ...drawn.bands.filter((band) => band.told).map((band) => ({ fill: tint(band), name: band.name, box: true }))];
  }
  const lines = valuesOf(answer);
  if (panel.kind === "scatter") return pairs(panel, answer).map(({ name }, at) => ({ fill: seriesColour(at), name, box: true })).filter(({ name }) => name);
  return panel.kind === "histogram" && lines.length > 1 ? namesOf(lines).map((name, at) => ({ fill: seriesColour(at), name, box: true })) : [];
}

function keys(root, list, width, top) {
  let x = 16, y = top;
  for (const { fill, name, box, dash } of list) {
    const text = fitName(name, 240), wide = widthOf(text) + 32;
    if (x + wide > width - 16 && x > 16) {
      x = 16;
      y += 20;
    }
    root.append(box ? rect(x, y, 10, 10, fill, { rx: 3 }) : svg("line", { x1: x, x2: x + 12, y1: y + 5, y2: y + 5, stroke: fill, "stroke-width": 2, "stroke-dasharray": dash?.length ? dash.join(" ") : null }), words(x + 18, y + 9, text, { fill: "text-2" }));
    x += wide;
  }
  return list.length ? y - top + 24 : 4;
}

// Axes with their grid; returns how to place values. `x` is drawn by `under` (marks below the plot).
function frame(root, place, { low, high, log = false, labels = true, whole = false }) {
  const most = Math.max(1, Math.floor((place.bottom - place.top) / 40)), marks = log ? logTicks(low, high, most) : ticks(low, high, whole ? Math.min(most, high) : most)[0], step = marks.length > 1 ? marks[1] - marks[0] : 0;
  const text = log ? marks.map((value) => short(value)) : written(marks, step), left = place.left + (labels ? Math.max(18, ...text.map((one) => widthOf(one))) + 8 : 0);
  const scaled = (value) => log ? Math.log10(value) : value, a = scaled(low), b = scaled(high);
  const y = (value) => place.bottom - (scaled(value) - a) / (b - a || 1) * (place.bottom - place.top);
  marks.forEach((value, at) => {
    root.append(rule(left, y(value), place.right, y(value), "grid"));
    if (labels) root.append(words(left - 8, y(value) + 4, text[at], { anchor: "end" }));
  });
  root.append(rule(left, place.bottom, place.right, place.bottom, "axis"));
  return { left, y };
}

function overTime(root, scene, place) {
  const scales = scalesOf(scene), inside = { ...place, top: place.top + 8, bottom: place.bottom - 24 }, height = inside.bottom - inside.top;
  const axes = Object.entries(scales).map(([name, scale]) => {
    const fits = Math.max(1, Math.min(7, Math.floor(height * (scale.part[1] - scale.part[0]) / 40))), [low, high] = scale.limits;
    const marks = scale.log ? logTicks(low, high, fits) : name === "rsi" ? [30, 70] : ticks(low, high, scale.part[1] === 1 ? fits : 2)[0];
    const step = marks.length > 1 ? Math.abs(marks[1] - marks[0]) : 0;
    return { name, marks, text: scale.log ? marks.map((value) => short(value)) : written(marks, step) };
  });
  const wide = (some) => Math.max(18, ...some.flatMap(({ text }) => text.map((one) => widthOf(one)))) + 8;
  const left = inside.left + wide(axes.filter(({ name }) => name !== "y2")), right = inside.right - (scales.y2 ? wide(axes.filter(({ name }) => name === "y2")) : 0);
  const [from, to] = scene.x, x = (ms) => left + (ms - from) / (to - from) * (right - left);
  const y = (value, name = "y") => {
    const { whole: [low, high], log } = scales[name], part = log ? (Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low)) : (value - low) / (high - low);
    return inside.bottom - part * height;
  };
  const id = `clip-${Math.random().toString(36).slice(2)}`, body = svg("g", { "clip-path": `url(#${id})` });
  root.append(svg("defs", {}, svg("clipPath", { id }, rect(left, inside.top - 2, right - left, height + 3, "none"))));
  for (const { name, marks, text } of axes) marks.forEach((value, at) => {
    if (name !== "y2" && name !== "volume") root.append(rule(left, y(value, name), right, y(value, name), "grid"));
    root.append(name === "y2" ? words(right + 8, y(value, name) + 4, text[at]) : words(left - 8, y(value, name) + 4, text[at], { anchor: "end" }));
  });
  const [times, step] = ticksBetween(from, to, (to - from) / Math.max(1, (right - left) / 76), offsetOf(scene.zone));
  for (const ms of times) root.append(rule(x(ms), inside.bottom, x(ms), inside.bottom + 4, "axis"), words(Math.min(x(ms), place.right + 10 - widthOf(tick(ms, scene.zone, step)) / 2), inside.bottom + 19, tick(ms, scene.zone, step), { anchor: "middle" }));
  root.append(body, rule(left, inside.bottom, right, inside.bottom, "axis"));

  const scaleOf = ({ axis }) => axis === "right" ? "y2" : !axis || axis === "left" ? "y" : axis, floorOf = (name) => footOf(scales[name]);
  for (const [a, b] of scene.gaps) body.append(rect(x(a), inside.top, Math.max(1, x(b) - x(a)), height, colour("sunken")));
  for (const note of scene.notes) if (!empty(note.until)) body.append(rect(x(note.at), inside.top, Math.max(1, x(note.until) - x(note.at)), height, faded(colour("amber"), 0.12)));
  const ribbon = (t, hi, below, lo, name, fill) => {
    const floor = floorOf(name), pieces = [];
    if (lo && below !== t && below.length !== t.length) pieces.push([0, t.length]);
    else {
      let start = 0;
      for (let i = 0; i <= t.length; i++) {
        if (i < t.length && !empty(hi[i]) && (!lo || !empty(lo[i]))) continue;
        if (i > start) pieces.push([start, i]);
        start = i + 1;
      }
    }
    for (const [a, b] of pieces) {
      const up = [], down = [], end = pieces.length === 1 && lo && below.length !== t.length ? below.length : b;
      for (let i = a; i < b; i++) if (!empty(hi[i])) up.push(`${rounded(x(t[i]))} ${rounded(y(hi[i], name))}`);
      for (let i = end - 1; i >= a; i--) if (!lo || !empty(lo[i])) down.push(`${rounded(x((lo ? below : t)[i]))} ${rounded(y(lo && !placeless(scales[name], lo[i]) ? lo[i] : floor, name))}`);
      if (up.length) body.append(svg("path", { d: `M${[...up, ...down].join("L")}Z`, fill }));
    }
  };
  for (const band of scene.bands) {
    ribbon(band.t, band.hi, band.below ?? band.t, band.lo, scaleOf(band), tint(band));
    const gone = (value) => empty(value) || placeless(scales[scaleOf(band)], value);
    for (const column of band.edge ? [band.hi, band.lo] : []) {
      const d = Array.from(column, (value, i) => gone(value) ? "" : `${i && !gone(column[i - 1]) ? "L" : "M"}${rounded(x(band.t[i]))} ${rounded(y(value, scaleOf(band)))}`).join("");
      if (d) body.append(svg("path", { d, fill: "none", stroke: tint({ ...band, alpha: band.edge }) }));
    }
  }
  for (const line of scene.lines) if (line.fill === "area") ribbon(line.t, line.y, line.t, line.base, scaleOf(line), faded(tint(line), shadeOf(line, scene)));
  const bar = (line, i) => {
    const name = scaleOf(line), [a, b] = barOf(line, i, scene.step), top = y(line.y[i], name), bottom = y(line.base && !placeless(scales[name], line.base[i]) ? line.base[i] : floorOf(name), name);
    return svg("rect", { x: rounded(x(a)), y: rounded(Math.min(top, bottom)), width: rounded(Math.max(1, x(b) - x(a))), height: rounded(Math.max(line.y[i] === 0 ? 0 : 1, Math.abs(bottom - top))), ...(line.partial?.[i] ? { fill: faded(tint(line), 0.2), stroke: tint(line), "stroke-dasharray": "3 2" } : {}) });
  };
  for (const line of scene.lines.filter(({ steps }) => steps)) {
    const name = scaleOf(line), foot = rounded(y(floorOf(name), name)), at = (ms, value) => `${rounded(x(ms))} ${rounded(y(value, name))}`;
    for (const run of stairs(line)) {
      const d = `M${run.map(([ms, value]) => at(ms, value)).join("L")}`;
      body.append(svg("path", { d: `${d}V${foot}H${rounded(x(run[0][0]))}Z`, fill: faded(tint(line), 0.05) }), svg("path", { d, fill: "none", stroke: tint(line), "stroke-width": 1.5 }));
    }
    for (const i of Object.keys(line.partial ?? {})) if (!empty(line.y[i])) body.append(svg("path", { d: `M${at(line.t[i], line.y[i])}L${at(line.until[i], line.y[i])}`, stroke: tint(line), "stroke-width": 1.5, "stroke-dasharray": "3 2" }));
  }
  for (const line of scene.lines) if (line.fill === "bars" && !line.nothing && !line.steps) body.append(svg("g", { fill: faded(tint(line), line.quiet ? 0.45 : 0.85) }, Array.from(line.t, (_, i) => !empty(line.y[i]) && bar(line, i))));
  for (const line of scene.lines.filter(({ fill }) => fill === "ticks")) for (const [a, b, value] of strokes(line, scene.step)) for (const [name, width] of [["surface", 4], [line.colour, 2]]) body.append(rule(x(a), y(value, scaleOf(line)), x(b), y(value, scaleOf(line)), name, { "stroke-width": width }));
  if (scene.candles) {
    const { t, until, o, h, l, c, partial } = scene.candles, up = colour("series-1"), down = colour("series-5");
    for (let i = 0; i < t.length; i++) {
      if (empty(o[i]) || empty(c[i])) continue;
      const rises = c[i] >= o[i], stroke = rises ? up : down, wide_ = Math.max(1, Math.min((x(until[i]) - x(t[i])) * 0.62, 18)), middle = (x(t[i]) + x(until[i])) / 2, top = y(Math.max(o[i], c[i]));
      body.append(svg("line", { x1: rounded(middle), x2: rounded(middle), y1: rounded(y(h[i])), y2: rounded(y(l[i])), stroke, "stroke-dasharray": partial?.[i] ? "2 2" : null }), rect(middle - wide_ / 2, top, wide_, Math.max(1, y(Math.min(o[i], c[i])) - top), wide_ >= 3 && rises ? colour("surface") : stroke, { stroke, "stroke-dasharray": partial?.[i] ? "2 2" : null }));
    }
  }
  for (const line of scene.lines) {
    if (line.fill === "bars" || line.fill === "ticks") continue;
    const name = scaleOf(line), whole = line.path ?? line.y;
    if (line.ring) {
      for (let i = 0; i < line.t.length; i++) if (!empty(line.y[i])) body.append(svg("circle", { cx: rounded(x(line.t[i])), cy: rounded(y(line.y[i], name)), r: 4.5, fill: "none", stroke: tint(line), "stroke-width": 1.75 }));
      continue;
    }
    let d = "", pen_ = "M";
    for (let i = 0; i < line.t.length; i++) {
      if (empty(whole[i])) {
        pen_ = "M";
        continue;
      }
      d += `${pen_}${rounded(x(line.t[i]))} ${rounded(y(whole[i], name))}`;
      pen_ = "L";
    }
    body.append(svg("path", { d, fill: "none", stroke: tint(line), "stroke-width": line.width, "stroke-linejoin": "round", "stroke-dasharray": line.dash?.length ? line.dash.join(" ") : null }));
    for (const i of line.path ? Object.keys(line.partial).map(Number) : []) {
      if (empty(line.y[i])) continue;
      const at = [x(line.t[i]), y(line.y[i], name)];
      for (const j of [i - 1, i + 1]) if (!empty(line.y[j])) body.append(svg("line", { x1: rounded(x(line.t[j])), y1: rounded(y(line.y[j], name)), x2: rounded(at[0]), y2: rounded(at[1]), stroke: tint(line), "stroke-width": line.width, "stroke-dasharray": "3 3" }));
      body.append(svg("circle", { cx: rounded(at[0]), cy: rounded(at[1]), r: 3, fill: colour("surface"), stroke: tint(line), "stroke-width": 1.5 }));
    }
    if (line.points) for (let i = 0; i < line.t.length; i++) if (!empty(whole[i])) body.append(svg("circle", { cx: rounded(x(line.t[i])), cy: rounded(y(line.y[i], name)), r: 2.5, fill: tint(line) }));
  }
  const gaps = writeGaps({ measureText: (text) => ({ width: widthOf(text) }) }, scene.gaps, { said: (gap) => missing(gap, scene), x, left, width: right - left, ratio: 1, write: (text, at) => body.append(words(at, inside.top + 12, text)) });
  for (const mark of scene.marks) {
    const { ring, colour: name } = lookOf(mark), stroke = { stroke: colour(name), "stroke-width": 1.75 };
    body.append(ring ? svg("circle", { cx: rounded(x(mark.t)), cy: rounded(y(mark.y, scaleOf(mark))), r: 4, fill: colour("surface"), ...stroke }) : rect(x(mark.t) - 3, inside.bottom - 8, 6, 6, colour("surface"), stroke));
  }
  const taken = [];
  for (const { value, label, colour: name } of scene.thresholds) {
    const said = fit(label || short(value), (right - left) * 0.6), wide = widthOf(said), tall = 13;
    body.append(rule(left, y(value), right, y(value), name ?? "amber", { "stroke-dasharray": "7 6", "stroke-width": 1.25 }));
    if (!said.trim()) continue;
    const spot = freeSpot(scene, scales, { box: { left, top: inside.top, width: right - left, height }, x, y: (one, line) => y(one, scaleOf(line)), at: y(value), wide, tall, taken }), text = words(spot.left, spot.top + 11, said, { fill: name ?? "amber" });
    for (const [key, one] of Object.entries({ stroke: colour("surface"), "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" })) text.setAttribute(key, one);
    taken.push([spot.left, spot.top, spot.left + wide, spot.top + tall]);
    body.append(text);
  }
  const told = gaps.map(([begin, end]) => ({ row: 0, from: begin, to: end }));
  for (const { at, text, colour: name } of [...scene.notes].sort((one, other) => one.at - other.at)) {
    if (at < from || at > to) continue;
    const beside = x(at) > left + (right - left) * 0.6, said = fit(text, Math.min((beside ? x(at) - left : right - x(at)) - 8, (right - left) * 0.6)), long = said ? widthOf(said) : 0, start = x(at) + (beside ? -5 - long : 5);
    body.append(rule(x(at), inside.top, x(at), inside.bottom, name ?? "text-2", { "stroke-dasharray": "4 4" }), words(x(at) + (beside ? -5 : 5), inside.top + 12 + 14 * rowFor(told, start, long, 8), said, { anchor: beside ? "end" : "start", fill: name ?? "text-2" }));
  }
  for (const [name, { part }] of Object.entries(scales)) if (part[1] !== 1) body.append(words(left + 4, inside.bottom - height * part[1] + 12, PANE[name]));
}

function histogram(root, panel, answer, context, place) {
  const lines = answer.lines.filter((line) => line.columns.count.length), names = namesOf(lines), several = lines.length > 1;
  const edges = lines.flatMap(({ columns: { edges: found } }) => [found[0], found[found.length - 1]]);
  let [low, high] = [Math.min(...edges), Math.max(...edges)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const most = Math.max(1, ...lines.flatMap((line) => [...line.columns.count])), inside = { ...place, top: place.top + 12, bottom: place.bottom - 24 };
  const { left, y } = frame(root, inside, { low: 0, high: most * 1.04, whole: true }), x = (value) => left + (value - low) / (high - low) * (place.right - left);
  const [marks, step] = binTicks(low, high, (place.right - left) / 60, lines.flatMap((line) => [...line.columns.edges]));
  const said = written(marks, step);
  marks.forEach((value, at) => root.append(rule(x(value), inside.bottom, x(value), inside.bottom + 4, "axis"), words(x(value), inside.bottom + 19, said[at], { anchor: "middle" })));
  lines.forEach((line, at) => {
    const { edges: found, count: counts } = line.columns, fill = faded(seriesColour(at), several ? 0.16 : 0.85), all = counts.reduce((sum, one) => sum + one, 0);
    for (let i = 0; i < counts.length; i++) {
      if (!counts[i]) continue;
      const from = found[i], to = found[i + 1] ?? from, [a, b] = from === to ? [x(from) - 12, x(from) + 12] : [x(from) + 0.5, x(to) - 0.5];
      root.append(rect(a, y(counts[i]), Math.max(1, b - a), inside.bottom - y(counts[i]), fill, { "data-tip": `${several ? `${names[at]}\n` : ""}${short(from)} to ${short(to)}\n${count(counts[i])} values, ${short(counts[i] / all * 100, 0.1)}%` }));
    }
    // Of several each is outlined, so that none is hidden by the others.
    if (several && found.length > 1 && found.at(-1) > found[0]) root.append(svg("path", { d: `M${rounded(x(found[0]))} ${rounded(inside.bottom)}${[...counts].map((many, i) => `V${rounded(y(many))}H${rounded(x(found[i + 1]))}`).join("")}V${rounded(inside.bottom)}`, fill: "none", stroke: seriesColour(at), "stroke-width": 1.5, "pointer-events": "none" }));
  });
}

// Boxes by Tukey: quartiles, whiskers to the last values within 1.5 interquartile ranges, least and greatest as rings.
function box(root, panel, answer, context, place) {
  const lines = answer.lines.filter((line) => line.columns.median.length), names = namesOf(lines), of = (line, name) => line.columns[name][0], log = panel.show.axis === "log" && lines.every((line) => of(line, "least") > 0);
  const low = Math.min(...lines.map((line) => of(line, "least"))), high = Math.max(...lines.map((line) => of(line, "greatest"))), pad = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
  const inside = { ...place, top: place.top + 12, bottom: place.bottom - 24 }, { left, y } = frame(root, inside, log ? { low: low / 1.2, high: high * 1.2, log } : { low: low - pad, high: high + pad });
  const each = (place.right - left) / lines.length, wide = Math.min(72, each * 0.55), skip = Math.ceil(44 / each), called = alike(names, (name) => widthOf(name) <= each * skip - 8);
  lines.forEach((line, at) => {
    const middle = left + each * (at + 0.5), tone = seriesColour(at), stroke = { stroke: tone, "stroke-width": 1.5 }, text = (name) => short(of(line, name));
    const line_ = (x1, y1, x2, y2, extra = {}) => svg("line", { x1: rounded(x1), y1: rounded(y1), x2: rounded(x2), y2: rounded(y2), ...stroke, ...extra });
    const group = svg("g", { "data-tip": `${names[at]}\ngreatest ${text("greatest")}\n75% ${text("upper")}\nmedian ${text("median")}\n25% ${text("lower")}\nleast ${text("least")}\nmean ${text("mean")}\n${count(of(line, "outside"))} of ${count(of(line, "n"))} values beyond the whiskers` },
      rect(middle - each / 2, inside.top, each, inside.bottom - inside.top, "transparent"),
      line_(middle, y(of(line, "whisker_high")), middle, y(of(line, "upper"))), line_(middle, y(of(line, "whisker_low")), middle, y(of(line, "lower"))),
      line_(middle - wide / 4, y(of(line, "whisker_high")), middle + wide / 4, y(of(line, "whisker_high"))), line_(middle - wide / 4, y(of(line, "whisker_low")), middle + wide / 4, y(of(line, "whisker_low"))),
      rect(middle - wide / 2, y(of(line, "upper")), wide, Math.max(1, y(of(line, "lower")) - y(of(line, "upper"))), faded(tone, 0.25), { ...stroke, rx: 2 }),
      line_(middle - wide / 2, y(of(line, "median")), middle + wide / 2, y(of(line, "median")), { stroke: colour("text"), "stroke-width": 2 }));
    for (const [name, whisker] of [["least", "whisker_low"], ["greatest", "whisker_high"]]) if (of(line, name) !== of(line, whisker)) group.append(svg("circle", { cx: rounded(middle), cy: rounded(y(of(line, name))), r: 2.5, fill: "none", ...stroke, "stroke-width": 1.25 }));
    root.append(group);
    if (at % skip === 0) root.append(words(middle, inside.bottom + 19, called[at], { anchor: "middle" }));
  });
}

const shade = (value, [low, high]) => Number.isNaN(value) ? colour("sunken") : faded(colour("series-1"), 0.08 + 0.92 * (high > low ? (value - low) / (high - low) : 0.5));
export function reachOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (!Number.isNaN(value)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// How much the days of a line are above what they were an earlier period ago; null where no such period is shown.
export function differences(panel, answer, context, line) {
  const then = against(panel, answer, context, DAY)?.(line);
  return then ? line.columns.y.map((value, i) => value - then[i]) : null;
}
// More in the colour of what rises, less in that of what falls, as candles are; the more, the deeper.
export const shadeOfChange = (by, most) => Number.isNaN(by) ? colour("sunken") : faded(colour(by < 0 ? "series-5" : "series-1"), 0.06 + 0.94 * (most > 0 ? Math.abs(by) / most : 0));

// A scale of shades, for pictures; on the page it stands in the legend.
function ramp(root, place, limits, tone = (part) => shade(part, [0, 1])) {
  if (!place.titled) return;
  const wide = 96, x = place.right - wide - widthOf(short(limits[1])) - 6;
  root.append(words(x - 6, place.top + 2, short(limits[0]), { anchor: "end" }), words(x + wide + 6, place.top + 2, short(limits[1])));
  for (let i = 0; i < 24; i++) root.append(rect(x + i * 4, place.top - 8, 4.2, 10, tone(i / 23)));
}

function heat(root, panel, answer, context, place, chosen) {
  const lines = valuesOf(answer), line = lines[chosen] ?? lines[0], { value, n } = line.columns, limits = reachOf(value), left = place.left + 36, top = place.top + 8, bottom = place.bottom - 22;
  const wide = (place.right - left) / 24, tall = (bottom - top) / 7, gap = Math.min(1.5, wide / 8);
  ramp(root, place, limits);
  for (let day = 0; day < 7; day++) {
    root.append(words(left - 8, top + tall * (day + 0.5) + 4, DAYS[day], { anchor: "end" }));
    for (let hour = 0; hour < 24; hour++) {
      const at = day * 24 + hour, clock = `${DAYS[day]} ${String(hour).padStart(2, "0")}:00`;
      root.append(rect(left + wide * hour + gap / 2, top + tall * day + gap / 2, wide - gap, tall - gap, shade(value[at], limits), { rx: 2, "data-tip": `${clock}\n${Number.isNaN(value[at]) ? "no values" : `${short(value[at])}, of ${count(n[at])} values`}` }));
    }
  }
  const each = wide * 3 > 40 ? 3 : 6;
  for (let hour = 0; hour < 24; hour += each) root.append(words(left + wide * hour, bottom + 17, `${String(hour).padStart(2, "0")}:00`));
}

// Days in columns of weeks, Monday above; long spans in several strips below one another.
function calendar(root, panel, answer, context, place, chosen) {
  const lines = valuesOf(answer), line = lines[chosen] ?? lines[0], { t, y, n } = line.columns, differ = differences(panel, answer, context, line), back = periodOf(earlierOf(panel, context)), offset = offsetOf(context.zone), days = new Map();
  let first = Infinity, last = -Infinity;
  for (let i = 0; i < t.length; i++) {
    const day = Math.floor((t[i] + offset(t[i])) / DAY);
    days.set(day, i);
    first = Math.min(first, day);
    last = Math.max(last, day);
  }
  const monday = (day) => Math.floor((day + 3) / 7), begin = monday(first), weeks = monday(last) - begin + 1, limits = reachOf(differ ?? y), most = Math.max(-limits[0], limits[1]), left = place.left + 36, width = place.right - left, height = place.bottom - place.top - 8;
  const size = (strips) => Math.min(width / Math.ceil(weeks / strips), (height / strips - 20) / 7, 26);
  let strips = 1;
  for (let many = 2; many <= 12 && many <= weeks; many++) if (size(many) > size(strips) * 1.05) strips = many;
  const each = Math.ceil(weeks / strips), wide = Math.min(width / each, 34), tall = Math.min((height / strips - 20) / 7, 34), gap = wide > 5 ? 1.5 : 0.5;
  ramp(root, place, differ ? [-most, most] : limits, differ ? (part) => shadeOfChange(part * 2 - 1, 1) : undefined);
  const date = (day) => new Date(day * DAY), name = (day) => `${date(day).getUTCDate()} ${MONTHS[date(day).getUTCMonth()]} ${date(day).getUTCFullYear()}`;
  for (let strip = 0; strip < strips; strip++) {
    const top = place.top + 8 + strip * (height / strips);
    let free = -Infinity;
    if (tall >= 11) for (let row = 0; row < 7; row += tall >= 15 ? 1 : 2) root.append(words(left - 8, top + 16 + tall * (row + 0.5) + 4, DAYS[row], { anchor: "end" }));
    for (let week = strip * each; week < Math.min(weeks, (strip + 1) * each); week++) {
      const x = left + (week - strip * each) * wide, thursday = date((begin + week) * 7), before = date((begin + week - 1) * 7);
      const soon = week === strip * each && [1, 2].some((later) => date((begin + week + later) * 7).getUTCMonth() !== thursday.getUTCMonth());  // its name would hide the next one
      if ((thursday.getUTCMonth() !== before.getUTCMonth() || week === strip * each) && x > free && !soon) {
        const label = thursday.getUTCMonth() === 0 || week <= strip * each + 2 ? `${MONTHS[thursday.getUTCMonth()]} ${thursday.getUTCFullYear()}` : MONTHS[thursday.getUTCMonth()];
        if (x + widthOf(label) < place.right + 4) root.append(words(x, top + 10, label));
        free = x + widthOf(label) + 10;
      }
      for (let row = 0; row < 7; row++) {
        const day = (begin + week) * 7 - 3 + row, at = days.get(day);
        if (day < first || day > last) continue;
        const known = at !== undefined && !Number.isNaN(y[at]), then = known && differ ? y[at] - differ[at] : NaN, told = Number.isNaN(then) ? `no value from the ${back}` : `${back} ${short(then)}, change ${shortSigned(differ[at])}`;
        root.append(rect(x + gap / 2, top + 16 + tall * row + gap / 2, wide - gap, tall - gap, differ ? shadeOfChange(known ? differ[at] : NaN, most) : shade(known ? y[at] : NaN, limits), { rx: wide > 8 ? 2 : 0, "data-tip": `${DAYS[row]} ${name(day)}\n${known ? `${short(y[at])}${n ? `, of ${count(n[at])} value${n[at] === 1 ? "" : "s"}` : ""}${differ ? `\n${told}` : ""}` : "no values"}` }));
      }
    }
  }
}
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Two measures of each series at the same buckets of time.
export function pairs(panel, answer) {
  const [mx, my] = panel.query.measures ?? [], found = new Map(), partial = new Map();
  for (const line of answer.lines) if (line.role === "value") {
    found.set(line.series, { ...found.get(line.series), [line.measure]: line.columns });
    partial.set(line.series, { ...partial.get(line.series), ...line.partial });
  }
  return [...found].filter(([, columns]) => valueUnder(columns, mx) && valueUnder(columns, my)).map(([name, columns]) => ({ name, t: columns[mx].t, x: columns[mx].y, y: columns[my].y, partial: partial.get(name) }));
}

function scatter(root, panel, answer, context, place) {
  const [mx, my] = panel.query.measures, found = pairs(panel, answer), log = panel.show.axis === "log", units = context.datasets[panel.dataset]?.units ?? {};
  const good = (one, i) => !Number.isNaN(one.x[i]) && !Number.isNaN(one.y[i]) && (!log || one.y[i] > 0), named = (name) => `${name}${valueUnder(units, name) ? `, ${units[name]}` : ""}`;
  const [a, b] = reachOf(found.flatMap((one) => Array.from(one.x).filter((_, i) => good(one, i)))), [low, high] = reachOf(found.flatMap((one) => Array.from(one.y).filter((_, i) => good(one, i))));
  if (!(b >= a)) return void root.append(words((place.left + place.right) / 2, (place.top + place.bottom) / 2, "No times at which both have a value.", { anchor: "middle" }));
  const around = (from, to) => { const pad = (to - from) * 0.05 || Math.abs(to) * 0.1 || 1; return [from - pad, to + pad]; };
  const [x0, x1] = around(a, b), [y0, y1] = log ? [low / 1.1, high * 1.1] : around(low, high), inside = { ...place, top: place.top + 28, bottom: place.bottom - 42 };
  const { left, y } = frame(root, inside, { low: y0, high: y1, log }), x = (value) => left + (value - x0) / (x1 - x0) * (place.right - left);
  const [marks, step] = ticks(x0, x1, (place.right - left) / 64);
  const said = written(marks, step);
  marks.forEach((value, at) => root.append(rule(x(value), inside.top, x(value), inside.bottom, "grid"), words(x(value), inside.bottom + 17, said[at], { anchor: "middle" })));
  root.append(words((left + place.right) / 2, inside.bottom + 35, fit(named(mx), place.right - left), { anchor: "middle" }), words(place.left, place.top + 16, fit(named(my), place.right - place.left)));
  found.forEach((one, at) => {
    const fill = faded(seriesColour(at), 0.6);
    for (let i = 0; i < one.t.length; i++) if (good(one, i)) {
      root.append(svg("circle", { cx: rounded(x(one.x[i])), cy: rounded(y(one.y[i])), r: one.t.length > 1500 ? 2 : 3, ...(one.partial[i] ? { fill: colour("surface"), stroke: seriesColour(at), "stroke-dasharray": "2 1.5" } : { fill }), "data-tip": `${one.name ? `${one.name}\n` : ""}${mx} ${short(one.x[i])}\n${my} ${short(one.y[i])}\n${instant(one.t[i], context.zone, one.t.length > 1 ? one.t[1] - one.t[0] : DAY)}${one.partial[i] ? `\npartial: ${one.partial[i]}` : ""}` }));
    }
  });
}

// A picture as a file: SVG as it is, PNG with the page's own letters in it, twice as large.
export async function file(drawing, format) {
  const text = new XMLSerializer().serializeToString(drawing);
  if (format === "svg") return new Blob([text], { type: "image/svg+xml" });
  const width = Number(drawing.getAttribute("width")), height = Number(drawing.getAttribute("height"));
  const lettered = text.replace(/(<svg[^>]*>)/, (_, head) => `${head}<style>${letters}</style>`), url = URL.createObjectURL(new Blob([lettered], { type: "image/svg+xml" }));
  try {
    const image = new Image(width * 2, height * 2);
    image.src = url;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: width * 2, height: height * 2 });
    canvas.getContext("2d").drawImage(image, 0, 0, width * 2, height * 2);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) => blob ? resolve(blob) : reject(new Error("the browser gave no picture")), "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}

// A picture knows no fonts of the page: they travel in it.
let letters = "";
export async function withLetters() {
  if (letters) return;
  const faces = [...document.styleSheets].flatMap((sheet) => {
    try {
      return [...sheet.cssRules];
    } catch {
      return [];  // a sheet from elsewhere
    }
  }).filter((one) => one instanceof CSSFontFaceRule && /Inter/.test(one.style.getPropertyValue("font-family")));
  const made = await Promise.all(faces.map(async (face) => {
    const address = /url\("?([^")]+)"?\)/.exec(face.style.getPropertyValue("src"))?.[1];
    if (!address) return "";
    const bytes = new Uint8Array(await (await fetch(new URL(address, face.parentStyleSheet.href ?? location.href))).arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    const range = face.style.getPropertyValue("unicode-range");
    return `@font-face{font-family:"Inter Variable";font-weight:100 900;src:url(data:font/woff2;base64,${btoa(text)}) format("woff2");${range ? `unicode-range:${range};` : ""}}`;
  }));
  letters = made.join("");
}

