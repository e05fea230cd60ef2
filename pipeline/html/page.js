"use strict";
// Tables that can be filtered and sorted. Without this script every row is simply there.
for (const form of document.querySelectorAll("form.filter")) {
  const table = document.getElementById(form.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const output = form.querySelector("output");
  const search = form.querySelector("input");
  const selects = [...form.querySelectorAll("select")];
  const limit = Number(table.dataset.limit || Infinity);
  let all = false;

  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  table.parentElement.after(more);
  more.addEventListener("click", () => { all = true; show(); });

  function show() {
    const wanted = search.value.trim().toLowerCase();
    const matching = rows.filter((row, i) => words[i].includes(wanted) &&
      selects.every((select) => !select.value || row.dataset[select.name] === select.value));
    const order = [...table.tBodies[0].rows].filter((row) => matching.includes(row));
    const shown = new Set(all ? order : order.slice(0, limit));
    for (const row of rows) row.hidden = !shown.has(row);
    output.value = `${matching.length.toLocaleString("en")} of ` +
      `${rows.length.toLocaleString("en")} ${output.dataset.noun}`;
    more.hidden = shown.size === matching.length;
    more.textContent = `Show all ${matching.length.toLocaleString("en")}`;
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  table.addEventListener("sorted", show);
  show();
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, heads, column));
  });
}

function sort(table, heads, column) {
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
  const both = (a, b) => {
    const x = Number(a), y = Number(b);
    return a !== "" && b !== "" && !isNaN(x) && !isNaN(y) ? x - y : compare(a, b);
  };
  rows.sort(([a], [b]) => (down ? -1 : 1) * both(a, b));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  table.dispatchEvent(new Event("sorted"));
}
