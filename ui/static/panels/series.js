// The chart of a dataset's page: one panel with what it draws, its range and a strip of the whole below it. Every choice
// is in the address, and goes on to Explore. A press on a point asks where it came from.

import "./style.js";
import "./board_style.js";
import { el, icon, onTheme, useIcons } from "./dom.js";
import { valueAt } from "./fast.js";
import { writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { picker } from "./popover.js";
import { requestOf } from "./request.js";
import { namesOf } from "./scene.js";
import { Strip } from "./strip.js";
import { addressed, presetsOf, resolved, written } from "./variables.js";
import { query } from "./wire.js";

const PLAIN = { range: {}, series: {}, every: "auto", compare: "" };
const OWN = ["measure", "series", "faults"];
const OUTLINE = 400;  // points of the strip
const NEAR = 12, STILL = 4;  // px

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .series-panel { display: flex; flex-direction: column; gap: var(--s2); min-width: 0; } .series-panel > .panel { height: 448px; } .series-panel .chip[aria-pressed="true"] .i14 { color: var(--amber); }
  @media (max-width: 720px) { .series-panel > .panel { height: 400px; } }
`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

// What an address asks for: measures (without one: `opening`), series (none: all), the range, and whether faults are marked.
export function asked(address, { measures, opening, series, marks }) {
  const told = new URLSearchParams(address), [from, to] = ["from", "to"].map((name) => momentOf(told.get(name)));
  if (from !== null && to !== null) told.set("from", from), told.set("to", to);
  const named = told.getAll("measure").filter((name) => measures.includes(name)), labels = told.getAll("series");
  return { measures: named.length ? named : [opening || measures[0]], series: told.has("series") ? labels.filter(Boolean) : series, marks: marks && told.get("faults") !== "0", range: addressed(PLAIN, `?${told}`).range };
}

// Links of before told moments by ISO 8601.
function momentOf(text) {
  if (!text?.trim()) return null;
  const ms = Number.isNaN(Number(text)) ? Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(" ", "T")}${/[T ]/.test(text) ? "" : "T00:00"}Z`) : Number(text);
  return Number.isNaN(ms) ? null : ms;
}

// The same as parts of an address, those that are not as they are without one.
export function told(into, { measures, series, marks, range }, first) {
  for (const name of OWN) into.delete(name);
  written.address(into, { ...PLAIN, range }, PLAIN);
  for (const name of measures) into.append("measure", name);
  if (series.join("\n") !== first.series.join("\n")) for (const label of series.length ? series : [""]) into.append("series", label);
  if (first.marks && !marks) into.set("faults", "0");
  return into;
}

export default {
  template: `<div class="series-panel" role="group" :aria-label="'Chart of ' + name"><div ref="bar" class="board-bar" role="toolbar" aria-label="Choices"></div><section ref="panel" class="panel"></section></div>`,
  props: { dataset: String, name: String, known: Object, faulty: Boolean, engines: Object, icons: Object, marks: Array, zone: String, explore: String },
  emits: ["point"],
  mounted() {
    useIcons(this.icons);
    writeNumbersWith(...this.marks);
    this.first = { measures: this.known.measures, opening: this.known.opening, series: [this.known.opens].filter(Boolean), marks: this.faulty };
    this.chosen = asked(location.search, this.first);
    this.panel = new Panel(this.$refs.panel, { engines: this.engines, hooks: { range: (range) => this.choose({ range: range ? { from: range[0], to: range[1] } : {} }), link: () => location.href, drawn: () => this.outline() } });
    this.strip = new Strip((range) => this.choose({ range: range ? { from: Math.round(range[0]), to: Math.round(range[1]) } : {} }));
    this.$refs.panel.append(this.strip.element);
    this.presses();
    this.draw();
    this.themes = onTheme(() => this.panel.restyle());
  },
  beforeUnmount() {
    this.gone = true;
    this.themes?.disconnect();
    this.panel.destroy();
  },
  methods: {
    spec() {
      const { measures, series, marks } = this.chosen;
      return { kind: "line", dataset: this.dataset, title: "", query: { measures, ...(series.length ? { series } : {}) }, show: { marks } };
    },
    context(range = this.chosen.range) {
      return resolved({ ...PLAIN, range }, { datasets: { [this.dataset]: this.known }, zone: this.zone, panels: [{ dataset: this.dataset }] });
    },
    choose(change) {
      Object.assign(this.chosen, change);
      const here = new URL(location.href);
      told(here.searchParams, this.chosen, this.first);
      if (here.href !== location.href) history.replaceState(history.state, "", here);
      this.draw();
    },
    draw() {
      const context = this.context();
      this.bar(context);
      this.strip.show(context.range);
      this.panel.set(this.spec(), context);
    },
    // What is drawn, by whom, from when to when
    bar(context) {
      const { measures, series, marks } = this.chosen, labels = this.known.first.filter(Boolean), held = document.activeElement?.dataset?.choice;
      const chip = (choice, name, value, open) => {
        const button = el("button", { type: "button", class: "chip", "data-choice": choice, "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": `${name}: ${value}` }, el("span", { class: "t3" }, name), el("span", { class: "cut w5" }, value), icon("chevron-down", "i12"));
        button.addEventListener("click", () => open(button));
        return button;
      };
      const several = (names, what) => names.length === 1 ? names[0] : `${names.length} ${what}`, parts = [];
      parts.push(chip("measure", "Measures", several(measures, "measures"), (button) => picker(button, { name: "measures", labels: this.known.measures, total: this.known.measures.length, picked: measures, act: (next) => this.choose({ measures: next.length ? next : this.known.measures }) })));
      if (labels.length) parts.push(chip("series", "Series", series.length ? several(series, "series") : `all ${this.known.series}`, (button) => picker(button, { name: "series", labels, total: this.known.series, picked: series, find: (text) => this.find(text), act: (next) => this.choose({ series: next }) })));
      if (this.faulty) parts.push(el("button", { type: "button", class: "chip", "data-choice": "faults", "aria-pressed": String(marks), onclick: () => this.choose({ marks: !marks }) }, icon("crosshair", "i14"), "Mark faults and repairs"));
      const presets = el("div", { class: "seg", role: "group", "aria-label": "Range" }, presetsOf(context).map(([name, range]) => el("button", { type: "button", "data-choice": name, "aria-pressed": String(JSON.stringify(range) === JSON.stringify(this.chosen.range)), onclick: () => this.choose({ range }) }, name)));
      const on = new URLSearchParams({ dataset: this.dataset, q: JSON.stringify({ kind: "line", query: this.spec().query, show: { marks } }) });
      written.address(on, { ...PLAIN, range: this.chosen.range }, PLAIN);
      const further = el("a", { class: "b small", href: `${this.explore}?${on}` }, icon("chart-line", "i14"), "Open in Explore");
      this.refill(parts, el("div", { class: "last" }, presets, further), held);
    },
    // A button at which something is open stays itself, so that what hangs at it finds its place.
    refill(parts, last, held) {
      const { bar } = this.$refs, open = bar.querySelector('[aria-expanded="true"]');
      if (open) {
        const same = parts.findIndex((part) => part.dataset.choice === open.dataset.choice);
        if (same >= 0) {
          open.replaceChildren(...parts[same].childNodes);
          open.setAttribute("aria-label", parts[same].getAttribute("aria-label"));
          parts[same] = open;
        }
      }
      bar.replaceChildren(...parts, last);
      if (held && !open) bar.querySelector(`[data-choice="${CSS.escape(held)}"]`)?.focus();
    },
    async find(text) {
      const answer = await fetch(`/api/v1/datasets/${this.dataset}/versions/${this.known.version}/labels?${new URLSearchParams({ query: text, limit: 200 })}`, { credentials: "same-origin" }).catch(() => null);
      return answer?.ok ? (await answer.json()).items : [];
    },
    // The whole of the first line, below the chart
    async outline() {
      const spec = this.spec(), { span } = this.context(), of = JSON.stringify(spec.query), { answer } = this.panel;
      if (!answer || this.outlined === of) return;
      this.outlined = of;
      try {
        const whole = this.chosen.range.from === undefined && !this.chosen.range.last ? answer : await query(this.dataset, this.known.version, requestOf({ ...spec, query: { ...spec.query, measures: spec.query.measures.slice(0, 1) } }, this.context({}), OUTLINE));
        if (!this.gone && this.outlined === of) this.strip.draw(whole.lines[0], whole.span ?? span);
      } catch {
        this.outlined = "";  // the next drawing asks again
      }
    },
    // Of several lines, a press means the one nearest to it.
    presses() {
      const { stage } = this.panel;
      let from = null;
      stage.addEventListener("pointerdown", (event) => { from = event.isPrimary && !event.button ? [event.clientX, event.clientY] : null; });
      stage.addEventListener("click", (event) => {
        if (event.defaultPrevented || !from || Math.hypot(event.clientX - from[0], event.clientY - from[1]) > STILL || !event.target.closest(".u-over")) return;
        const { fast, drawn, answer } = this.panel, box = fast?.box();
        if (!box || !drawn) return;
        const ms = fast.at(event.clientX), reach = Math.max(NEAR * (drawn.x[1] - drawn.x[0]) / box.width, drawn.step / 2), values = answer.lines.filter((line) => line.role === "value"), names = namesOf(values);
        let best = null;
        for (const line of drawn.lines.filter((one) => !one.quiet)) {
          const i = valueAt(line, ms, reach), far = i === null ? Infinity : Math.abs(box.top + fast.height({ y: line.y[i], axis: line.axis }) - event.clientY);
          if (i !== null && (!best || far < best.far)) best = { far, t: line.t[i], of: values[names.indexOf(line.name)], around: line.averaged ? [line.t[i - 1] ?? line.t[i], line.t[i + 1] ?? line.t[i]] : null, y: (value) => box.top + fast.height({ y: value, axis: line.axis }) };
        }
        if (best?.of) this.pressed(best, event.clientY);
      });
    },
    // A mean is no point: of those that it is made of the one that is nearest to the press is meant.
    async pressed({ t, of, around, y }, height) {
      const turn = this.turn = (this.turn ?? 0) + 1;
      const at = around ? await this.nearest(of, around.map((ms) => (ms + t) / 2), (value) => Math.abs(y(value) - height)) : t;
      if (at === null || this.gone || turn !== this.turn) return;  // something else was pressed meanwhile
      const here = new URL(location.href);
      here.searchParams.set("at", at);
      here.searchParams.set("of", of.series);
      history.replaceState(history.state, "", here);
      this.$emit("point", { t: at, series: of.series, measure: of.measure });
    },
    async nearest({ series, measure }, [from, to], far) {
      const asked = [["kind", "line"], ["width", "4000"], ["measures", measure], ...(series ? [["series", series]] : []), ["from", String(Math.floor(from))], ["to", String(Math.ceil(to))]];
      const line = await query(this.dataset, this.known.version, asked).then(({ lines }) => lines[0], () => null), known = line ? [...line.columns.y.keys()].filter((i) => !Number.isNaN(line.columns.y[i])) : [];
      return known.length ? line.columns.t[known.reduce((a, b) => far(line.columns.y[b]) < far(line.columns.y[a]) ? b : a)] : null;
    },
  },
};
