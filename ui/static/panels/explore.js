// Explore: measures, series and choices on the left, one panel on the right. Every choice is in the address; from here a
// panel goes to a dashboard, and one of a dashboard comes here to be changed.

import "./style.js";
import { el, icon, menu, toast, useIcons } from "./dom.js";
import { writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { filter } from "./request.js";
import { addressed, compareWith, copyOf, presetsOf, resolved, stepsFor, written } from "./variables.js";

const KINDS = [["line", "Line", "chart-line"], ["area", "Area", "chart-area"], ["bar", "Bars", "chart-column"], ["scatter", "Scatter", "chart-scatter"], ["heat", "Hour × weekday", "grid-3x3"], ["calendar", "Calendar", "calendar-days"],
  ["histogram", "Histogram", "chart-bar-big"], ["box", "Box", "box"], ["candles", "Candles", "chart-candlestick"], ["table", "Table", "table"], ["figure", "Figure", "hash"]];
const DAY = 864e5;
// Kinds that say nothing of data whose values are further apart: hours of a day need several values a day.
const FINEST = { heat: DAY / 2, calendar: 1.5 * DAY };
const HOW = [["mean", "Mean"], ["sum", "Sum"], ["min", "Least"], ["max", "Greatest"], ["first", "First"], ["last", "Last"], ["count", "Count"], ["p50", "Median"], ["p90", "90th percentile"], ["p95", "95th percentile"], ["p99", "99th percentile"]];
const OVERLAYS = [["mean~20", "Rolling mean, 20"], ["mean~7", "Rolling mean, 7"], ["bollinger~20~2", "Bollinger bands, 20 and 2"], ["ema~20", "EMA, 20"], ["rsi~14", "RSI, 14"], ["macd~12~26~9", "MACD, 12, 26 and 9"]];
const ACROSS = [["sum", "Sum of series"], ["mean", "Mean of series"]];
const COMPARED = new Set(["line", "area", "bar"]);
const FEW = 3;
const RELATIONS = [["eq", "="], ["ne", "≠"], ["lt", "<"], ["le", "≤"], ["gt", ">"], ["ge", "≥"]];
const COLOURS = ["amber", "red", "green", "accent"];
const SHOWN = 200;

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
    this.variables = addressed(this.chosen);
    this.past = [];
    this.panel = new Panel(this.$refs.panel, { engines: this.engines, hooks: { range: (range) => this.choose({ range: range ? { from: range[0], to: range[1] } : {} }), index: () => this.show({ axis: "index" }), link: () => location.href, drawn: (panel) => { this.ready = panel.element.dataset.ready === "1"; } } });
    this.drops();
    this.draw();
    addEventListener("keydown", this.keys = (event) => this.key(event));
    this.themes = new MutationObserver(() => this.panel.restyle());
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
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
      this.fields();
      this.shelf(context);
      this.below();
      this.remember();
      this.ready = false;
      this.panel.set(this.panelSpec, this.context());
    },
    change(act) {
      this.past.push(JSON.stringify([this.panelSpec, this.variables]));
      act();
      this.draw();
    },
    // `shared` are variables of a dashboard that the choice takes the place of.
    ask(change, shared = {}) { this.change(() => { Object.assign(this.variables, shared); Object.assign(this.panelSpec.query, change); for (const [name, value] of Object.entries(change)) if (!value || value.length === 0) delete this.panelSpec.query[name]; }); },
    show(change) { this.change(() => Object.assign(this.panelSpec.show, change)); },
    choose(change) { this.change(() => Object.assign(this.variables, change)); },
    key(event) {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.closest?.("input, textarea")) return;
      event.preventDefault();
      const last = this.past.pop();
      if (!last) return;
      [this.panelSpec, this.variables] = JSON.parse(last);
      this.draw();
    },
    remember() {
      const here = new URL(location.href), { id, x, y, w, h, dataset, ...rest } = this.panelSpec;
      here.searchParams.set("dataset", dataset);
      here.searchParams.set("q", JSON.stringify(rest));
      written.address(here.searchParams, this.variables, { range: {}, series: {}, every: "auto", compare: "" });
      if (here.href !== location.href) history.replaceState(history.state, "", here);
    },
    // Fields: measures and series to press or to drag onto the chart
    fields() {
      const dataset = this.known[this.panelSpec.dataset] ?? {}, { query } = this.panelSpec, sections = [];
      const entry = (kind, name, on) => el("button", { type: "button", class: "explore-field", draggable: "true", "aria-pressed": String(on), title: name, onclick: () => this.toggle(kind, name),
        ondragstart: (event) => { event.dataTransfer.setData("application/x-field", JSON.stringify([kind, name])); event.dataTransfer.effectAllowed = "copy"; } }, icon(on ? "check" : "plus", "i14"), el("span", { class: "cut" }, name || "all rows"));
      const picker = el("select", { "aria-label": "Dataset", onchange: (event) => location.assign(`${this.explore}?${new URLSearchParams({ dataset: event.target.value, ...(this.target ? { dashboard: this.target.id } : {}) })}`) },
        Object.entries(this.known).map(([id, one]) => el("option", { value: id, selected: id === this.panelSpec.dataset }, one.name)));
      sections.push(el("label", { class: "field" }, el("span", {}, "Dataset"), picker));
      sections.push(el("h3", {}, "Measures"), el("div", { class: "explore-list" }, (dataset.measures ?? []).map((name) => entry("measure", name, (query.measures ?? []).includes(name)))));
      const labels = (dataset.first ?? []).filter(Boolean);
      if (labels.length > 1) {
        const search = el("input", { type: "search", placeholder: `Find among ${dataset.series} series`, "aria-label": "Find series", value: this.wanted ?? "", oninput: (event) => { this.wanted = event.target.value; clearTimeout(this.searching); this.searching = setTimeout(() => this.find(list), 150); } });
        const list = el("div", { class: "explore-list" });
        this.entry = entry;
        this.listed(list, this.found ?? labels);
        sections.push(el("h3", {}, "Series"), search, list);
      }
      const box = this.$refs.side, typing = document.activeElement?.type === "search" && box.contains(document.activeElement), scrolled = box.scrollTop;
      box.replaceChildren(...sections);
      box.scrollTop = scrolled;
      if (typing) box.querySelector("input[type=search]")?.focus();
    },
    listed(list, labels) {
      const chosen = this.panelSpec.query.series ?? [];
      list.replaceChildren(...[...new Set([...chosen, ...labels])].slice(0, SHOWN).map((name) => this.entry("series", name, chosen.includes(name))));
    },
    async find(list) {
      const dataset = this.known[this.panelSpec.dataset];
      try {
        const answer = await fetch(`/api/v1/datasets/${this.panelSpec.dataset}/versions/${dataset.version}/labels?${new URLSearchParams({ query: this.wanted, limit: SHOWN })}`, { credentials: "same-origin" });
        if (!answer.ok) return;
        this.found = (await answer.json()).items;
        this.listed(list, this.found);
      } catch {
        toast("The series could not be searched. Try again in a moment.");
      }
    },
    toggle(kind, name) {
      const key = kind === "measure" ? "measures" : "series", now = this.panelSpec.query[key] ?? [];
      const next = now.includes(name) ? now.filter((one) => one !== name) : [...now, name];
      if (kind === "measure" && !next.length) return toast("A chart needs at least one measure.");
      if (key === "series") this.change(() => { this.panelSpec.query.series = next; if (next.length) { for (const name of ["top", "group", "across"]) delete this.panelSpec.query[name]; } else Object.assign(this.panelSpec.query, (this.known[this.panelSpec.dataset].series ?? 1) > 8 ? { top: 8 } : {}); });
      else this.ask({ measures: next, ...this.across(next) });
      return undefined;
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
      const chip = (name, value, options, chosen, act) => {
        const button = el("button", { type: "button", class: "chip", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `${name}: ${value}` }, el("span", { class: "t3" }, name), el("span", { class: "cut w5" }, value), icon("chevron-down", "i12"));
        button.addEventListener("click", () => menu(button, options.map(([key, label, symbol]) => ({ icon: symbol ?? ((Array.isArray(chosen) ? chosen.includes(key) : chosen === key) ? "check" : "square"), label, act: () => act(key) }))));
        chips.push(button);
      };
      const label = (options, key, other) => options.find(([one]) => one === key)?.[1] ?? other ?? key;
      const fitting = KINDS.filter(([one]) => one === kind || (dataset.step ?? 0) <= (FINEST[one] ?? Infinity));
      chip("Chart", label(KINDS, kind), fitting, kind, (next) => this.change(() => { this.panelSpec.kind = next; }));
      if (!["line", "histogram", "box", "candles"].includes(kind) || query.every || query.group) chip("By", label(HOW, query.aggregation ?? "mean"), HOW, query.aggregation ?? "mean", (next) => this.ask({ aggregation: next === "mean" ? "" : next }));
      if (!["heat", "calendar", "histogram", "box"].includes(kind)) {
        // A step that came by the address, from a dashboard, goes before the panel's own until another one is chosen.
        const step = this.variables.every !== "auto" ? this.variables.every : query.every || "auto";
        chip("Step", written(step), stepsFor(context).map((every) => [every, written(every)]), step, (next) => this.ask({ every: next === "auto" ? "" : next }, { every: "auto" }));
      }
      if ((dataset.keys?.length ?? 0) && dataset.series > 1) chip("Group", query.group === "*" ? "All series" : query.group || "Off", [["", "Off"], ["*", "All series"], ...dataset.keys.map((key) => [key, key])], query.group ?? "", (next) => this.ask({ group: next, series: next ? [] : query.series, across: next && (query.across || this.usual(query.measures ?? [])) }));
      if (query.group) chip("Together", label(ACROSS, query.across || "sum"), ACROSS, query.across || "sum", (across) => this.ask({ across }));
      if (dataset.series > 1 && !query.series?.length) chip("Top", query.top ? String(query.top) : "All", [[0, "All"], [3, "3"], [5, "5"], [8, "8"], [12, "12"], [20, "20"]], query.top ?? 0, (next) => this.ask({ top: next }));
      if (COMPARED.has(kind)) {
        const compare = query.compare || this.variables.compare;
        chip("Compare", label(compareWith, compare ?? "", written(compare)), compareWith, compare ?? "", (next) => this.ask({ compare: next }, { compare: "" }));
      }
      if (["line", "candles"].includes(kind)) chip("Overlay", (query.overlays ?? []).length ? `${query.overlays.length}` : "None", OVERLAYS, query.overlays ?? [], (next) => this.ask({ overlays: (query.overlays ?? []).includes(next) ? query.overlays.filter((one) => one !== next) : [...(query.overlays ?? []), next] }));
      if (kind === "candles") chip("Volume", query.volume || "None", [["", "None"], ...dataset.measures.map((name) => [name, name])], query.volume ?? "", (next) => this.ask({ volume: next }));
      const more = el("button", { type: "button", class: "chip", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("sliders-horizontal", "i14"), "Look");
      more.addEventListener("click", () => menu(more, [
        ["line", "area", "bar", "scatter"].includes(kind) && { icon: show.axis === "log" ? "check" : "square", label: "Logarithmic axis", act: () => this.show({ axis: show.axis === "log" ? "linear" : "log" }) },
        ["line", "area"].includes(kind) && !show.stacked && { icon: show.axis === "index" ? "check" : "square", label: "Indexed to 100", act: () => this.show({ axis: show.axis === "index" ? "linear" : "index" }) },
        ["area", "bar"].includes(kind) && { icon: show.stacked ? "check" : "square", label: "Stacked", act: () => this.show({ stacked: !show.stacked }) },
        ["line", "area", "bar", "candles"].includes(kind) && { icon: show.marks ? "check" : "square", label: "Mark faults and repairs", act: () => this.show({ marks: !show.marks }) },
        kind === "line" && { icon: show.points ? "check" : "square", label: "Points", act: () => this.show({ points: !show.points }) },
        ...(["line", "area", "bar"].includes(kind) && (query.measures ?? []).length > 1 ? query.measures.map((name) => ({ icon: show.right?.includes(name) ? "check" : "square", label: `${name} on the right axis`, act: () => this.show({ right: show.right?.includes(name) ? show.right.filter((one) => one !== name) : [...(show.right ?? []), name] }) })) : []),
        "-",
        { icon: "flag", label: "Add a threshold", act: () => this.adding("threshold") },
        { icon: "message-square", label: "Add a note", act: () => this.adding("note") },
        { icon: "filter", label: "Add a filter", act: () => this.adding("filter") },
        ...((this.forecasts ?? []).length ? ["-", ...this.forecasts.map((one) => ({ icon: show.forecast === one.id ? "check" : "square", label: `Forecast: ${one.name}`, act: () => this.show({ forecast: show.forecast === one.id ? "" : one.id }) }))] : []),
      ]));
      chips.push(more);
      const presets = el("div", { class: "seg", role: "group", "aria-label": "Range" }, presetsOf(context).map(([name, range]) => el("button", { type: "button", "aria-pressed": String(JSON.stringify(range) === JSON.stringify(this.variables.range)), onclick: () => this.choose({ range }) }, name)));
      const keep = el("button", { type: "button", class: "b pri" }, this.target?.panel ? "Save to dashboard" : "Add to dashboard");
      keep.addEventListener("click", () => this.target ? this.keep(this.target.id) : menu(keep, [...this.dashboards.map((one) => ({ icon: "layout-dashboard", label: one.name, act: () => this.keep(one.id) })), ...(this.dashboards.length ? ["-"] : []), { icon: "plus", label: "New dashboard", act: () => this.keep(null) }]));
      this.$refs.shelf.replaceChildren(...chips, el("div", { class: "last" }, presets, keep));
    },
    // Thresholds, notes and filters, and what a dashboard shares with the panel, each with a way to take it off
    below() {
      const { query, show } = this.panelSpec, tag = (text, symbol, off, title = null) => el("span", { class: "chip", title }, icon(symbol, "i12"), el("span", { class: "cut" }, text), el("button", { type: "button", class: "ib small", "aria-label": `Take off ${text}`, onclick: off }, icon("x", "i12")));
      this.$refs.below.replaceChildren(
        ...this.shared().map(([text, symbol, off]) => tag(text, symbol, off, "Chosen on the dashboard; it is not saved with the panel")),
        ...(query.filters ?? []).map((one) => tag(one.replaceAll("~", " "), "filter", () => this.ask({ filters: query.filters.filter((other) => other !== one) }))),
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
      const fields = { threshold: [input("Value", { type: "number", step: "any" }), input("Label", { type: "text", maxlength: "200", required: false })],
        note: [input("When", { type: "datetime-local", step: "1" }), input("Text", { type: "text", maxlength: "200" })],
        filter: [el("label", { class: "field" }, el("span", {}, "Column"), el("select", {}, [...(dataset.columns ?? dataset.measures ?? [])].map((name) => el("option", {}, name)))), el("label", { class: "field" }, el("span", {}, "Is"), el("select", {}, RELATIONS.map(([value, text]) => el("option", { value }, text)))), input("Value", { type: "text", maxlength: "200" })] }[what];
      const close = () => { this.form = null; this.below(); };
      this.form = el("form", { class: "card hs explore-form", "aria-label": `Add a ${what}` }, ...fields, el("button", { type: "submit", class: "b pri small" }, "Add"), el("button", { type: "button", class: "b small", onclick: close }, "Cancel"));
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        const [a, b, c] = [...this.form.querySelectorAll("input, select")].map((one) => one.value);
        this.form = null;
        const { query, show } = this.panelSpec;
        if (what === "threshold") this.show({ thresholds: [...(show.thresholds ?? []), { value: Number(a), label: b, colour: COLOURS[(show.thresholds ?? []).length % COLOURS.length] }] });
        else if (what === "note") this.show({ annotations: [...(show.annotations ?? []), { at: written.moment(a, this.context().zone), text: b }] });
        else this.ask({ filters: [...(query.filters ?? []), filter(a, b, c)] });
      });
      this.form.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
      this.below();
      this.form.querySelector("input, select").focus();
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
          return location.assign(`/dashboards/${made.id}`);
        }
        const now = await rest(`/${id}`, {}), spec = now.spec, at = this.target?.panel ? spec.panels.findIndex((one) => one.id === this.target.panel) : -1;
        if (at >= 0) spec.panels[at] = { ...spec.panels[at], ...panel, id: spec.panels[at].id, x: spec.panels[at].x, y: spec.panels[at].y, w: spec.panels[at].w, h: spec.panels[at].h };
        else spec.panels.push({ ...panel, id: written.id(spec.panels), x: 0, y: Math.max(0, ...spec.panels.map((one) => one.y + one.h)), w: 6, h: 4 });
        await rest(`/${id}`, { method: "PUT", body: JSON.stringify({ spec, revision: now.revision }) });
        return location.assign(`/dashboards/${id}`);
      } catch (error) {
        toast(error.message);
      }
      return undefined;
    },
  },
};
