// The page of a dashboard as it comes from ui/templates/dashboard.html: its board, its head and its menu.

import { Board } from "./dashboard.js";
import { toast } from "./dom.js";

const SOON = 500;  // ms
let board = null;

// Resolves when the charts are drawn, or soon: what can wait until then leaves the browser to them.
export async function drawn() {
  const { root } = standing(), enough = performance.now() + SOON;
  while (root.dataset.ready !== "1" && performance.now() < enough) await new Promise((resolve) => setTimeout(resolve, 10));
}

// Draw as soon as the page has been read as far as the board.
export function begin() {
  if (document.querySelector(".board")) return void standing();
  const reading = new MutationObserver(() => {
    if (!document.querySelector(".board")) return;
    reading.disconnect();
    standing();
  });
  reading.observe(document, { childList: true, subtree: true });
  return undefined;
}

// The page's board: made by whoever comes first, the page's own script or the socket's end (ui/static/board.js).
export function standing() {
  if (board) return board;
  const given = JSON.parse(document.getElementById("board-data").textContent);
  board = new Board(document.querySelector(".board"), given);
  head(board, given.dashboard);
  board.start().catch((error) => board.tell(error.message, ["Reload", "", () => location.reload()]));
  return board;
}

function head(board, { id, name }) {
  const title = document.querySelector(".board-title input"), star = document.getElementById("board-star");
  let last = name;
  const rail = (how) => board.rest(`/dashboards/${id}`, how).then(() => window.variosyncRail());
  const tried = (act) => act.catch((error) => toast(error.message));
  title.addEventListener("change", () => {
    const wanted = title.value;
    rail({ method: "PATCH", body: JSON.stringify({ name: wanted }) }).then(() => { last = wanted; }, (error) => {
      title.value = last;
      toast(`The name was not changed: ${error.message}`);
    });
  });
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
