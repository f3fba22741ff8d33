// The component of Explore; its modules are found by the page's import map.
export { default } from "variosync-panels/explore.js";
