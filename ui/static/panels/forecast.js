// The chart of a forecast's page: what was, the models that are switched on with the bands of one of them, and what came
// since, in one panel with a strip of the whole below it. The window is in the address, and goes on to Explore.

import "./style.js";
import "./board_style.js";
import { el, icon, onTheme, useIcons } from "./dom.js";
import { called, drawnOf, usable } from "./foretold.js";
import { writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { Strip } from "./strip.js";
import { addressed, written } from "./variables.js";
import { forecast } from "./wire.js";

const PLAIN = { range: {}, series: {}, every: "auto", compare: "" };
const ALL = { last: "all" };
const RECENT = 4;  // lengths of the horizon that are shown of the past at first
const ROOM = 120;  // parts of the window that one is left free of, for the point of the last step

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .forecast-panel { min-width: 0; } .forecast-panel > .panel { height: 496px; border: 0; border-radius: 0; } .forecast-bar { display: flex; align-items: center; gap: var(--s2); margin-left: auto; } .forecast-panel .panel-badges { margin-left: 0; } .forecast-panel .panel-head > .ib { margin-left: 0; } .forecast-panel .panel-head { min-height: 44px; }
  @media (max-width: 720px) { .forecast-panel > .panel { height: 440px; } .forecast-panel .panel-head h2 { flex: 1; min-width: 0; } .forecast-bar .b { width: var(--ctl); padding: 0; justify-content: center; }
    .chart-of { flex-wrap: nowrap !important; gap: var(--s2); padding: 6px var(--s3) !important; } .chart-of > .series-select { flex: 1 1 0; min-width: 0; } .chart-of .acts { width: auto !important; flex: 1.6 1 0; flex-wrap: nowrap !important; min-width: 0; padding: 0 !important; } .chart-of .bands-select { flex: 1; min-width: 0; } .chart-of .chip { flex: none; } .chart-of:not(:has(> .series-select)) .acts { flex: 1; } }
`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

// A panel whose points are those that a forecast was made of, as its version stood then.
class Foretold extends Panel {
  async refresh() {
    await this.laidOut();
    const { hooks, spec } = this;
    this.element.dataset.ready = "0";
    try {
      const [found] = await Promise.all([hooks.found(), this.engine()]);
      if (this.gone || this.spec !== spec) return;
      const { t, y } = found.history, known = usable(found).length > 0;
      this.context = { ...this.context, range: hooks.window() };
      this.forecast = known ? found : null;
      this.request = [];
      this.answer = { kind: "line", start: t[0] ?? 0, end: t.at(-1) ?? 0, width: this.width(), exact: true, empty: !t.length && !known, span: hooks.span(),
        lines: [{ name: "actual", series: "actual", measure: spec.query.measures[0], role: "value", of: "", n: t.length, columns: { t: Float64Array.from(t), y: Float64Array.from(y, (value) => value ?? NaN) } }] };
      this.fetches += 1;
      this.arrived();
    } catch (error) {
      if (!this.gone) this.failed(error);
    }
  }

  file(format) {
    return `${this.hooks.rows}.${format}`;
  }

  heading() {
    return this.hooks.heading();
  }

  called() {
    return this.hooks.called();
  }
}

export default {
  template: `<div class="forecast-panel" role="group" :aria-label="'Chart of ' + name"><section ref="panel" class="panel"></section></div>`,
  props: {
    id: String, series: String, name: String, dataset: String, asked: Object, engines: Object, icons: Object, marks: Array, zone: String, explore: String,
    // The models to draw (none: all), whose bands, and whether what stands out in the past is marked.
    shown: { type: Array, default: () => [] }, chosen: { type: String, default: "" }, noted: { type: Boolean, default: true },
  },
  emits: ["range"],
  watch: {
    shown() { this.draw(); },
    chosen() { this.draw(); },
    noted() { this.draw(); },
  },
  mounted() {
    useIcons(this.icons);
    writeNumbersWith(...this.marks);
    this.range = new URLSearchParams(location.search).get("last") === "all" ? ALL : addressed(PLAIN).range;
    this.panel = new Foretold(this.$refs.panel, { engines: this.engines, hooks: {
      found: () => this.found(), window: () => this.window(), span: () => this.span(), rows: `/api/v1/forecasts/${this.id}/rows`, heading: () => [this.name, this.known?.series].filter(Boolean).join(", "), called: () => this.called(),
      link: () => location.href, range: (range) => this.choose(range ? { from: range[0], to: range[1] } : ALL), drawn: () => this.outline(),
    } });
    this.strip = new Strip((range) => this.choose(range ? { from: Math.round(range[0]), to: Math.round(range[1]) } : ALL));
    this.$refs.panel.append(this.strip.element);
    this.choices = el("div", { class: "forecast-bar", role: "toolbar", "aria-label": "Window" });
    this.panel.more.before(this.choices);
    this.tell();
    this.draw();
    this.themes = onTheme(() => this.panel.restyle());
  },
  beforeUnmount() {
    this.gone = true;
    this.themes?.disconnect();
    this.panel.destroy();
  },
  methods: {
    async found() {
      this.known = await forecast(this.id, this.series);
      return this.noted ? this.known : { ...this.known, notes: [] };
    },
    show() {
      const models = this.shown.length ? this.shown : usable(this.known ?? {}).map(({ name }) => name);
      return { models: [...models], banded: this.chosen };
    },
    draw() {
      if (this.gone) return;
      const range = this.known ? this.window() : null, known = { version: 1, span: this.known ? this.span() : [0, 1] };
      this.bar();
      this.strip.show(range);
      this.panel.set({ kind: "line", dataset: this.dataset, title: this.asked.measures[0], query: this.asked, show: this.show() }, { datasets: { [this.dataset]: known }, range, foretold: true, zone: this.zone, series: {}, every: "auto", compare: "" });
    },
    // From the first value to the last step of any model.
    span() {
      const { history, cutoff } = this.known, ends = [cutoff, history.t.at(-1), ...usable(this.known).map(({ t }) => t.at(-1))].filter((ms) => ms !== null && ms !== undefined), last = Math.max(...ends);
      return ends.length ? [history.t[0] ?? Math.min(cutoff ?? last, last), last] : [0, 1];
    },
    // What is shown: the end of the past with what follows, unless another window was chosen.
    window() {
      const [first, last] = this.span(), { cutoff } = this.known, room = (from) => last + (last - from) / ROOM;
      if (this.range === ALL) return [first, room(first)];
      if (this.range.from !== undefined) return [this.range.from, this.range.to];
      const from = cutoff === null ? first : Math.max(first, cutoff - RECENT * (last - cutoff));
      return [from, room(from)];
    },
    choose(range) {
      this.range = range;
      const here = new URL(location.href);
      written.address(here.searchParams, { ...PLAIN, range: range === ALL ? {} : range }, PLAIN);
      if (range === ALL) here.searchParams.set("last", "all");
      if (here.href !== location.href) history.replaceState(history.state, "", here);
      this.tell();
      this.draw();
    },
    // The page changes other parts of the address, and keeps these.
    tell() {
      const here = new URLSearchParams(location.search);
      this.$emit("range", Object.fromEntries(["from", "to", "last"].map((name) => [name, here.get(name)]).filter(([, value]) => value)));
    },
    bar() {
      const { range } = this, seg = el("div", { class: "seg", role: "group", "aria-label": "Range" }, [["Recent", {}], ["All", ALL]].map(([label, one]) => el("button", { type: "button", "aria-pressed": String(one === range || (one !== ALL && range !== ALL && range.from === undefined)), onclick: () => this.choose(one) }, label)));
      const { banded, models } = this.show(), on = new URLSearchParams({ dataset: this.dataset, q: JSON.stringify({ kind: "line", query: { ...this.asked, ...(this.series ? { series: [this.series] } : {}) }, show: { forecast: this.id, models, banded } }) });
      const [from, to] = this.known ? this.window() : [];
      if (range !== ALL && from !== undefined) written.address(on, { ...PLAIN, range: { from, to } }, PLAIN);
      const focused = this.choices.contains(document.activeElement) ? document.activeElement.textContent : "";
      this.choices.replaceChildren(seg, el("a", { class: "b small", href: `${this.explore}?${on}`, title: "Open in Explore", "aria-label": "Open in Explore" }, icon("chart-line", "i14"), el("span", { class: "wide-only" }, "Open in Explore")));
      if (focused) [...this.choices.querySelectorAll("button, a")].find((one) => one.textContent === focused)?.focus();
    },
    // The whole of what was and of the model whose bands are drawn, below the chart
    outline() {
      const { banded } = drawnOf(this.known, this.show()), of = banded?.name ?? "";
      this.bar();
      this.strip.show(this.window());
      if (this.outlined === of) return;
      this.outlined = of;
      const { t, y } = this.known.history, all = (a, b = []) => Float64Array.from([...a, ...b], (value) => value ?? NaN);
      this.strip.draw({ columns: { t: all(t, banded?.t), y: all(y, banded?.mean) } }, this.span());
    },
    // What a picture of it is called.
    called() {
      const { series, cutoff } = this.known, { banded } = drawnOf(this.known, this.show());
      return [this.name, series, banded && called(banded.name), cutoff === null ? "" : `cutoff ${written.local(cutoff, this.zone).slice(0, 10)}`].filter(Boolean).join(", ");
    },
  },
};
