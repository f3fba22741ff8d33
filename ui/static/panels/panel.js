// One panel: asks for what its specification says, draws it, and lets it be moved, read and taken away.
// Explore and dashboards are made of these. What a panel shares with its neighbours comes in by its context and goes
// out by its hooks, so that a page decides what is shared.

import { copyLink, el, icon, iconButton, menu, save, script, toast } from "./dom.js";
import { earlierOf, notCompared, withoutBegun } from "./earlier.js";
import { mount, tint } from "./fast.js";
import { differences, figure, file, pairs, reachOf, shadeOfChange, withLetters } from "./figure.js";
import { otherSteps } from "./foretold.js";
import { apart, colour, count, faded, instant, middle, per, seriesColour, short, shortSigned, signed } from "./look.js";
import { Marks } from "./marks.js";
import { markPartial } from "./partial.js";
import { keepsStep, ownStep, requestOf } from "./request.js";
import { AVERAGED, behind, besides, dense, howOf, lasting, leftOut, lieFlat, namesOf, OVER_TIME, scattered, scene, shareable, stepOf, subtitle, valuesOf } from "./scene.js";
import { datedBy, written } from "./variables.js";
import { PASSING, address, fileAddress, forecast, prefetch, query } from "./wire.js";
import { singleFigure, table } from "./words.js";

const LATER = 40;  // ms that a movement rests before it is asked for
const IDLE = 300;  // ms after a drawing until its neighbours are fetched
const MOST_WIDTH = 10_000;  // that a question may have; two values a pixel are told as they are
const CHOSEN = new Set(["heat", "calendar"]);  // kinds that draw one line at a time
const ONE_BY_ONE = new Set(["scatter", "table"]);  // values as they are where they are not too many, whatever there are pixels for
const READ = new Set(["table", "figure"]);

export class Panel {
  // `hooks`: range(from, to | null), hover(ms | null), edit, duplicate, remove, link() → address, asks(panel), drawn(panel). A menu
  // leaves out what has no hook. `engines`: addresses of the scripts that draw.
  constructor(element, { engines, hooks = {}, head = true }) {
    Object.assign(this, { element, engines, hooks, spec: null, context: null, answer: null, fast: null, fetches: 0, hidden: new Set(), chosen: "", window: null });
    this.title = el("h2", { class: "cut" });
    this.unit = el("span", { class: "t3 t12 cut panel-about" });
    this.badges = el("span", { class: "panel-badges" });
    this.more = iconButton("ellipsis", "Panel menu", () => menu(this.more, this.items()), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.header = el("header", { class: "panel-head" }, this.title, this.unit, this.badges, this.more);
    this.legend = el("div", { class: "panel-legend", hidden: true });
    this.stage = el("div", { class: "panel-stage" });
    this.plot = el("div", { class: "panel-plot" });
    this.cover = el("div", { class: "panel-cover sk", "aria-hidden": "true" });
    this.message = el("div", { class: "panel-message", hidden: true });
    this.tip = el("div", { class: "panel-tip", role: "tooltip", hidden: true });
    this.stage.append(this.plot, this.cover, this.message, this.tip);
    element.classList.add("panel");
    element.replaceChildren(...(head ? [this.header] : []), this.legend, this.stage);
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver(() => {
      this.measured = this.measure();
      if (this.measured.width) this.resized();  // what is hidden is drawn when it is shown
    });
    this.sizes.observe(this.stage);
    this.legend.addEventListener("pointerleave", () => this.fast?.focus(""));
    this.gestures();
    this.marks = new Marks(this);
  }

  // Draw this specification in this context; asks only when the answer would be another one.
  set(spec, context) {
    // Whoever holds the specification may change it in place: what stands here is told by what was drawn.
    const drawing = `${spec.kind} ${spec.dataset}`;
    if (this.drawing && this.drawing !== drawing) {
      this.clear();
      this.answer = null;  // the answer to another question is nothing to draw
      this.asked = "";
    }
    this.drawing = drawing;
    this.spec = spec;
    this.context = datedBy(spec.dataset, context);
    const title = spec.title || this.named(), timed = OVER_TIME.has(spec.kind);
    this.title.textContent = this.title.title = title;
    this.more.setAttribute("aria-label", `Menu of ${title}`);
    for (const [name, value] of Object.entries(timed ? { tabindex: "0", role: "application", "aria-label": `${title}. Arrow keys move, plus and minus zoom, 0 shows all.` } : { tabindex: null, role: null, "aria-label": null })) {
      if (value === null) this.stage.removeAttribute(name);
      else this.stage.setAttribute(name, value);
    }
    // What was chosen may not be quite where a hand left it, and the next step starts from there.
    if (timed && this.fast && this.range) this.follow(this.range);
    return this.refresh();
  }

  named() {
    const measures = this.spec.query.measures ?? [];
    return measures.length ? measures.join(", ") : this.spec.kind === "note" ? "Note" : this.context.datasets[this.spec.dataset]?.name ?? "Deleted dataset";
  }

  get range() {
    const own = this.spec.show?.own ?? {};
    return own.from !== undefined && own.to !== undefined ? [own.from, own.to] : this.context.range;
  }

  // How large the stage is, in px, as it was told last: whoever asks the page while it changes makes it lay itself out.
  size() {
    const { width, height } = this.measured?.width ? this.measured : this.measure();
    return { width: width || 400, height: height || 240 };
  }

  measure() {
    return { width: this.stage.clientWidth, height: this.stage.clientHeight };
  }

  width() {
    return Math.max(50, Math.min(4000, this.size().width - 60));
  }

  // What is asked for: the more bars stand beside one another, the fewer buckets there are, so that each is some pixels wide.
  asking() {
    const { spec, context } = this, width = this.width(), request = requestOf(spec, context, Math.max(1, Math.round(width / besides(spec, context))));
    const { span, step } = context.datasets[spec.dataset] ?? {};
    // Of a single moment nothing tells how long its bucket should be.
    if (!step && span && span[0] === span[1]) return request.map(([name, value]) => name === "every" && value === "auto" ? [name, lasting(span[0], context.zone) === 36e5 ? "PT1H" : "P1D"] : [name, value]);
    if (ONE_BY_ONE.has(spec.kind)) return request.map(([name, value]) => [name, name === "width" ? String(scattered(spec, context)) : value]);
    if (request.some(([name]) => name === "every") || !dense(spec, context, width)) return request;
    const averaged = { kind: "envelope", width: String(Math.max(1, Math.round(width / AVERAGED))) };
    return request.map(([name, value]) => [name, averaged[name] ?? value]);
  }

  // Fetching
  async refresh() {
    const { spec, context } = this, dataset = context.datasets[spec.dataset];
    if (spec.kind === "note") return this.written();
    if (!dataset) return this.hooks.remove ? this.tell("", "No data") : this.tell("This dataset was deleted.", "Bring it back under Datasets, Deleted, while it is kept there, or choose another one.");
    if (!dataset.version) return this.tell("This dataset has no rows yet.", "The panel draws itself as soon as it has.");
    if (dataset.span === null) return this.tell("This dataset has no rows.", "The panel draws itself as soon as it has.");
    if (spec.kind === "scatter" && (spec.query.measures?.length ?? 0) < 2) return this.tell("A scatter needs two measures.", "Choose the one across first, then the one upwards.");
    await this.laidOut();
    if (this.gone || this.spec !== spec || this.context !== context) return undefined;
    const request = this.asking();
    const asked = address(spec.dataset, dataset.version, request);
    if (asked === this.asked && (spec.show.forecast || "") === this.foretold) {
      if (this.going) return undefined;  // its answer draws what is wanted by then
      if (this.answer) return this.arrived();
    }
    clearTimeout(this.ahead);
    this.asked = asked;
    this.foretold = spec.show.forecast || "";
    this.abort?.abort();
    const abort = this.abort = new AbortController();
    this.going = true;
    this.element.dataset.ready = "0";
    this.hooks.asks?.(this);
    try {
      const [answer] = await Promise.all([query(spec.dataset, dataset.version, request, abort), this.engine(), this.foresee(spec)]).finally(() => { if (this.abort === abort) this.going = false; });
      if (abort.signal.aborted || this.gone) return;
      this.answer = answer;
      this.request = request;
      this.fetches += 1;
      this.arrived();
      if (OVER_TIME.has(spec.kind)) this.ahead = setTimeout(() => prefetch(spec.dataset, dataset.version, request, answer), IDLE);
    } catch (error) {
      if (error.name === "AbortError" || abort.signal.aborted || this.gone) return;
      this.asked = "";
      this.failed(error);
    }
  }

  failed(error) {
    const edit = error.status >= 400 && error.status < 500 && !PASSING.includes(error.status);
    const how = error.status === 401 ? "Sign in again; what is stored is kept." : error.status === 404 ? "It was deleted, or it is not yours. Nothing is changed." : edit ? "Nothing is changed. Ask for something else." : "What is stored is kept. Try again in a moment.";
    const act = edit && this.hooks.edit ? { label: "Edit", act: () => this.hooks.edit(this) } : edit ? null : { label: "Try again", act: () => this.refresh() };
    this.tell(error.message || "The points could not be fetched.", how, act, true);
  }

  // The forecast that is drawn over what happened; without it the chart stands as it is.
  async foresee(spec) {
    const { forecast: id } = spec.show;
    this.forecast = null;
    const mine = (this.foreseen = {});
    if (!id || !OVER_TIME.has(spec.kind)) return;
    const found = await forecast(id, spec.query.series?.[0]).catch((error) => ({ missing: error.message }));
    if (this.foreseen === mine) this.forecast = found; // else another one was chosen meanwhile
  }

  // A panel asks for as many points as it is wide, so it waits until the page has given it its place.
  laidOut() {
    if (this.placed) return null;
    return new Promise((resolve) => {
      let before = -1;
      const look = () => {
        const { clientWidth } = this.stage;
        if (this.gone || (clientWidth > 0 && clientWidth === before)) {
          this.placed = true;
          resolve();
          return;
        }
        before = clientWidth;
        requestAnimationFrame(look);
      };
      look();
    });
  }

  engine() {
    return OVER_TIME.has(this.spec.kind) ? script(this.engines.uplot, "uPlot") : null;
  }

  // What was chosen is here; a hand that goes on moving stays where it is.
  arrived() {
    if (!this.later) this.window = null;
    this.draw();
  }

  // Drawing
  draw() {
    const { spec, context } = this, answer = this.answer = withoutBegun(this.answer, earlierOf(this.spec, this.context), { zone: this.context.zone, step: this.context.datasets[this.spec.dataset]?.step ?? 0 });
    this.cover.hidden = true;
    this.message.hidden = true;
    this.plot.hidden = false;
    this.tip.hidden = true;
    if (!answer.empty) markPartial(answer, { every: this.request?.find(([name]) => name === "every")?.[1], zone: context.zone, step: context.datasets[spec.dataset]?.step ?? 0 });
    this.about = subtitle(spec, answer, context);
    this.unit.textContent = this.unit.title = this.about;
    if (answer.empty && !this.forecast?.models) {
      this.clear();
      const sieved = this.sieved();
      if (sieved) this.tell(`No value passes ${sieved === 1 ? "the filter" : `all ${count(sieved)} filters`}.`, this.hooks.edit ? "Change what it asks for under Edit." : "Take a filter off below the chart.", this.hooks.edit ? { label: "Edit", act: () => this.hooks.edit(this) } : null);
      else this.tell("No values between these times.", this.reaches() || "Its cells are empty.", context.range && this.hooks.range ? { label: "Show all", act: () => this.hooks.range(null) } : null);
    } else if (OVER_TIME.has(spec.kind)) this.overTime();
    else if (spec.kind === "table") table(this.plot, answer, spec, context);
    else if (spec.kind === "figure") singleFigure(this.plot, answer, spec, context);
    else this.still();
    this.notes();
    this.element.dataset.ready = "1";
    this.element.dataset.fetches = this.fetches;
    this.hooks.drawn?.(this);
  }

  // How many filters stand between what is asked for and the values that there are at these times; 0 where there are none.
  sieved() {
    const { answer: { span, start, end }, spec: { query } } = this;
    return span && span[0] <= end && span[1] >= start ? query.filters?.length ?? 0 : 0;
  }

  // From when to when there are values, of the chosen series or of the dataset.
  reaches() {
    const { span, step = 0 } = this.context.datasets[this.spec.dataset] ?? {}, [from, to] = this.answer.span ?? span ?? [];
    return from === undefined ? "" : `There are values from ${instant(from, this.context.zone, step || 1)} to ${instant(to, this.context.zone, step || 1)}.`;
  }

  overTime() {
    this.marks.ask();
    this.drawn = scene(this.spec, this.answer, this.context, { hidden: this.hidden, forecast: this.forecast?.models ? this.forecast : null, wide: this.width() });
    const fresh = !this.fast;
    this.fast ??= mount(window.uPlot, this.plot, { onRange: (from, to) => this.move(from, to), onReset: () => this.all(), onHover: (ms) => this.hover(ms), size: () => this.size() });
    this.fast.draw(this.drawn);
    if (this.window) this.fast.shift(...this.window);
    this.values();
    if (!fresh) return;
    this.measured = this.measure();  // the key has taken its room from it
    this.fast.resize();
  }

  // Kinds that are not over time: one drawing, made anew whenever it changes.
  still() {
    const names = namesOf(valuesOf(this.answer)), place = Math.max(0, names.indexOf(this.chosen));
    this.plot.replaceChildren(figure(this.spec, this.answer, this.context, { ...this.size(), chosen: place }));
    this.key_(names, place);
  }

  // Above a drawing: which line it is of, its shades, or the names of its colours.
  key_(names, place) {
    const { kind } = this.spec, parts = [];
    if (CHOSEN.has(kind)) {
      const called = apart(names, 60);
      if (names.length > 1) parts.push(el("select", { class: "panel-choose", "aria-label": "Drawn series", onchange: (event) => { this.chosen = event.target.value; this.draw(); } }, names.map((name, at) => el("option", { value: name, selected: at === place }, called[at]))));
      const line = valuesOf(this.answer)[place], differ = this.spec.kind === "calendar" && differences(this.spec, this.answer, this.context, line), [low, high] = reachOf(differ || (line.columns.value ?? line.columns.y)), most = Math.max(-low, high);
      if (differ && most > 0) parts.push(el("span", { class: "panel-ramp tn" }, shortSigned(-most), el("i", { style: { background: `linear-gradient(90deg, ${[-1, -0.02, 0.02, 1].map((part) => shadeOfChange(part, 1)).join(", ")})` } }), shortSigned(most)));
      else if (high === low) parts.push(el("span", { class: "panel-ramp tn" }, `all ${short(low)}`));
      else if (high > low) parts.push(el("span", { class: "panel-ramp tn" }, short(low), el("i", { style: { background: `linear-gradient(90deg, ${faded(colour("series-1"), 0.08)}, ${colour("series-1")})` } }), short(high)));
    } else if (kind === "scatter" || (kind === "histogram" && names.length > 1)) {
      const listed = kind === "scatter" ? pairs(this.spec, this.answer).map(({ name }) => name) : names, called = apart(listed);
      parts.push(...listed.map((name, at) => name && el("span", { class: "cut", title: name }, el("i", { class: "bx", style: { background: seriesColour(at) } }), el("span", { class: "cut" }, called[at]))).filter(Boolean));
    }
    this.legend.replaceChildren(...parts);
    this.legend.hidden = !parts.length;
    this.legend.dataset.shape = "";
  }

  // What the reader must know to read rightly: how many points a pixel stands for, what is not shown.
  notes() {
    const { spec, answer, context } = this, found = [], lines = valuesOf(answer);
    const most = Math.max(0, ...lines.map((line) => line.n)) / answer.width;
    if (!answer.exact && ["line", "envelope"].includes(answer.kind) && !lines.some((line) => line.columns.until) && OVER_TIME.has(spec.kind) && most > 1.5) found.push(answer.kind === "line" ? [`1 of ${count(most)} points a pixel`, "Each pixel draws the lowest and the highest of its points, so no extreme is missing"]
      : [`mean and range of ${count(most)} points`, `Each line is the mean of ${count(most)} points, and the band around it reaches from the lowest to the highest of them, so no extreme is missing. Zoom in to see the points`]);
    const drawn = OVER_TIME.has(spec.kind) ? this.drawn : null;
    if (drawn?.lines.some((line) => line.steps)) found.push(["bars drawn as steps", "Beside one another the bars would be thinner than 3 pixels, so each series is a line of steps as high as its bars. Choose a longer step, fewer series or stacked bars to see bars"]);
    if (drawn?.crowded > 1.5) found.push([`${count(drawn.crowded)} bars a pixel`, "Of the bars in a pixel only the tallest is seen. Choose a longer step or a shorter range"]);
    const out = leftOut(spec, answer, context, this.request ?? []);
    if (out) found.push([out, "The greatest are shown; choose others in the panel's query"]);
    if (CHOSEN.has(spec.kind) && lines.length > 1) found.push([`1 of ${count(lines.length)} series`, "Choose which one above the drawing"]);
    if (spec.kind === "candles" && lines.length > 1) found.push([`1 of ${count(lines.length)} series`, "Candles are drawn of one series: choose which in the panel's query"]);
    const { n, step } = spec.kind === "scatter" ? behind(lines) : {};
    if (n > 1) found.push([`1 point of ${count(n)} values`, `Each point is the ${howOf(spec.query)} of the values of a ${per(step)}, ${count(n)} of most. Choose another step or aggregation ${this.hooks.edit ? "under Edit" : "above the chart"}`]);
    const alone = notCompared(spec, answer, context, lines.some((line) => line.columns.until) ? stepOf(lines) : 0);
    if (alone) found.push(["not compared", alone]);
    const below = OVER_TIME.has(spec.kind) ? this.drawn?.left : spec.kind === "scatter" && spec.show.axis === "log" ? pairs(spec, answer).reduce((all, one) => all + one.y.reduce((many, value) => many + (value <= 0), 0), 0) : 0;
    if (below) found.push([`${answer.exact || lines.some((line) => line.columns.until) ? "" : "at least "}${count(below)} value${below === 1 ? "" : "s"} ≤ 0 not shown`, "Values at or below zero have no place on a logarithmic axis"]);
    if (spec.kind === "box" && spec.show.axis === "log" && lines.some((line) => line.columns.least?.[0] <= 0)) found.push(["linear axis", "There are values at or below zero, which have no place on a logarithmic axis"]);
    if (OVER_TIME.has(spec.kind) && this.drawn?.unindexed) found.push([`${count(this.drawn.unindexed)} not indexed`, "A line that begins at or below zero cannot be drawn as a share of its first value"]);
    if (OVER_TIME.has(spec.kind) && this.drawn?.unplaced) found.push([`${count(this.drawn.unplaced)} threshold${this.drawn.unplaced === 1 ? "" : "s"} not shown`, "Lines that are each a share of their own first value have no common place for it"]);
    if (context.every && context.every !== "auto" && keepsStep(spec) && ownStep(spec) !== context.every) found.push(["own step", "The step above does not move this panel: it tells of a period of its own"]);
    if (spec.kind === "line" && this.drawn && lieFlat(this.drawn)) {
      const differ = "The lines differ so much in size that the small ones cannot be read.";
      found.push(!shareable(this.drawn) ? ["small lines hard to read", `${differ} Put the large ones on the right axis, or draw them in a panel of their own`]
        : ["small lines hard to read", `${differ} ${this.hooks.index ? "Press to draw" : "Under Edit, Display, draw"} each as a share of its first value, which is 100`, this.hooks.index && { label: "Start all lines at 100", act: () => this.hooks.index(this) }]);
    }
    if (this.forecast?.missing && OVER_TIME.has(spec.kind)) found.push(["no forecast", `The forecast could not be fetched: ${this.forecast.missing}`]);
    const apart = OVER_TIME.has(spec.kind) && this.forecast?.models && !context.foretold ? otherSteps(this.forecast, lines, context.datasets[spec.dataset]?.step ?? 0) : null;
    if (apart) found.push(["not in the forecast's steps", `Values are per ${per(apart[0])}, the forecast is per ${per(apart[1])}: choose that step to compare them`]);
    if (OVER_TIME.has(spec.kind)) found.push(...this.marks.badge());
    this.badges.replaceChildren(...found.map(([text, title, act]) => act ? el("button", { type: "button", class: "badge panel-act", title, "aria-label": `${text}: ${act.label}`, onclick: act.act }, icon("chart-line", "i12"), act.label) : el("span", { class: "badge info", title }, text)));
  }

  written() {
    this.cover.hidden = true;
    this.legend.hidden = true;
    this.plot.replaceChildren(el("div", { class: "panel-note", tabindex: "0" }, this.spec.show.text.split(/\n{2,}/).map((text) => el("p", {}, text))));
    this.element.dataset.ready = "1";
    this.hooks.drawn?.(this);
  }

  tell(what, how, action = null, alert = false) {
    this.cover.hidden = true;
    this.plot.hidden = true;
    this.legend.hidden = true;
    this.badges.replaceChildren();
    this.message.hidden = false;
    this.message.setAttribute("role", alert ? "alert" : "note");
    this.message.replaceChildren(...(what ? [el("strong", {}, what)] : []), el("span", { class: "t3" }, how), ...(action ? [el("button", { type: "button", class: "b small", onclick: action.act }, action.label)] : []));
    this.element.dataset.ready = "1";
    this.hooks.drawn?.(this);
  }

  // The key above the chart, with values under the crosshair. A press hides a line, another one shows it again.
  values() {
    this.legend.hidden = false;
    if (this.drawn?.legend) {
      const said = this.drawn.legend(this.hovered ?? null), lines = (this.fast?.values() ?? []).filter(({ line }) => !line.nothing);
      this.legend.dataset.shape = "";
      this.unfold?.remove();
      this.legend.classList.add("open");
      this.legend.replaceChildren(...said.map(([name, value]) => el("span", {}, name && el("span", { class: "t3" }, name), el("b", { class: "tn" }, value))), ...lines.map(({ line, value }) => this.entry(line, value)));
      return;
    }
    const found = this.fast?.values() ?? [], gone = [...this.hidden].filter((name) => !found.some(({ line }) => line.name === name)), said = found.find(({ partial }) => partial)?.partial ?? "", shape = JSON.stringify([found.map(({ line }) => [line.name, line.colour, line.dash, line.fill, line.axis]), gone]);
    const changed = this.legend.dataset.shape !== shape;
    if (changed) {
      this.legend.dataset.shape = shape;
      // Whoever hides a line finds its name where it was, and the pointer stays on it.
      const wide = new Map([...this.legend.querySelectorAll("button")].map((one) => [one.title, one.offsetWidth]));
      if (!gone.length || !this.order) this.order = found.map(({ line }) => line.name);
      const place = (name) => this.order.includes(name) ? this.order.indexOf(name) : Infinity, shorter = apart([...found.map(({ line }) => line.name), ...gone]), entries = new Map([...found.map(({ line }, at) => [line.name, this.entry(line, null, false, shorter[at])]), ...gone.map((name, at) => [name, this.entry({ name, colour: "line-2" }, null, true, shorter[found.length + at])])]);
      for (const name of gone) if (wide.get(name)) entries.get(name).style.minWidth = `${wide.get(name)}px`;
      this.read = found.map(({ line }) => entries.get(line.name).querySelector("b"));
      this.legend.replaceChildren(...[...entries].sort(([a], [b]) => place(a) - place(b) || 0).map(([, entry]) => entry), el("span", { class: "t3 panel-part" }));
    }
    this.legend.lastChild.textContent = said && `partial: ${said}`;
    found.forEach((one, at) => { this.read[at].textContent = this.said(one.line, one.value, one); });
    if (changed) this.folded();
  }

  said(line, value, { index = null, at = null } = {}) {
    if (value === null) return line.counted ?? "";
    if (line.ring && at !== null) return `${short(value)}, expected ${short(line.low[at])} to ${short(line.high[at])}`;
    if (Array.isArray(value)) return `${short(value[0])} to ${short(value[1])}`;
    return `${line.averaged ? "avg " : ""}${short(value)}${line.unit ? (line.unit === "%" ? "%" : ` ${line.unit}`) : ""}${index === null ? "" : ` ${signed(index - 100, 0.1)}%`}`;
  }

  entry(line, value, off = false, said = middle(line.name)) {
    const mark = line.ring ? el("i", { class: "rg", style: { borderColor: tint(line) } }) : line.fill === "bars" || line.told ? el("i", { class: "bx", style: { background: tint(line) } }) : el("i", { class: "ln", style: { background: line.dash?.length ? `repeating-linear-gradient(90deg, ${tint(line)} 0 4px, transparent 4px 6px)` : tint(line) } });
    const stand = (name) => () => this.fast?.focus(name);
    return el("button", { type: "button", class: "panel-key", title: line.name, "aria-pressed": String(!off), onclick: (event) => event.detail === 2 ? this.alone(line.name) : this.hide(line.name), onpointerenter: stand(line.name), onpointerleave: stand(""), onfocus: stand(line.name), onblur: stand("") }, mark, el("span", { class: "cut" }, said), line.axis === "right" && el("span", { class: "t3" }, "right"), el("b", { class: "tn" }, this.said(line, value)));
  }

  hide(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.draw();
    [...this.legend.querySelectorAll("button")].find((one) => one.title === name)?.focus();
  }

  // Twice pressed, a name stands alone; once more, all are back.
  alone(name) {
    const others = (this.fast?.values() ?? []).map(({ line }) => line.name).concat([...this.hidden]).filter((one) => one !== name), already = others.every((one) => this.hidden.has(one));
    this.hidden = new Set(already ? [] : others);
    this.draw();
    [...this.legend.querySelectorAll("button")].find((one) => one.title === name)?.focus();
  }

  // A long key is two rows high until it is opened.
  folded() {
    this.wide = this.size().width;
    this.unfold?.remove();
    this.legend.classList.remove("open");
    if (this.legend.scrollHeight <= this.legend.clientHeight + 4) return;
    const all = this.legend.childElementCount - 1;
    this.unfold = el("button", { type: "button", class: "panel-unfold", "aria-expanded": "false", onclick: () => this.unfold.setAttribute("aria-expanded", String(this.legend.classList.toggle("open"))) }, `All ${count(all)}`);
    this.legend.after(this.unfold);
  }

  hover(ms) {
    this.hovered = ms;
    this.pointed = ms ?? this.pointed;
    if (ms === null) this.hooks.hover?.(null);  // later would be after the next panel that is pointed at
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.gone) return;
      if (this.hovered !== null) this.hooks.hover?.(this.hovered);
      if (this.fast) this.values();
    });
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
    const range = [Math.round(from), Math.round(to)];
    if (!(range[1] > range[0]) || range.some((ms) => Math.abs(ms) > 8e15)) return;
    this.follow(range);
    // One step is asked for at once; while a hand goes on moving, what lies between is not.
    const now = performance.now(), first = now - (this.moved ?? -Infinity) > 4 * LATER, choose = () => {
      this.later = 0;
      this.hooks.range?.(range);
    };
    this.moved = now;
    clearTimeout(this.later);
    if (first) choose();
    else this.later = setTimeout(choose, LATER);
  }

  // What is known already is drawn at another window with the next frame: the points for it are asked for before, and
  // the server works meanwhile.
  follow(window) {
    this.window = window;
    this.following ??= requestAnimationFrame(() => {
      this.following = null;
      if (!this.gone && this.window) this.fast?.shift(...this.window);
    });
  }

  // Show all; a movement that waits to be asked for does not come after it.
  all() {
    clearTimeout(this.later);
    this.later = 0;
    this.window = this.context.span ?? null;
    this.hooks.range?.(null);
  }

  shown() {
    return this.window ?? this.drawn.x;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea") || !OVER_TIME.has(this.spec?.kind)) return;
    if (event.key === "0" || event.key === "Home") this.all();
    else {
      if (!this.drawn) return;
      const [from, to] = this.shown(), size = to - from, middle = (from + to) / 2;
      const step = { ArrowLeft: -0.2, ArrowRight: 0.2 }[event.key], zoom = { "+": 0.5, "=": 0.5, "-": 2, _: 2 }[event.key];
      if (step) this.move(from + step * size, to + step * size);
      else if (zoom) this.move(middle - size * zoom / 2, middle + size * zoom / 2);
      else return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // Two fingers zoom and move; the wheel zooms with Ctrl; a pointer reads what is not over time.
  gestures() {
    let start = null;
    this.stage.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2 || !this.fast || !this.drawn) return;
      event.preventDefault();
      const box = this.fast.box(), [a, b] = [...event.touches].map((touch) => touch.clientX - box.left).sort((p, q) => p - q), [from, to] = this.shown();
      start ??= [a, b].map((x) => from + x / box.width * (to - from));
      const each = (start[1] - start[0]) / Math.max(8, b - a), begin = start[0] - a * each;
      this.move(begin, begin + box.width * each);
    }, { passive: false });
    for (const name of ["touchend", "touchcancel"]) this.stage.addEventListener(name, () => { start = null; });
    this.stage.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !this.fast || !this.drawn) return;
      event.preventDefault();
      const [from, to] = this.shown(), at = this.fast.at(event.clientX), by = Math.exp(Math.max(-200, Math.min(200, event.deltaY)) / 300);
      this.move(at - (at - from) * by, at + (to - at) * by);
    }, { passive: false });
    const read = (event) => {
      const said = event.target.closest?.("[data-tip]")?.dataset.tip;
      this.tip.hidden = !said;
      if (!said) return;
      const box = this.stage.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      if (this.tip.textContent !== said) this.tip.textContent = said;
      const left = x + 14 + this.tip.offsetWidth > box.width ? x - 14 - this.tip.offsetWidth : x + 14;
      this.tip.style.transform = `translate(${Math.max(4, Math.min(left, box.width - this.tip.offsetWidth - 4))}px, ${Math.max(4, Math.min(y - this.tip.offsetHeight / 2, box.height - this.tip.offsetHeight - 4))}px)`;
    };
    this.plot.addEventListener("pointermove", read);
    this.plot.addEventListener("pointerdown", read);
    this.plot.addEventListener("pointerleave", () => { this.tip.hidden = true; });
  }

  // Another width bears another number of points; what is there is stretched until they come.
  resized() {
    if (!this.spec || this.spec.kind === "note") return;
    if (this.answer && !this.answer.empty && this.message.hidden) {
      if (OVER_TIME.has(this.spec.kind)) {
        this.fast?.resize();
        if (this.size().width !== this.wide && !this.drawn?.legend) this.folded();
      } else if (!READ.has(this.spec.kind)) this.still();
    }
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => { if (!this.gone && this.placed) this.refresh(); }, 160);
  }

  restyle() {
    if (!this.answer || this.answer.empty || !this.message.hidden) return;
    this.legend.dataset.shape = "";
    this.draw();
    this.fast?.restyle();
  }

  // Taking away
  items() {
    const { hooks } = this, charts = this.spec.kind !== "note", drawn = charts && this.answer && this.message.hidden, full = document.fullscreenElement === this.element, stored = !!this.context.datasets[this.spec.dataset]?.version && charts;
    return [
      hooks.edit && { icon: "sliders-horizontal", label: "Edit", act: () => hooks.edit(this) },
      hooks.duplicate && { icon: "copy", label: "Duplicate", act: () => hooks.duplicate(this) },
      ...(hooks.more?.(this) ?? []),
      this.element.requestFullscreen && { icon: full ? "x" : "maximize", label: full ? "Leave full screen" : "Full screen", act: () => full ? document.exitFullscreen() : this.element.requestFullscreen() },
      stored && "-",
      drawn && { icon: "image", label: "Save as PNG", act: () => this.picture("png") },
      drawn && { icon: "image", label: "Save as SVG", act: () => this.picture("svg") },
      stored && { icon: "table", label: `Save as CSV${this.thinned()}`, href: this.file("csv") },
      stored && { icon: "database", label: `Save as Parquet${this.thinned()}`, href: this.file("parquet") },
      hooks.link && { icon: "link", label: "Copy link to this view", act: () => copyLink(this.hooks.link(this)) },
      hooks.remove && "-",
      hooks.remove && { icon: "trash-2", label: "Remove", danger: true, act: () => hooks.remove(this) },
    ];
  }

  // Lines are taken away by their values, as many of them as a file may hold, whatever there are pixels for.
  file(format) {
    const { spec, context } = this, asked = this.lined() ? requestOf(spec, context, MOST_WIDTH) : this.asking();
    return fileAddress(spec.dataset, context.datasets[spec.dataset].version, [...asked, ["name", this.called(this.heading())]], format);
  }

  // Whether values are drawn as they are, not buckets.
  lined() {
    return this.asking().some(([name, value]) => name === "kind" && (value === "line" || value === "envelope")) && !this.answer?.lines.some((line) => line.columns.until);
  }

  // How much of what it stands for a file of lines leaves out, for its entry in the menu.
  thinned() {
    const most = this.lined() ? Math.max(0, ...(this.answer?.lines ?? []).map((line) => line.n)) / (2 * MOST_WIDTH) : 0;
    return most > 1 ? `, 1 of ${count(Math.ceil(most))} values` : "";
  }

  // A picture carries its title and the names of its lines, which on the page stand around it.
  async picture(format) {
    try {
      const { width, height } = this.size(), titled = this.heading(), lines = valuesOf(this.answer), place = Math.max(0, namesOf(lines).indexOf(this.chosen));
      const about = [this.about, CHOSEN.has(this.spec.kind) && lines.length > 1 ? namesOf(lines)[place] : "", ...[...this.badges.children].map((badge) => badge.textContent)].filter(Boolean).join(", ");
      const drawing = figure(this.spec, this.answer, this.context, { width: Math.max(320, width), height: Math.max(200, height) + 72, titled, about, drawn: OVER_TIME.has(this.spec.kind) ? this.drawn : null, chosen: place });
      if (format === "png") await withLetters();
      save(`${this.called(titled)}.${format}`, await file(drawing, format));
    } catch (error) {
      toast(`The picture could not be made: ${error.message}`);
    }
  }

  // What a picture carries as its title, and what its file is called.
  heading() {
    return this.title.textContent || this.named();
  }

  // Every file of a panel tells its dataset, what it is of, and from when to when.
  called(title) {
    const { spec, context } = this, { name = "", span, step = 0 } = context.datasets[spec.dataset] ?? {}, { series = [], measures = [] } = spec.query, range = this.range ?? this.answer?.span ?? span;
    const of = middle(title === measures.join(", ") && measures.length > 3 ? `${measures.length} measures` : title, 60), one = series.length === 1 ? middle(series[0], 40) : "";
    const day = (ms) => written.local(ms, context.zone).slice(0, step >= 864e5 * 0.9 || range[1] - range[0] > 3 * 864e5 ? 10 : 16).replace(/T(..):(..)/, " $1$2");
    const ends = range ? [...new Set(range.map(day))].join(" to ") : "";
    return [title.includes(name) ? "" : middle(name, 60), of, title.includes(one) ? "" : one, ends].filter(Boolean).join(", ");
  }

  clear() {
    this.fast?.destroy();
    this.fast = null;
    this.drawn = null;
    this.unfold?.remove();
    this.legend.classList.remove("open");
    this.plot.replaceChildren();
    this.plot.sorting = null;
    this.legend.replaceChildren();
    this.legend.hidden = true;
    this.legend.dataset.shape = "";
    this.badges.replaceChildren();
  }

  destroy() {
    this.gone = true;
    this.abort?.abort();
    for (const timer of [this.later, this.resizing, this.ahead]) clearTimeout(timer);
    this.sizes.disconnect();
    this.clear();
  }
}
