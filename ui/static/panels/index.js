// What pages take of these modules: ui/vendor.py packs all of them into one file from here.

export { begin, standing } from "./page.js";
export { default as Explorer } from "./explore.js";
export { default as SeriesPanel } from "./series.js";
export { default as ForecastPanel } from "./forecast.js";
