// Faults and repairs among the points of a panel: asked for once its lines stand, drawn as rings on the line and as
// squares below it where nothing is stored, and read by pointing at them, by a press, or by M on the keyboard.

import { placeOf } from "./axes.js";
import { el } from "./dom.js";
import { colour, count, instant, number } from "./look.js";
import { query } from "./wire.js";

const ASKED = new Set(["measures", "series", "filters", "from", "to", "group", "across", "top", "by"]);  // what tells which lines there are
const WINDOW = new Set(["from", "to"]);
const NEAR = 10, TOUCH = 20;  // px
const TOLD = 3;  // of those that stand in one place
const GONE = new Set(["rejected", "left_out", "emptied"]);
const none = (value) => value === null || value === undefined || Number.isNaN(value);

// The marks of a window, each with the height `y` at which it is drawn (NaN where nothing is stored), what is `stored`, and
// which of the values it is of (`root`); `lines` are those of the scene, by the names of these values.
export function standing(marks, values, names, lines, [from, to]) {
  const found = [];
  for (const mark of marks ?? []) {
    if (mark.t < from || mark.t > to) continue;
    const at = values.findIndex((line) => line.series === mark.of && (!mark.measure || line.measure === mark.measure)), line = lines.find((one) => one.name === names[at]);
    if (at < 0 || !(line || values[at].columns.close)) continue;  // it is not drawn
    found.push({ ...mark, stored: mark.y, y: GONE.has(mark.action) ? NaN : heightOf(mark, line), axis: line?.axis ?? "left", root: at });
  }
  return found;
}

// A value stands at its own height; one of a bucket, of a stack or of another column at that of the line.
function heightOf(mark, line) {
  if (!line) return mark.y ?? NaN;
  if (!none(mark.y) && !line.until && !line.base) return mark.y;
  const at = placeOf(line.t, mark.t);
  if (line.until || at < 0 || at + 1 >= line.t.length) return line.y[Math.max(0, at)] ?? NaN;
  const [near, far] = mark.t - line.t[at] <= line.t[at + 1] - mark.t ? [at, at + 1] : [at + 1, at];
  return Number.isNaN(line.y[near]) ? line.y[far] : line.y[near];
}

// How a mark looks: red where a record is lost, amber where a cell was changed.
export const lookOf = (mark) => ({ ring: !none(mark.y), colour: ["rejected", "left_out"].includes(mark.action) ? "red" : "amber" });

// Draw marks; `x` and `y(mark)` tell where on the canvas, `bbox` where the plot is: at its edges they are whole.
export function paint(ctx, marks, { x, y, bbox, ratio }) {
  for (const mark of marks) {
    const { ring, colour: name } = lookOf(mark), at = Math.min(Math.max(x(mark.t), bbox.left + 5 * ratio), bbox.left + bbox.width - 5 * ratio);
    ctx.strokeStyle = colour(name);
    ctx.fillStyle = colour("surface");
    ctx.lineWidth = 1.75 * ratio;
    ctx.beginPath();
    if (ring) ctx.arc(at, y(mark), 4 * ratio, 0, 2 * Math.PI);
    else ctx.rect(at - 3 * ratio, bbox.top + bbox.height - 8 * ratio, 6 * ratio, 6 * ratio);
    ctx.fill();
    ctx.stroke();
  }
}

// With all the decimals that a value has.
const exactly = (value) => number(value, 10 ** -(String(value).split(".")[1]?.length ?? 0));

const DONE = { rejected: "The record was rejected.", left_out: "The record was rejected for another reason.", emptied: "The cell was emptied.", repaired: "Repaired.", truncated: "What was too much was cut off." };
// What a mark says, in lines: what the cell said, why that was wrong, and what was done.
export function said(mark) {
  const kind = mark.kind.replaceAll("_", " "), reason = mark.reason && mark.reason.toLowerCase() !== kind ? mark.reason : "", done = DONE[mark.action] ?? `${mark.action[0].toUpperCase()}${mark.action.slice(1)}.`;
  const where = mark.column || "Record", cell = mark.value ? `${where}: “${mark.value}”` : where;
  const stored = mark.stored === undefined ? mark.y : mark.stored;
  return [`${cell}, ${kind}`, reason && `${reason[0].toUpperCase()}${reason.slice(1).replace(/\.$/, "")}.`, mark.action === "repaired" && !none(stored) && mark.measure ? `Stored as ${exactly(stored)}.` : mark.action === "repaired" && mark.became ? `Stored as “${mark.became}”.` : done].filter(Boolean);
}

// Where its line is told of: the version that read the file is found by the name of its conversion.
export function faultsOf(dataset, version, mark) {
  const asked = new URLSearchParams({ tab: "faults", v: version, line: mark.line, ...(mark.origin ? { origin: mark.origin } : {}) });
  return `/datasets/${dataset}?${asked}`;
}

export const questionOf = (request) => [["kind", "marks"], ...request.filter(([name]) => ASKED.has(name))];

export class Marks {
  constructor(panel) {
    this.panel = panel;
    this.found = null;
    this.tip = el("div", { class: "panel-tip panel-mark", role: "note", "aria-live": "polite", hidden: true, style: { maxHeight: "calc(100% - 8px)", overflow: "auto" } });
    panel.stage.append(this.tip);
    panel.stage.addEventListener("pointermove", (event) => { if (!this.pinned && event.pointerType !== "touch") this.tell(this.near(event, NEAR)); });
    panel.stage.addEventListener("pointerleave", () => { if (!this.pinned) this.tell(null); });
    panel.stage.addEventListener("pointerdown", (event) => {
      if (this.tip.contains(event.target)) return;
      this.from = [event.clientX, event.clientY];
      if (this.pinned) this.tell(null);
    });
    panel.stage.addEventListener("click", (event) => this.press(event));
    panel.stage.addEventListener("keydown", (event) => this.key(event));
  }

  get shown() {
    return this.panel.message.hidden ? this.panel.drawn?.marks ?? [] : [];
  }

  // Put the marks of these lines into the answer that is drawn: those known of another window at once, then the true ones.
  async ask() {
    const { spec, context, answer, request, abort } = this.panel;
    if (!spec.show.marks || answer.marking) return;
    answer.marking = true;
    const { version } = context.datasets[spec.dataset], asked = questionOf(request);
    const of = JSON.stringify([spec.dataset, version, asked.filter(([name]) => !WINDOW.has(name))]);
    answer.marks = this.found?.of === of ? this.found.marks : [];
    this.tell(null);
    try {
      const { marks, marked, note } = await query(spec.dataset, version, asked, abort);
      if (abort.signal.aborted || this.panel.answer !== answer) return;
      this.found = { of, marks };
      const before = answer.marks.length;
      Object.assign(answer, { marks, marked, faultsNote: note });
      if (marks.length || before || note) this.panel.draw();
    } catch (error) {
      if (error.name === "AbortError" || abort.signal.aborted || this.panel.answer !== answer) return;
      answer.faultsNote = error.message;
      answer.marked = NaN;
      this.panel.draw();
    }
  }

  // How many there are, for the badges of the panel.
  badge() {
    const { marks, marked, faultsNote } = this.panel.answer;
    if (!this.panel.spec.show.marks) return [];
    if (Number.isNaN(marked) || faultsNote?.startsWith("Faults not marked")) return [["faults not marked", faultsNote]];
    if (!marked) return [];
    const all = `${faultsNote?.startsWith("Faults are so many") ? "about " : ""}${count(marked)}`, some = marked > marks.length ? `${count(marks.length)} of ${all} faults marked` : `${all} fault${marked === 1 ? "" : "s"} marked`;
    return [[some, ["A ring is a cell that was repaired, a square one that is not stored; press it, or M, to read what it said.", faultsNote].filter(Boolean).join(" ")]];
  }

  // Where a mark stands in the stage, in px.
  place(mark) {
    const { fast, drawn, stage } = this.panel, box = fast.box(), around = stage.getBoundingClientRect();
    const left = box.left - around.left + (mark.t - drawn.x[0]) / (drawn.x[1] - drawn.x[0]) * box.width;
    return [left, box.top - around.top + (lookOf(mark).ring ? fast.height(mark) : box.height - 5)];
  }

  near(event, reach) {
    if (!this.panel.fast?.box() || this.panel.window) return null;
    const around = this.panel.stage.getBoundingClientRect(), [x, y] = [event.clientX - around.left, event.clientY - around.top];
    let best = null, least = reach;
    for (const mark of this.shown) {
      const [left, top] = this.place(mark), far = Math.hypot(left - x, top - y);
      if (far <= least) [best, least] = [mark, far];
    }
    return best;
  }

  press(event) {
    if (this.tip.contains(event.target) || !this.from || Math.hypot(event.clientX - this.from[0], event.clientY - this.from[1]) > 4) return;
    const mark = this.near(event, event.pointerType === "touch" ? TOUCH : NEAR);
    if (!mark) return;
    event.preventDefault();  // it is no press on the point below
    this.tell(mark, true);
  }

  key(event) {
    if (event.key === "Escape" && this.pinned) {
      this.tell(null);
      this.panel.stage.focus();
    } else if (event.key.toLowerCase() === "m" && !event.ctrlKey && !event.metaKey && !event.altKey && this.shown.length && this.panel.fast) {
      const marks = [...this.shown].sort((a, b) => a.t - b.t), at = marks.findIndex((one) => one === this.pinned), step = event.shiftKey ? -1 : 1;
      this.tell(marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length], true);
      this.tip.querySelector("a")?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Say what a mark says, and what others in its place do; pinned, it stays and can be followed.
  tell(mark, pin = false) {
    this.pinned = pin ? mark : null;
    if (mark === this.told && !pin) return;
    this.told = mark;
    this.tip.hidden = !mark;
    this.tip.style.pointerEvents = pin ? "auto" : "none";
    if (!mark) return;
    const { spec, context, drawn, stage } = this.panel, { version } = context.datasets[spec.dataset], [left, top] = this.place(mark);
    const here = [mark, ...this.shown.filter((one) => one !== mark && one.t === mark.t && one.of === mark.of)];
    this.tip.replaceChildren(
      el("b", { class: "tn" }, [mark.series, instant(mark.t, context.zone, drawn.step)].filter(Boolean).join(", ")),
      ...here.slice(0, TOLD).flatMap((one) => [el("div", {}, said(one).join("\n")), el("a", { class: "link", href: faultsOf(spec.dataset, version, one) }, `Line ${count(one.line)} in Faults`)]),
      ...(here.length > TOLD ? [el("div", { class: "t3" }, `and ${here.length - TOLD} more here`)] : []));
    const { offsetWidth: wide, offsetHeight: tall } = this.tip, x = left + 12 + wide > stage.clientWidth ? left - 12 - wide : left + 12;
    this.tip.style.transform = `translate(${Math.max(4, Math.min(x, stage.clientWidth - wide - 4))}px, ${Math.max(4, Math.min(top - tall / 2, stage.clientHeight - tall - 4))}px)`;
  }
}
