// What opens at a button and is closed by Escape, by a press elsewhere, or by leaving it: pickers and forms of a page.

import { el, icon } from "./dom.js";
import { apart, count } from "./look.js";

let open = null;

export function popover(button, { label, classes = "" }, ...children) {
  open?.();
  const box = el("div", { class: `board-pop ${classes}`.trim(), role: "dialog", "aria-label": label }, ...children);
  const close = (focus = true) => {
    box.remove();
    button.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", stand);
    if (open === close) open = null;
    if (focus && button.isConnected) button.focus();
  };
  const outside = (event) => { if (!box.contains(event.target) && !button.contains(event.target)) close(false); };
  const stand = () => {
    const at = button.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = box;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    box.style.top = `${at.bottom + 4 + height > innerHeight - 8 ? Math.max(8, innerHeight - height - 8) : at.bottom + 4}px`;
  };
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    close();
  });
  box.addEventListener("focusout", (event) => { if (event.relatedTarget && !box.contains(event.relatedTarget) && event.relatedTarget !== button) close(false); });
  document.body.append(box);
  stand();
  button.setAttribute("aria-expanded", "true");
  addEventListener("pointerdown", outside, true);
  addEventListener("resize", stand);
  open = close;
  box.querySelector("input, select, button")?.focus();
  return { box, close, stand };
}

const SHOWN = 200;
const LETTERS = 36;  // of a name, that there is room for

// Choose among the labels of a key: those that are ticked, none of them for all. `find(text)` looks further than what is
// here and answers with labels; `act(picked)` is told of each choice.
export function picker(button, { name, labels, total, picked, find, act }) {
  let chosen = [...picked], here = [...new Set([...picked, ...labels])], wanted = 0;
  const search = el("input", { type: "search", placeholder: `Find in ${name}`, "aria-label": `Find in ${name}`, autocomplete: "off" });
  const list = el("div", { class: "board-list", role: "group", "aria-label": name }), said = el("span", { class: "t12 t3", role: "status" });
  const choose = (next) => {
    chosen = next;
    draw();
    act(chosen);
  };
  const draw = () => {
    const text = search.value.trim().toLowerCase(), fitting = here.filter((label) => label.toLowerCase().includes(text)), focused = list.contains(document.activeElement) ? document.activeElement.value : null;
    const shown = fitting.slice(0, SHOWN), names = apart(shown, LETTERS);
    list.replaceChildren(...shown.map((label, at) => {
      const tick = el("input", { type: "checkbox", value: label, checked: chosen.includes(label), onchange: () => choose(tick.checked ? [...chosen, label] : chosen.filter((one) => one !== label)) });
      return el("label", {}, tick, el("span", { class: "cut", title: label }, names[at] || "(empty)"), el("button", { type: "button", class: "b small ghost only", onclick: (event) => { event.preventDefault(); choose([label]); } }, "Only"));
    }));
    list.querySelectorAll("input").forEach((one) => { if (one.value === focused) one.focus(); });
    const left = Math.max(fitting.length, text ? 0 : total) - Math.min(fitting.length, SHOWN);
    said.textContent = !fitting.length ? "Nothing is called so" : left > 0 ? `${left} more; search for them` : chosen.length ? `${chosen.length} of ${total} chosen` : `All ${total}`;
  };
  search.addEventListener("input", async () => {
    draw();
    const turn = wanted += 1;
    if (!find || !search.value.trim()) return;
    const found = await find(search.value.trim());
    if (turn !== wanted) return;
    here = [...new Set([...here, ...found])];
    draw();
  });
  const all = el("button", { type: "button", class: "b small ghost", onclick: () => choose([]) }, "Show all");
  const { box, close, stand } = popover(button, { label: name }, search, list, el("footer", {}, said, all));
  box.addEventListener("keydown", (event) => {
    const ticks = [search, ...list.querySelectorAll("input")], at = ticks.indexOf(document.activeElement), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    ticks[Math.max(0, Math.min(ticks.length - 1, at + step))].focus();
  });
  draw();
  stand();
  return close;
}

const PAUSE = 150;  // ms without a letter after which is looked for

// Choose one of very many by its name: `find(text)` answers with the first of them, {items: [{id, name, about, usable}], total};
// `act(id)` is told of the choice, `now` is the one that is chosen already.
export function finder(button, { name, now, find, act }) {
  let wanted = 0, later = 0;
  const search = el("input", { type: "search", placeholder: `Find in ${name}`, "aria-label": `Find in ${name}`, autocomplete: "off" });
  const list = el("div", { class: "board-list", role: "group", "aria-label": name, "aria-busy": "true" }), said = el("span", { class: "t12 t3", role: "status" }, "Looking");
  const look = async () => {
    const turn = wanted += 1;
    list.setAttribute("aria-busy", "true");
    const found = await find(search.value.trim()).catch(() => null);
    if (turn !== wanted || !list.isConnected) return;
    list.setAttribute("aria-busy", "false");
    if (found) list.replaceChildren(...found.items.map(({ id, name: called, about, usable }) => el("button", { type: "button", class: "board-one", "data-id": id, "aria-current": id === now ? "true" : null, disabled: !usable, title: called, onclick: () => act(id) }, id === now ? icon("check", "i14") : el("i"), el("span", { class: "cut grow" }, called), el("span", { class: "t12 t3 nowrap" }, about))));
    said.textContent = !found ? "They could not be searched. Try again in a moment." : !found.items.length ? "Nothing is called so" : found.items.length < found.total ? `${found.items.length} of ${count(found.total)}; search for others` : `All ${count(found.total)}`;
    stand();
  };
  const { box, close, stand } = popover(button, { label: name }, search, list, el("footer", {}, said));
  search.addEventListener("input", () => { clearTimeout(later); later = setTimeout(look, PAUSE); });
  box.addEventListener("keydown", (event) => {
    const all = [search, ...list.querySelectorAll("button:enabled")], at = all.indexOf(document.activeElement), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && document.activeElement === search) all[1]?.click();
    else if (at >= 0 && step) all[Math.max(0, Math.min(all.length - 1, at + step))].focus();
    else return;
    event.preventDefault();
  });
  look();
  return close;
}
