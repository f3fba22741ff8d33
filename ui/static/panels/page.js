// The page of a dashboard as it comes from ui/templates/dashboard.html: its board, its head and its menu.

import { Board } from "./dashboard.js";
import { toast } from "./dom.js";

let board = null;

// The page's board: made by whoever comes first, the page's own script or the socket's end (ui/static/board.js).
export function standing() {
  if (board) return board;
  const given = JSON.parse(document.getElementById("board-data").textContent);
  board = new Board(document.querySelector(".board"), given);
  head(board, given.dashboard);
  board.start();
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
    duplicate: () => tried(board.rest(`/dashboards/${id}/duplicate`, { method: "POST" }).then((made) => location.assign(`/dashboards/${made.id}`))),
    delete: () => tried(board.rest(`/dashboards/${id}`, { method: "DELETE" }).then(() => location.assign(`/dashboards?deleted=${id}`))),
  };
  document.getElementById("board-menu").addEventListener("click", (event) => {
    const act = event.target.closest("[data-do]")?.dataset.do;
    if (!act) return;
    event.currentTarget.hidePopover();
    (acts[act] ?? (() => board[act]()))();
  });
}
