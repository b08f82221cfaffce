"use strict";
(() => {
  // On a phone each cell stands under the name of its column.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    for (const row of table.tBodies[0].rows) {
      for (const cell of row.cells) cell.dataset.label ??= heads[cell.cellIndex];
    }
  }
  const board = document.querySelector("table.board");
  if (!board) return;
  const filters = [...document.querySelectorAll("[data-filter]")];
  const views = [...document.querySelectorAll("[data-view]")];
  const heads = [...board.tHead.rows[0].cells];
  const part = (id) => document.getElementById(id);
  const sorted = () => heads.find((head) => head.hasAttribute("aria-sort"));
  const first = { sort: sorted().dataset.key, order: sorted().getAttribute("aria-sort"), view: views[0].dataset.view };
  let view = first.view;
  let reading = false;
  const fits = (row, filter) => {
    const found = row.dataset[filter.dataset.filter] ?? "";
    const wanted = filter.value.trim();
    if (!wanted) return true;
    return filter.type === "search" ? found.includes(wanted.toLowerCase()) : found.split("\n").includes(wanted);
  };
  const show = () => {
    const rows = [...board.tBodies[0].rows];
    for (const row of rows) row.hidden = !filters.every((filter) => fits(row, filter));
    const shown = rows.filter((row) => !row.hidden).length;
    part("count").textContent = `${shown} of ${rows.length} entries shown.`;
    part("none").hidden = shown > 0;
    part("reset").hidden = shown === rows.length;
    for (const cell of board.querySelectorAll("[data-in]")) cell.hidden = Boolean(cell.dataset.in) && cell.dataset.in !== view;
    for (const button of views) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  };
  // What is shown stands behind the # of the address, without what is so at first.
  const write = () => {
    if (reading) return;
    const state = new URLSearchParams();
    for (const filter of filters) if (filter.value.trim()) state.set(filter.dataset.filter, filter.value.trim());
    const now = { sort: sorted().dataset.key, order: sorted().getAttribute("aria-sort"), view };
    if (now.sort !== first.sort || now.order !== first.order) {
      state.set("sort", now.sort);
      state.set("order", now.order);
    }
    if (now.view !== first.view) state.set("view", now.view);
    const address = `${location.href.split("#")[0]}${[...state].length ? `#${state}` : ""}`;
    history.replaceState(null, "", address);
    part("link").href = [...state].length ? address : "#table";
  };
  const sort = (key, order) => {
    const head = heads.find((each) => each.dataset.key === key);
    if (!head || !["ascending", "descending"].includes(order)) return;
    for (let i = 0; i < 2 && head.getAttribute("aria-sort") !== order; i += 1) head.querySelector("button").click();
  };
  const read = () => {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a place on the page
    const state = new URLSearchParams(hash);
    reading = true;
    for (const filter of filters) {
      filter.value = state.get(filter.dataset.filter) ?? "";
      if (filter.selectedIndex === -1) filter.value = ""; // a choice that is not there
    }
    const wanted = state.get("view");
    view = views.some((button) => button.dataset.view === wanted) ? wanted : first.view;
    sort(state.get("sort") ?? first.sort, state.get("order") ?? first.order);
    reading = false;
    show();
    write();
  };
  for (const filter of filters) filter.addEventListener("input", () => { show(); write(); });
  for (const button of views) button.addEventListener("click", () => { view = button.dataset.view; show(); write(); });
  for (const head of heads) head.querySelector("button").addEventListener("click", write);
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  part("reset").addEventListener("click", () => {
    for (const filter of filters) filter.value = "";
    show();
    write();
    filters[0].focus();
  });
  addEventListener("hashchange", read);
  read();
  show();
})();
