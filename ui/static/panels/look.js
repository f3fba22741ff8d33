// How panels look and write: colours of the theme, numbers as the user writes them, times in the zone of the data.

const cache = new Map();
const remembered = (key, make) => {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
};

export const dark = () => document.documentElement.dataset.theme === "dark" || document.body.classList.contains("body--dark");
export const css = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
// A colour of the theme by its token; read once a theme, since asking the style of the page costs a layout.
export const colour = (name) => remembered(`${dark()} ${name}`, () => css(name));
export const seriesColour = (place) => colour(`series-${place % 8 + 1}`);
export const DASHES = [[], [6, 4], [2, 3]];
export const dashOf = (place) => DASHES[place < 8 ? 0 : place < 16 ? 1 : 2];

export function faded(hex, alpha) {
  if (!hex.startsWith("#")) return hex;
  const value = parseInt(hex.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
}

// Numbers. `marks` are the signs between thousands and before decimals of the user: [",", "."].
let marks = [",", "."];
export const writeNumbersWith = (thousands, decimal) => { marks = [thousands, decimal]; };
const swap = (text) => text.replace(/[,.]/g, (sign) => sign === "," ? marks[0] : marks[1]);

// By a power of ten, with as many digits as tell neighbours of a step apart: 1.05e15.
function powered(value, step = 0) {
  if (!value) return "0";
  const digits = step ? Math.floor(Math.log10(Math.abs(value)) + 1e-9) - Math.floor(Math.log10(step) + 1e-9) : 3, [mantissa, power] = value.toExponential(Math.max(0, Math.min(6, digits))).split("e");
  return swap(`${mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa}e${power.replace("+", "")}`).replaceAll("-", "−");
}

// As many digits as tell neighbours of a step apart.
export function number(value, step) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e16 || (size > 0 && size < 1e-6) || (step > 0 && step < 1e-8)) return powered(value, step);
  const digits = step ? Math.max(0, Math.min(8, Math.ceil(-Math.log10(step) - 1e-9))) : Number.isInteger(value) ? 0 : size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : Math.max(4, 2 - Math.floor(Math.log10(size)));
  const format = remembered(`n${digits}${step ? "f" : ""}`, () => new Intl.NumberFormat("en", { minimumFractionDigits: step ? digits : 0, maximumFractionDigits: digits }));
  return swap(format.format(value)).replace("-", "−");
}

const MOST_WORDS = 1e17;  // above it a power of ten is read more easily than thousands of T
const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
export function short(value, step = 0) {
  const unit = Math.abs(value) >= 1e5 && Math.abs(value) < MOST_WORDS ? UNITS.find(([size]) => Math.abs(value) >= size) : null;
  if (!unit) return number(value, step || undefined);
  const part = value / unit[0];
  return `${bare(part, step ? Math.max(step / unit[0], 1e-3) : Math.abs(part) >= 100 ? 0.1 : 0.01)}${unit[1]}`;
}
// Without zeros at the end of its decimals.
const bare = (value, step) => {
  const text = number(value, step), at = text.lastIndexOf(marks[1]);
  return at < 0 || step >= 1 ? text : text.replace(/0+$/, "").replace(new RegExp(`\\${marks[1]}$`), "");
};
// The marks of an axis, all in the same unit.
export function written(values, step = 0) {
  const most = Math.max(0, ...values.map(Math.abs)), unit = most >= 1e5 && most < MOST_WORDS ? UNITS.find(([size]) => most >= size) : null;
  return values.map((value) => unit && value ? `${bare(value / unit[0], step ? Math.max(step / unit[0], 1e-3) : 1e-3)}${unit[1]}` : number(value, step || undefined));
}
export const count = (value) => swap(Math.round(value).toLocaleString("en"));
// With the sign before it, so that a change is told by more than its colour.
export const signed = (value, step) => `${value > 0 ? "+" : ""}${number(value, step)}`;
export const shortSigned = (value) => `${value > 0 ? "+" : ""}${short(value)}`;
// Numbers of one column: as many decimals as its greatest needs, none where all are whole.
export function digitsOf(values) {
  let most = 0, all = true;
  for (const value of values) {
    if (value === null || Number.isNaN(value)) continue;
    most = Math.max(most, Math.abs(value));
    all &&= Number.isInteger(value);
  }
  return all || most >= 1e4 ? 1 : most >= 1000 ? 0.1 : most >= 1 ? 0.01 : 0.0001;
}

// A long name by its beginning and its end: names of many series differ at either.
export function middle(text, most = 36) {
  if (text.length <= most) return text;
  const head = Math.ceil((most - 1) / 2);
  return `${text.slice(0, head).trimEnd()}…${text.slice(text.length - (most - 1 - head)).trimStart()}`;
}

// Names of one list, each in at most about so many letters: where beginnings and ends do not tell them apart, what all of
// them begin and end with gives way.
export function apart(names, most = 36) {
  const cut = names.map((name) => middle(name, most)), long = names.filter((name) => name.length > most);
  if (long.length < 2 || new Set(cut).size === new Set(names).size) return cut;
  const common = (of) => {
    let many = 0;
    while (many < of[0].length && of.every((name) => name[many] === of[0][many])) many += 1;
    return many;
  };
  const backwards = (name) => [...name].reverse().join(""), begin = common(long), end = common(long.map((name) => backwards(name.slice(begin))));
  const word = (text, way) => (way < 0 ? /\S{0,12}\s?$/ : /^\s?\S{0,12}/).exec(text)[0].length;
  return names.map((name, at) => {
    if (name.length <= most) return cut[at];
    const from = begin - word(name.slice(0, begin), -1), to = name.length - end + word(name.slice(name.length - end), 1);
    return middle(`${from > 0 ? "…" : ""}${name.slice(Math.max(0, from), to).trim()}${to < name.length ? "…" : ""}`, most);
  });
}

// Names beside one another, each in as many letters as there is room for in every place: what tells them apart stays in all.
export function alike(names, fits, most = 28) {
  const cut = apart(names, most);
  return most <= 3 || cut.every(fits) ? cut : alike(names, fits, most - 1);
}

// A file's name that every file system takes: 200 bytes of UTF-8 at most, the ending kept.
export function fileName(name, most = 200) {
  const [, stem, ending] = /^(.+?)(\.\w{1,9})?$/s.exec(name.replace(/[\\/:*?"<>|]/g, "-")), bytes = (text) => new TextEncoder().encode(text).length;
  let kept = "", left = most - bytes(ending ?? "");
  for (const letter of stem) {
    left -= bytes(letter);
    if (left < 0) break;
    kept += letter;
  }
  return kept + (ending ?? "");
}

// Times. `zone` is an IANA name; parts are read in it, so that days begin where its days begin.
const shaped = (zone, options) => remembered(`${zone} ${JSON.stringify(options)}`, () => {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: zone || "UTC", hourCycle: "h23", ...options });
  } catch {
    return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hourCycle: "h23", ...options });
  }
});
const LAST = 8.64e15;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export function parts(at, zone) {
  const found = {}, ms = Math.min(Math.max(at, -LAST), LAST) || 0;  // a Date that is out of reach throws
  for (const { type, value } of shaped(zone, { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(ms)) found[type] = Number(value);
  return found;
}
const two = (value) => String(value).padStart(2, "0");
export const day = ({ day: d, month, year }, withYear = true) => `${d} ${MONTHS[month - 1]}${withYear ? ` ${year}` : ""}`;
// A moment with as much of the clock as a span of `span` ms needs.
export function moment(ms, zone, span) {
  const at = parts(ms, zone), date = day(at);
  if (span > 40 * 365 * 864e5) return date;
  const clock = `${two(at.hour)}:${two(at.minute)}`;
  if (span > 2 * 36e5) return `${date}, ${clock}`;
  return span > 6e4 ? `${date}, ${clock}:${two(at.second)}` : `${date}, ${clock}:${two(at.second)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
}
// The same on an axis: a day's name where a day begins, the clock between.
export function tick(ms, zone, step) {
  const at = parts(ms, zone), midnight = at.hour === 0 && at.minute === 0 && at.second === 0 && ms % 1000 === 0;
  if (step >= 300 * 864e5) return String(at.year);
  if (step >= 27 * 864e5) return at.month === 1 ? `${MONTHS[0]} ${at.year}` : MONTHS[at.month - 1];
  if (midnight) return day(at, at.day === 1 && at.month === 1);
  const clock = `${two(at.hour)}:${two(at.minute)}`;
  if (step < 1e3) return `${clock}:${two(at.second)}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, "0")}`;
  return step < 6e4 ? `${clock}:${two(at.second)}` : clock;
}
// A moment of values that are `step` ms apart: no clock where they are days apart, no day where they are months apart.
export function instant(ms, zone, step) {
  const at = parts(ms, zone);
  if (step >= 360 * 864e5 && at.month === 1 && at.day === 1) return String(at.year);
  if (step >= 27.5 * 864e5 && at.day === 1) return `${MONTHS[at.month - 1]} ${at.year}`;
  if (step >= 864e5 * 0.95 && at.hour === 0 && at.minute === 0) return day(at);
  return moment(ms, zone, step >= 6e4 ? 864e5 : step >= 1e3 ? 36e5 : 1);
}

// How long steps of buckets last, in words: "hour", "15 min".
const LENGTHS = [["year", 365 * 864e5, 366 * 864e5], ["month", 27.9 * 864e5, 31.1 * 864e5], ["week", 7 * 864e5], ["day", 864e5], ["h", 36e5], ["min", 6e4], ["s", 1e3], ["ms", 1]];
const WORDS = { h: "hour", min: "minute", s: "second" };
export function per(ms) {
  for (const [name, least, most = least] of LENGTHS) {
    const times = Math.round(ms / most) || 1;
    if (ms < least * 0.94) continue;
    if (Math.abs(ms / times - (least + most) / 2) > (most - least) / 2 + least * 0.05 && !["h", "min", "s", "ms"].includes(name)) continue;
    return times === 1 ? WORDS[name] ?? name : `${count(times)} ${["year", "month", "week", "day"].includes(name) ? `${name}s` : name}`;
  }
  return "";
}
