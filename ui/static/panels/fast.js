// Draws a scene over time with uPlot: lines, areas, bars, candles, bands, gaps, thresholds, notes, and a crosshair.
// A scene (scene.js) is plain data; what is drawn is all in it, so the same scene can be drawn as a picture (figure.js).

import { footOf, logTicks, offsetOf, placeless, placeOf, scalesOf, ticks, ticksBetween } from "./axes.js";
import { writeGaps } from "./gaps.js";
import { freeSpot } from "./labels.js";
import { colour, faded, instant, short, tick, written } from "./look.js";
import { paint } from "./marks.js";
import { missing, rowFor } from "./scene.js";

export { offsetOf, ticksBetween };

const FAMILY = '"Inter Variable", system-ui, sans-serif';
const FONT = `12px ${FAMILY}`;
const LINE = 13;  // px of a line of words
const TOUCHED = 12;  // px within which a value lies under the crosshair

const empty = (value) => value === null || value === undefined || Number.isNaN(value);
const listed = (values) => Array.from(values, (value) => Number.isNaN(value) ? null : value);
export const tint = ({ colour: name, alpha }) => alpha ? faded(colour(name), alpha) : colour(name);

// uPlot wants one column of times: lines of the same times share it, others are joined.
function aligned(uPlot, lines) {
  const tables = [];
  for (const line of lines) {
    const last = tables.at(-1);
    if (last && same(last.t, line.t)) last.columns.push(listed(line.path ?? line.y));
    else tables.push({ t: line.t, columns: [listed(line.path ?? line.y)] });
  }
  if (!tables.length) return [[]];
  const data = tables.map(({ t, columns }) => [Array.from(t), ...columns]);
  return data.length === 1 ? data[0] : uPlot.join(data, data.map((table) => table.map(() => 2)));
}

function same(a, b) {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

// From where to where a bar reaches, in ms: its share of its bucket, or of the least distance to its neighbours.
export function barOf(line, i, step) {
  const until = line.until ? line.until[i] : line.t[i] + step, wide = until - line.t[i], gap = wide * 0.1, one = (wide - 2 * gap) / (line.slots ?? 1);
  return [line.t[i] + gap + one * (line.slot ?? 0), line.t[i] + gap + one * ((line.slot ?? 0) + 1)];
}

// Lines that are drawn by ourselves, not by uPlot.
const block = ({ fill }) => fill === "bars" || fill === "ticks";
// From where to where a mark across a bar reaches, a little beyond it on both sides, and at which value.
export const strokes = (line, step) => Array.from(line.y, (value, i) => {
  const [from, to] = barOf(line, i, step), beyond = (to - from) * 0.08;
  return [from - beyond, to + beyond, value];
}).filter(([, , value]) => !empty(value));

// How deep the shade below a line is: of many areas over one another each is faint.
export const shadeOf = (line, { lines }) => line.base ? 0.45 : Math.min(0.18, 0.6 / lines.filter(({ fill }) => fill === "area").length);

// The outline of bars as runs of [ms, value]: each bucket is a step, empty ones and those that are not whole interrupt it.
export function stairs({ t, y, until, partial }) {
  const runs = [];
  let run = null;
  for (let i = 0; i < t.length; i++) {
    if (empty(y[i]) || partial?.[i]) run = null;
    else {
      if (!run || until[i - 1] !== t[i]) runs.push(run = []);
      run.push([t[i], y[i]], [until[i], y[i]]);
    }
  }
  return runs;
}

// The value of a line under a moment: of buckets the one that holds it, else the nearest within `reach` ms.
export function valueAt(line, ms, reach) {
  const at = placeOf(line.t, ms);
  if (line.until || line.fill === "bars") return at >= 0 && ms < (line.until?.[at] ?? Infinity) && !empty(line.y[at]) ? at : null;
  let best = null;
  for (const [step, first] of [[-1, at], [1, at + 1]]) {
    for (let i = first; i >= 0 && i < line.t.length && Math.abs(line.t[i] - ms) <= reach; i += step) {
      if (empty(line.y[i])) continue;
      if (best === null || Math.abs(line.t[i] - ms) < Math.abs(line.t[best] - ms)) best = i;
      break;
    }
  }
  return best;
}

// Measured on a canvas of its own: uPlot remembers which letters it set on its own one.
let pen;
function widthOf(text) {
  pen ??= Object.assign(document.createElement("canvas").getContext("2d"), { font: FONT });
  return pen.measureText(text).width;
}

// `hooks`: size() → { width, height } in px; onRange(from, to), onReset(), onHover(ms | null).
export function mount(uPlot, element, hooks) {
  let plot = null, scene = null, scales = {}, shape = "", silent = false, focused = "", offset = () => 0, zone = null, at = null;

  const size = () => {
    const { width, height } = hooks.size();
    return { width: Math.max(80, width), height: Math.max(60, height) };
  };
  // What cannot change without building the plot anew: which lines there are and how each is drawn.
  const shapeOf = (next) => JSON.stringify([next.zone, !!next.log, !!next.candles, next.lines.map((line) => [line.fill, line.axis, line.dash, line.points, line.width, line.quiet, line.ring])]);

  // While a name is pointed at, all other lines step back.
  const aside = (line) => focused && line.name !== focused && !line.name?.startsWith(`${focused} `);
  const lineAt = (i) => scene.lines[i] ?? { colour: "surface" };
  function series() {
    return [{}, ...scene.lines.map((line, i) => ({
      scale: line.axis === "left" ? "y" : line.axis === "right" ? "y2" : line.axis, stroke: () => tint({ ...lineAt(i), alpha: aside(lineAt(i)) ? 0.15 : lineAt(i).faint && !focused ? 0.75 : 0 }), width: line.width ?? 1.5, dash: line.dash ?? [],
      paths: block(line) ? () => null : undefined, spanGaps: false, points: line.ring ? { show: true, size: 9, width: 1.75, fill: "transparent", stroke: () => tint(lineAt(i)) } : { show: line.points ? true : block(line) ? false : undefined, size: 5, fill: () => tint(lineAt(i)), stroke: () => tint(lineAt(i)) },
    }))];
  }

  function splits(name, most) {
    return (u) => {
      const scale = scales[name];
      if (!scale) return [];
      const [low, high] = scale.limits, pixels = u.bbox.height / devicePixelRatio * (scale.part[1] - scale.part[0]), fit = Math.max(1, Math.min(most, Math.floor(pixels / 40)));
      return scale.log ? logTicks(low, high, fit) : name === "rsi" ? [30, 70] : ticks(low, high, fit)[0];
    };
  }
  const texts = (u, found) => {
    const step = found.length > 1 ? Math.abs(found[1] - found[0]) : 0;
    return scene.log ? found.map((value) => short(value)) : written(found, step);
  };

  function options() {
    const panes = Object.keys(scales).filter((name) => name !== "y" && name !== "y2"), right = "y2" in scales;
    const axis = (scale, most, extra = {}) => ({
      scale, stroke: () => colour("text-3"), font: FONT, gap: 6, ticks: { show: false }, border: { show: false }, values: texts, splits: splits(scale, most), filter: (u, found) => found,
      size: (u, values) => 14 + Math.ceil(Math.max(18, ...[...(values ?? []), ...panes.flatMap((name) => texts(u, splits(name, 2)(u)))].map(widthOf))), grid: { stroke: () => colour("grid"), width: 1 }, ...extra,
    });
    const scaled = (name) => ({ auto: true, distr: scales[name]?.log ? 3 : 1, range: () => scales[name]?.whole ?? [0, 1] });
    return {
      ...size(), ms: 1, padding: [22, (u) => beside(u, right), 0, 0], legend: { show: false }, pxAlign: 1,
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false, dist: 6 }, points: { size: 7, fill: (u, i) => u.series[i].stroke(), width: 1.5, stroke: () => colour("surface"), show: (u, i) => block(lineAt(i - 1)) || lineAt(i - 1).quiet ? false : undefined },
        bind: { dblclick: () => () => { hooks.onReset(); return null; } },
        dataIdx: (u, i, closest, x) => i === 0 ? closest : nearest(u, i, closest, x),
      },
      scales: { x: { time: false, range: () => scene.x }, ...Object.fromEntries(["y", ...Object.keys(scales).filter((name) => name !== "y")].map((name) => [name, scaled(name)])) },
      axes: [
        { stroke: () => colour("text-3"), font: FONT, size: 28, gap: 4, ticks: { show: true, size: 4, width: 1, stroke: () => colour("axis") }, grid: { show: false }, border: { show: true, stroke: () => colour("axis"), width: 1 },
          splits: (u) => times(u)[0], values: (u, found) => found.map((ms) => tick(ms, zone, times(u)[1])), filter: (u, found) => found },
        // Panes write into the column of the main axis, so theirs come first and take no room.
        ...panes.map((name) => axis(name, 2, { size: 0, grid: { show: name !== "volume", stroke: () => colour("grid"), width: 1 } })), axis("y", 7), ...(right ? [axis("y2", 7, { side: 1, grid: { show: false } })] : []),
      ],
      series: series(),
      hooks: {
        drawAxes: [under], draw: [over],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          const from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          hooks.onRange(from, to);
        }],
        setCursor: [(u) => {
          at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null;
          label(u);
          if (!silent) hooks.onHover(at);
        }],
        ready: [(u) => { u.over.addEventListener("mousedown", pan, { capture: true }); touches(u.over); }],
      },
    };
  }

  const wide = (u) => u.bbox?.width > 0 ? u.bbox.width / devicePixelRatio : Math.max(1, size().width - 60);
  const times = (u) => ticksBetween(scene.x[0], scene.x[1], (scene.x[1] - scene.x[0]) / Math.max(1, wide(u) / 76), offset);

  // Room on the right for the half of the last mark's words, wherever that stands: the plot keeps its width while it is moved.
  function beside(u, right) {
    const [found, step] = times(u);
    return right ? 4 : Math.max(14, ...found.slice(-1).map((ms) => Math.ceil(widthOf(tick(ms, zone, step)) / 2) + 2));
  }

  // A joined column has no value of a line at most times: its nearest one counts, if it lies within a few pixels.
  function nearest(u, i, closest, x) {
    const line = lineAt(i - 1), found = line.t && valueAt(line, x, reach(u));
    if (empty(found)) return null;
    return u.data[0][closest] === line.t[found] ? closest : placeOf(u.data[0], line.t[found]);
  }
  const reach = (u) => Math.max(TOUCHED * (scene.x[1] - scene.x[0]) / wide(u), scene.step / 2);

  // Shift or the middle button and a drag move the window.
  function pan(event) {
    if (!event.shiftKey && event.button !== 1) return;
    event.preventDefault();
    event.stopImmediatePropagation();  // it is no drag that zooms
    const from = event.clientX, range = [...scene.x], wide = plot.over.clientWidth;
    const move = ({ clientX }) => {
      const by = (from - clientX) / wide * (range[1] - range[0]);
      hooks.onRange(range[0] + by, range[1] + by);
    };
    const stop = () => {
      removeEventListener("mousemove", move);
      removeEventListener("mouseup", stop);
    };
    addEventListener("mousemove", move);
    addEventListener("mouseup", stop);
  }

  // A finger reads values; two zoom (panel.js).
  function touches(place) {
    const read = (event) => {
      if (event.pointerType !== "touch" || !event.isPrimary || !plot) return;
      plot.setCursor({ left: event.clientX - place.getBoundingClientRect().left, top: 10 }, true);
    };
    place.addEventListener("pointerdown", read);
    place.addEventListener("pointermove", read);
  }

  const clipped = (u, act) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    act(ctx, bbox);
    ctx.restore();
  };

  // Below the lines: gaps, spans of notes, bands, areas, bars, candles.
  function under(u) {
    const x = (ms) => u.valToPos(ms, "x", true), ratio = devicePixelRatio;
    clipped(u, (ctx, bbox) => {
      ctx.fillStyle = colour("sunken");
      for (const [from, to] of scene.gaps) ctx.fillRect(x(from), bbox.top, Math.max(1, x(to) - x(from)), bbox.height);
      for (const note of scene.notes) {
        if (empty(note.until)) continue;
        ctx.fillStyle = faded(colour("amber"), 0.12);
        ctx.fillRect(x(note.at), bbox.top, Math.max(1, x(note.until) - x(note.at)), bbox.height);
      }
      for (const band of scene.bands) {
        ctx.fillStyle = tint(aside(band) ? { ...band, alpha: (band.alpha ?? 0.2) * 0.2 } : band);
        ribbon(u, band.t, band.hi, band.below ?? band.t, band.lo, scaleOf(band));
        if (band.edge) edges(u, band, x, ratio);
      }
      for (const line of scene.lines) if (line.fill === "area") {
        ctx.fillStyle = faded(tint(line), shadeOf(line, scene) * (aside(line) ? 0.3 : 1));
        ribbon(u, line.t, line.y, line.t, line.base, scaleOf(line));
      }
      for (const line of scene.lines) if (line.fill === "bars") (line.steps ? outline : bars)(u, ctx, line, x, ratio);
      for (const line of scene.lines) if (line.fill === "ticks") marks(u, ctx, line, x, ratio);
      if (scene.candles) candles(u, ctx, x, ratio);
    });
  }
  const scaleOf = ({ axis }) => axis === "right" ? "y2" : !axis || axis === "left" ? "y" : axis;

  // Fill between two lines, or between one and zero; interrupted where a line is.
  function ribbon(u, t, hi, below, lo, scale) {
    const { ctx } = u, x = (ms) => u.valToPos(ms, "x", true), y = (value) => u.valToPos(value, scale, true);
    const floor = footOf(scales[scale]);
    const shared = !lo || below === t || same(below, t);
    const piece = (a, b, c, d) => {
      ctx.beginPath();
      for (let k = a; k < b; k++) if (!empty(hi[k])) ctx.lineTo(x(t[k]), y(hi[k]));
      for (let k = d - 1; k >= c; k--) if (!lo || !empty(lo[k])) ctx.lineTo(x(below[k]), y(lo && !placeless(scales[scale], lo[k]) ? lo[k] : floor));
      ctx.fill();
    };
    if (!shared) return piece(0, t.length, 0, below.length);
    let from = 0;
    for (let i = 0; i <= t.length; i++) {
      if (i < t.length && !empty(hi[i]) && (!lo || !empty(lo[i]))) continue;
      if (i > from) piece(from, i, from, i);
      from = i + 1;
    }
    return undefined;
  }

  // One value that stands out is as thin as a pixel: the edges of a band make it seen.
  function edges(u, band, x, ratio) {
    const { ctx } = u;
    ctx.strokeStyle = tint({ ...band, alpha: band.edge * (aside(band) ? 0.2 : 1) });
    ctx.lineWidth = ratio;
    for (const column of [band.hi, band.lo]) {
      let open = false;
      ctx.beginPath();
      for (let i = 0; i < column.length; i++) {
        if (empty(column[i]) || placeless(scales[scaleOf(band)], column[i])) open = false;
        else {
          const place = [x(band.t[i]), u.valToPos(column[i], scaleOf(band), true)];
          if (open) ctx.lineTo(...place);
          else ctx.moveTo(...place);
          open = true;
        }
      }
      ctx.stroke();
    }
  }

  function bars(u, ctx, line, x, ratio) {
    const scale = scaleOf(line), floor = footOf(scales[scale]), zero = u.valToPos(floor, scale, true);
    ctx.fillStyle = faded(tint(line), aside(line) ? 0.15 : line.axis === "volume" || line.quiet ? 0.45 : 0.85);
    const narrow = Math.max(1, ratio);
    for (let i = 0; i < line.t.length; i++) {
      if (empty(line.y[i]) || line.t[i] > scene.x[1]) continue;
      const [from, to] = barOf(line, i, scene.step), left = x(from), top = u.valToPos(line.y[i], scale, true), bottom = line.base ? u.valToPos(placeless(scales[scale], line.base[i]) ? floor : line.base[i], scale, true) : zero;
      const box = [left, Math.min(top, bottom), Math.max(narrow, x(to) - left), Math.max(line.y[i] === 0 ? 0 : narrow, Math.abs(bottom - top))];
      if (line.partial?.[i]) hollow(ctx, line, box, ratio);
      else ctx.fillRect(...box);
    }
  }
  // What was there an earlier time: a short stroke across each bar, at that height, on a rim of the ground.
  function marks(u, ctx, line, x, ratio) {
    for (const [from, to, value] of strokes(line, scene.step)) {
      const at = u.valToPos(value, scaleOf(line), true);
      for (const [name, width] of [["surface", 4], [line.colour, 2]]) {
        ctx.strokeStyle = faded(colour(name), aside(line) ? 0.2 : 1);
        stroked(ctx, [], width * ratio, x(from), at, x(to), at);
      }
    }
  }
  function outline(u, ctx, line, x, ratio) {
    const scale = scaleOf(line), y = (value) => u.valToPos(value, scale, true), floor = y(footOf(scales[scale]));
    for (const run of stairs(line)) {
      ctx.beginPath();
      for (const [ms, value] of run) ctx.lineTo(x(ms), y(value));
      ctx.strokeStyle = faded(tint(line), aside(line) ? 0.15 : 1);
      ctx.lineWidth = 1.5 * ratio;
      ctx.stroke();
      ctx.lineTo(x(run.at(-1)[0]), floor);
      ctx.lineTo(x(run[0][0]), floor);
      ctx.fillStyle = faded(tint(line), aside(line) ? 0.02 : 0.05);
      ctx.fill();
    }
    for (const i of Object.keys(line.partial ?? {})) if (!empty(line.y[i])) stroked(ctx, [3 * ratio, 2 * ratio], 1.5 * ratio, x(line.t[i]), y(line.y[i]), x(line.until[i]), y(line.y[i]));
  }
  // A bucket that is not whole: its outline in dashes over a shade of its colour.
  function hollow(ctx, line, [left, top, width, height], ratio) {
    ctx.save();
    ctx.fillStyle = faded(tint(line), 0.2);
    ctx.fillRect(left, top, width, height);
    ctx.strokeStyle = tint(line);
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 2 * ratio]);
    if (width > 3 * ratio) ctx.strokeRect(left + ratio / 2, top + ratio / 2, width - ratio, Math.max(0, height - ratio));
    ctx.restore();
  }

  // Up is hollow and down is filled, so that colour is never alone.
  function candles(u, ctx, x, ratio) {
    const { t, until, o, h, l, c, partial } = scene.candles, up = colour("series-1"), down = colour("series-5"), inside = colour("surface"), y = (value) => u.valToPos(value, "y", true);
    for (let i = 0; i < t.length; i++) {
      if (empty(o[i]) || empty(c[i])) continue;
      const rises = c[i] >= o[i], full = x(until[i]) - x(t[i]), wide = Math.max(ratio, Math.min(full * 0.62, 18 * ratio)), middle = Math.round((x(t[i]) + x(until[i])) / 2) + (ratio % 2 ? 0.5 : 0);
      const top = y(Math.max(o[i], c[i])), bottom = Math.max(top + 1, y(Math.min(o[i], c[i])));
      ctx.strokeStyle = rises ? up : down;
      ctx.lineWidth = ratio;
      ctx.setLineDash(partial?.[i] ? [2 * ratio, 2 * ratio] : []);
      ctx.beginPath();
      ctx.moveTo(middle, y(h[i]));
      ctx.lineTo(middle, y(l[i]));
      ctx.stroke();
      ctx.fillStyle = wide < 3 * ratio ? ctx.strokeStyle : rises ? inside : partial?.[i] ? faded(down, 0.35) : down;
      ctx.fillRect(middle - wide / 2, top, wide, bottom - top);
      if (wide >= 3 * ratio) ctx.strokeRect(middle - wide / 2, top, wide, bottom - top);
    }
    ctx.setLineDash([]);
  }

  // Above the lines: marks, thresholds, notes, the cutoff, names of panes.
  function over(u) {
    const ratio = devicePixelRatio, x = (ms) => u.valToPos(ms, "x", true), y = (value) => u.valToPos(value, "y", true);
    clipped(u, (ctx, bbox) => {
      for (const line of scene.lines) if (line.path) tails(u, ctx, line, x, ratio);
      paint(ctx, scene.marks, { x, y: (mark) => u.valToPos(mark.y, scaleOf(mark), true), bbox, ratio });
      ctx.font = `${12 * ratio}px ${FAMILY}`;
      ctx.fillStyle = colour("text-3");
      ctx.textAlign = "left";
      ctx.textBaseline = "top";
      const gaps = writeGaps(ctx, scene.gaps, { said: (gap) => missing(gap, scene), x, left: bbox.left, width: bbox.width, ratio, write: (text, left) => plain(ctx, text, left, bbox.top + 2 * ratio, ratio) });
      const taken = [];
      for (const { value, label: text, colour: name } of scene.thresholds) {
        ctx.strokeStyle = colour(name ?? "amber");
        stroked(ctx, [7 * ratio, 6 * ratio], ratio * 1.25, bbox.left, y(value), bbox.left + bbox.width, y(value));
        const said = fitted(ctx, text || short(value), bbox.width * 0.6), wide = ctx.measureText(said).width, tall = LINE * ratio;
        if (!said.trim()) continue;
        const { left, top } = freeSpot(scene, scales, { box: bbox, x, y: (one, line) => u.valToPos(one, scaleOf(line), true), at: y(value), wide, tall, taken, ratio });
        taken.push([left, top, left + wide, top + tall]);
        ctx.fillStyle = colour(name ?? "amber");
        plain(ctx, said, left, top, ratio);
      }
      const told = gaps.map(([from, to]) => ({ row: 0, from, to }));
      for (const { at: ms, text, colour: name } of [...scene.notes].sort((a, b) => a.at - b.at)) {
        if (ms < scene.x[0] || ms > scene.x[1] || x(ms) < bbox.left - 1 || x(ms) > bbox.left + bbox.width + 1) continue;
        ctx.strokeStyle = ctx.fillStyle = colour(name ?? "text-2");
        stroked(ctx, [4 * ratio, 4 * ratio], ratio, x(ms), bbox.top, x(ms), bbox.top + bbox.height);
        const left = x(ms) > bbox.left + bbox.width * 0.6, room = left ? x(ms) - bbox.left : bbox.left + bbox.width - x(ms), said = fitted(ctx, text, Math.min(room - 8 * ratio, bbox.width * 0.6));
        const wide = said ? ctx.measureText(said).width : 0, row = rowFor(told, left ? x(ms) - 5 * ratio - wide : x(ms) + 5 * ratio, wide, 8 * ratio);
        ctx.textAlign = left ? "right" : "left";
        ctx.textBaseline = "top";
        plain(ctx, said, x(ms) + (left ? -5 : 5) * ratio, bbox.top + (2 + 16 * row) * ratio, ratio);
      }
      ctx.textAlign = "left";
      ctx.textBaseline = "top";
      for (const [name, { part }] of Object.entries(scales)) {
        if (part[1] === 1) continue;
        const top = bbox.top + bbox.height * (1 - part[1]);
        ctx.fillStyle = colour("text-3");
        plain(ctx, PANE[name], bbox.left + 4 * ratio, top + ratio, ratio);
      }
    });
  }
  // A line to and from buckets that are not whole is dashed, and their points are hollow.
  function tails(u, ctx, line, x, ratio) {
    const y = (value) => u.valToPos(value, scaleOf(line), true);
    ctx.strokeStyle = tint(line);
    for (const i of Object.keys(line.partial).map(Number)) {
      if (empty(line.y[i])) continue;
      for (const j of [i - 1, i + 1]) if (!empty(line.y[j])) stroked(ctx, [3 * ratio, 3 * ratio], (line.width ?? 1.5) * ratio, x(line.t[j]), y(line.y[j]), x(line.t[i]), y(line.y[i]));
      ctx.lineWidth = 1.5 * ratio;
      ctx.fillStyle = colour("surface");
      ctx.beginPath();
      ctx.arc(x(line.t[i]), y(line.y[i]), 3 * ratio, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  }
  // Words on a chart stand on a rim of its ground, so that lines do not cross them out.
  function plain(ctx, text, left, top, ratio) {
    ctx.lineWidth = 4 * ratio;
    ctx.strokeStyle = colour("surface");
    ctx.lineJoin = "round";
    ctx.strokeText(text, left, top);
    ctx.fillText(text, left, top);
  }

  function stroked(ctx, dash, width, x0, y0, x1, y1) {
    ctx.setLineDash(dash);
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  // The time under the crosshair, in a small plate above it.
  const plate = document.createElement("div");
  plate.className = "panel-plate";
  function label(u) {
    if (plate.parentNode !== u.over) u.over.append(plate);
    plate.hidden = at === null;
    if (at === null) return;
    const said = snapped(u);
    if (plate.textContent !== said) plate.textContent = said;
    // Shares are of its own width, which nobody has to measure.
    plate.style.transform = `translateX(clamp(0px, ${u.cursor.left}px - 50%, ${wide(u)}px - 100%))`;
  }
  // The moment of the value that is read, of the first line that has one there, and what is to be known of it.
  function snapped(u) {
    const written_ = (ms, partial) => `${instant(ms, zone, scene.step)}${partial ? `, partial: ${partial}` : ""}`;
    if (scene.candles) {
      const i = placeOf(scene.candles.t, at);
      if (i >= 0) return written_(scene.candles.t[i], scene.candles.partial?.[i]);
    }
    for (const line of scene.lines) {
      const i = valueAt(line, at, reach(u));
      if (i !== null) return written_(line.t[i], line.partial?.[i]);
    }
    const gap = scene.gaps.find(([from, to]) => at > from && at < to);
    return gap ? `no values for ${missing(gap, scene)}` : written_(at);
  }

  return {
    draw(next) {
      scene = next.lines.length ? next : { ...next, lines: [{ name: "", t: next.candles?.t ?? [], y: next.candles?.c ?? [], own: [], width: 0, colour: "surface", axis: "left", fill: "bars", quiet: true, nothing: true }] };
      if (scene.lines[0].nothing) scene.lines[0].y = Float64Array.from(scene.lines[0].t, () => NaN);
      if (!scene.lines.some((line) => line.name === focused)) focused = "";  // it was hidden
      const built = shapeOf(scene);
      scales = scalesOf(scene);
      if (zone !== next.zone) {
        zone = next.zone;
        offset = offsetOf(zone);
      }
      const data = aligned(uPlot, scene.lines);
      if (!plot || shape !== built) {
        const { left, top } = plot?.cursor ?? {};
        plot?.destroy();
        shape = built;
        plot = new uPlot(options(), data, element);
        if (left >= 0) this.cursor(at, top);
        return;
      }
      const { width, height } = size();
      if (plot.width !== width || plot.height !== height) plot.setSize({ width, height });
      plot.setData(data);
      if (at !== null) label(plot);
    },
    // What is known already, at another window: shown at once, while the points for it are fetched.
    shift(from, to) {
      if (!plot || (scene.x[0] === from && scene.x[1] === to)) return;
      scene = { ...scene, x: [from, to] };
      scales = scalesOf(scene);
      plot.setScale("x", { min: from, max: to });
    },
    // The crosshair at a moment, or none; tells nobody.
    cursor(ms) {
      if (!plot) return;
      silent = true;
      const left = ms === null ? -10 : plot.valToPos(ms, "x");
      plot.setCursor({ left: left < 0 || left > wide(plot) ? -10 : left, top: 10 }, true);
      silent = false;
    },
    // Of each line and band the value under the crosshair, or its last one in the window.
    values() {
      if (!scene || !plot) return [];
      const read = (line) => at !== null ? valueAt(line, at, reach(plot)) : line.ring ? null : lastOf(line, scene.x);
      return [
        ...scene.lines.filter((line) => !line.quiet).map((line) => {
          const i = read(line);
          return { line, at: i, value: i === null ? null : (line.own ?? line.y)[i], index: i === null || !line.indexed ? null : line.y[i], partial: line.partial?.[i] };
        }),
        ...scene.bands.filter((band) => band.told).map((band) => {
          const i = read({ t: band.t, y: band.hi });
          return { line: band, value: i === null ? null : [band.lo[i], band.hi[i]] };
        }),
      ];
    },
    // Let one line stand out by its name, or none.
    focus(name) {
      const found = scene?.lines.some((line) => line.name === name) ? name : "";
      if (found === focused) return;
      focused = found;
      plot?.redraw(false, false);
    },
    get hovering() { return at !== null; },
    box: () => plot ? plot.over.getBoundingClientRect() : null,
    height: (mark) => plot.valToPos(mark.y, scaleOf(mark)),
    at: (clientX) => plot ? plot.posToVal(clientX - plot.over.getBoundingClientRect().left, "x") : null,
    resize() {
      const { width, height } = size();
      if (plot && (plot.width !== width || plot.height !== height)) plot.setSize({ width, height });
    },
    restyle() {
      plot?.redraw(true, true);
    },
    destroy() {
      plot?.destroy();
      plot = null;
      plate.remove();
    },
  };
}

export const PANE = { volume: "Volume", rsi: "RSI", macd: "MACD" };

function lastOf(line, [, to]) {
  for (let i = placeOf(line.t, to); i >= 0; i--) if (!empty(line.y[i])) return i;
  return null;
}

// A text that fits a width, cut by an ellipsis.
export function fitted(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let short_ = text;
  while (short_.length > 1 && ctx.measureText(`${short_}…`).width > width) short_ = short_.slice(0, -1);
  return `${short_.trimEnd()}…`;
}
