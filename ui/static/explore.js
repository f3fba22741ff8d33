// The component of Explore; its module is found by the page's import map.
export { Explorer as default } from "variosync-panels";
