// Draws a scene over time with uPlot: lines, areas, bars, candles, bands, gaps, thresholds, notes, and a crosshair.
// A scene (scene.js) is plain data; what is drawn is all in it, so the same scene can be drawn as a picture (figure.js).

import { colour, faded, moment, number, short, tick } from "./look.js";

const PAD = { top: 10, right: 12 };
const FONT = '12px "Inter Variable", system-ui, sans-serif';

// Whole steps of a time axis, in ms; months and years are stepped on the calendar of the zone.
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5,
  864e5, 2 * 864e5, 7 * 864e5, 14 * 864e5];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const MONTH = 30.44 * 864e5;

// Moments between `from` and `to` that are `step` apart and begin on the zone's clock: ask its offset, step in local time.
export function ticksBetween(from, to, least, offset) {
  const local = (ms) => ms + offset(ms), back = (wall) => {
    const guess = wall - offset(wall);
    return wall - offset(guess);
  };
  const step = STEPS.find((one) => one >= least);
  const found = [];
  if (step) {
    const origin = step === 7 * 864e5 || step === 14 * 864e5 ? 4 * 864e5 : 0;  // weeks begin on Mondays
    for (let wall = Math.ceil((local(from) - origin) / step) * step + origin; back(wall) <= to && found.length < 200; wall += step) found.push(back(wall));
    return [found, step];
  }
  const months = MONTHS.find((one) => one * MONTH >= least) ?? MONTHS.at(-1);
  const first = new Date(local(from));
  let index = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth() + (first.getUTCDate() > 1 || first.getUTCHours() ? 1 : 0)) / months) * months;
  for (; found.length < 200; index += months) {
    const at = back(new Date(Date.UTC(2000, 0, 1)).setUTCFullYear(Math.floor(index / 12), index % 12, 1));
    if (at > to) break;
    if (at >= from) found.push(at);
  }
  return [found, months * MONTH];
}

// How far the zone's clock is ahead of UTC at a moment, in ms.
export function offsetOf(zone) {
  if (!zone || zone === "UTC") return () => 0;
  let shape;
  try {
    shape = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  } catch {
    return () => 0;
  }
  const known = new Map();
  return (ms) => {
    const hour = Math.floor(ms / 9e5);  // zones change their clock on a quarter of an hour
    if (!known.has(hour)) {
      const at = {};
      for (const { type, value } of shape.formatToParts(hour * 9e5)) at[type] = Number(value);
      known.set(hour, Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second) - hour * 9e5);
    }
    return known.get(hour);
  };
}

const empty = (value) => value === null || value === undefined || Number.isNaN(value);
const listed = (values) => Array.from(values, (value) => Number.isNaN(value) ? null : value);

// uPlot wants one column of times: lines of the same times share it, others are joined.
function aligned(uPlot, lines) {
  const tables = [];
  for (const line of lines) {
    const columns = [listed(line.y), ...(line.lo ? [listed(line.lo), listed(line.hi)] : [])];
    const last = tables.at(-1);
    if (last && same(last.t, line.t)) last.columns.push(...columns);
    else tables.push({ t: line.t, columns });
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

// The least and the most that is drawn on an axis within the window.
function reach(scene, axis) {
  let low = Infinity, high = -Infinity;
  const take = (t, lo, hi) => {
    for (let i = 0; i < t.length; i++) {
      if (t[i] < scene.x[0] || t[i] > scene.x[1]) continue;
      if (lo[i] < low) low = lo[i];
      if (hi[i] > high) high = hi[i];
    }
  };
  for (const line of scene.lines) if ((line.axis ?? "left") === axis) take(line.t, line.lo ?? line.y, line.hi ?? line.y);
  if (axis === "left") {
    for (const band of scene.bands ?? []) take(band.t, band.lo, band.hi);
    if (scene.candles) take(scene.candles.t, scene.candles.l, scene.candles.h);
    for (const { value } of scene.thresholds ?? []) low = Math.min(low, value), high = Math.max(high, value);
    if (scene.zero) low = Math.min(low, 0), high = Math.max(high, 0);
  }
  return low <= high ? [low, high] : null;
}

function padded(range, log) {
  if (!range) return log ? [1, 10] : [0, 1];
  const [low, high] = range;
  if (log) return [low > 0 ? low / 1.1 : high > 0 ? high / 1e4 : 1e-3, high > 0 ? high * 1.1 : 1];
  const pad = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low - pad < 0 ? 0 : low - pad, high <= 0 && high + pad > 0 ? 0 : high + pad];
}

export function mount(uPlot, element, hooks = {}) {
  let plot = null, scene = null, shape = "", silent = false, offset = () => 0, zone = "";

  const size = () => ({ width: Math.max(80, element.clientWidth), height: Math.max(60, element.clientHeight) });
  // What cannot change without building the plot anew: which lines there are and how each is drawn.
  const shapeOf = (next) => JSON.stringify([next.zone, !!next.log, !!next.volume, !!next.candles,
    next.lines.map((line) => [line.name, line.fill, line.axis, !!line.lo, line.dash, line.points, line.width, line.stepped])]);

  function series() {
    const found = [{}];
    for (const line of scene.lines) {
      const scale = line.axis === "right" ? "y2" : "y", bars = line.fill === "bars";
      const paths = bars ? uPlot.paths.bars({ size: [0.8, 48], align: 1, radius: 0 }) : line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined;
      found.push({
        scale, stroke: () => colourOf(line), width: line.width ?? 1.5, dash: line.dash ?? [], paths,
        fill: bars ? () => faded(colourOf(line), 0.85) : line.fill === "area" ? () => faded(colourOf(line), 0.22) : undefined,
        spanGaps: false, points: { show: line.points ? true : undefined, size: 5, fill: () => colourOf(line), stroke: () => colourOf(line) },
      });
      if (line.lo) for (let i = 0; i < 2; i++) found.push({ scale, stroke: "transparent", width: 0, points: { show: false } });
    }
    return found;
  }
  const colourOf = (line) => colour(scene.lines.find((one) => one.name === line.name)?.colour ?? line.colour);

  function envelopes() {
    const found = [];
    let at = 1;
    for (const line of scene.lines) {
      if (line.lo) found.push({ series: [at + 2, at + 1], fill: () => faded(colourOf(line), 0.2) });
      at += line.lo ? 3 : 1;
    }
    return found;
  }

  function options() {
    const right = scene.lines.some((line) => line.axis === "right"), log = !!scene.log;
    const written = (u, splits) => {
      const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 0;
      return splits.map((value) => empty(value) ? "" : log ? short(value) : short(value, step));
    };
    const axis = (scale, extra) => ({
      scale, stroke: () => colour("text-3"), font: FONT, gap: 6, ticks: { show: false }, border: { show: false }, values: written, space: 44,
      size: (u, values) => 14 + Math.ceil(Math.max(20, ...(values ?? []).map((text) => widthOf(u, text)))), grid: { stroke: () => colour("grid"), width: 1 }, ...extra,
    });
    return {
      ...size(), ms: 1, padding: [PAD.top, right ? 4 : PAD.right, 0, 0], legend: { show: false }, pxAlign: 1,
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false, dist: 6 }, points: { size: 7, fill: (u, at) => u.series[at].stroke(), width: 1.5, stroke: () => colour("surface") },
        bind: { dblclick: () => () => { hooks.onReset?.(); return null; } },
        dataIdx: (u, at, closest, x) => nearest(u, at, closest, x),
      },
      scales: { x: { time: false, range: () => scene.x }, y: { distr: log ? 3 : 1, range: () => padded(reach(scene, "left"), log) },
        y2: { range: () => padded(reach(scene, "right"), false) }, v: { range: () => [0, 4 * Math.max(1e-9, ...(scene.volume?.y ?? [1]))] } },
      axes: [
        { stroke: () => colour("text-3"), font: FONT, size: 28, gap: 4, ticks: { show: false }, grid: { show: false }, border: { show: true, stroke: () => colour("axis"), width: 1 },
          splits: (u) => times(u)[0], values: (u, splits) => splits.map((ms) => tick(ms, zone, times(u)[1])) },
        axis("y", {}), ...(right ? [axis("y2", { side: 1, grid: { show: false } })] : []),
      ],
      series: series(), bands: envelopes(),
      hooks: {
        drawClear: [under], draw: [over],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          const from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          hooks.onRange?.(from, to);
        }],
        setCursor: [(u) => {
          const inside = u.cursor.left >= 0;
          label(u, inside ? u.posToVal(u.cursor.left, "x") : null);
          if (!silent) hooks.onHover?.(inside ? u.posToVal(u.cursor.left, "x") : null);
        }],
      },
    };
  }

  const times = (u) => ticksBetween(u.scales.x.min, u.scales.x.max, (u.scales.x.max - u.scales.x.min) / Math.max(1, u.bbox.width / devicePixelRatio / 84), offset);

  function widthOf(u, text) {
    u.ctx.font = FONT;
    return u.ctx.measureText(text).width;
  }

  // A joined column has no value of a line at most times: its nearest one counts, if it lies within a few pixels.
  function nearest(u, at, closest, x) {
    if (at === 0) return closest;
    const column = u.data[at];
    if (!empty(column[closest])) return closest;
    const reachable = (i) => i >= 0 && i < column.length && Math.abs(u.valToPos(u.data[0][i], "x") - u.valToPos(x, "x")) < 12;
    for (let away = 1; away < 400; away++) {
      const before = reachable(closest - away), after = reachable(closest + away);
      if (before && !empty(column[closest - away])) return closest - away;
      if (after && !empty(column[closest + away])) return closest + away;
      if (!before && !after) return null;
    }
    return null;
  }

  // Below the lines: gaps, spans of notes, bands of a forecast.
  function under(u) {
    const { ctx, bbox } = u, x = (ms) => u.valToPos(ms, "x", true), y = (value) => u.valToPos(value, "y", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("sunken");
    for (const [from, to] of scene.gaps ?? []) ctx.fillRect(x(from), bbox.top, Math.max(1, x(to) - x(from)), bbox.height);
    for (const note of scene.notes ?? []) {
      if (note.until === null || note.until === undefined) continue;
      ctx.fillStyle = faded(colour("amber"), 0.12);
      ctx.fillRect(x(note.at), bbox.top, Math.max(1, x(note.until) - x(note.at)), bbox.height);
    }
    for (const band of scene.bands ?? []) {
      ctx.fillStyle = colour(band.colour);
      let from = 0;
      for (let i = 0; i <= band.t.length; i++) {
        if (i < band.t.length && !empty(band.lo[i]) && !empty(band.hi[i])) continue;
        if (i > from) {
          ctx.beginPath();
          for (let k = from; k < i; k++) ctx.lineTo(x(band.t[k]), y(band.hi[k]));
          for (let k = i - 1; k >= from; k--) ctx.lineTo(x(band.t[k]), y(band.lo[k]));
          ctx.fill();
        }
        from = i + 1;
      }
    }
    if (scene.volume) volume(u, x);
    ctx.restore();
  }

  function volume(u, x) {
    const { ctx, bbox } = u, { t, y } = scene.volume, wide = barWidth(u, t);
    ctx.fillStyle = faded(colour("series-8"), 0.35);
    for (let i = 0; i < t.length; i++) {
      if (empty(y[i])) continue;
      const top = u.valToPos(y[i], "v", true);
      ctx.fillRect(x(t[i]) - wide / 2, top, wide, bbox.top + bbox.height - top);
    }
  }

  function barWidth(u, t) {
    let least = Infinity;
    for (let i = 1; i < t.length; i++) least = Math.min(least, t[i] - t[i - 1]);
    const pixels = u.valToPos(u.scales.x.min + (Number.isFinite(least) ? least : (u.scales.x.max - u.scales.x.min) / 10), "x", true) - u.valToPos(u.scales.x.min, "x", true);
    return Math.max(devicePixelRatio, Math.min(pixels * 0.7, 18 * devicePixelRatio));
  }

  // Above the lines: candles, marks, thresholds, notes, the cut-off.
  function over(u) {
    const { ctx, bbox } = u, ratio = devicePixelRatio, x = (ms) => u.valToPos(ms, "x", true), y = (value) => u.valToPos(value, "y", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top - 4 * ratio, bbox.width, bbox.height + 4 * ratio);
    ctx.clip();
    if (scene.candles) candles(u, x, y);
    for (const mark of scene.marks ?? []) {
      ctx.strokeStyle = colour(mark.colour);
      ctx.lineWidth = 1.75 * ratio;
      ctx.beginPath();
      if (mark.kind === "rejected") ctx.rect(x(mark.t) - 3.5 * ratio, bbox.top + bbox.height - 8 * ratio, 7 * ratio, 7 * ratio);
      else ctx.arc(x(mark.t), y(mark.y), 4.5 * ratio, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.font = `${12 * ratio}px "Inter Variable", system-ui, sans-serif`;
    for (const { value, label: text, colour: name } of scene.thresholds ?? []) {
      ctx.strokeStyle = ctx.fillStyle = colour(name ?? "amber");
      stroked(ctx, [7 * ratio, 5 * ratio], ratio * 1.25, bbox.left, y(value), bbox.left + bbox.width, y(value));
      ctx.textAlign = "right";
      ctx.textBaseline = y(value) > bbox.top + bbox.height - 20 * ratio ? "bottom" : "top";
      ctx.fillText(text || short(value), bbox.left + bbox.width - 4 * ratio, y(value) + (ctx.textBaseline === "top" ? 3 : -3) * ratio);
    }
    for (const { at, text, colour: name, dash } of scene.notes ?? []) {
      if (at < u.scales.x.min || at > u.scales.x.max) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(name ?? "text-3");
      stroked(ctx, dash ?? [3 * ratio, 3 * ratio], ratio, x(at), bbox.top, x(at), bbox.top + bbox.height);
      const left = x(at) > bbox.left + bbox.width * 0.6;
      ctx.textAlign = left ? "right" : "left";
      ctx.textBaseline = "top";
      ctx.fillText(text, x(at) + (left ? -5 : 5) * ratio, bbox.top + 2 * ratio, bbox.width * 0.5);
    }
    ctx.restore();
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

  // Up is hollow and down is filled, so that colour is never alone.
  function candles(u, x, y) {
    const { ctx } = u, { t, o, h, l, c } = scene.candles, wide = barWidth(u, t), ratio = devicePixelRatio;
    const up = colour("series-1"), down = colour("series-5"), inside = colour("surface");
    ctx.lineWidth = Math.max(1, ratio * Math.min(1.25, wide / 3));
    for (let i = 0; i < t.length; i++) {
      if (empty(o[i]) || empty(c[i])) continue;
      const rises = c[i] >= o[i], at = Math.round(x(t[i])), top = y(Math.max(o[i], c[i])), bottom = y(Math.min(o[i], c[i]));
      ctx.strokeStyle = rises ? up : down;
      ctx.beginPath();
      ctx.moveTo(at, y(h[i]));
      ctx.lineTo(at, y(l[i]));
      ctx.stroke();
      if (wide < 2 * ratio) continue;
      ctx.fillStyle = rises ? inside : down;
      ctx.fillRect(at - wide / 2, top, wide, Math.max(1, bottom - top));
      ctx.strokeRect(at - wide / 2, top, wide, Math.max(1, bottom - top));
    }
  }

  // The time under the crosshair, in a small plate above it.
  const plate = document.createElement("div");
  plate.className = "panel-plate";
  function label(u, ms) {
    if (plate.parentNode !== u.over) u.over.append(plate);
    plate.hidden = ms === null;
    if (ms === null) return;
    const at = u.cursor.idx === null || u.cursor.idx === undefined || scene.smooth ? ms : u.data[0][u.cursor.idx] ?? ms;
    plate.textContent = moment(at, zone, scene.x[1] - scene.x[0]);
    const half = plate.offsetWidth / 2, left = Math.min(Math.max(u.cursor.left, half), u.over.clientWidth - half);
    plate.style.transform = `translate(${left - half}px, 0)`;
  }

  return {
    draw(next) {
      const built = shapeOf(next);
      scene = next;
      if (zone !== next.zone) {
        zone = next.zone;
        offset = offsetOf(zone);
      }
      const data = aligned(uPlot, next.lines.length ? next.lines : [{ t: next.candles?.t ?? [], y: next.candles?.c ?? [] }]);
      if (!plot || shape !== built) {
        plot?.destroy();
        shape = built;
        if (!next.lines.length) scene = { ...next, lines: [{ name: "", t: next.candles?.t ?? [], y: next.candles?.c ?? [], width: 0, colour: "surface" }] };
        plot = new uPlot(options(), data, element);
      } else {
        if (!next.lines.length) scene = { ...next, lines: [{ name: "", t: next.candles?.t ?? [], y: next.candles?.c ?? [], width: 0, colour: "surface" }] };
        const { width, height } = size();
        if (plot.width !== width || plot.height !== height) plot.setSize({ width, height });
        plot.setData(data);
      }
    },
    // What is known already, at another window: shown at once, while the points for it are fetched.
    shift(from, to) {
      if (!plot) return;
      scene = { ...scene, x: [from, to] };
      plot.setScale("x", { min: from, max: to });
    },
    // The crosshair at a moment, or none; tells nobody.
    cursor(ms) {
      if (!plot) return;
      silent = true;
      const left = ms === null ? -10 : plot.valToPos(ms, "x");
      plot.setCursor({ left: left < 0 || left > plot.over.clientWidth ? -10 : left, top: 10 }, true);
      silent = false;
    },
    // Of each line the value under the crosshair, or its last one in the window.
    values() {
      let at = 1;
      return scene ? scene.lines.map((line) => {
        const idx = plot?.cursor.left >= 0 ? plot.cursor.idxs?.[at] : lastOf(plot?.data[at]);
        const value = empty(idx) ? null : plot.data[at][idx];
        at += line.lo ? 3 : 1;
        return { line, value, t: empty(idx) ? null : plot.data[0][idx] };
      }) : [];
    },
    canvas: () => plot?.ctx.canvas ?? null,
    box: () => plot ? { left: plot.over.offsetLeft, width: plot.over.clientWidth } : null,
    at: (clientX) => plot ? plot.posToVal(clientX - plot.over.getBoundingClientRect().left, "x") : null,
    resize() {
      if (plot && element.clientWidth) plot.setSize(size());
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

function lastOf(column) {
  for (let i = (column?.length ?? 0) - 1; i >= 0; i--) if (!empty(column[i])) return i;
  return null;
}

export const written = number;
