// The component of a forecast's chart; its module is found by the page's import map.
export { ForecastPanel as default } from "variosync-panels";
