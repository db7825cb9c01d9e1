// Letters and digits alone: htsat, HTS-AT and hts_at are one word.
const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "");
const wordsOf = (text) => text.split(/\s+/).map(plain).filter(Boolean);

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
  const words = wordsOf(field.value);
  const table = field.parentElement.nextElementSibling.querySelector("table");
  let shown = 0, all = 0;
  for (const body of table.tBodies) {
    const section = [...body.rows].find((row) => row.classList.contains("section"));
    const rows = [...body.rows].filter((row) => row !== section);
    const name = section ? section.textContent : "";
    let left = 0;
    for (const row of rows) {
      const text = plain(name + row.textContent);
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    body.hidden = left === 0;
    shown += left;
    all += rows.length;
  }
  field.nextElementSibling.textContent = field.value ? `${shown} of ${all} rows` : "";
});

// Unfold whatever hides an element, and go there.
const reveal = (target) => {
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView({ block: target.offsetHeight > 300 ? "start" : "center" });
  document.querySelector(".found")?.classList.remove("found");
  target.classList.add("found");
};
const land = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) reveal(target);
};
addEventListener("hashchange", land);
addEventListener("load", land);

// Paper shows what is folded, but for downloads, provenance and tables a second time.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open], .unprinted, .unprinted *, .download)")];
  for (const fold of unfolded) fold.open = true;
});
addEventListener("afterprint", () => { for (const fold of unfolded) fold.open = false; });

// Search all that the page says; what is folded is found as well.
const search = document.getElementById("search"), field = search.querySelector("input");
const hits = search.querySelector("div");
const PLACES = ["main tbody tr:not(.section)", "figure", ".finding", ".source", "h1", "h2", ".fold > summary",
  ".facts > div", "p.banner", ".banner li", ".notes li", ".reading li", "main .caption"].join();
const MOST = 40;
let index = null;
const entry = (element) => {
  const image = element.querySelector("img"), section = element.closest("section");
  const group = element.closest("tbody")?.querySelector(".section")?.textContent ?? "";
  const table = (element.closest(".scroll") ?? element.closest(".below")?.previousElementSibling)?.ariaLabel ?? "";
  const own = element.matches("figure") ? image.alt : element.matches(".source") ?
    element.firstElementChild.textContent : element.textContent.replace(/\s+/g, " ").trim();
  const place = [section?.querySelector("h2")?.textContent ?? "", table, group].filter(Boolean).join(" · ");
  return { element, own, place, text: plain(place + element.textContent + (image?.alt ?? "")) };
};
const look = () => {
  index ??= [...document.querySelectorAll(PLACES)].filter((e) => !e.closest(".source .seeds, #drawer")).map(entry);
  const words = wordsOf(field.value);
  const found = words.length ? index.filter((e) => words.every((word) => e.text.includes(word))) : [];
  const count = document.createElement("p");
  count.textContent = `${found.length} ${found.length === 1 ? "place" : "places"}` +
    (found.length > MOST ? `, the first ${MOST} shown: type more words` : "");
  hits.hidden = words.length === 0;
  hits.replaceChildren(count, ...found.slice(0, MOST).map((e) => {
    const button = document.createElement("button"), where = document.createElement("small");
    button.type = "button";
    button.textContent = e.own.slice(0, 140);
    where.textContent = e.place;
    button.append(where);
    button.addEventListener("click", () => { hits.hidden = true; reveal(e.element); });
    return button;
  }));
};
field.addEventListener("input", look);
field.addEventListener("focus", look);
search.addEventListener("submit", (event) => { event.preventDefault(); hits.querySelector("button")?.click(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hits.hidden = true;
  if (event.key !== "/" || event.target.closest("input")) return;
  event.preventDefault();
  field.focus();
});
document.addEventListener("click", (event) => { if (!event.target.closest("#search")) hits.hidden = true; });

// Show the records behind a number beside it; without scripts the link leads to the same text.
const drawer = document.getElementById("drawer");
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.from");
  if (event.target === drawer || event.target.closest("#drawer > button")) drawer.close();
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
