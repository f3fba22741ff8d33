// The chart of a forecast: draws points that it fetches by URL, never over the UI socket.

const DAY = 864e5;
const DASHES = ["solid", "dash", "dot"];
const once = new Map();

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .forecast-chart { width: 100%; min-width: 0; }
  .forecast-chart > .chart-head { min-height: var(--head); display: flex; flex-wrap: wrap; align-items: center; gap: var(--s2); padding: 6px var(--s2) 6px var(--s4); }
  .chart-head .acts { margin-left: auto; display: flex; align-items: center; }
  .chart-head .key { margin-left: var(--s1); min-width: 0; flex-wrap: wrap; row-gap: 0; }
  .chart-head .key .ring { width: 8px; height: 8px; border: 1.5px solid; border-radius: 50%; } .chart-head .key .post { width: 2px; height: 12px; } .chart-head .key .dot { width: 7px; height: 7px; border-radius: 50%; }
  .chart-stage { position: relative; margin-bottom: 4px; } .chart-plot { height: 100%; }
  .chart-cover { position: absolute; inset: 8px 16px 28px; height: auto; }
  .chart-message { display: flex; flex-direction: column; align-items: center; justify-content: center; gap: var(--s2); text-align: center; background: var(--surface); }
  .chart-message.t3 { background: none; pointer-events: none; }
  @media (max-width: 720px) { .chart-head .acts { width: 100%; } .chart-head .seg button { padding: 0 8px; } }
`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const css = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
const dark = () => document.documentElement.dataset.theme === "dark" || document.body.classList.contains("body--dark");
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const count = (value) => Math.round(value).toLocaleString("en");
// As pages write it: a browser's own short months differ between versions ("Sep", "Sept").
const calendarDay = (day) => `${day.getUTCDate()} ${day.toLocaleDateString("en-US", { month: "short", timeZone: "UTC" })} ${day.getUTCFullYear()}`;

function remember(key, make) {
  if (!once.has(key)) {
    once.set(key, make().catch((error) => {
      once.delete(key);
      throw error;
    }));
  }
  return once.get(key);
}

const plotly = (src) => remember(src, () => window.Plotly ? Promise.resolve(window.Plotly) : new Promise((resolve, reject) => {
  const script = Object.assign(document.createElement("script"), { src, async: true });
  script.onload = () => resolve(window.Plotly);
  script.onerror = () => reject(new Error("The chart could not be loaded."));
  document.head.append(script);
}));

const templates = (src) => remember(src, async () => {
  const { base, light, dark } = await (await answered(src)).json();
  return { light: merge(base, light), dark: merge(base, dark) };
});

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function merge(a, b) {
  if (Array.isArray(a) && Array.isArray(b) && isObject(a[0])) return a.map((item, i) => merge(item, b[i]));
  if (!isObject(a) || !isObject(b)) return b === undefined ? a : b;
  return Object.fromEntries([...new Set([...Object.keys(a), ...Object.keys(b)])].map((key) => [key, merge(a[key], b[key])]));
}

async function answered(url, signal) {
  const answer = await fetch(url, { signal, credentials: "same-origin" });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Error(body.message ?? body.error?.message ?? body.detail ?? `The server answered ${answer.status}.`);
}

function faded(colour, alpha) {
  const value = parseInt(colour.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
}

function length(ms) {
  const units = [["year", 365.25 * DAY], ["day", DAY], ["hour", 36e5], ["minute", 6e4], ["second", 1e3]];
  const [name, size] = units.find(([, unit]) => ms >= unit) ?? ["ms", 1];
  const amount = ms / size;
  const text = amount >= 10 ? count(amount) : String(Math.round(amount * 10) / 10);
  return name === "ms" ? `${text} ms` : `${text} ${name}${text === "1" ? "" : "s"}`;
}

function ticks(low, high) {
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (size >= 1e5) return "~s";
  return size < 1e-3 ? "~g" : ",~f";
}

// Runs of neighbours between NaNs, as [from, to) pairs.
function runs(y) {
  const found = [];
  let from = -1;
  for (let i = 0; i <= y.length; i++) {
    const empty = i === y.length || Number.isNaN(y[i]);
    if (empty && from >= 0) {
      found.push([from, i]);
      from = -1;
    } else if (!empty && from < 0) from = i;
  }
  return found;
}

// One closed outline a run: `tonexty` would bridge the gaps.
function area(t, lo, hi, parts) {
  const x = [], y = [];
  for (const [from, to] of parts) {
    for (let i = from; i < to; i++) x.push(t[i]), y.push(hi[i]);
    for (let i = to - 1; i >= from; i--) x.push(t[i]), y.push(lo[i]);
    x.push(null), y.push(null);
  }
  return { x, y };
}

const shade = (x, y, fillcolor) =>
  ({ type: "scatter", x, y, mode: "lines", fill: "toself", fillcolor, line: { width: 0 }, hoverinfo: "skip", hoveron: "points", showlegend: false });

// How the key draws a line of this dash, in 12 pixels.
const STROKES = { dash: "5px, transparent 5px 7px", dot: "2px, transparent 2px 5px" };
const stroke = ({ colour, dash }) => STROKES[dash] ? `repeating-linear-gradient(90deg, ${colour} 0 ${STROKES[dash]})` : colour;

const stamp = (value) => typeof value === "number" ? value : Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(value) ? value : `${value.replace(" ", "T")}${/[T ]/.test(value) ? "" : "T00:00"}Z`);

export default {
  template: `
    <div class="forecast-chart" role="group" :aria-label="label" :data-ready="ready ? '1' : '0'" :data-fetches="fetches">
      <header class="two chart-head">
        <div class="seg" role="group" aria-label="Range">
          <button v-for="name in ['Recent', 'All']" :key="name" type="button" :aria-pressed="preset === name"
            @click="setRange(name)">{{ name }}</button>
        </div>
        <div class="key">
          <span v-for="item in key" :key="item.name" class="cut" :title="item.name">
            <i :class="item.shape ?? 'ln'" :style="item.shape === 'ring' ? { borderColor: item.colour } : { background: stroke(item) }"></i>{{ item.name }}
          </span>
        </div>
        <div class="acts">
          <button v-for="[format, drawing] in [['PNG', icons.image], ['SVG', icons.lines]]" :key="format" type="button"
            class="ib small" :aria-label="'Save as ' + format" :title="'Save as ' + format" @click="savePicture(format.toLowerCase())">
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round"
              stroke-linejoin="round" aria-hidden="true" v-html="drawing"></svg></button>
          <a class="ib small" aria-label="Save as CSV" title="Save as CSV" :href="csv" download>
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round"
              stroke-linejoin="round" aria-hidden="true" v-html="icons.table"></svg></a>
          <button type="button" class="ib small" aria-label="Copy link to this view" title="Copy link to this view"
            @click="copyLink">
            <svg class="i" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round"
              stroke-linejoin="round" aria-hidden="true" v-html="copied ? icons.check : icons.link"></svg></button>
          <span class="vh" aria-live="polite">{{ said }}</span>
        </div>
      </header>
      <div class="chart-stage" :style="{ height: height + 'px' }">
        <div ref="plot" class="chart-plot"></div>
        <div v-if="!drawn && !problem" class="sk chart-cover" aria-hidden="true"></div>
        <div v-if="problem" class="chart-cover chart-message" role="alert">
          <strong>{{ problem }}</strong><span class="t3">The data is kept. Try again in a moment.</span>
          <button type="button" class="b small" @click="load">Try again</button>
        </div>
        <div v-else-if="drawn && empty" class="chart-cover chart-message t3">No values between these times.</div>
      </div>
    </div>`,
  props: {
    url: String, height: Number, label: String, name: String, plotly: String, template_url: String, labels: Object, csv: String, icons: Object,
    // The models to draw (none: all), whose bands, and whether to mark what stands out in the history.
    shown: { type: Array, default: () => [] }, chosen: { type: String, default: "" }, marks: { type: Boolean, default: true },
  },
  data() {
    return {
      ready: false, fetches: 0, drawn: false, problem: "", empty: false, key: [], copied: false, said: "", preset: "Recent",
    };
  },
  watch: {
    shown() { this.again(); },
    chosen() { this.again(); },
    marks() { this.again(); },
  },
  mounted() {
    this.themes = new MutationObserver(() => this.restyle());
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["class", "data-theme"] });
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.$refs.plot);
    this.load();
  },
  beforeUnmount() {
    this.gone = true;
    this.request?.abort();
    this.themes?.disconnect();
    this.sizes?.disconnect();
    if (this.engine) this.engine.purge(this.$refs.plot);
  },
  methods: {
    stroke,
    setRange(name) {
      this.preset = name;
      return this.draw();
    },
    // Fetching
    pixels() {
      return Math.min(4000, Math.max(50, Math.round((this.$refs.plot?.clientWidth || 1000) - 60)));
    },
    async load() {
      this.request?.abort();
      const request = this.request = new AbortController();
      this.ready = false;
      this.problem = "";
      try {
        const [engine, both, answer] = await Promise.all([plotly(this.plotly), templates(this.template_url), answered(this.url, request.signal).then((found) => found.json())]);
        if (request.signal.aborted || this.gone) return;
        this.engine = engine;
        this.both = both;
        this.answer = answer;
        this.fetches += 1;
        this.width = this.pixels();
        await document.fonts?.ready;
        await this.draw(this.zoom);
        if (!request.signal.aborted) this.ready = true;
      } catch (error) {
        if (error.name !== "AbortError" && !this.gone) this.problem = error.message || "The points could not be fetched.";
      }
    },
    // Moving
    relayout(event) {
      const from = event["xaxis.range[0]"] ?? event["xaxis.range"]?.[0], to = event["xaxis.range[1]"] ?? event["xaxis.range"]?.[1];
      if (from === undefined || to === undefined || this.drawing) return;
      this.preset = "";
      this.draw([stamp(from), stamp(to)]);
    },
    resized() {
      if (!this.drawn || !this.$refs.plot.clientWidth) return;
      clearTimeout(this.resizing);
      this.resizing = setTimeout(() => {
        if (this.gone || Math.abs(this.pixels() - this.width) < 2) return;
        this.draw(this.zoom);
      }, 150);
    },
    // Drawing
    async restyle() {
      const theme = dark();
      if (!this.drawn || theme === this.theme) return;
      this.ready = false;
      await this.draw(this.zoom);
      this.ready = true;
    },
    async again() {
      if (!this.drawn) return;
      this.ready = false;
      await this.draw(this.zoom);
      this.ready = true;
    },
    async draw(zoom = null) {
      if (!this.answer) return;
      this.theme = dark();
      this.zoom = zoom;
      const { data, layout } = this.forecastFigure(zoom);
      const plot = this.$refs.plot, first = !this.drawn;
      const sized = { autosize: false, width: plot.clientWidth, height: this.height };
      this.drawing = true;
      await this.engine.react(plot, data, { template: this.both[this.theme ? "dark" : "light"], ...sized, ...layout },
        { displayModeBar: false, doubleClick: false, responsive: false, showTips: false });
      this.drawing = false;
      this.width = this.pixels();
      this.drawn = true;
      if (first) {
        plot.on("plotly_relayout", this.relayout);
        plot.on("plotly_doubleclick", () => this.setRange("All"));
      }
    },
    colour(place) {
      return css(`series-${place % 8 + 1}`);
    },
    axes(x, [low, high]) {
      const { tickformatstops } = this.both.light.layout.xaxis;  // Plotly leaves lists out of a template
      const pad = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 1;
      const floor = low >= 0 && low - pad < 0 ? 0 : low - pad;
      return {
        margin: { l: 44, r: 16, t: 8, b: 40 },
        xaxis: { type: "date", tickformatstops, range: x[1] > x[0] ? x : [x[0] - 1000, x[1] + 1000], autorange: false, nticks: this.pixels() < 500 ? 4 : 9,
          hoverformat: this.hover(x[1] - x[0]) },
        yaxis: { range: [floor, high + pad], fixedrange: true, automargin: true, tickformat: ticks(low, high) },
      };
    },
    hover(span) {
      if (span > 40 * DAY * 365) return "%-d %b %Y";
      return span > 2 * 36e5 ? "%-d %b %Y, %H:%M" : span > 6e4 ? "%-d %b %Y, %H:%M:%S" : "%-d %b %Y, %H:%M:%S.%L";
    },
    // Gaps are drawn as grey spans, labelled where there is room; `end` is where the chart ends.
    shades(gaps, span, end) {
      const widest = [...gaps].sort((a, b) => b[1] - b[0] - a[1] + a[0]).slice(0, 200);
      const pixel = span / this.pixels(), shapes = widest.map(([x0, x1]) =>
        ({ type: "rect", x0, x1, y0: 0, y1: 1, yref: "paper", fillcolor: css("sunken"), line: { width: 0 }, layer: "below" }));
      const right = (to) => end - to > 110 * pixel;
      // What would stand where the cutoff is told is left out.
      const labelled = this.pixels() < 500 ? [] : widest.slice(0, 3).filter(([from, to]) => to - from >= 8 * pixel && (right(to) || from < end));
      const annotations = labelled.map(([from, to]) => ({ x: right(to) ? to : from, y: 1, yref: "paper", yanchor: "top",
        xanchor: right(to) ? "left" : "right", xshift: right(to) ? 6 : -6, text: `gap, ${length(to - from)}` }));
      return { shapes, annotations };
    },
    forecastFigure(zoom) {
      const { history, cutoff, came } = this.answer, known = (name) => this.labels[name] ?? name;
      const models = this.answer.models.map((model, at) => {
        const named = Object.keys(this.labels).indexOf(model.name), place = named < 0 ? at : named;
        return { ...model, colour: this.colour(place), dash: DASHES[1 + place % 2] };
      });
      const usable = models.filter((model) => model.t.length && model.mean.some((value) => value !== null));
      const drawn = usable.filter((model) => !this.shown.length || this.shown.includes(model.name));
      const best = drawn.find((model) => model.name === this.chosen) ?? drawn[0];
      const data = [], lines = [{ name: "actual", colour: css("ink") }], bands = best ? this.bands(best, data) : [];
      const line = (x, y, name, style) => data.push({ type: "scatter", x, y: y.map((v) => v ?? NaN), name: plain(name), mode: y.length === 1 ? "markers" : "lines",
        line: style, marker: { color: style.color }, hovertemplate: `%{y:,.5~g}<extra>${plain(name)}</extra>` });
      const base = this.answer.base.find((model) => model.name === best?.name);
      if (base) {
        const name = `${known(base.name)} before the change`;
        line(base.t, base.mean, name, { color: css("text-3"), width: 1.5, dash: "dash" });
        lines.push({ name, colour: css("text-3"), dash: "dash" });
      }
      drawn.filter((model) => model !== best).forEach(({ t, mean, name, colour, dash }) => {
        line(t, mean, known(name), { color: colour, width: 1.25, dash });  // named by its switch above the chart
      });
      line(history.t, history.y, "actual", { color: css("ink"), width: 1.5 });
      const past = history.y.map((v) => v ?? NaN), alone = runs(past).filter(([from, to]) => to - from === 1).map(([from]) => from);
      if (alone.length && past.length > 1) data.push({ type: "scatter", x: alone.map((i) => history.t[i]), y: alone.map((i) => past[i]), mode: "markers",
        marker: { size: 3, color: css("ink"), line: { width: 0 } }, hoverinfo: "skip", showlegend: false });
      if (best) {
        line(best.t, best.mean, known(best.name), { color: best.colour, width: 2 });
        lines.splice(1, 0, { name: known(best.name), colour: best.colour });
      }
      if (came) {
        data.push(this.arrived(came));
        lines.splice(1, 0, { name: "came since", shape: "dot", colour: css("ink") });
      }
      const start = history.t[0] ?? cutoff, last = Math.max(cutoff ?? -Infinity, ...usable.flatMap((model) => model.t.slice(-1)), ...history.t.slice(-1));
      const recent = cutoff === null ? start : Math.max(start, cutoff - 4 * (last - cutoff));
      const from = this.preset === "All" ? start : recent;
      const range = zoom ?? [from, last + (last - from) * 6 / this.pixels()];  // room for the dot of the last step
      const noted = this.noted(start, data);
      this.key = [...lines, ...bands, ...noted.key];
      this.empty = !history.t.length && !best;
      const cut = this.cutLine(cutoff, range), span = range[1] - range[0];
      // The label of the cutoff stands on its left, so that those of gaps keep away from there.
      const gaps = this.shades(this.holes(history, range), span, (cutoff ?? range[1]) - 130 * span / this.pixels());
      return { data, layout: { ...this.axes(range, this.seen(data, range)), shapes: [...gaps.shapes, ...cut.shapes, ...noted.shapes],
        annotations: [...gaps.annotations, ...cut.annotations] } };
    },
    // What came after the cutoff: dots, so that it is told apart from the history and from every forecast.
    arrived({ t, y }) {
      const ink = css("ink"), shown = Math.max(1, this.pixels() / (this.preset === "All" ? 10 : 1));
      return { type: "scatter", x: t, y: y.map((v) => v ?? NaN), name: "came since", mode: "lines+markers",
        line: { color: ink, width: 1, dash: "dot" }, marker: { size: t.length > shown / 12 ? 4 : 7, color: ink, line: { width: 1, color: css("surface") } },
        hovertemplate: "%{y:,.5~g}<extra>came since</extra>" };
    },
    // Spans of the history without a value that are wide enough to be seen.
    holes({ t, y }, [from, to]) {
      const least = 2 * (to - from) / this.pixels(), parts = runs(y.map((v) => v ?? NaN));
      return parts.slice(1).map(([start], i) => [Math.max(from, t[parts[i][1] - 1]), Math.min(to, t[start])]).filter(([a, b]) => b - a >= least);
    },
    // The widest band lies lowest; returns their lines of the key, the narrowest first.
    bands(model, data) {
      const key = [], blue = model.colour === this.colour(0);
      for (const low of Object.keys(model.q).filter((q) => Number(q) < 0.5).sort((a, b) => a - b)) {
        const high = Object.keys(model.q).find((q) => Math.abs(Number(q) + Number(low) - 1) < 1e-9);
        if (!high) continue;
        const level = Math.round((1 - 2 * Number(low)) * 1000) / 10, wide = level > 90;
        const fill = blue ? css(wide ? "band-95" : "band-80") : faded(model.colour, wide ? 0.15 : 0.26);
        const under = model.q[low].map((v) => v ?? NaN), over = model.q[high].map((v) => v ?? NaN);
        const { x, y } = area(model.t, under, over, runs(under));
        data.push({ ...shade(x, y, fill), name: `${level}%`, showlegend: true });
        key.unshift({ name: `${level}%`, shape: "bx", colour: fill });
      }
      return key;
    },
    noted(start, data) {
      const inside = (this.marks && this.answer.notes || []).filter((note) => note.t >= start), of = (kind) => inside.filter((note) => note.kind === kind);
      const anomalies = of("anomaly"), changes = of("changepoint"), red = css("red"), amber = css("amber"), key = [];
      if (anomalies.length) {
        data.push({ type: "scatter", mode: "markers", name: "anomaly", x: anomalies.map((note) => note.t), y: anomalies.map((note) => note.y),
          customdata: anomalies.map((note) => [note.low, note.high]), marker: { size: 9, color: "rgba(0, 0, 0, 0)", line: { width: 1.75, color: red } },
          hovertemplate: "expected %{customdata[0]:,.4~g} to %{customdata[1]:,.4~g}<extra>anomaly</extra>" });
        key.push({ name: anomalies.length === 1 ? "anomaly" : "anomalies", shape: "ring", colour: red });
      }
      if (changes.length) key.push({ name: changes.length === 1 ? "changepoint" : "changepoints", shape: "post", colour: amber });
      const shapes = changes.map(({ t }) => ({ type: "line", x0: t, x1: t, y0: 0, y1: 1, yref: "paper", layer: "below", line: { color: amber, dash: "dot", width: 1.5 } }));
      return { key, shapes };
    },
    cutLine(cutoff, range) {
      if (cutoff === null) return { shapes: [], annotations: [] };
      const right = (cutoff - range[0]) / (range[1] - range[0]) * this.pixels() < 120;
      return {
        shapes: [{ type: "line", x0: cutoff, x1: cutoff, y0: 0, y1: 1, yref: "paper", line: { color: css("text-3"), dash: "dash", width: 1 } }],
        annotations: [{ x: cutoff, y: 1, yref: "paper", xanchor: right ? "left" : "right", yanchor: "top", xshift: right ? 6 : -6, bgcolor: css("surface"),
          text: `cutoff ${calendarDay(new Date(cutoff))}` }],
      };
    },
    seen(data, [from, to]) {
      let low = Infinity, high = -Infinity;
      for (const { x, y } of data) {
        for (let i = 0; i < x.length; i++) {
          if (x[i] === null || x[i] < from || x[i] > to || !Number.isFinite(y[i])) continue;
          low = Math.min(low, y[i]);
          high = Math.max(high, y[i]);
        }
      }
      return low <= high ? [low, high] : [0, 1];
    },
    // Taking away
    async savePicture(format) {
      if (!this.drawn) return;
      // On the page the card's head names the chart and its lines; the picture carries both itself.
      const { data, layout } = this.$refs.plot, width = this.$refs.plot.clientWidth, head = 64;
      const named = { ...layout, width, height: this.height + head, showlegend: true, margin: { ...layout.margin, t: head, b: 44 },
        title: { text: plain(this.name), x: 0, xref: "paper", xanchor: "left", y: 1, yref: "container", yanchor: "top", pad: { t: 14 } } };
      const href = await this.engine.toImage({ data, layout: named }, { format, width, height: named.height, scale: format === "png" ? 2 : 1 });
      const parts = [this.name, ...this.drawnOf()];
      Object.assign(document.createElement("a"), { href, download: `${parts.join(", ").replace(/[\\/:*?"<>|]/g, "-")}.${format}` }).click();
    },
    // What a picture of a forecast is of, for the name of its file.
    drawnOf() {
      const { series, cutoff } = this.answer, model = this.labels[this.chosen] ?? this.chosen;
      return [series, model, cutoff === null ? "" : `cutoff ${new Date(cutoff).toISOString().slice(0, 10)}`].filter((part) => part);
    },
    async copyLink() {
      try {
        await navigator.clipboard.writeText(location.href);
        this.copied = true;
        this.said = "Link copied";
      } catch {
        this.said = "The browser does not let this page copy. The address bar holds the link.";
      }
      setTimeout(() => { this.copied = false; this.said = ""; }, 2000);
    },
  },
};
