// The page of a dashboard: panels on a grid, variables and a crosshair that they share, saved as they are changed.
// What is on the page is the specification of core/panels.py. It stands and draws before NiceGUI does: it is no component.

import "./style.js";
import "./board_style.js";
import { el, icon, menu, onTheme, script, toast, useIcons } from "./dom.js";
import { count, instant, moment, writeNumbersWith } from "./look.js";
import { Panel } from "./panel.js";
import { compacted } from "./places.js";
import { picker, popover } from "./popover.js";
import { PASSING, underway } from "./wire.js";
import { addressed, compareWith, copyOf, labelsKnown, lastOf, lost, outlives, presetsOf, rangesFor, resolved, stepsFor, undoable, valueUnder, written } from "./variables.js";

const REST = 800;  // ms without a change after which it is saved
const AGAIN = 5000;  // ms until a change that could not be saved is tried again
const STEP = 1500;  // ms within which movements are one step of the browser's history
const SOON = 700;  // ms after which what waits for the charts begins without them
const FLASH = 2400;  // ms, as in board_style.js
const DAY = 864e5;  // ms
const COLUMNS = 12;
const ROW = 84;
const ASIDE = "variosync-board:";  // and the dashboard: what was not saved when its page went away
const GAP = 8;
const SIDES = ["x", "y", "w", "h"];
const NARROW = "(max-width: 720px)";
// What the browser keeps for us, null where it refuses to or what it kept cannot be read.
const stored = (act) => { try { return act(localStorage); } catch { return null; } };
const UNITS = [["H", "hours"], ["D", "days"], ["W", "weeks"], ["M", "months"], ["Y", "years"]];

export class Board {
  // `given`: the dashboard (id, name, spec, revision), its datasets as ui/components/panels.py describes them, the name of
  // those that were `deleted` and until when they are kept, and what all pages of panels are given. `hooks.left` and `hooks.back` are called when the page is left and when it comes back.
  constructor(root, given) {
    const { dashboard, datasets, deleted, engines, icons, marks, zone, explore } = given;
    Object.assign(this, { root, dashboard, engines, zone, explore, hooks: {}, known: { ...datasets }, deleted: { ...deleted }, panels: new Map(), past: undoable.of(dashboard.id, dashboard.revision), ahead: [], told: 0, pushed: 0, connected: true, heard: true });
    Object.assign(this, { spec: copyOf(dashboard.spec), revision: dashboard.revision, ready: false, stale: false, unsaved: "", pending: false, away: false });
    useIcons(icons);
    writeNumbersWith(...marks);
    this.parts = {
      bar: el("div", { class: "board-bar", role: "toolbar", "aria-label": "Variables" }),
      note: el("div", { class: "board-note", role: "alert", hidden: true }),
      grid: el("div", { class: "board-grid grid-stack" }),
      empty: el("div", { class: "board-empty", hidden: true }, el("strong", {}, "Nothing here yet"), el("span", { class: "t3" }, "A panel draws measures of a dataset; make the first one in Explore."), el("a", { class: "b pri", href: this.adding() }, "Add panel")),
      said: el("div", { class: "board-said", "aria-live": "polite" }),
    };
    root.replaceChildren(...Object.values(this.parts));
    this.chosen = addressed(this.spec.variables);
    this.now({});
    this.listen();
    this.narrow = matchMedia(NARROW);
    this.narrow.addEventListener("change", () => {
      this.layOut();
      this.held();
    });
  }

  // Draw. The promise `drawn` ends when the charts are, or soon: what can wait leaves the browser to them.
  async start() {
    this.drawn = new Promise((resolve) => {
      this.whenDrawn = resolve;
      setTimeout(resolve, SOON);
    });
    this.layOut();
    this.draw();
    await underway();
    this.bar();
    this.settled();
    this.look();
    const asked = [...this.panels.values()].find(({ element }) => new URL(`#${element.id}`, location.href).hash === location.hash);
    asked?.element.scrollIntoView({ block: "center" });
    await this.drawn;
    if (asked) this.flash(asked.element);
    await this.takeHold();
  }

  // Let the eye find a panel: its frame lights up once.
  flash(element) {
    element.classList.add("found");
    setTimeout(() => element.classList.remove("found"), FLASH);
  }

  // Change what the page tells of itself: every such change goes through here.
  now(changes) {
    Object.assign(this, changes);
    const { root, parts, spec } = this, none = !spec.panels.length, away = lost(spec, this.known, this.deleted);
    Object.assign(root.dataset, { ready: this.ready ? "1" : "0", panels: spec.panels.length, revision: this.revision, saved: this.unsaved || this.pending || this.sending ? "0" : "1" });
    parts.bar.hidden = none;
    parts.empty.hidden = !none;
    document.getElementById("board-share")?.classList.toggle("pri", !none);  // one thing to do first
    this.tell(...(this.gone ? ["This dashboard was deleted elsewhere. What is drawn here stays until the page is left.", ["Dashboards", "", () => location.assign(`/dashboards?deleted=${this.dashboard.id}`)]] : this.stale ? ["This dashboard was changed elsewhere. Your last change is on this page alone.", ["Load it again", "", () => this.reload()], ["Keep mine", "ghost", () => this.overwrite()]]
      : this.aside ? [`A change made here on ${moment(this.aside.at, this.zone || "UTC", 6e5)} was not saved.`, ["Bring it back", "", () => this.bringBack()], ["Forget it", "ghost", () => this.forget()]]
      : this.unsaved ? [`${this.unsaved} Your change is kept on this page and is saved as soon as that is possible.`, ["Try again", "", () => this.save()]]
      : [away.text, ...(away.back.length ? [["Restore", "", () => this.undelete(away.back)]] : [])]));
    if (this.away !== away.all) {
      this.away = away.all;
      this.lively();
    }
  }

  // The note above the panels, with what can be done.
  tell(text, ...acts) {
    const { note } = this.parts;
    note.hidden = !text;
    if (note.firstChild?.textContent === text) return;
    note.replaceChildren(...(text ? [el("span", {}, text), el("span", { class: "hs" }, acts.map(([label, kind, act]) => el("button", { type: "button", class: `b small ${kind}`.trim(), onclick: act }, label)))] : []));
  }

  adding() {
    const first = this.spec.panels.find((panel) => panel.dataset)?.dataset ?? "";
    return `${this.explore}?${new URLSearchParams({ dashboard: this.dashboard.id, ...(first ? { dataset: first } : {}) })}`;
  }

  listen() {
    const on = addEventListener;
    on("keydown", (event) => this.key(event), { capture: true });
    on("popstate", () => { this.chosen = addressed(this.spec.variables); this.bar(); this.draw(); });
    on("beforeunload", (event) => {
      const large = (this.pending || this.saving) && !outlives(this.packed());
      // What follows a state that is on its way can only go once that has arrived.
      if (this.unsaved || this.stale || large || (this.pending && this.saving)) event.preventDefault();
      if (this.pending && !this.unsaved && !this.stale) this.save();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) return;
      this.putAside();
      if (this.pending && !this.unsaved) this.save();
    });
    on("pagehide", () => { this.putAside(); if (this.pending) this.save(); this.hooks.left?.(); });
    on("pageshow", (event) => { if (event.persisted) this.hooks.back?.(); });
    on("online", () => { if (this.unsaved) this.save(); });
    document.addEventListener("fullscreenchange", () => document.documentElement.classList.toggle("board-full", document.fullscreenElement === document.documentElement));
    this.themes = onTheme(() => this.panels.forEach((panel) => panel.restyle()));
    this.online = () => { this.connected = true; this.lively(); if (this.unsaved) this.save(); };
    this.offline = () => { this.connected = false; this.lively(); };
    this.follow();
  }

  // The socket of the page is made after its components.
  follow() {
    if (!window.socket) {
      setTimeout(() => this.follow(), 100);
      return;
    }
    window.socket.on("connect", this.online);
    window.socket.on("disconnect", this.offline);
  }

  // What all panels share, with the range resolved to moments.
  context() {
    return resolved(this.chosen, { datasets: this.known, zone: this.chosen.zone || this.zone, panels: this.spec.panels });
  }

  draw(push = false) {
    const context = this.context();
    for (const spec of this.spec.panels) this.panels.get(spec.id)?.set(spec, context);
    this.written(push);
  }

  // Places: a grid of twelve columns, and on phones one column in the order in which the panels are read. Panels stand
  // where gridstack will find them; it comes when the charts are drawn, since only a hand needs it.
  layOut() {
    const one = this.narrow.matches, place = this.parts.grid;
    this.grid?.destroy(false);
    this.grid = null;
    const bodies = this.spec.panels.map((spec) => this.panels.get(spec.id)?.element ?? this.body(spec));
    place.replaceChildren();
    place.className = one ? "board-grid one" : "board-grid grid-stack";
    place.removeAttribute("style");
    if (one) this.column();
    else {
      place.append(...this.spec.panels.map((spec, at) => this.cell(spec, bodies[at])));
      this.stand();
    }
    for (const panel of this.panels.values()) panel.placed = true;
  }

  stand() {
    const place = this.parts.grid, spots = compacted(this.spec.panels), share = (columns) => `calc(${columns} * 100% / ${COLUMNS})`;
    place.style.height = `${ROW * Math.max(0, ...spots.map(({ y, h }) => y + h))}px`;
    for (const side of ["top", "right", "bottom", "left"]) place.style.setProperty(`--gs-item-margin-${side}`, `${GAP}px`);
    for (const { id, x, y, w, h } of spots) Object.assign(this.item(id).style, { left: share(x), top: `${ROW * y}px`, width: share(w), height: `${ROW * h}px` });
  }

  // Let panels be moved by hand.
  async takeHold() {
    if (this.grid || this.narrow.matches) return;
    const Grid = await script(this.engines.gridstack, "GridStack");
    if (this.grid || this.narrow.matches) return;
    this.grid = Grid.init({ column: COLUMNS, cellHeight: ROW, margin: GAP, float: false, handle: ".panel-head", animate: false,
      resizable: { handles: "e,se,s,sw,w" } }, this.parts.grid);
    this.grid.on("change", () => this.moved());
    // Only what a hand moves glides: a panel asks for as many points as it is wide, and its first width must be its last.
    requestAnimationFrame(() => this.grid?.setAnimation(!matchMedia("(prefers-reduced-motion: reduce)").matches));
  }

  column() {
    const place = this.parts.grid, sorted = [...this.spec.panels].sort((a, b) => a.y - b.y || a.x - b.x);
    const cells = sorted.map((spec) => {
      const body = this.panels.get(spec.id)?.element ?? this.body(spec), found = body.parentElement?.matches(".board-cell") ? body.parentElement : el("div", { class: "board-cell" }, body);
      found.style.height = `${Math.max(spec.kind === "figure" || spec.kind === "note" ? 150 : 300, Math.min(spec.h, 5) * ROW - 2 * GAP)}px`;
      return found;
    });
    const same = cells.length === place.children.length && cells.every((cell, at) => place.children[at] === cell);
    if (!same) place.replaceChildren(...cells);
  }

  cell(spec, body) {
    const found = el("div", { class: "grid-stack-item", "gs-id": spec.id, "gs-min-w": "2", "gs-min-h": "2" }, el("div", { class: "grid-stack-item-content" }, body));
    for (const side of SIDES) found.setAttribute(`gs-${side}`, spec[side]);
    return found;
  }

  body(spec) {
    const body = el("section", { class: "panel", id: spec.id, "aria-label": spec.title || spec.kind, "data-panel": spec.id });
    const panel = new Panel(body, { engines: this.engines, hooks: {
      range: (range) => this.choose({ range: range ? this.whole(range) : {} }),
      hover: (ms) => this.panels.forEach((other) => { if (other !== panel) other.cursor(ms); }),
      edit: () => this.edit(spec.id),
      duplicate: () => this.duplicate(spec.id),
      more: () => !this.narrow.matches ? [{ icon: "move", label: "Move or resize", act: () => this.moves(spec.id) }] : [],
      remove: () => this.remove(spec.id),
      index: () => this.index(spec.id),
      link: () => `${location.origin}${location.pathname}${location.search}#${spec.id}`,
      asks: () => this.settled(),
      drawn: () => this.settled(),
    } });
    this.panels.set(spec.id, panel);
    return body;
  }

  place(spec) {
    if (this.narrow.matches) this.column();
    else {
      const cell = this.cell(spec, this.panels.get(spec.id)?.element ?? this.body(spec));
      this.parts.grid.append(cell);
      if (this.grid) this.grid.makeWidget(cell);
      else this.stand();
    }
    this.panels.get(spec.id).placed = true;
  }

  settled() {
    const ready = [...this.panels.values()].every((panel) => panel.element.dataset.ready === "1");
    if (ready !== this.ready) this.now({ ready });
    if (ready) this.whenDrawn();
    if (this.ready && !this.asking) this.labels();
  }

  // Variables
  bar() {
    const { chosen } = this, chips = [], context = this.context();
    const button = (name, value, act, kind = "menu") => {
      const made = el("button", { type: "button", class: "chip", "aria-haspopup": kind, "aria-expanded": "false", "aria-label": `${name}: ${value}` },
        el("span", { class: "t3" }, name), el("span", { class: "cut w5" }, value), icon("chevron-down", "i12"));
      made.addEventListener("click", () => act(made));
      made.dataset.variable = name;
      chips.push(made);
    };
    for (const key of context.keys) {
      const picked = valueUnder(chosen.series, key) ?? [];
      button(key, !picked.length ? `All ${count(context.totals[key])}` : picked.length <= 3 ? picked.join(", ") : `${picked.length} of ${count(context.totals[key])}`, (made) => this.pick(made, key), "dialog");
    }
    const options = (pairs, now, act) => pairs.map(([value, label]) => ({ icon: value === now ? "check" : "", chosen: value === now, label, act: () => act(value) }));
    button("Step", written(chosen.every), (made) => menu(made, options(stepsFor(this.context()).map((every) => [every, written(every)]), chosen.every, (every) => this.choose({ every }))));
    button("Compare", compareWith.find(([value]) => value === chosen.compare)?.[1] ?? written(chosen.compare), (made) => menu(made, options(compareWith, chosen.compare, (compare) => this.choose({ compare }))));
    const presets = el("div", { class: "seg", role: "group", "aria-label": "Range" }, presetsOf(context).map(([label, range]) =>
      el("button", { type: "button", title: range.last ? lastOf(range.last) : "All there is", "aria-pressed": String(JSON.stringify(range) === JSON.stringify(chosen.range)), onclick: () => this.choose({ range }) }, label)));
    const said = this.said(context), when = el("button", { type: "button", class: "chip board-when", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": `Range: ${said}` }, icon("calendar", "i14"), el("span", { class: "tn" }, said));
    when.addEventListener("click", () => this.dates(when));
    const focused = this.parts.bar.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent : null, prefix = focused?.split(":")[0];
    const held = document.querySelector(".board-pop") && this.picking;
    if (held) {
      const fresh = chips.find((chip) => chip.dataset.variable === this.picking.key);
      this.picking.button.replaceChildren(...fresh.childNodes);
      this.picking.button.setAttribute("aria-label", fresh.getAttribute("aria-label"));
      chips.splice(chips.indexOf(fresh), 1, this.picking.button);
    }
    this.parts.bar.replaceChildren(...chips, el("div", { class: "last" }, presets, when));
    if (prefix && !held) [...this.parts.bar.querySelectorAll("button")].find((one) => (one.getAttribute("aria-label") ?? one.textContent).split(":")[0] === prefix)?.focus();
  }

  pick(made, key) {
    const context = this.context(), picked = valueUnder(this.chosen.series, key) ?? [];
    this.picking = { button: made, key };
    picker(made, { name: key, labels: context.labels[key] ?? [], total: context.totals[key], picked, find: (text) => this.find(key, text), act: (labels) => this.choose({ series: { ...this.chosen.series, [key]: labels } }) });
  }

  shownDatasets() {
    return [...new Set(this.spec.panels.map((panel) => panel.dataset))].filter((id) => this.known[id]?.version);
  }

  // What keys hold is asked for when the panels stand.
  async labels() {
    this.asking = true;
    for (const id of this.shownDatasets()) {
      const dataset = this.known[id];
      if (!dataset.keys?.length || dataset.labels || dataset.keys.every((key) => labelsKnown(dataset, key))) continue;
      const answer = await this.rest(`/datasets/${id}/versions/${dataset.version}/keys`).catch(() => null);
      if (!answer) continue;
      this.known[id] = { ...this.known[id], labels: Object.fromEntries(answer.items.map(({ name, labels }) => [name, labels])) };
    }
    this.bar();
  }

  // Of very many values only the first are here; the labels of series tell of the others.
  async find(key, text) {
    const found = [];
    for (const id of this.shownDatasets()) {
      const dataset = this.known[id];
      if (!dataset.keys?.includes(key) || dataset.keys.length > 1 || labelsKnown(dataset, key)) continue;
      const answer = await this.rest(`/datasets/${id}/versions/${dataset.version}/labels?${new URLSearchParams({ query: text, limit: 200 })}`).catch(() => null);
      found.push(...(answer?.items ?? []));
    }
    return found;
  }

  said({ range, span, zone, step }) {
    const [from, to] = range ?? span ?? [];
    if (from === undefined) return "All";
    if (from === to) return instant(from, zone, step || DAY);
    return [from, to].map((at) => step >= DAY ? instant(at, zone, step) : moment(at, zone, to - from)).join(" to ");
  }

  // The last so many hours or days, or from and to by hand, in the zone of the page.
  dates(button) {
    this.picking = null;
    const context = this.context(), { range, span, zone } = context, [from, to] = range ?? span ?? [Date.now() - 864e5, Date.now()];
    const [, amount = "7", unit = "D"] = /^PT?(\d+)([HDWMY])$/.exec(this.chosen.range.last ?? "") ?? [];
    const size = el("input", { type: "number", min: "1", max: "999", value: amount, required: true, "aria-label": "How many" });
    const units = el("select", { "aria-label": "Unit" }, UNITS.map(([value, label]) => el("option", { value, selected: value === unit }, label)));
    const relative = el("form", { class: "line" }, el("label", { class: "field" }, el("span", { class: "t12 t3" }, "Last"), size), units, el("button", { type: "submit", class: "b small" }, "Show"));
    const quick = el("div", { class: "hs" }, rangesFor(context).slice(-5).map((last) => el("button", { type: "button", class: "b small ghost", onclick: () => done({ last }) }, lastOf(last))));
    quick.style.flexWrap = "wrap";
    const input = (label, ms) => el("label", { class: "vs" }, el("span", { class: "t12 t3" }, label), el("input", { type: "datetime-local", step: "1", required: true, value: written.local(ms, zone) }));
    const ends = [input("From", from), input("To", to)], wrong = el("span", { class: "red t12", role: "alert" });
    const fixed = el("form", {}, el("div", { class: "ends" }, ends), wrong, el("div", { class: "hs" }, el("button", { type: "submit", class: "b pri small" }, "Show"), el("span", { class: "t12 t3" }, `Times are in ${zone || "UTC"}`)));
    const { close } = popover(button, { label: "Range", classes: "wide" }, quick, relative, el("span", { class: "t12 t3" }, "Moves along with new data."), el("hr"), fixed);
    const done = (next) => {
      close();
      this.choose({ range: next });
    };
    relative.addEventListener("submit", (event) => {
      event.preventDefault();
      done({ last: `P${units.value === "H" ? "T" : ""}${Number(size.value)}${units.value}` });
    });
    fixed.addEventListener("submit", (event) => {
      event.preventDefault();
      const [a, b] = ends.map((one) => written.moment(one.querySelector("input").value, zone));
      if (a < b) done({ from: a, to: b });
      else wrong.textContent = "The end must come after the beginning.";
    });
  }

  // A range drawn by hand, in whole days where values are days apart: a step aside is at least one, and as long after as before.
  whole([from, to]) {
    const { step, zone, range, span } = this.context(), day = (at) => written.moment(`${written.local(at, zone).slice(0, 10)}T00:00:00`, zone);
    if (!(step >= DAY)) return { from, to };
    const now = range ?? span, aside = from - now[0], turn = Math.sign(aside);
    if (turn && Math.abs(aside - (to - now[1])) < 2) {
      const by = turn * Math.max(1, Math.round(Math.abs(aside) / DAY)) * DAY;
      return { from: day(now[0] + by + DAY / 2), to: day(now[1] + by + DAY / 2) };
    }
    const first = day(from);
    return { from: first, to: Math.max(day(to + DAY / 2), day(first + 1.5 * DAY)) };
  }

  choose(change) {
    Object.assign(this.chosen, change);
    this.draw(true);
    underway().then(() => this.bar());
  }

  // The address holds what is chosen: whoever opens it sees the same, and the browser's back goes a step back.
  written(push) {
    const here = new URL(location.href), now = performance.now();
    written.address(here.searchParams, this.chosen, this.spec.variables);
    if (here.href === location.href) return;
    history[push && now - this.pushed > STEP ? "pushState" : "replaceState"](history.state, "", here);
    if (push) this.pushed = now;
  }

  keepView() {
    this.change(() => { this.spec.variables = copyOf(this.chosen); });
    this.written(false);
    toast("The dashboard opens with this view from now on");
  }

  // Changing
  change(act) {
    this.past.push(JSON.stringify(this.spec));
    if (this.past.length > 100) this.past.shift();
    this.ahead = [];
    act();
    this.later();
  }

  // Where panels stand: what the grid made of a change belongs to that change, and is undone with it.
  stood() {
    const now = new Map((this.grid?.engine.nodes ?? []).map((node) => [node.id, node]));
    return this.spec.panels.flatMap((panel) => SIDES.filter((side) => Number.isInteger(now.get(panel.id)?.[side]) && now.get(panel.id)[side] !== panel[side]).map((side) => [panel, side, now.get(panel.id)[side]]));
  }

  keepPlaces() { for (const [panel, side, value] of this.stood()) panel[side] = value; }

  moved() {
    if (!this.arranging && this.stood().length) this.change(() => this.keepPlaces());
  }

  arranged(act) {
    this.arranging = true;
    act();
    this.keepPlaces();
    this.arranging = false;
  }

  edit(id) {
    const spec = this.spec.panels.find((panel) => panel.id === id);
    if (spec.kind === "note") return this.write(spec);
    const go = () => location.assign(`${this.explore}?${new URLSearchParams([...new URLSearchParams(location.search), ["dashboard", this.dashboard.id], ["panel", id]])}`);
    return this.pending || this.saving ? this.save().then(go) : go();
  }

  duplicate(id) {
    this.change(() => this.arranged(() => {
      const first = this.spec.panels.find((panel) => panel.id === id), bottom = Math.max(...this.spec.panels.map((panel) => panel.y + panel.h));
      const x = first.x + first.w, beside = x + first.w <= COLUMNS && !this.spec.panels.some((panel) => panel.x < x + first.w && panel.x + panel.w > x && panel.y < first.y + first.h && panel.y + panel.h > first.y);
      const second = { ...copyOf(first), id: written.id(this.spec.panels), x: beside ? x : first.x, y: beside ? first.y : bottom };
      this.spec.panels.push(second);
      this.place(second);
      this.panels.get(second.id).set(second, this.context());
      requestAnimationFrame(() => this.panels.get(second.id)?.element.scrollIntoView({ block: "nearest" }));
    }));
  }

  remove(id) {
    this.change(() => this.arranged(() => {
      this.spec.panels = compacted(this.spec.panels.filter((panel) => panel.id !== id));
      this.drop(id);
      this.bring(this.spec);
    }));
    this.settled();
    toast("Panel removed", { label: "Undo", act: () => this.undo() });
  }

  index(id) {
    this.change(() => { this.spec.panels = this.spec.panels.map((panel) => panel.id === id ? { ...panel, show: { ...panel.show, axis: "index" } } : panel); });
    this.draw();
  }

  drop(id) {
    const panel = this.panels.get(id), cell = panel.element.parentElement;
    this.panels.delete(id);
    panel.destroy();
    if (this.grid) this.grid.removeWidget(cell.parentElement);
    else (this.narrow.matches ? cell : cell.parentElement).remove();
  }

  undo() { this.travel(this.past, this.ahead, "Undone"); }

  redo() { this.travel(this.ahead, this.past, "Done again"); }

  travel(from, to, said) {
    if (!from.length) return said === "Undone" ? toast("Nothing was changed on this page since it was opened", { label: "Earlier states", act: () => this.past_states() }) : toast("There is nothing to do again");
    to.push(JSON.stringify(this.spec));
    this.arrange(JSON.parse(from.pop()));
    this.say(said);
    this.later();
    return undefined;
  }

  // Bring the page to this specification: panels that stay are kept as they are drawn.
  arrange(spec) {
    this.now({ spec });
    this.arranged(() => this.bring(spec));
    this.bar();
    this.draw();
    this.settled();
  }

  bring(spec) {
    const wanted = new Set(spec.panels.map((panel) => panel.id));
    for (const id of [...this.panels.keys()]) if (!wanted.has(id)) this.drop(id);
    if (this.narrow.matches) return this.column();
    this.grid?.batchUpdate();
    for (const panel of spec.panels) {
      if (!this.panels.has(panel.id)) this.place(panel);
      else this.grid?.update(this.item(panel.id), { x: panel.x, y: panel.y, w: panel.w, h: panel.h });
    }
    if (this.grid) this.grid.batchUpdate(false);
    else this.stand();
    return undefined;
  }

  // By keyboard: Shift and arrows move the panel that has the focus, with Ctrl they resize it.
  key(event) {
    if (event.altKey || event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
    const name = event.key.toLowerCase(), command = event.ctrlKey || event.metaKey, arrow = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] }[name];
    const id = event.target.closest?.("[data-panel]")?.dataset.panel;
    if (arrow && event.shiftKey && id && !this.narrow.matches) command ? this.resize(id, ...arrow) : this.move(id, ...arrow);
    else if (command && name === "z") event.shiftKey ? this.redo() : this.undo();
    else if (command && name === "y") this.redo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  moves(id) {
    const button = this.panels.get(id).more, again = (act) => () => { act(); this.moves(id); };
    const entry = (symbol, label, act) => ({ icon: symbol, label, act: again(act) });
    menu(button, [
      entry("chevron-left", "Move left", () => this.move(id, -1, 0)), entry("chevron-right", "Move right", () => this.move(id, 1, 0)),
      entry("arrow-up", "Move up", () => this.move(id, 0, -1)), entry("arrow-down", "Move down", () => this.move(id, 0, 1)), "-",
      entry("zoom-in", "Wider", () => this.resize(id, 1, 0)), entry("zoom-out", "Narrower", () => this.resize(id, -1, 0)),
      entry("plus", "Taller", () => this.resize(id, 0, 1)), entry("square", "Shorter", () => this.resize(id, 0, -1)), "-",
      { icon: "check", label: "Done" },
    ]);
  }

  item(id) { return this.panels.get(id).element.closest(".grid-stack-item"); }

  // Whether there is a grid to move panels on.
  async held() {
    await this.takeHold().catch((error) => toast(error.message));
    return !!this.grid;
  }

  // A step aside, or past the neighbour that stands there.
  async move(id, dx, dy) {
    if (!await this.held()) return;
    const mine = this.spec.panels.find((panel) => panel.id === id), across = dx ? ["x", "w", "y", "h"] : ["y", "h", "x", "w"], [at, size, other, span] = across, step = dx || dy;
    const beside = this.spec.panels.filter((panel) => panel !== mine && panel[other] < mine[other] + mine[span] && panel[other] + panel[span] > mine[other] && (step < 0 ? panel[at] + panel[size] <= mine[at] : panel[at] >= mine[at] + mine[size]));
    const next = beside.sort((a, b) => step < 0 ? b[at] + b[size] - a[at] - a[size] : a[at] - b[at])[0];
    const touching = next && (step < 0 ? next[at] + next[size] === mine[at] : next[at] === mine[at] + mine[size]);
    this.grid.batchUpdate();
    if (touching) {
      const first = step < 0 ? next : mine, last = step < 0 ? mine : next, from = first[at];
      this.grid.update(this.item(last.id), { [at]: from });
      this.grid.update(this.item(first.id), { [at]: from + last[size] });
    } else if (dx) this.grid.update(this.item(id), { x: Math.max(0, Math.min(COLUMNS - mine.w, mine.x + dx)) });
    this.grid.batchUpdate(false);
    this.moved();
    this.where(id);
  }

  async resize(id, dw, dh) {
    if (!await this.held()) return;
    const mine = this.spec.panels.find((panel) => panel.id === id), w = Math.max(2, Math.min(COLUMNS, mine.w + dw));
    this.grid.update(this.item(id), { x: Math.min(mine.x, COLUMNS - w), w, h: Math.max(2, Math.min(24, mine.h + dh)) });
    this.moved();
    this.where(id);
  }

  where(id) {
    const { title, kind, x, y, w, h } = this.spec.panels.find((panel) => panel.id === id);
    this.say(`${title || kind}: column ${x + 1}, row ${y + 1}, ${w} wide, ${h} tall`);
  }

  say(text) { this.parts.said.textContent = text; }

  // Notes
  note() {
    const bottom = Math.max(0, ...this.spec.panels.map((panel) => panel.y + panel.h));
    this.write({ id: written.id(this.spec.panels), x: 0, y: bottom, w: 4, h: 3, title: "Note", kind: "note", dataset: "", query: {}, show: { text: "" } }, true);
  }

  write(spec, fresh = false) {
    const title = el("input", { type: "text", maxlength: "200", value: spec.title, "aria-label": "Title" }), text = el("textarea", { maxlength: "5000", "aria-label": "Text" });
    text.value = spec.show.text ?? "";
    const { close } = this.dialog(fresh ? "New note" : "Note", el("form", { class: "body", onsubmit: (event) => {
      event.preventDefault();
      close();
      this.change(() => {
        const after = { ...spec, title: title.value, show: { ...spec.show, text: text.value } };
        if (fresh) {
          this.spec.panels.push(after);
          this.place(after);
        } else this.spec.panels = this.spec.panels.map((panel) => panel.id === spec.id ? after : panel);
        this.panels.get(spec.id).set(after, this.context());
      });
    } }, title, text, el("div", { class: "hs" }, el("button", { type: "submit", class: "b pri" }, "Keep"))));
    text.focus();
  }

  dialog(title, ...children) {
    const close = () => made.close(), made = el("dialog", { class: "board-dialog", "aria-label": title }, el("header", {}, el("h2", {}, title), el("button", { type: "button", class: "ib small", "aria-label": "Close", onclick: () => close() }, icon("x"))), ...children);
    made.addEventListener("close", () => made.remove());
    made.addEventListener("click", (event) => { if (event.target === made) close(); });
    document.body.append(made);
    made.showModal();
    return { made, close };
  }

  // Saved states
  async past_states() {
    if (this.pending || this.saving) await this.save();
    try {
      const { items } = await this.rest(`/dashboards/${this.dashboard.id}/revisions`);
      const { close } = this.dialog("History", el("ul", {}, items.map((one) => el("li", {}, el("div", { class: "vs grow" }, el("span", { class: "w5 cut" }, moment(Date.parse(one.saved_at), this.zone || "UTC", 6e5)), el("span", { class: "t12 t3" }, `State ${one.revision}, ${one.panels} panel${one.panels === 1 ? "" : "s"}`)),
        one.revision === this.revision ? el("span", { class: "badge line" }, "Shown") : el("button", { type: "button", class: "b small", "aria-label": `Restore state ${one.revision}`, onclick: () => { close(); this.restore(one.revision); } }, icon("undo-2", "i14"), "Restore")))));
    } catch (error) {
      toast(error.message);
    }
  }

  async restore(revision) {
    try {
      const before = JSON.stringify(this.spec), now = await this.rest(`/dashboards/${this.dashboard.id}/revisions/${revision}/restore`, { method: "POST" });
      this.take(now);
      this.past.push(before);
      undoable.keep(this.dashboard.id, now.revision, this.past);
      toast(`State ${revision} is shown again`, { label: "Undo", act: () => this.undo() });
    } catch (error) {
      toast(error.message);
    }
  }

  // Saving
  async rest(path, how = {}) {
    const answer = await fetch(`/api/v1${path}`, { credentials: "same-origin", ...how, headers: { Accept: "application/json", ...(how.body ? { "Content-Type": "application/json" } : {}) } }), body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(body.detail ?? `The server answered ${answer.status}. Try again in a moment.`), { status: answer.status, body });
    return body;
  }

  later(rest = REST) {
    clearTimeout(this.waiting);
    this.now({ pending: true });
    this.waiting = setTimeout(() => this.save(), rest);
  }

  packed() {
    return JSON.stringify({ spec: this.spec, revision: this.revision });
  }

  // Save what was changed, after the state that is on its way. The promise ends when that is done, or cannot be.
  save() {
    clearTimeout(this.waiting);
    const done = (this.saving ? this.saving.then(() => this.put()) : this.put()).then(() => {
      if (this.saving !== done) return;
      this.saving = null;
      if (this.told > this.revision) this.changed({ dashboard: this.dashboard.id, revision: this.told });
    });
    this.saving = done;
    return done;
  }

  // A phone takes a page away without asking, and what follows a state that is on its way has then not been sent.
  putAside() {
    if (!this.pending && !this.saving && !this.unsaved) return;
    stored((kept) => kept.setItem(ASIDE + this.dashboard.id, JSON.stringify({ spec: this.spec, at: Date.now() })));
  }

  // What was put aside is offered, unless it is what is shown.
  look() {
    const kept = stored((all) => JSON.parse(all.getItem(ASIDE + this.dashboard.id)));
    if (kept?.spec?.panels && JSON.stringify(kept.spec) !== JSON.stringify(this.spec)) this.now({ aside: kept });
    else this.forget();
  }

  forget() {
    stored((kept) => kept.removeItem(ASIDE + this.dashboard.id));
    if (this.aside) this.now({ aside: null });
  }

  bringBack() {
    const { spec } = this.aside;
    this.forget();
    this.change(() => this.arrange(spec));
  }

  async put() {
    if (this.stale || !this.pending) return;
    this.now({ pending: false, sending: true });
    try {
      // Small enough, it goes on its way even when the page is left.
      const body = this.packed();
      const saved = await this.rest(`/dashboards/${this.dashboard.id}`, { method: "PUT", keepalive: outlives(body), body });
      this.now({ revision: saved.revision, unsaved: "", sending: false });
      undoable.keep(this.dashboard.id, saved.revision, this.past);
      if (!this.pending && !this.aside) this.forget();
    } catch (error) {
      this.sending = false;
      if (error.status === 409) this.now({ stale: true });
      else if (error.status < 500 && !PASSING.includes(error.status)) {
        this.now({ unsaved: "" });
        toast(`The change was not saved: ${error.message}`, { label: "Undo it", act: () => this.undo() });
      } else {
        this.now({ unsaved: error.status ? `The change could not be saved: ${error.message}` : "The server does not answer." });
        this.later(AGAIN);
      }
    }
  }

  async reload() {
    try {
      this.take(await this.rest(`/dashboards/${this.dashboard.id}`));
    } catch (error) {
      toast(`The dashboard could not be loaded: ${error.message}`);
    }
  }

  async overwrite() {
    try {
      this.now({ revision: (await this.rest(`/dashboards/${this.dashboard.id}`)).revision, stale: false, pending: true });
      await this.save();
    } catch (error) {
      toast(`The dashboard could not be saved: ${error.message}`);
    }
  }

  take(now) {
    clearTimeout(this.waiting);
    Object.assign(this, { past: [], ahead: [] });
    this.now({ revision: now.revision, stale: false, unsaved: "", pending: false });
    this.arrange(now.spec);
    if (this.aside) {
      this.now({ aside: null });
      this.look();
    }
  }

  // Live: the server calls these.
  changed({ dashboard, revision, datasets, name }) {
    this.known = { ...datasets, ...this.known };
    if (dashboard !== this.dashboard.id) return;
    if (name) this.hooks.named?.(name);
    if (!revision || revision <= this.revision) return;
    this.told = Math.max(this.told, revision);
    if (this.saving) return;
    if (this.pending || this.unsaved) this.now({ stale: true });
    else this.reload();
  }

  ended() { this.now({ gone: true }); }

  version({ dataset, ...found }) {
    if (this.known[dataset]?.version === found.version && this.known[dataset]?.name === found.name) return;
    this.known = { ...this.known, [dataset]: found };
    this.asking = false;
    this.now({});
    this.bar();
    this.draw();
  }

  // Datasets were deleted while they are drawn here.
  lost(deleted) {
    Object.assign(this.deleted, deleted);
    this.known = Object.fromEntries(Object.entries(this.known).filter(([id]) => !deleted[id]));
    this.now({});
    this.bar();
    this.draw();
  }

  async undelete(ids) {
    try {
      for (const id of ids) await this.rest(`/datasets/${id}/undelete`, { method: "POST" });
    } catch (error) {
      return toast(error.message);
    }
    window.variosyncRail?.();
    // The server tells what they hold (`version`), where it can.
    return this.connected && this.heard ? undefined : location.reload();
  }

  hears(heard) {
    this.heard = heard;
    this.lively();
  }

  // Whether what happens elsewhere is seen here.
  lively() {
    const live = this.connected && this.heard, place = document.querySelector("[data-live]");
    if (!place) return;
    place.style.display = this.away && live ? "none" : "";  // nothing of what is drawn can change
    place.dataset.live = live ? "1" : "0";
    place.className = `badge ${live ? "ok" : "warn"}`;
    place.replaceChildren(icon(live ? "radio" : "unplug", "i12"), live ? "Live" : "Not live");
    place.title = live ? "New data and changes of others show by themselves" : "The connection is lost. What is shown may be old; it goes on by itself.";
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.();
  }
}
