// Explore: measures, series and choices on the left, one panel on the right. Every choice is in the address; from here a
// panel goes to a dashboard, and one of a dashboard comes here to be changed.

import "./style.js";
import "./board_style.js";
import { el, icon, menu, onTheme, roving, toast, useIcons } from "./dom.js";
import { COMPARED } from "./earlier.js";
import { called, drawnOf, over } from "./foretold.js";
import { apart, count, writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { finder, picker } from "./popover.js";
import { drawnOf as seriesDrawn, filter, topOf } from "./request.js";
import { OVER_TIME } from "./scene.js";
import { addressed, compareWith, copyOf, presetsOf, resolved, stepsFor, undoable, written } from "./variables.js";

const KINDS = [["line", "Line", "chart-line"], ["area", "Area", "chart-area"], ["bar", "Bars", "chart-column"], ["scatter", "Scatter", "chart-scatter"], ["heat", "Heat map, hour × weekday", "grid-3x3"], ["calendar", "Heat map, calendar", "calendar-days"],
  ["histogram", "Histogram", "chart-bar-big"], ["box", "Box plot", "box"], ["candles", "Candlesticks", "chart-candlestick"], ["table", "Table", "table"], ["figure", "Single figure", "hash"]];
const DAY = 864e5;
// Kinds that say nothing of data whose values are further apart: hours of a day need several values a day.
const FINEST = { heat: DAY / 2, calendar: 1.5 * DAY };
const HOW = [["mean", "Mean"], ["sum", "Sum"], ["min", "Minimum"], ["max", "Maximum"], ["first", "First value"], ["last", "Last value"], ["count", "Count of values"], ["p50", "Median"], ["p90", "90th percentile"], ["p95", "95th percentile"], ["p99", "99th percentile"]];
const OVERLAYS = [["mean~7", "Rolling mean of 7"], ["mean~20", "Rolling mean of 20"], ["ema~20", "Exponential mean (EMA) of 20"], ["bollinger~20~2", "Bollinger bands, 20 values, 2 deviations"], ["rsi~14", "RSI of 14"], ["macd~12~26~9", "MACD 12, 26, 9"]];
const ACROSS = [["sum", "Sum"], ["mean", "Mean"]];
const TOP = [3, 5, 8, 12, 20];
const BINS = 40;  // that are drawn unless others are asked for
const FEW = 3;
const FEWEST = 8;  // series that are drawn of more than these, unless others are asked for
const RELATIONS = [["eq", "="], ["ne", "≠"], ["lt", "<"], ["le", "≤"], ["gt", ">"], ["ge", "≥"]];
const COLOURS = ["amber", "red", "green", "accent"];
const SHOWN = 200;
const MANY = 10;  // measures, above which they are looked for by their names
const LETTER = 6.8, AROUND = 82;  // px of a letter of a name beside the chart, and of all beside it: icon, gaps and scrollbar
const OFFERED = 50;  // datasets at a time

// The labels of series where one key makes them.
const labelsOfOne = ({ keys = [], first = [] }) => keys.length === 1 ? first.filter(Boolean) : [];

// A filter as it is read: "load > 100".
export function filterSaid(text) {
  const [column, relation, ...values] = text.split(/(?<!\\)~/).map((part) => part.replace(/\\(.)/g, "$1"));
  return `${column} ${RELATIONS.find(([one]) => one === relation)?.[1] ?? relation} ${values.join(", ")}`;
}

// The query that another kind of chart can draw: candles of open, high, low and close, a scatter of two measures.
export function fitted(next, before, query, { measures = [], series = 1, first = [], opens = first[0] ?? "", summed = [] }) {
  const has = (word) => measures.find((name) => name.toLowerCase().split(/[^a-z]+/).includes(word)), four = ["open", "high", "low", "close"].map(has), made = { ...query };
  if (next === "candles" && before !== "candles") {
    made.measures = four.every(Boolean) ? four : (query.measures ?? measures).slice(0, 1);
    if (four.every(Boolean) && has("volume")) made.volume = has("volume");
    if (series > 1 && query.series?.length !== 1) made.series = (query.series?.length ? query.series : [opens]).filter(Boolean).slice(0, 1);
    if (made.series?.length) for (const name of ["top", "by", "group", "across"]) delete made[name];
  } else if (before === "candles") {
    delete made.volume;
    if (query.measures?.length === 4) made.measures = query.measures.slice(3);
  }
  if (next === "scatter" && made.measures?.length !== 2 && measures.length > 1) {
    const [one, two] = made.measures ?? [];
    made.measures = two ? [one, two] : [measures.find((name) => name !== one), one ?? measures[1]];
  }
  // What is added up beside what is not is told by its mean.
  if (next === "scatter" && made.aggregation === "sum" && !(made.measures ?? []).every((name) => summed.includes(name))) delete made.aggregation;
  return made;
}

export default {
  template: `<div class="explore" :data-ready="ready ? '1' : '0'">
    <aside ref="side" class="card explore-side" aria-label="Fields"></aside>
    <div class="explore-main"><div ref="shelf" class="board-bar" role="toolbar" aria-label="Choices"></div>
      <section ref="panel" class="panel explore-panel"></section><div ref="below" class="explore-below"></div></div>
  </div>`,
  props: { dataset: String, datasets: Object, spec: Object, chosen: Object, dashboards: Array, target: Object, forecasts: Array, engines: Object, icons: Object, marks: Array, zone: String, explore: String },
  data() { return { ready: false }; },
  mounted() {
    useIcons(this.icons);
    writeNumbersWith(...this.marks);
    this.known = { ...this.datasets };
    this.panelSpec = copyOf(this.spec);
    this.base = copyOf(this.chosen);
    this.variables = addressed(this.base);
    Object.assign(this, { past: [], ahead: [], turned: null });
    this.panel = new Panel(this.$refs.panel, { engines: this.engines, hooks: { range: (range) => this.choose({ range: range ? { from: range[0], to: range[1] } : {} }), index: () => this.show({ axis: "index" }), link: () => location.href, drawn: (panel) => { this.ready = panel.element.dataset.ready === "1"; } } });
    this.drops();
    this.draw();
    addEventListener("keydown", this.keys = (event) => this.key(event));
    this.themes = onTheme(() => this.panel.restyle());
  },
  beforeUnmount() {
    removeEventListener("keydown", this.keys);
    this.themes?.disconnect();
    this.panel.destroy();
  },
  methods: {
    context() {
      return resolved(this.variables, { datasets: this.known, zone: this.zone, panels: [this.panelSpec] });
    },
    // What the chart is of
    draw() {
      const context = this.context();
      this.fields(context);
      this.shelf(context);
      this.below();
      this.remember();
      this.ready = false;
      this.panel.set(this.panelSpec, this.context());
    },
    change(act) {
      this.past.push(JSON.stringify([this.panelSpec, this.variables]));
      this.ahead = [];
      act();
      this.draw();
    },
    // `shared` are variables of a dashboard that the choice takes the place of.
    ask(change, shared = {}) { this.change(() => { Object.assign(this.variables, shared); Object.assign(this.panelSpec.query, change); for (const [name, value] of Object.entries(change)) if (!value || value.length === 0) delete this.panelSpec.query[name]; }); },
    show(change) { this.change(() => Object.assign(this.panelSpec.show, change)); },
    choose(change) { this.change(() => Object.assign(this.variables, change)); },
    key(event) {
      const name = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(name) || event.target.closest?.("input, textarea")) return;
      event.preventDefault();
      const again = name === "y" || event.shiftKey, [from, to] = again ? [this.ahead, this.past] : [this.past, this.ahead];
      if (!from.length) return toast(again ? "There is nothing to do again" : "There is nothing to undo");
      to.push(JSON.stringify([this.panelSpec, this.variables]));
      [this.panelSpec, this.variables] = JSON.parse(from.pop());
      this.draw();
      return undefined;
    },
    // Another kind of chart. What was asked for before one that needs other measures comes back after it, unless it was changed.
    turn(next, dataset) {
      const { kind, query } = this.panelSpec, now = JSON.stringify(query), before = this.turned?.made === now ? this.turned.query : query;
      const made = fitted(next, before === query ? kind : this.turned.kind, before, dataset);
      this.turned = JSON.stringify(made) === JSON.stringify(before) ? null : { kind: before === query ? kind : this.turned.kind, query: before, made: JSON.stringify(made) };
      Object.assign(this.panelSpec, { kind: next, query: made });
    },
    remember() {
      const here = new URL(location.href), { id, x, y, w, h, dataset, ...rest } = this.panelSpec;
      here.searchParams.set("dataset", dataset);
      here.searchParams.set("q", JSON.stringify(rest));
      written.address(here.searchParams, this.variables, this.base);
      if (here.href !== location.href) history.replaceState(history.state, "", here);
    },
    // Fields: measures and series to press or to drag onto the chart
    fields(context) {
      const dataset = this.known[this.panelSpec.dataset] ?? {}, { query } = this.panelSpec, sections = [], measures = dataset.measures ?? [];
      const entry = (kind, name, on, said) => el("button", { type: "button", class: "explore-field", "data-field": `${kind} ${name}`, draggable: "true", "aria-pressed": String(on), title: name, onclick: () => this.toggle(kind, name),
        ondragstart: (event) => { event.dataTransfer.setData("application/x-field", JSON.stringify([kind, name])); event.dataTransfer.effectAllowed = "copy"; } }, icon(on ? "check" : "plus", "i14"), el("span", { class: "cut" }, said || "all rows"));
      const of = el("button", { type: "button", class: "explore-of", "data-field": "dataset", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": `Dataset: ${dataset.name}`, title: dataset.name, onclick: () => this.another(of) }, el("span", { class: "cut" }, dataset.name), icon("chevron-down", "i12"));
      sections.push(el("div", { class: "field" }, el("span", {}, "Dataset"), of));
      const every = el("div", { class: "explore-list", role: "group", "aria-label": "Measures" });
      const fill = () => {
        const wanted = (this.measure ?? "").trim().toLowerCase(), found = measures.filter((name) => name.toLowerCase().includes(wanted)), said = apart(found, this.letters());
        every.replaceChildren(...found.map((name, at) => entry("measure", name, (query.measures ?? []).includes(name), said[at])), ...(found.length ? [] : [el("p", { class: "t12 t3" }, "Nothing is called so")]));
        roving(every);
      };
      fill();
      sections.push(el("h3", {}, "Measures"), ...(measures.length > MANY ? [el("input", { type: "search", placeholder: `Find among ${count(measures.length)} measures`, "aria-label": "Find measures", value: this.measure ?? "", oninput: (event) => { this.measure = event.target.value; fill(); } })] : []), every);
      const labels = (dataset.first ?? []).filter(Boolean);
      if (labels.length > 1) {
        const search = el("input", { type: "search", placeholder: `Find among ${dataset.series} series`, "aria-label": "Find series", value: this.wanted ?? "", oninput: (event) => { this.wanted = event.target.value; clearTimeout(this.searching); this.searching = setTimeout(() => this.find(list), 150); } });
        const list = el("div", { class: "explore-list", role: "group", "aria-label": "Series" });
        this.entry = entry;
        // Where none is ticked all are drawn, or the greatest of them: that is an entry of its own, and ticked.
        const all = seriesDrawn({ ...this.panelSpec, query: { ...query, series: [] } }, context);
        this.all = () => el("button", { type: "button", class: "explore-field", "data-field": "all", "aria-pressed": String(!this.panelSpec.query.series?.length), title: this.panelSpec.query.series?.length ? `Draw ${all[0].toLowerCase()}${all.slice(1)}` : `${all}. Press one below to draw it alone`, onclick: () => this.everySeries() }, icon(this.panelSpec.query.series?.length ? "plus" : "check", "i14"), el("span", { class: "cut" }, all));
        this.listed(list, this.found ?? labels);
        sections.push(el("h3", {}, "Series"), search, list);
      }
      const box = this.$refs.side, held = box.contains(document.activeElement) ? document.activeElement : null, scrolled = box.scrollTop;
      box.replaceChildren(...sections);
      box.scrollTop = scrolled;
      if (held?.type === "search") box.querySelector(`input[aria-label="${held.ariaLabel}"]`)?.focus();
      else if (held?.dataset.field) box.querySelector(`[data-field="${CSS.escape(held.dataset.field)}"]`)?.focus();
    },
    // Another dataset: of thousands only those that are looked for come here.
    another(button) {
      const to = (id) => location.assign(`${this.explore}?${new URLSearchParams({ dataset: id, ...(this.target ? { dashboard: this.target.id } : {}) })}`);
      finder(button, { name: "datasets", now: this.panelSpec.dataset, act: to, find: async (text) => {
        const answer = await fetch(`/api/v1/datasets?${new URLSearchParams({ query: text, limit: OFFERED })}`, { credentials: "same-origin" });
        if (!answer.ok) throw new Error("refused");
        const { items, total } = await answer.json();
        return { total, items: items.map(({ id, name, version, rows }) => ({ id, name, about: version ? `${count(rows ?? 0)} row${rows === 1 ? "" : "s"}` : "no rows yet", usable: !!version })) };
      } });
    },
    // How many letters of a name there is room for.
    letters() { return Math.floor((this.$refs.side.clientWidth - AROUND) / LETTER); },
    listed(list, labels) {
      const chosen = this.panelSpec.query.series ?? [];
      const names = [...new Set([...chosen, ...labels])].slice(0, SHOWN), said = apart(names, this.letters());
      list.replaceChildren(this.all(), ...names.map((name, at) => this.entry("series", name, chosen.includes(name), said[at])));
      roving(list);
    },
    async find(list) {
      const dataset = this.known[this.panelSpec.dataset], { wanted } = this;
      try {
        const answer = await fetch(`/api/v1/datasets/${this.panelSpec.dataset}/versions/${dataset.version}/labels?${new URLSearchParams({ query: wanted, limit: SHOWN })}`, { credentials: "same-origin" });
        if (!answer.ok) throw new Error("refused");
        const { items } = await answer.json();
        if (wanted !== this.wanted) return; // something else was typed meanwhile
        this.found = items;
        this.listed(list, this.found);
      } catch {
        if (wanted === this.wanted) toast("The series could not be searched. Try again in a moment.");
      }
    },
    toggle(kind, name) {
      const key = kind === "measure" ? "measures" : "series", now = this.panelSpec.query[key] ?? [];
      const next = now.includes(name) ? now.filter((one) => one !== name) : [...now, name];
      if (kind === "measure" && !next.length) return toast("A chart needs at least one measure.");
      if (key === "series") this.change(() => { this.panelSpec.query.series = next; if (next.length) { for (const name of ["top", "by", "group", "across"]) delete this.panelSpec.query[name]; } else Object.assign(this.panelSpec.query, (this.known[this.panelSpec.dataset].series ?? 1) > FEWEST ? { top: FEWEST } : {}); });
      else this.ask({ measures: next, ...this.across(next), ...this.aggregated(next) });
      return undefined;
    },
    // All of them again; of a chart that shows few at a time the greatest.
    everySeries() {
      if (!this.panelSpec.query.series?.length) return;
      const { series = 1 } = this.known[this.panelSpec.dataset] ?? {};
      this.ask({ series: [], ...(series > FEWEST ? { top: FEWEST } : {}) });
    },
    // Loads of several series are added up, temperatures are not. What was chosen otherwise stays.
    usual(measures) {
      const { added = [] } = this.known[this.panelSpec.dataset] ?? {};
      return measures.every((name) => added.includes(name)) ? "sum" : "mean";
    },
    across(measures) {
      const { query } = this.panelSpec;
      return query.group && (query.across || "sum") === this.usual(query.measures ?? []) ? { across: this.usual(measures) } : {};
    },
    // Sales of a week are added up, its prices are not: the same for the values of a step. What was chosen otherwise stays.
    aggregated(measures) {
      const { summed = [] } = this.known[this.panelSpec.dataset] ?? {}, { query } = this.panelSpec, how = (names) => names.every((name) => summed.includes(name)) ? "sum" : "mean";
      return (query.aggregation || "mean") === how(query.measures ?? []) ? { aggregation: how(measures) === "sum" ? "sum" : "" } : {};
    },
    drops() {
      const place = this.$refs.panel;
      place.addEventListener("dragover", (event) => { if (event.dataTransfer.types.includes("application/x-field")) { event.preventDefault(); place.classList.add("dropping"); } });
      place.addEventListener("dragleave", () => place.classList.remove("dropping"));
      place.addEventListener("drop", (event) => {
        event.preventDefault();
        place.classList.remove("dropping");
        const [kind, name] = JSON.parse(event.dataTransfer.getData("application/x-field") || "[]");
        const now = this.panelSpec.query[kind === "measure" ? "measures" : "series"] ?? [];
        if (kind && !now.includes(name)) this.toggle(kind, name);
      });
    },
    // Choices above the chart
    shelf(context) {
      const { query, show, kind } = this.panelSpec, dataset = this.known[this.panelSpec.dataset] ?? {}, chips = [];
      const made = (name, value, kind) => el("button", { type: "button", class: "chip", "data-choice": name, "aria-haspopup": kind, "aria-expanded": "false", "aria-label": `${name}: ${value}` }, el("span", { class: "t3" }, name), el("span", { class: "cut w5" }, value), icon("chevron-down", "i12"));
      const chip = (name, value, options, chosen, act) => {
        const button = made(name, value, "menu");
        button.addEventListener("click", () => menu(button, options.map(([key, label, symbol]) => ({ icon: symbol ?? (Array.isArray(chosen) ? (chosen.includes(key) ? "check" : "square") : chosen === key ? "check" : ""), label, chosen: (Array.isArray(chosen) ? chosen.includes(key) : chosen === key), act: () => act(key) }))));
        chips.push(button);
      };
      const label = (options, key, other) => options.find(([one]) => one === key)?.[1] ?? other ?? key;
      const fitting = KINDS.filter(([one]) => one === kind || (dataset.step ?? 0) <= (FINEST[one] ?? Infinity));
      chip("Chart", label(KINDS, kind), fitting, kind, (next) => this.change(() => this.turn(next, dataset)));
      if (!["line", "histogram", "box", "candles"].includes(kind) || query.every || query.group) chip("Aggregation", label(HOW, query.aggregation ?? "mean"), HOW, query.aggregation ?? "mean", (next) => this.ask({ aggregation: next === "mean" ? "" : next }));
      if (!["heat", "calendar", "histogram", "box"].includes(kind)) {
        // A step that came by the address, from a dashboard, goes before the panel's own until another one is chosen.
        const step = this.variables.every !== "auto" ? this.variables.every : query.every || "auto";
        chip("Step", written(step), stepsFor(context).map((every) => [every, written(every)]), step, (next) => this.ask({ every: next === "auto" ? "" : next }, { every: "auto" }));
      }
      if ((dataset.keys?.length ?? 0) && dataset.series > 1) chip("Group by", query.group === "*" ? "All series together" : query.group || "Nothing", [["", "Nothing, a line each series"], ["*", "All series together"], ...dataset.keys.map((key) => [key, key])], query.group ?? "", (next) => this.ask({ group: next, series: next ? [] : query.series, across: next && (query.across || this.usual(query.measures ?? [])) }));
      if (query.group) chip("Combined by", label(ACROSS, query.across || "sum"), ACROSS, query.across || "sum", (across) => this.ask({ across }));
      // Of more lines than a chart may hold the greatest few are drawn, whatever is chosen.
      const cut = topOf({ ...this.panelSpec, query: { ...query, top: 0 } }, context);
      const now = query.top ?? cut, top = [...(cut ? [] : [[0, "All"]]), ...[...new Set([...TOP, now])].filter((many) => many && (many < dataset.series || many === now)).sort((a, b) => a - b).map((many) => [many, `Top ${many}`])];
      if (dataset.series > 1 && !query.series?.length && query.group !== "*" && top.length > 1) chip("Series", now ? `Top ${now}` : `All ${count(dataset.series)}`, top, now, (next) => this.ask({ top: next, by: next ? query.by : "" }));
      if (dataset.series > 1 && !query.series?.length && query.top) chip("Ranked by", label(HOW, query.by || "sum"), HOW, query.by || "sum", (by) => this.ask({ by: by === "sum" ? "" : by }));
      if (kind === "histogram") chip("Bins", String(query.bins ?? BINS), [10, 20, BINS, 80, 160].map((bins) => [bins, String(bins)]), query.bins ?? BINS, (bins) => this.ask({ bins: bins === BINS ? 0 : bins }));
      if (COMPARED.has(kind)) {
        const compare = query.compare || this.variables.compare;
        chip("Compare", label(compareWith, compare ?? "", written(compare)), compareWith, compare ?? "", (next) => this.ask({ compare: next }, { compare: "" }));
      }
      if (["line", "candles"].includes(kind)) chip("Overlay", !query.overlays?.length ? "None" : query.overlays.length === 1 ? label(OVERLAYS, query.overlays[0]) : `${query.overlays.length} chosen`, OVERLAYS, query.overlays ?? [], (next) => this.ask({ overlays: (query.overlays ?? []).includes(next) ? query.overlays.filter((one) => one !== next) : [...(query.overlays ?? []), next] }));
      if (OVER_TIME.has(kind) && (this.forecasts.length || show.forecast)) {
        const known = this.forecasts.find(({ id }) => id === show.forecast), models = known?.models ?? [];
        chip("Forecast", known?.name ?? (show.forecast ? "Deleted" : "None"), [["", "None"], ...this.forecasts.map(({ id, name }) => [id, name])], show.forecast ?? "", (next) => this.foresee(next));
        if (models.length > 1) {
          const { drawn, banded } = drawnOf({ models: models.map((name) => ({ name, t: [0], mean: [0] })) }, show), names = drawn.map(({ name }) => name);
          const several = made("Models", names.length === 1 ? called(names[0]) : `${names.length} of ${models.length}`, "dialog");
          several.addEventListener("click", () => picker(several, { name: "Models", labels: models.map(called), total: models.length, picked: names.map(called), act: (picked) => this.show({ models: picked.length ? models.filter((name) => picked.includes(called(name))) : models }) }));
          chips.push(several);
          if (names.length > 1) chip("Bands of", called(banded.name), names.map((name) => [name, called(name)]), banded.name, (next) => this.show({ banded: next }));
        }
      }
      if (kind === "candles") chip("Volume", query.volume || "None", [["", "None"], ...dataset.measures.map((name) => [name, name])], query.volume ?? "", (next) => this.ask({ volume: next }));
      const more = el("button", { type: "button", class: "chip", "data-choice": "Display", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("sliders-horizontal", "i14"), "Display");
      const display = [
        ["line", "area", "bar", "scatter"].includes(kind) && { icon: show.axis === "log" ? "check" : "square", label: "Logarithmic axis", act: () => this.show({ axis: show.axis === "log" ? "linear" : "log" }) },
        ["line", "area"].includes(kind) && !show.stacked && { icon: show.axis === "index" ? "check" : "square", label: "Start all lines at 100", act: () => this.show({ axis: show.axis === "index" ? "linear" : "index" }) },
        ["area", "bar"].includes(kind) && { icon: show.stacked ? "check" : "square", label: "Stack series", act: () => this.show({ stacked: !show.stacked }) },
        ["line", "area", "bar", "candles"].includes(kind) && { icon: show.marks ? "check" : "square", label: "Mark faults and repairs", act: () => this.show({ marks: !show.marks }) },
        kind === "line" && { icon: show.points ? "check" : "square", label: "Show points", act: () => this.show({ points: !show.points }) },
        ...(["line", "area", "bar"].includes(kind) && (query.measures ?? []).length > 1 ? query.measures.map((name) => ({ icon: show.right?.includes(name) ? "check" : "square", label: `${name} on the right axis`, act: () => this.show({ right: show.right?.includes(name) ? show.right.filter((one) => one !== name) : [...(show.right ?? []), name] }) })) : []),
      ].filter(Boolean);
      more.addEventListener("click", () => menu(more, display));
      if (display.length) chips.push(more);
      const add = el("button", { type: "button", class: "chip", "data-choice": "Add", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("plus", "i14"), "Add");
      add.addEventListener("click", () => menu(add, [
        OVER_TIME.has(kind) && { icon: "flag", label: "Threshold", act: () => this.adding("threshold") },
        OVER_TIME.has(kind) && { icon: "message-square", label: "Note at a time", act: () => this.adding("note") },
        { icon: "filter", label: "Filter", act: () => this.adding("filter") },
      ]));
      chips.push(add);
      const presets = el("div", { class: "seg", role: "group", "aria-label": "Range" }, presetsOf(context).map(([name, range]) => el("button", { type: "button", "data-choice": name, "aria-pressed": String(JSON.stringify(range) === JSON.stringify(this.variables.range)), onclick: () => this.choose({ range }) }, name)));
      const keep = el("button", { type: "button", class: "b pri" }, this.target?.panel ? "Save to dashboard" : "Add to dashboard");
      keep.addEventListener("click", () => this.target ? this.keep(this.target.id) : menu(keep, [...this.dashboards.map((one) => ({ icon: "layout-dashboard", label: one.name, act: () => this.keep(one.id) })), ...(this.dashboards.length ? ["-"] : []), { icon: "plus", label: "New dashboard", act: () => this.keep(null) }]));
      this.refill(chips, el("div", { class: "last" }, presets, keep));
    },
    // A button at which something is open stays itself, so that what hangs at it finds its place; the focus stays where it is.
    refill(chips, last) {
      const { shelf } = this.$refs, open = shelf.querySelector('[aria-haspopup="dialog"][aria-expanded="true"]'), held = shelf.contains(document.activeElement) ? document.activeElement.dataset.choice : "";
      const same = open ? chips.findIndex((one) => one.dataset.choice === open.dataset.choice) : -1;
      if (same >= 0) {
        open.replaceChildren(...chips[same].childNodes);
        open.setAttribute("aria-label", chips[same].getAttribute("aria-label"));
        chips[same] = open;
      }
      shelf.replaceChildren(...chips, last);
      if (held) shelf.querySelector(`[data-choice="${CSS.escape(held)}"]`)?.focus();
    },
    // A forecast stands over what it is of: its measure and one of its series, in the steps that it was made in.
    foresee(id) {
      const found = this.forecasts.find((one) => one.id === id), several = (this.known[this.panelSpec.dataset]?.series ?? 1) > 1;
      if (!found) return this.show({ forecast: "", models: [], banded: "" });
      return this.change(() => {
        Object.assign(this.panelSpec.show, { forecast: id, models: found.models, banded: found.best });
        this.panelSpec.query = over(this.panelSpec.query, found, several);
        this.variables.every = "auto";
      });
    },
    // Thresholds, notes and filters, and what a dashboard shares with the panel, each with a way to take it off
    below() {
      const { query, show } = this.panelSpec, tag = (text, symbol, off, title = null) => el("span", { class: "chip", title }, icon(symbol, "i12"), el("span", { class: "cut" }, text), el("button", { type: "button", class: "ib small", "aria-label": `Take off ${text}`, onclick: () => { off(); this.toAdd(); } }, icon("x", "i12")));
      this.$refs.below.replaceChildren(
        ...this.shared().map(([text, symbol, off]) => tag(text, symbol, off, "Chosen on the dashboard; it is not saved with the panel")),
        ...(query.filters ?? []).map((one) => tag(filterSaid(one), "filter", () => this.ask({ filters: query.filters.filter((other) => other !== one) }))),
        ...(show.thresholds ?? []).map((one) => tag(one.label || String(one.value), "flag", () => this.show({ thresholds: show.thresholds.filter((other) => other !== one) }))),
        ...(show.annotations ?? []).map((one) => tag(one.text, "message-square", () => this.show({ annotations: show.annotations.filter((other) => other !== one) }))),
        ...(this.form ? [this.form] : []));
    },
    // Variables of a dashboard that change what is drawn here, and how each is taken off.
    shared() {
      const { kind, dataset, query } = this.panelSpec, { series, compare } = this.variables, keys = this.known[dataset]?.keys ?? [], found = [];
      for (const [key, labels] of Object.entries(series)) if (labels.length && keys.includes(key)) {
        found.push([`${key}: ${labels.length > FEW ? `${labels.length} chosen` : labels.join(", ")}`, "filter", () => this.choose({ series: Object.fromEntries(Object.entries(series).filter(([other]) => other !== key)) })]);
      }
      if (compare && !query.compare && COMPARED.has(kind)) found.push([compareWith.find(([value]) => value === compare)?.[1] ?? `${written(compare)} before`, "history", () => this.choose({ compare: "" })]);
      return found;
    },
    adding(what) {
      const dataset = this.known[this.panelSpec.dataset] ?? {}, input = (label, extra) => el("label", { class: "field" }, el("span", {}, label), el("input", { class: "in", required: true, ...extra }));
      const fields = { threshold: [input("Value", { type: "number", step: "any" }), input("Label (optional)", { type: "text", maxlength: "200", required: false })],
        note: [input("Text", { type: "text", maxlength: "200" }), input("When", { type: "datetime-local", step: "1", value: this.aimed() }), input("Until (optional)", { type: "datetime-local", step: "1", required: false })],
        filter: this.filtering(dataset, input) }[what];
      const close = () => { this.form = null; this.below(); this.toAdd(); };
      this.form = el("form", { class: "card hs explore-form", "aria-label": `Add a ${what}` }, ...fields, el("button", { type: "submit", class: "b pri small" }, `Add ${what}`), el("button", { type: "button", class: "b small", onclick: close }, "Cancel"));
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        const [a, b, c] = [...this.form.querySelectorAll("input, select")].map((one) => one.value);
        const { query, show } = this.panelSpec, at = (text) => written.moment(text, this.context().zone);
        if (what === "note" && c && at(c) <= at(b)) return toast("The note ends before it begins.");
        this.form = null;
        if (what === "threshold") this.show({ thresholds: [...(show.thresholds ?? []), { value: Number(a), label: b, colour: COLOURS[(show.thresholds ?? []).length % COLOURS.length] }] });
        else if (what === "note") this.show({ annotations: [...(show.annotations ?? []), { at: at(b), ...(c ? { until: at(c) } : {}), text: a }] });
        else this.ask({ filters: [...(query.filters ?? []), filter(a, b, c)] });
        this.toAdd();
        return undefined;
      });
      this.form.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
      this.below();
      this.form.querySelector("input, select").focus();
    },
    // What held the focus is gone: the keyboard goes on at the button that everything below the chart comes from.
    toAdd() {
      this.$refs.shelf.querySelector('[data-choice="Add"]').focus();
    },
    // The moment last pointed at in the window, else its middle, on a whole step of the data.
    aimed() {
      const { panel } = this, { zone } = this.context(), [from, to] = panel.drawn?.x ?? [NaN, NaN], step = Math.min(864e5, Math.max(6e4, panel.drawn?.step ?? 0));
      const ms = panel.pointed >= from && panel.pointed <= to ? panel.pointed : (from + to) / 2, wall = written.moment(written.local(ms, zone), "UTC");
      return Number.isNaN(ms) ? null : written.local(written.moment(written.local(Math.round(wall / step) * step, "UTC"), zone), zone);
    },
    // A column, the drawn measures first, how it compares (names are equal or not), and with what.
    filtering({ columns, measures = [], keys = [] }, input) {
      const drawn = this.panelSpec.query.measures ?? [], names = [...new Set([...drawn, ...(columns ?? measures)])], known = labelsOfOne(this.known[this.panelSpec.dataset] ?? {});
      const column = el("select", {}, names.map((name) => el("option", {}, name))), relation = el("select", {}), list = el("datalist", { id: "filter-values" }), value = input("Value", { type: "text", maxlength: "200", list: "filter-values", autocomplete: "off" });
      const offer = () => {
        const number = measures.includes(column.value);
        relation.replaceChildren(...RELATIONS.filter(([one]) => number || one === "eq" || one === "ne").map(([one, text]) => el("option", { value: one, selected: one === (number ? "gt" : "eq") }, text)));
        list.replaceChildren(...(keys.includes(column.value) ? known.map((label) => el("option", { value: label })) : []));
      };
      column.addEventListener("change", offer);
      offer();
      return [el("label", { class: "field" }, el("span", {}, "Column"), column), el("label", { class: "field" }, el("span", {}, "Is"), relation), value, list];
    },
    // What was chosen here beyond the panel, as the address of a dashboard says it.
    carried(variables) {
      const changed = Object.entries(this.variables).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(this.base[name])), into = new URLSearchParams();
      written.address(into, this.target?.panel ? this.variables : { ...copyOf(variables), ...Object.fromEntries(changed) }, variables);
      return into.size ? `?${into}` : "";
    },
    // To a dashboard
    async keep(id) {
      const rest = async (path, how) => {
        const answer = await fetch(`/api/v1/dashboards${path}`, { credentials: "same-origin", headers: { "Content-Type": "application/json" }, ...how });
        const body = await answer.json().catch(() => ({}));
        if (!answer.ok) throw new Error(body.detail ?? "The dashboard could not be saved.");
        return body;
      };
      try {
        const panel = copyOf(this.panelSpec);
        if (!id) {
          const made = await rest("", { method: "POST", body: JSON.stringify({ name: panel.title || (panel.query.measures ?? []).join(", ") || "New dashboard", spec: { panels: [{ ...panel, id: "p1", x: 0, y: 0, w: 12, h: 5 }] } }) });
          return location.assign(`/dashboards/${made.id}${this.carried(made.spec.variables)}#p1`);
        }
        const now = await rest(`/${id}`, {}), before = JSON.stringify(now.spec), spec = now.spec, at = this.target?.panel ? spec.panels.findIndex((one) => one.id === this.target.panel) : -1;
        if (at >= 0) spec.panels[at] = { ...spec.panels[at], ...panel, id: spec.panels[at].id, x: spec.panels[at].x, y: spec.panels[at].y, w: spec.panels[at].w, h: spec.panels[at].h };
        else spec.panels.push({ ...panel, id: written.id(spec.panels), x: 0, y: Math.max(0, ...spec.panels.map((one) => one.y + one.h)), w: 6, h: 4 });
        const saved = await rest(`/${id}`, { method: "PUT", body: JSON.stringify({ spec, revision: now.revision }) });
        undoable.keep(id, saved.revision, [...undoable.of(id, now.revision), before]);
        return location.assign(`/dashboards/${id}${this.carried(spec.variables)}#${(spec.panels[at] ?? spec.panels.at(-1)).id}`);
      } catch (error) {
        toast(error.message);
      }
      return undefined;
    },
  },
};
