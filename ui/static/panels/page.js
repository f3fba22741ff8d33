// The page of a dashboard as it comes from ui/templates/dashboard.html: its board, its head and its menu.

import { Board } from "./dashboard.js";
import { copyLink, toast } from "./dom.js";

let board = null;

// Draw as soon as the page has been read as far as the board, and its sheets are there: panels ask by their widths.
export async function begin() {
  await Promise.all([read(), ...[...document.querySelectorAll('link[rel="stylesheet"]')].map(arrived)]);
  standing();
}

const read = () => new Promise((resolve) => {
  const look = () => document.querySelector(".board") && (reading.disconnect(), resolve());
  const reading = new MutationObserver(look);
  reading.observe(document, { childList: true, subtree: true });
  look();
});

const arrived = (link) => link.sheet ? null : new Promise((resolve) => { link.onload = link.onerror = resolve; });

// The framework's scripts and sheets wait in the page as text (ui/standing.py). Without it the page goes on alone.
async function framework(board) {
  await board.drawn;
  if (document.readyState === "loading") await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve, { once: true }));
  await bring();
}

async function bring() {
  const again = (held, name, changes = {}) => {
    const made = document.createElement(name);
    for (const { name: one, value } of held.attributes) if (one !== "type") made.setAttribute(one, value);
    made.textContent = held.textContent;
    Object.assign(made, changes);
    held.replaceWith(made);
    return made;
  };
  await Promise.all([...document.querySelectorAll('script[type="later-style"]')].map((held) => new Promise((resolve) => {
    const made = again(held, "style", {});
    made.onload = made.onerror = resolve;
  })));
  document.getElementById("framework-held")?.remove();
  document.getElementById("esm-fallback")?.remove();
  await import("vue");  // all others are in need of it
  // One after the other, as they stand.
  for (const held of document.querySelectorAll('script[type^="later"]')) again(held, "script", { async: false, type: held.type === "later-module" ? "module" : "" });
}

// The page's board: made by whoever comes first, the page's own script or the socket's end (ui/static/board.js).
export function standing() {
  if (board) return board;
  const given = JSON.parse(document.getElementById("board-data").textContent);
  board = new Board(document.querySelector(".board"), given);
  head(board, given.dashboard);
  board.start().catch((error) => board.tell(error.message, ["Reload", "", () => location.reload()]));
  framework(board).catch(() => board.offline());
  return board;
}

function head(board, { id, name }) {
  const title = document.querySelector(".board-title input"), star = document.getElementById("board-star");
  let last = name;
  const rail = (how) => board.rest(`/dashboards/${id}`, how).then(() => window.variosyncRail());
  // The name as it is now, here or elsewhere: in the head unless it is being written, in the way to this page and in its title.
  board.hooks.named = (now) => {
    last = now;
    if (document.activeElement !== title) title.value = now;
    document.querySelector('.crumbs [aria-current="page"]').textContent = now;
    document.title = `${now} · VARIOSYNC`;
  };
  const tried = (act) => act.catch((error) => toast(error.message));
  title.addEventListener("change", () => {
    const wanted = title.value;
    rail({ method: "PATCH", body: JSON.stringify({ name: wanted }) }).then(() => board.hooks.named(wanted), (error) => {
      title.value = last;
      toast(`The name was not changed: ${error.message}`);
    });
  });
  document.getElementById("board-share").addEventListener("click", () => copyLink(location.href, "Link to this view copied. It opens for this account."));
  star.addEventListener("click", () => {
    const pinned = star.getAttribute("aria-pressed") !== "true";
    tried(rail({ method: "PATCH", body: JSON.stringify({ pinned }) }).then(() => star.setAttribute("aria-pressed", pinned)));
  });
  const acts = {
    duplicate: () => tried(board.save().then(() => board.rest(`/dashboards/${id}/duplicate`, { method: "POST" })).then((made) => location.assign(`/dashboards/${made.id}`))),
    delete: () => tried(board.rest(`/dashboards/${id}`, { method: "DELETE" }).then(() => location.assign(`/dashboards?deleted=${id}`))),
  };
  document.getElementById("board-menu").addEventListener("click", (event) => {
    const act = event.target.closest("[data-do]")?.dataset.do;
    if (!act) return;
    event.currentTarget.hidePopover();
    (acts[act] ?? (() => board[act]()))();
  });
}
