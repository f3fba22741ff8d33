// The whole of a line below its chart, with the window that is shown: drag in it to choose another one, drag the window
// or its edges, double-click for all.

import { el } from "./dom.js";
import { paths } from "./words.js";

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .panel-strip { position: relative; flex: none; height: 44px; margin: 2px 18px 12px; background: var(--sunken); border-radius: var(--r-sm); overflow: hidden; cursor: ew-resize; touch-action: none; } .panel-strip svg { display: block; } .panel-strip .area { fill: var(--envelope); } .panel-strip .line { fill: none; stroke: var(--series-1); vector-effect: non-scaling-stroke; }
  .panel-strip i { position: absolute; top: 0; bottom: 0; pointer-events: none; } .panel-strip .mask { background: var(--bg); opacity: .72; } .panel-strip .frame { border: 1px solid var(--line-2); border-width: 1px 3px; border-radius: 2px; }
`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const WIDE = 1000, TALL = 44;
const EDGE = 8, MOVED = 2;  // px

export class Strip {
  // `onRange` is told of a window, or of null for all.
  constructor(onRange) {
    Object.assign(this, { onRange, span: null, range: null });
    this.sketch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ width: "100%", height: "100%", preserveAspectRatio: "none", viewBox: `0 0 ${WIDE} ${TALL}` })) this.sketch.setAttribute(name, value);
    this.before = el("i", { class: "mask" });
    this.after = el("i", { class: "mask" });
    this.frame = el("i", { class: "frame" });
    this.element = el("div", { class: "panel-strip", "aria-hidden": "true", onpointerdown: (event) => this.grab(event), ondblclick: () => this.onRange(null) }, this.sketch, this.before, this.after, this.frame);
  }

  draw(line, span) {
    this.span = span;
    const { line: drawn, area } = line ? paths(line.columns, WIDE, TALL) : { line: "", area: "" };
    this.sketch.replaceChildren(...[[area, "area"], [drawn, "line"]].map(([d, kind]) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", d);
      path.setAttribute("class", kind);
      return path;
    }));
    this.show(this.range);
  }

  show(range) {
    this.range = range;
    const [from, to] = this.span ?? [0, 1], part = (ms) => Math.min(100, Math.max(0, (ms - from) / (to - from || 1) * 100)), [left, right] = range ? range.map(part) : [0, 100];
    Object.assign(this.before.style, { left: 0, width: `${left}%` });
    Object.assign(this.after.style, { right: 0, width: `${100 - right}%` });
    Object.assign(this.frame.style, { left: `${left}%`, width: `${right - left}%` });
  }

  grab(event) {
    if (!this.span || this.span[0] === this.span[1] || event.button) return;
    const box = this.element.getBoundingClientRect(), [first, last] = this.span, whole = last - first, near = whole * EDGE / box.width;
    const at = (x) => first + Math.min(1, Math.max(0, (x - box.left) / box.width)) * whole, origin = at(event.clientX), [from, to] = this.range ?? this.span;
    const edge = [from, to].findIndex((ms) => Math.abs(origin - ms) < near), within = this.range && origin > from && origin < to;
    const moved = (x) => {
      const ms = at(x);
      if (edge === 0) return [Math.min(ms, to - near), to];
      if (edge === 1) return [from, Math.max(ms, from + near)];
      if (!within) return [Math.min(origin, ms), Math.max(origin, ms)];
      const begin = Math.min(Math.max(from + ms - origin, first), Math.max(first, last - (to - from)));
      return [begin, begin + to - from];
    };
    let next = null;
    const drag = ({ clientX }) => { if (Math.abs(clientX - event.clientX) > MOVED) this.show(next = moved(clientX)); };
    const drop = () => {
      for (const [name, act] of [["pointermove", drag], ["pointerup", drop], ["pointercancel", drop]]) this.element.removeEventListener(name, act);
      if (next && next[1] > next[0]) this.onRange(next);
    };
    this.element.setPointerCapture(event.pointerId);
    for (const [name, act] of [["pointermove", drag], ["pointerup", drop], ["pointercancel", drop]]) this.element.addEventListener(name, act);
  }
}
