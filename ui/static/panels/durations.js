// ISO 8601 durations. No part of a page is touched here.

const DAY = 864e5;
export const MONTH = 365.25 / 12 * DAY;  // the mean one
const MONTHS = { Y: 12, M: 1 }, MS = { W: 7 * DAY, D: DAY, TH: 36e5, TM: 6e4, TS: 1e3 };

// Its parts as they are written, units of a clock with a T before them: "P1DT2H" → [[1, "D"], [2, "TH"]].
export function partsOf(duration) {
  const [, date = "", time = ""] = /^P([^T]*)(?:T(.*))?$/.exec(duration) ?? [];
  const of = (text, clock) => [...text.matchAll(/(\d+)([A-Z])/g)].map(([, amount, unit]) => [Number(amount), clock + unit]);
  return [...of(date, ""), ...of(time, "T")];
}

// As months, which the calendar makes longer and shorter, and ms.
export function parsed(duration) {
  const sum = (units) => partsOf(duration).reduce((all, [amount, unit]) => all + amount * (units[unit] ?? 0), 0);
  return { months: sum(MONTHS), ms: sum(MS) };
}

// In ms; months and years by their mean.
export function lengthOf(duration) {
  const { months, ms } = parsed(duration);
  return months * MONTH + ms;
}
