// The component of a dashboard's page; its modules are found by the page's import map.
export { default } from "variosync-panels/dashboard.js";
