// The page of a dashboard: panels on a grid, variables and a crosshair that they share, saved as they are changed.
// The server's side is ui/components/panels.py; what is on the page is the specification of core/panels.py.

import "./style.js";
import { el, icon, iconButton, menu, script, toast, useIcons } from "./dom.js";
import { count, moment, writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { addressed, compareWith, copyOf, presetsOf, resolved, stepsFor, written } from "./variables.js";

const REST = 800;  // ms without a change after which it is saved
const BEAT = 15000;  // ms between telling that this page is open
const ROW = 84;

export default {
  template: `<div class="board" :data-ready="ready ? '1' : '0'" :data-panels="spec.panels.length">
    <div ref="bar" class="board-bar" role="toolbar" aria-label="Variables"></div>
    <div v-if="stale" class="board-stale" role="alert"><span>This dashboard was changed elsewhere.</span>
      <button type="button" class="b small" @click="reload">Load it again</button></div>
    <div ref="grid" class="grid-stack"></div>
    <div v-if="!spec.panels.length" class="board-empty"><strong>Nothing here yet</strong>
      <span class="t3">A panel draws measures of a dataset; make the first one in Explore.</span>
      <a class="b fill" :href="adding">Add a panel</a></div>
  </div>`,
  props: { dashboard: Object, datasets: Object, engines: Object, icons: Object, marks: Array, zone: String, explore: String, fixed: Boolean },
  emits: ["saved"],
  data() {
    return { spec: copyOf(this.dashboard.spec), revision: this.dashboard.revision, ready: false, stale: false };
  },
  computed: {
    adding() {
      const first = this.spec.panels.find((panel) => panel.dataset)?.dataset ?? Object.keys(this.datasets)[0] ?? "";
      return `${this.explore}?${new URLSearchParams({ dashboard: this.dashboard.id, ...(first ? { dataset: first } : {}) })}`;
    },
  },
  async mounted() {
    useIcons(this.icons);
    writeNumbersWith(...this.marks);
    this.known = { ...this.datasets };
    this.panels = new Map();
    this.past = [];
    this.ahead = [];
    this.chosen = addressed(this.spec.variables);
    this.bar();
    const Grid = await script(this.engines.gridstack, "GridStack");
    if (this.gone) return;
    this.grid = Grid.init({ column: 12, cellHeight: ROW, margin: 8, float: false, handle: ".panel-head", animate: false,
      columnOpts: { breakpoints: [{ w: 720, c: 1 }] }, resizable: { handles: "e,se,s,sw,w" }, staticGrid: this.fixed, disableDrag: this.fixed }, this.$refs.grid);
    for (const panel of this.spec.panels) this.place(panel);
    this.grid.on("change", () => this.moved());
    this.draw();
    // Only what a hand moves glides: a panel asks for as many points as it is wide, and its first width must be its last.
    requestAnimationFrame(() => this.grid?.setAnimation(!matchMedia("(prefers-reduced-motion: reduce)").matches));
    this.heard = (event) => this.version(event.detail);
    this.keys = (event) => this.key(event);
    addEventListener("variosync:dataset", this.heard);
    addEventListener("variosync:dashboard", this.elsewhere = (event) => this.changed(event.detail));
    addEventListener("keydown", this.keys);
    addEventListener("beforeunload", this.leaving = () => { if (this.waiting) this.save(); });
    this.themes = new MutationObserver(() => this.panels.forEach((panel) => panel.restyle()));
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  },
  beforeUnmount() {
    this.gone = true;
    if (this.waiting) this.save();
    this.themes?.disconnect();
    removeEventListener("variosync:dataset", this.heard);
    removeEventListener("variosync:dashboard", this.elsewhere);
    removeEventListener("keydown", this.keys);
    removeEventListener("beforeunload", this.leaving);
    this.panels.forEach((panel) => panel.destroy());
    this.grid?.destroy(false);
  },
  methods: {
    // What all panels share, with the range resolved to moments.
    context() {
      return resolved(this.chosen, { datasets: this.known, zone: this.chosen.zone || this.zone, panels: this.spec.panels });
    },
    draw() {
      const context = this.context();
      for (const spec of this.spec.panels) this.panels.get(spec.id)?.set(spec, context);
      this.written();
    },
    place(spec) {
      const body = el("section", { class: "panel", "aria-label": spec.title || spec.kind, "data-panel": spec.id });
      const item = this.grid.addWidget({ id: spec.id, x: spec.x, y: spec.y, w: spec.w, h: spec.h, minW: 2, minH: 2 });
      item.querySelector(".grid-stack-item-content").append(body);
      const panel = new Panel(body, { engines: this.engines, hooks: {
        range: (range) => this.range(range),
        hover: (ms) => this.panels.forEach((other) => { if (other !== panel) other.cursor(ms); }),
        edit: this.fixed ? null : () => location.assign(`${this.explore}?${new URLSearchParams({ dashboard: this.dashboard.id, panel: spec.id })}`),
        duplicate: this.fixed ? null : () => this.duplicate(spec.id),
        remove: this.fixed ? null : () => this.remove(spec.id),
        link: () => `${location.origin}${location.pathname}${location.search}#${spec.id}`,
        drawn: () => this.settled(),
      } });
      this.panels.set(spec.id, panel);
      return panel;
    },
    settled() {
      this.ready = [...this.panels.values()].every((panel) => panel.element.dataset.ready === "1");
    },
    // Variables
    bar() {
      const { chosen } = this, chips = [], chip = (name, value, items, label) => {
        const button = el("button", { type: "button", class: "chip", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `${label ?? name}: ${value}` },
          el("span", { class: "t3" }, name), el("span", { class: "cut w5" }, value), icon("chevron-down", "i12"));
        button.addEventListener("click", () => menu(button, items()));
        chips.push(button);
      };
      const context = this.context();
      for (const key of context.keys) {
        const labels = context.labels[key] ?? [], picked = chosen.series[key] ?? [];
        chip(key, picked.length ? (picked.length === 1 ? picked[0] : `${picked.length} of ${count(labels.length)}`) : `All ${count(labels.length)}`, () => [
          { icon: picked.length ? "square" : "check", label: "All", act: () => this.choose({ series: { ...chosen.series, [key]: [] } }) }, "-",
          ...labels.slice(0, 200).map((label) => ({ icon: picked.includes(label) ? "check" : "square", label,
            act: () => this.choose({ series: { ...chosen.series, [key]: picked.includes(label) ? picked.filter((one) => one !== label) : [...picked, label] } }) })),
        ]);
      }
      chip("Step", written(chosen.every), () => stepsFor(context).map((every) => ({ icon: chosen.every === every ? "check" : "square", label: written(every), act: () => this.choose({ every }) })));
      chip("Compare", compareWith.find(([value]) => value === chosen.compare)?.[1] ?? written(chosen.compare), () => compareWith.map(([value, label]) => ({ icon: chosen.compare === value ? "check" : "square", label, act: () => this.choose({ compare: value }) })));
      const presets = el("div", { class: "seg", role: "group", "aria-label": "Range" }, presetsOf(context).map(([label, range]) =>
        el("button", { type: "button", "aria-pressed": String(JSON.stringify(range) === JSON.stringify(chosen.range)), onclick: () => this.choose({ range }) }, label)));
      const when = el("button", { type: "button", class: "chip board-when", "aria-haspopup": "dialog", onclick: () => this.dates(when) }, icon("calendar", "i14"), el("span", { class: "tn" }, this.said(context)));
      this.$refs.bar.replaceChildren(...chips, el("div", { class: "last" }, presets, when));
    },
    said({ range, span, zone }) {
      const [from, to] = range ?? span ?? [];
      return from === undefined ? "All" : `${moment(from, zone, to - from)} to ${moment(to, zone, to - from)}`;
    },
    // From and to by hand, in the zone of the page.
    dates(button) {
      document.querySelector(".board-dates")?.remove();
      const { range, span, zone } = this.context(), [from, to] = range ?? span ?? [Date.now() - 864e5, Date.now()];
      const input = (label, ms) => el("label", { class: "vs" }, el("span", { class: "t12 t3" }, label), el("input", { type: "datetime-local", step: "1", value: written.local(ms, zone) }));
      const ends = [input("From", from), input("To", to)], wrong = el("span", { class: "red t12", role: "alert" });
      const form = el("form", { class: "board-dates", role: "dialog", "aria-label": "Range" }, ...ends, el("span", { class: "t12 t3" }, `Times are in ${zone || "UTC"}`), wrong,
        el("div", { class: "hs" }, el("button", { type: "submit", class: "b fill small" }, "Show"), el("button", { type: "button", class: "b small", onclick: () => form.remove() }, "Cancel")));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const [a, b] = ends.map((one) => written.moment(one.querySelector("input").value, zone));
        if (!(a < b)) {
          wrong.textContent = "The end must come after the beginning.";
          return;
        }
        form.remove();
        button.focus();
        this.choose({ range: { from: a, to: b } });
      });
      form.addEventListener("keydown", (event) => { if (event.key === "Escape") { form.remove(); button.focus(); } });
      const box = button.getBoundingClientRect();
      document.body.append(form);
      Object.assign(form.style, { left: `${Math.max(8, Math.min(box.left, innerWidth - form.offsetWidth - 8))}px`, top: `${box.bottom + 4}px` });
      form.querySelector("input").focus();
    },
    range(range) {
      this.choose({ range: range ? { from: range[0], to: range[1] } : {} });
    },
    choose(change) {
      Object.assign(this.chosen, change);
      this.bar();
      this.draw();
    },
    // The address holds what is chosen: whoever opens it sees the same.
    written() {
      const here = new URL(location.href);
      written.address(here.searchParams, this.chosen, this.spec.variables);
      if (here.href !== location.href) history.replaceState(history.state, "", here);
    },
    // Changing
    change(act) {
      this.past.push(JSON.stringify(this.spec));
      if (this.past.length > 100) this.past.shift();
      this.ahead = [];
      act();
      this.later();
    },
    moved() {
      if (this.arranging || this.grid.getColumn() !== 12) return;
      const now = new Map(this.grid.save(false).map((node) => [node.id, node]));
      const differs = this.spec.panels.some((panel) => ["x", "y", "w", "h"].some((side) => (now.get(panel.id)?.[side] ?? panel[side]) !== panel[side]));
      if (differs) this.change(() => { for (const panel of this.spec.panels) for (const side of ["x", "y", "w", "h"]) panel[side] = now.get(panel.id)?.[side] ?? panel[side]; });
    },
    duplicate(id) {
      this.change(() => {
        const first = this.spec.panels.find((panel) => panel.id === id), bottom = Math.max(...this.spec.panels.map((panel) => panel.y + panel.h));
        const fits = first.x + 2 * first.w <= 12;
        const second = { ...copyOf(first), id: written.id(this.spec.panels), x: fits ? first.x + first.w : first.x, y: fits ? first.y : bottom };
        this.spec.panels.push(second);
        this.place(second).set(second, this.context());
      });
      this.moved();
    },
    remove(id) {
      this.change(() => {
        this.spec.panels = this.spec.panels.filter((panel) => panel.id !== id);
        this.drop(id);
      });
      toast("Panel removed", { label: "Undo", act: () => this.undo() });
    },
    drop(id) {
      const panel = this.panels.get(id);
      this.panels.delete(id);
      this.grid.removeWidget(panel.element.closest(".grid-stack-item"));
      panel.destroy();
    },
    undo() { this.travel(this.past, this.ahead); },
    redo() { this.travel(this.ahead, this.past); },
    travel(from, to) {
      if (!from.length) return;
      to.push(JSON.stringify(this.spec));
      this.arrange(JSON.parse(from.pop()));
      this.later();
    },
    // Bring the page to this specification: panels that stay are kept as they are drawn.
    arrange(spec) {
      this.arranging = true;
      this.spec = spec;
      const wanted = new Set(spec.panels.map((panel) => panel.id));
      for (const id of [...this.panels.keys()]) if (!wanted.has(id)) this.drop(id);
      this.grid.batchUpdate();
      for (const panel of spec.panels) {
        if (!this.panels.has(panel.id)) this.place(panel);
        else this.grid.update(this.panels.get(panel.id).element.closest(".grid-stack-item"), { x: panel.x, y: panel.y, w: panel.w, h: panel.h });
      }
      this.grid.batchUpdate(false);
      this.arranging = false;
      this.bar();
      this.draw();
    },
    key(event) {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || this.fixed || event.target.closest?.("input, textarea, [contenteditable]")) return;
      const name = event.key.toLowerCase();
      if (name === "z") event.shiftKey ? this.redo() : this.undo();
      else if (name === "y") this.redo();
      else return;
      event.preventDefault();
    },
    // Saving
    later() {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.save(), REST);
    },
    async save() {
      clearTimeout(this.waiting);
      this.waiting = null;
      if (this.fixed || this.stale) return;
      if (this.saving) {
        this.later();
        return;
      }
      this.saving = true;
      try {
        const answer = await fetch(`/api/v1/dashboards/${this.dashboard.id}`, { method: "PUT", credentials: "same-origin", keepalive: true,
          headers: { "Content-Type": "application/json" }, body: JSON.stringify({ spec: this.spec, revision: this.revision }) });
        const body = await answer.json().catch(() => ({}));
        if (answer.ok) {
          this.revision = body.revision;
          this.$emit("saved", { revision: body.revision });
        } else if (answer.status === 409) this.stale = true;
        else toast(body.detail ?? "The change could not be saved. It is kept on this page.", { label: "Try again", act: () => this.save() });
      } catch {
        toast("The server does not answer. Your change is kept on this page.", { label: "Try again", act: () => this.save() });
      } finally {
        this.saving = false;
      }
    },
    async reload() {
      const answer = await fetch(`/api/v1/dashboards/${this.dashboard.id}`, { credentials: "same-origin" });
      if (!answer.ok) return toast("The dashboard could not be loaded. Try again in a moment.");
      const now = await answer.json();
      this.revision = now.revision;
      this.stale = false;
      this.past = [];
      this.ahead = [];
      this.arrange(now.spec);
    },
    // Live
    changed({ dashboard, revision }) {
      if (dashboard !== this.dashboard.id || !revision || revision <= this.revision || this.saving) return;
      if (this.waiting) this.stale = true;
      else this.reload();
    },
    version(found) {
      if (!this.spec.panels.some((panel) => panel.dataset === found.dataset)) return;
      this.known = { ...this.known, [found.dataset]: { ...this.known[found.dataset], ...found } };
      this.bar();
      this.draw();
    },
    fullScreen() {
      this.$el.requestFullscreen?.();
    },
  },
};

export const beat = BEAT;
export const buttonOf = iconButton;
