"use strict";
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    if (["", "–", "nan"].includes(raw)) return null;
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
  // An anchor of, or inside, folded details: unfold all about it, then go there.
  const unfold = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    const own = place.querySelector(":scope > details");
    let folded = false;
    for (let each = own ?? place.closest("details"); each; each = each.parentElement.closest("details")) {
      folded ||= !each.open;
      each.open = true;
    }
    if (!folded) return;
    place.scrollIntoView();
    (own?.querySelector("summary") ?? place).focus({ preventScroll: true });
  };
  addEventListener("hashchange", unfold);
  // A link to where one is already: the address does not change, but what it leads to may be folded again.
  addEventListener("click", (event) => event.target.closest?.("a") && setTimeout(unfold));
  unfold();
  // All questions at once.
  const intro = document.querySelector("p.open");
  if (intro) {
    const parts = [...document.querySelectorAll(".part > details")];
    for (const [words, state] of [["Open all", true], ["Close all", false]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", () => parts.forEach((each) => { each.open = state; }));
      intro.append(" ", button);
    }
  }
  // A table that is wider than the page says so.
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
    }
  });
  for (const each of document.querySelectorAll(".scroll")) watch.observe(each);
  // A figure on its own: every look becomes an attribute, in light colours, as rgbench.report.standalone does it.
  const looks = new CSSStyleSheet();
  looks.replaceSync(document.getElementById("figure-style").content.textContent);
  const dress = (drawing) => {
    const colours = new Map();
    for (const rule of looks.cssRules) {
      for (const shape of drawing.querySelectorAll(rule.selectorText)) {
        for (const name of rule.style) {
          if (name === "color") colours.set(shape, rule.style.color);
          else shape.setAttribute(name, rule.style.getPropertyValue(name));
        }
      }
    }
    for (const shape of drawing.querySelectorAll("[class]")) {
      for (const name of ["fill", "stroke"]) {
        if (shape.getAttribute(name)?.toLowerCase() === "currentcolor") shape.setAttribute(name, colours.get(shape) ?? "black");
      }
      shape.removeAttribute("class");
    }
  };
  const standalone = (figure) => {
    const drawing = figure.querySelector("svg").cloneNode(true);
    dress(drawing);
    for (const link of drawing.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    const { width, height } = drawing.viewBox.baseVal;
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const shape of [drawing, paper]) {
      shape.setAttribute("width", width);
      shape.setAttribute("height", height);
    }
    paper.setAttribute("fill", "#ffffff");
    drawing.setAttribute("font-family", "Helvetica, Arial, sans-serif");
    drawing.prepend(paper);
    return new XMLSerializer().serializeToString(drawing);
  };
  const save = (figure) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([standalone(figure)], { type: "image/svg+xml" }));
    link.download = `${figure.dataset.name}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  for (const figure of document.querySelectorAll("figure[data-name]:has(> svg)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "SVG";
    button.setAttribute("aria-label", `SVG of the figure: ${figure.querySelector(".title").textContent}`);
    button.addEventListener("click", () => save(figure));
    const place = document.createElement("span");
    place.className = "downloads";
    place.append(" ", button);
    (figure.querySelector("figcaption") ?? figure).append(place);
  }
  // On paper nothing can be unfolded: the questions are printed open, the appendix and long lists stay in the file.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open], .appendix, .part details details)")];
    for (const each of unfolded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of unfolded) each.open = false;
  });
  document.documentElement.dataset.ready = "true";
})();
