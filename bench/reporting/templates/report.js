// Sort a table by a column; sections stay where they are.
document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (!button) return;
  const head = button.parentElement, table = head.closest("table");
  const up = head.getAttribute("aria-sort") === "descending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[head.cellIndex].dataset.sort ?? row.cells[head.cellIndex].innerText;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)], [p, q] = [parseFloat(x), parseFloat(y)];
    if (isNaN(p) !== isNaN(q)) return isNaN(p) ? 1 : -1;
    const sign = up ? 1 : -1;
    return sign * (isNaN(p) ? x.localeCompare(y) : p - q);
  };
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("section"));
    body.append(...rows.sort(order));
  }
});

// Keep the rows that hold every word typed; a section without a row goes too.
document.addEventListener("input", (event) => {
  const field = event.target.closest(".filter input");
  if (!field) return;
  const words = field.value.toLowerCase().split(/\s+/);
  const table = field.parentElement.nextElementSibling.querySelector("table");
  let shown = 0, all = 0;
  for (const body of table.tBodies) {
    const section = [...body.rows].find((row) => row.classList.contains("section"));
    const rows = [...body.rows].filter((row) => row !== section);
    const name = section ? section.textContent.toLowerCase() : "";
    let left = 0;
    for (const row of rows) {
      const text = `${name} ${row.textContent.toLowerCase()}`;
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    body.hidden = left === 0;
    shown += left;
    all += rows.length;
  }
  field.nextElementSibling.textContent = field.value ? `${shown} of ${all} rows` : "";
});

// Show the records behind a number beside it; without scripts the link leads to the same text.
const drawer = document.getElementById("drawer");
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.from");
  if (event.target === drawer || event.target.closest("#drawer button")) drawer.close();
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const source = document.getElementById(link.hash.slice(1));
  if (!source) return;
  event.preventDefault();
  const copy = source.cloneNode(true);
  copy.removeAttribute("id");
  copy.open = true;
  drawer.lastElementChild.replaceChildren(copy);
  drawer.showModal();
});
