"use strict";
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    if (raw === "") return null;
    return Number.isFinite(Number(raw)) ? Number(raw) : raw;
  };
  const order = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b));
  };
  const sort = (heading) => {
    const body = heading.closest("table").tBodies[0];
    const rows = [...body.rows];
    const column = heading.cellIndex;
    const numeric = rows.some((row) => typeof value(row, column) === "number");
    const current = heading.getAttribute("aria-sort");
    const down = current ? current === "ascending" : numeric;
    rows.sort((a, b) => order(value(a, column), value(b, column), down ? -1 : 1));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  };
  for (const heading of document.querySelectorAll("table.sortable thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading));
    heading.append(button);
  }
  // An anchor inside folded details: unfold them, then go there.
  const unfold = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = place && place.closest("details");
    if (!folded) return;
    folded.open = true;
    place.scrollIntoView();
    place.focus();
  };
  addEventListener("hashchange", unfold);
  unfold();
  // A figure on its own: its colours are those of the page's style sheet, so it takes that along.
  const save = (figure) => {
    const drawing = figure.querySelector("svg").cloneNode(true);
    drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const style = document.createElement("style");
    style.textContent = document.querySelector("style").textContent.replaceAll(/@media \(prefers-color-scheme: dark\) \{(?:[^{}]|\{[^{}]*\})*\}/g, "");
    drawing.prepend(style);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([drawing.outerHTML], { type: "image/svg+xml" }));
    const title = figure.querySelector(".title")?.textContent ?? "figure";
    link.download = `${figure.dataset.name ?? title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.svg`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  for (const figure of document.querySelectorAll("figure:has(> svg)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "SVG";
    button.addEventListener("click", () => save(figure));
    const place = document.createElement("span");
    place.className = "downloads";
    place.append(" ", button);
    (figure.querySelector("figcaption") ?? figure).append(place);
  }
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  document.documentElement.dataset.ready = "true";
})();
