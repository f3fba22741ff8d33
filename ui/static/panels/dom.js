// Small parts that panels and pages are made of. Texts are set as text, never as markup; icons are shapes of our own.

import { fileName } from "./look.js";

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key === "style") Object.assign(made.style, value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

let shapes = {};
export const useIcons = (icons) => { shapes = { ...shapes, ...icons }; };
export function icon(name, size = "i") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const drawing = { class: size, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" };
  for (const [key, value] of Object.entries(drawing)) svg.setAttribute(key, value);
  svg.innerHTML = shapes[name] ?? "";  // shapes of our own icons, never a user's words
  return svg;
}

export const iconButton = (name, label, onclick, extra = {}) =>
  el("button", { type: "button", class: "ib small", "aria-label": label, title: label, onclick, ...extra }, icon(name));

// A menu at a button: arrows move, Escape and a press elsewhere close, the button has the focus again.
export function menu(button, items) {
  document.querySelector(".panel-menu")?.dispatchEvent(new Event("close"));
  const list = el("div", { class: "panel-menu", role: "menu" });
  const close = () => {
    list.remove();
    button.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
  };
  const outside = (event) => { if (!list.contains(event.target) && !button.contains(event.target)) close(); };
  list.addEventListener("close", close);
  for (const item of items.filter(Boolean)) {
    if (item === "-") {
      list.append(el("hr", { role: "separator" }));
      continue;
    }
    const inner = [icon(item.icon), el("span", { class: "cut" }, item.label)];
    const act = () => { close(); button.focus(); item.act?.(); };
    // Of several one is chosen already.
    const now = item.chosen ? "true" : null;
    list.append(item.href ? el("a", { role: "menuitem", tabindex: "-1", href: item.href, download: item.download ?? "", onclick: () => close() }, inner)
      : el("button", { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : "", "aria-current": now, onclick: act }, inner));
  }
  list.addEventListener("keydown", (event) => {
    const all = [...list.querySelectorAll('[role="menuitem"]')], at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[(to + all.length) % all.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") { close(); button.focus(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  (document.fullscreenElement ?? document.body).append(list);  // nothing outside what fills the screen is seen
  const box = button.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = list;
  list.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
  list.style.top = `${box.bottom + height + 8 > innerHeight ? Math.max(8, box.top - height - 4) : box.bottom + 4}px`;
  button.setAttribute("aria-expanded", "true");
  addEventListener("pointerdown", outside, true);
  (list.querySelector('[aria-current="true"]') ?? list.querySelector('[role="menuitem"]'))?.focus();
}

// Of many buttons one is reached by Tab, arrows move among them.
export function roving(list) {
  const all = () => [...list.querySelectorAll("button")], hold = (one) => all().forEach((button) => { button.tabIndex = button === one ? 0 : -1; });
  hold(all().find((one) => one.getAttribute("aria-pressed") === "true") ?? all()[0]);
  if (list.dataset.roving) return list;
  list.dataset.roving = "1";
  list.addEventListener("focusin", ({ target }) => hold(target));
  list.addEventListener("keydown", (event) => {
    const found = all(), at = found.indexOf(document.activeElement), to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: found.length - 1 }[event.key];
    if (to === undefined || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    found[Math.max(0, Math.min(found.length - 1, to))].focus();
  });
  return list;
}

const loading = new Map();
// A script that defines a global, loaded once.
export function script(src, name) {
  if (window[name]) return Promise.resolve(window[name]);
  if (!loading.has(src)) {
    loading.set(src, new Promise((resolve, reject) => {
      const made = Object.assign(document.createElement("script"), { src, async: true });
      made.onload = () => resolve(window[name]);
      made.onerror = () => {
        loading.delete(src);
        reject(new Error("A part of this page could not be loaded. Reload it."));
      };
      document.head.append(made);
    }));
  }
  return loading.get(src);
}

// What is drawn in colours is drawn anew in those of another theme, until the observer is disconnected.
export function onTheme(act) {
  const watching = new MutationObserver(() => act());
  watching.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return watching;
}

export function save(name, blob) {
  const href = URL.createObjectURL(blob);
  el("a", { href, download: fileName(name) }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}

// Copy an address to the clipboard, and say so.
export async function copyLink(link, said = "Link copied") {
  try {
    await navigator.clipboard.writeText(link);
    toast(said);
  } catch {
    toast("The browser does not let this page copy. The address bar holds the link.");
  }
}

export function toast(text, action = null) {
  document.querySelector(".panel-toast")?.remove();
  const made = el("div", { class: "panel-toast", role: "status" }, el("span", {}, text),
    action && el("button", { type: "button", class: "b small", onclick: () => { made.remove(); action.act(); } }, action.label));
  (document.fullscreenElement ?? document.body).append(made);
  goes(made, action ? 8000 : 3000);
}

// Take a note away after so many ms in which it is neither pointed at nor in focus.
export function goes(made, after) {
  const held = new Set();
  let waiting = setTimeout(() => made.remove(), after);
  for (const [name, by, holds] of [["pointerenter", "pointer", true], ["pointerleave", "pointer", false], ["focusin", "focus", true], ["focusout", "focus", false]]) made.addEventListener(name, () => {
    held[holds ? "add" : "delete"](by);
    clearTimeout(waiting);
    if (!held.size) waiting = setTimeout(() => made.remove(), after);
  });
}
