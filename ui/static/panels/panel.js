// One panel: asks for what its specification says, draws it, and lets it be moved, read and taken away.
// Explore and dashboards are made of these. What a panel shares with its neighbours comes in by its context and goes
// out by its hooks, so that a page decides what is shared.

import { el, icon, iconButton, menu, save, script, toast } from "./dom.js";
import { mount } from "./fast.js";
import { figure } from "./figure.js";
import { colour, count, moment, short } from "./look.js";
import { requestOf } from "./request.js";
import { scene, OVER_TIME } from "./scene.js";
import { fileAddress, prefetch, query } from "./wire.js";
import { singleFigure, table } from "./words.js";

const LATER = 40;  // ms that a movement rests before it is asked for

export class Panel {
  // `hooks`: range(from, to | null), hover(ms | null), edit, duplicate, remove, link() → address, drawn(panel). A menu
  // leaves out what has no hook. `engines`: addresses of the scripts that draw.
  constructor(element, { engines, hooks = {}, head = true }) {
    Object.assign(this, { element, engines, hooks, spec: null, context: null, answer: null, fast: null, fetches: 0, kind: "" });
    this.title = el("h2", { class: "cut" });
    this.unit = el("span", { class: "t3 t12 cut" });
    this.badge = el("span", { class: "badge info panel-behind", hidden: true });
    this.more = iconButton("ellipsis", "Panel menu", () => menu(this.more, this.items()), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.header = el("header", { class: "panel-head" }, this.title, this.unit, el("span", { class: "grow" }), this.badge, this.more);
    this.legend = el("div", { class: "panel-legend" });
    this.stage = el("div", { class: "panel-stage", tabindex: "0", role: "application" });
    this.plot = el("div", { class: "panel-plot" });
    this.cover = el("div", { class: "panel-cover sk", "aria-hidden": "true" });
    this.message = el("div", { class: "panel-message", hidden: true });
    this.stage.append(this.plot, this.cover, this.message);
    element.classList.add("panel");
    element.replaceChildren(...(head ? [this.header] : []), this.legend, this.stage);
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.stage);
    this.touches();
  }

  // Draw this specification in this context; asks only when the answer would be another one.
  set(spec, context) {
    const again = this.spec && this.spec.kind !== spec.kind;
    this.spec = spec;
    this.context = context;
    if (again) this.clear();
    this.title.textContent = spec.title || this.named();
    this.stage.setAttribute("aria-label", `${this.title.textContent}. Arrow keys move, plus and minus zoom, 0 shows all.`);
    return this.refresh();
  }

  named() {
    const measures = this.spec.query.measures ?? [];
    return measures.length ? measures.join(", ") : this.context.datasets[this.spec.dataset]?.name ?? "";
  }

  get range() {
    return this.spec.show?.own?.from !== undefined ? [this.spec.show.own.from, this.spec.show.own.to] : this.context.range;
  }

  width() {
    return Math.max(50, Math.min(4000, Math.round((this.stage.clientWidth || 400) - 60)));
  }

  // Fetching
  async refresh() {
    const { spec, context } = this, dataset = context.datasets[spec.dataset];
    if (spec.kind === "note") return this.written();
    if (!dataset) return this.tell("This dataset was deleted.", "Bring it back under Datasets, or choose another one here.");
    if (!dataset.version) return this.tell("This dataset has no rows yet.", "The panel draws itself as soon as it has.");
    await this.laidOut();
    if (this.gone || this.spec !== spec || this.context !== context) return undefined;
    const request = requestOf(spec, context, this.width());
    const asked = JSON.stringify([spec.dataset, dataset.version, request]);
    if (asked === this.asked && this.answer) return this.draw();
    this.asked = asked;
    this.abort?.abort();
    const abort = this.abort = new AbortController();
    this.element.dataset.ready = "0";
    try {
      const [answer] = await Promise.all([query(spec.dataset, dataset.version, request, abort), this.engine()]);
      if (abort.signal.aborted || this.gone) return;
      this.answer = answer;
      this.fetches += 1;
      await this.draw();
      if (OVER_TIME.has(spec.kind)) prefetch(spec.dataset, dataset.version, request, answer);
    } catch (error) {
      if (error.name === "AbortError" || this.gone) return;
      this.asked = "";
      this.tell(error.message || "The points could not be fetched.", "The data is kept. Try again in a moment.", { label: "Try again", act: () => this.refresh() });
    }
  }

  // A panel asks for as many points as it is wide, so it waits until the page has given it its place.
  laidOut() {
    if (this.placed) return null;
    return new Promise((resolve) => {
      const look = () => {
        if (this.gone || this.stage.clientWidth > 0) {
          this.placed = true;
          resolve();
        } else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
  }

  engine() {
    if (OVER_TIME.has(this.spec.kind)) return script(this.engines.uplot, "uPlot");
    return ["table", "figure"].includes(this.spec.kind) ? null : script(this.engines.plotly, "Plotly");
  }

  // Drawing
  async draw() {
    const { spec, context, answer } = this;
    this.cover.hidden = true;
    this.message.hidden = true;
    this.plot.hidden = false;
    const behind = answer.behind > 1 && answer.reduced && OVER_TIME.has(spec.kind) ? `1 of ${count(answer.behind)} points a pixel` : "";
    this.badge.hidden = !(behind || answer.note);
    this.badge.textContent = answer.note || behind;
    this.badge.title = behind ? "Each pixel column draws the lowest, the highest and the mean of its points" : "";
    this.unit.textContent = answer.subtitle ?? "";
    if (answer.empty) {
      this.clear();
      this.tell("No values between these times.", "Zoom out, or press 0 to see all.");
    } else if (OVER_TIME.has(spec.kind)) {
      this.drawn = scene(spec, answer, context);
      this.fast ??= mount(window.uPlot, this.plot, { onRange: (from, to) => this.move(from, to), onReset: () => this.hooks.range?.(null), onHover: (ms) => this.hover(ms) });
      this.fast.draw(this.drawn);
      this.values();
    } else if (spec.kind === "table") table(this.plot, answer, context);
    else if (spec.kind === "figure") singleFigure(this.plot, answer, spec, context);
    else await this.plotly();
    this.element.dataset.ready = "1";
    this.element.dataset.fetches = this.fetches;
    this.hooks.drawn?.(this);
  }

  async plotly() {
    const { data, layout } = figure(this.spec, this.answer, this.context, this.size());
    this.legend.replaceChildren();
    await window.Plotly.react(this.plot, data, layout, { displayModeBar: false, doubleClick: false, responsive: false, showTips: false });
  }

  size() {
    return { width: this.plot.clientWidth || 400, height: this.plot.clientHeight || 240 };
  }

  written() {
    this.cover.hidden = true;
    this.plot.replaceChildren(...this.spec.show.text.split(/\n{2,}/).map((text) => el("p", { class: "panel-note" }, text)));
    this.element.dataset.ready = "1";
    this.hooks.drawn?.(this);
  }

  tell(what, how, action = null) {
    this.cover.hidden = true;
    this.plot.hidden = !!action;
    this.message.hidden = false;
    this.message.setAttribute("role", action ? "alert" : "note");
    this.message.replaceChildren(el("strong", {}, what), el("span", { class: "t3" }, how), ...(action ? [el("button", { type: "button", class: "b small", onclick: action.act }, action.label)] : []));
    this.element.dataset.ready = "1";
    this.hooks.drawn?.(this);
  }

  // The key above the chart, with values under the crosshair.
  values() {
    const found = this.fast?.values() ?? [], shown = this.fast?.hovering ?? false;
    if (this.drawn?.candles && this.drawn.legend) {
      this.legend.replaceChildren(...this.drawn.legend(this.hovered ?? null).map(([name, value]) => el("span", {}, el("span", { class: "t3" }, name), " ", el("b", { class: "tn" }, value))));
      return;
    }
    if (this.legend.childElementCount !== found.length) {
      this.legend.replaceChildren(...found.map(({ line }) => el("span", { class: "cut", title: line.name },
        el("i", { class: line.fill === "bars" ? "bx" : "ln", style: { background: colour(line.colour) } }), el("span", { class: "cut" }, line.name), el("b", { class: "tn" }))));
    }
    found.forEach(({ line, value }, at) => {
      const item = this.legend.children[at];
      item.querySelector("i").style.background = colour(line.colour);
      item.children[1].textContent = line.name;
      item.querySelector("b").textContent = value === null ? "" : `${short(value)}${line.unit ? ` ${line.unit}` : ""}`;
    });
    void shown;
  }

  hover(ms) {
    this.hovered = ms;
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.values();
    });
    this.hooks.hover?.(ms);
  }

  // The crosshair of another panel.
  cursor(ms) {
    if (!this.fast || !OVER_TIME.has(this.spec?.kind)) return;
    this.hovered = ms;
    this.fast.cursor(ms);
    this.values();
  }

  // Moving
  move(from, to) {
    if (!(to - from >= 1)) return;
    this.fast?.shift(from, to);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.hooks.range?.([from, to]), LATER);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !OVER_TIME.has(this.spec?.kind) || !this.drawn) return;
    const [from, to] = this.drawn.x, size = to - from, middle = (from + to) / 2;
    const step = { ArrowLeft: -0.2, ArrowRight: 0.2 }[event.key], zoom = { "+": 0.5, "=": 0.5, "-": 2, _: 2 }[event.key];
    if (step) this.move(from + step * size, to + step * size);
    else if (zoom) this.move(middle - size * zoom / 2, middle + size * zoom / 2);
    else if (event.key === "0" || event.key === "Home") this.hooks.range?.(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Two fingers zoom, shift and a drag move; one finger reads.
  touches() {
    let start = null;
    this.stage.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2 || !this.fast || !this.drawn) return;
      event.preventDefault();
      const at = [...event.touches].map((touch) => this.fast.at(touch.clientX)).sort((a, b) => a - b);
      start ??= { at, range: [...this.drawn.x], xs: [...event.touches].map((touch) => touch.clientX).sort((a, b) => a - b) };
      const box = this.plot.getBoundingClientRect(), [a, b] = [...event.touches].map((touch) => touch.clientX).sort((p, q) => p - q);
      const scale = (start.at[1] - start.at[0]) / Math.max(1, b - a);
      const from = start.at[0] - (a - box.left) * scale;
      this.move(from, from + box.width * scale);
    }, { passive: false });
    this.stage.addEventListener("touchend", () => { start = null; });
    this.stage.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !this.fast || !this.drawn) return;
      event.preventDefault();
      const [from, to] = this.drawn.x, at = this.fast.at(event.clientX), by = Math.exp(event.deltaY / 300);
      this.move(at - (at - from) * by, at + (to - at) * by);
    }, { passive: false });
  }

  resized() {
    if (!this.spec || !this.answer) return;
    if (OVER_TIME.has(this.spec.kind)) this.fast?.resize();
    else if (!["table", "figure", "note"].includes(this.spec.kind)) this.plotly();
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => this.refresh(), 200);
  }

  restyle() {
    if (this.answer && !this.answer.empty) this.draw();
  }

  // Taking away
  items() {
    const { hooks } = this, charts = this.spec.kind !== "note", drawn = charts && !["table", "figure"].includes(this.spec.kind);
    return [
      hooks.edit && { icon: "sliders-horizontal", label: "Edit", act: () => hooks.edit(this) },
      hooks.duplicate && { icon: "copy", label: "Duplicate", act: () => hooks.duplicate(this) },
      { icon: "maximize", label: "Full screen", act: () => this.element.requestFullscreen?.() },
      charts && "-",
      drawn && { icon: "image", label: "Save as PNG", act: () => this.picture("png") },
      drawn && { icon: "image", label: "Save as SVG", act: () => this.picture("svg") },
      charts && { icon: "table", label: "Save as CSV", href: this.file("csv") },
      charts && { icon: "database", label: "Save as Parquet", href: this.file("parquet") },
      hooks.link && { icon: "link", label: "Copy link to this view", act: () => this.copyLink() },
      hooks.remove && "-",
      hooks.remove && { icon: "trash-2", label: "Remove", danger: true, act: () => hooks.remove(this) },
    ];
  }

  file(format) {
    const dataset = this.context.datasets[this.spec.dataset];
    return dataset?.version ? fileAddress(this.spec.dataset, dataset.version, requestOf(this.spec, this.context, this.width()), format) : "#";
  }

  // A picture carries its title and the names of its lines, which on the page stand around it.
  async picture(format) {
    try {
      const Plotly = await script(this.engines.plotly, "Plotly"), { width, height } = this.size();
      const { data, layout } = figure(this.spec, this.answer, this.context, { width, height: height + 64, titled: this.title.textContent });
      const href = await Plotly.toImage({ data, layout }, { format, width, height: height + 64, scale: format === "png" ? 2 : 1 });
      save(`${this.title.textContent}.${format}`, await (await fetch(href)).blob());
    } catch (error) {
      toast(`The picture could not be made: ${error.message}`);
    }
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(this.hooks.link(this));
      toast("Link copied");
    } catch {
      toast("The browser does not let this page copy. The address bar holds the link.");
    }
  }

  clear() {
    this.fast?.destroy();
    this.fast = null;
    if (window.Plotly && this.plot.classList.contains("js-plotly-plot")) window.Plotly.purge(this.plot);
    this.plot.replaceChildren();
    this.plot.className = "panel-plot";
    this.legend.replaceChildren();
  }

  destroy() {
    this.gone = true;
    this.abort?.abort();
    clearTimeout(this.later);
    clearTimeout(this.resizing);
    this.sizes.disconnect();
    this.clear();
  }
}

export const seen = (ms, zone, span) => moment(ms, zone, span);
export const mark = (name) => icon(name);
