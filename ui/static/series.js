// The component of a dataset's chart; its module is found by the page's import map.
export { SeriesPanel as default } from "variosync-panels";
