"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, column) => row.cells[column].textContent.trim();
  const size = (text) => parseFloat(text.replace("−", "-").replaceAll(",", ""));
  for (const heading of table.tHead.rows[0].cells) {
    if (heading.tagName !== "TH") continue;
    const column = heading.cellIndex, numeric = heading.classList.contains("num");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.ariaSort ? heading.ariaSort === "ascending" : numeric;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.ariaSort = down ? "descending" : "ascending";
      const order = (one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        if (!numeric) return (down ? -1 : 1) * a.localeCompare(b, undefined, { numeric: true });
        const [x, y] = [size(a), size(b)];
        return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : down ? y - x : x - y;
      };
      body.append(...[...body.rows].sort(order));
    });
  }
}
