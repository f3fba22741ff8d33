// The component of a dataset's chart; its modules are found by the page's import map.
export { default } from "variosync-panels/series.js";
