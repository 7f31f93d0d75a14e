"use strict";
// Filters, sorting and paging of the suspects, and a dialog for one. Without it the page is a plain table of them all.
(() => {
  const PAGE = 500, PORTION = 60;
  // What is folded opens for a link to it; a wide table shows that there is more of it.
  const unfold = () => document.getElementById(location.hash.slice(1))?.querySelector(":scope > details")?.setAttribute("open", "");
  addEventListener("hashchange", unfold);
  unfold();
  for (const wide of document.querySelectorAll(".across")) {
    const tell = () => wide.classList.toggle("more", wide.scrollLeft + wide.clientWidth < wide.scrollWidth - 4);
    wide.addEventListener("scroll", tell, { passive: true });
    new ResizeObserver(tell).observe(wide);
  }
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  const at = (id) => document.getElementById(id);
  const body = gallery.tBodies[0];
  const { names, rows } = JSON.parse(at("index").textContent);
  const markup = at("source").textContent.split("\n<tr ").slice(1);
  const name = (index) => (index === null ? "" : names[index]);
  const all = rows.map(([id, given, suggested, states, path], rank) => ({
    id: `sample-${id}`, rank, path, given, suggested, givenName: name(given), suggestedName: name(suggested),
    states, row: null, picture: null,
  }));
  const byId = new Map(all.map((item) => [item.id, item]));
  const byRow = new WeakMap();
  const desk = location.search === "?desk";

  // Rows are made when first shown, their pictures when they come near the screen.
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) load(byRow.get(target));
  }, { rootMargin: "900px" });

  function load(item) {
    seen.unobserve(item.row);
    if (item.picture) item.row.querySelector("img").src = item.picture;
    item.picture = null;
  }

  // A desk that shows this page decides on its samples.
  function deskLink(item) {
    const link = document.createElement("a");
    link.className = "decide";
    link.href = `./#sample=${item.id.slice(7)}`;
    link.textContent = "decide";
    return link;
  }

  function makeRows(items) {
    const missing = items.filter((item) => !item.row);
    const html = missing.map((item) => `<tr ${markup[item.rank].replace(/ src="([^"]*)"/, (_, source) => {
      item.picture = source;
      return "";
    })}`);
    const made = new DOMParser().parseFromString(`<table>${html.join("")}</table>`, "text/html").querySelectorAll("tr");
    missing.forEach((item, number) => {
      item.row = document.adoptNode(made[number]);
      byRow.set(item.row, item);
      if (desk) item.row.querySelector(".labels").append(deskLink(item));
      seen.observe(item.row);
    });
    return items.map((item) => item.row);
  }

  const text = new Intl.Collator("en", { numeric: true });
  const orders = {
    rank: (a, b) => a.rank - b.rank,
    given: (a, b) => text.compare(a.givenName, b.givenName) || a.rank - b.rank,
    suggested: (a, b) => text.compare(a.suggestedName, b.suggestedName) || a.rank - b.rank,
    path: (a, b) => text.compare(a.path, b.path),
  };
  let chosen = all, page = 0, open = null, filling = 0;

  function fillSelect(select, value, name) {
    const counts = new Map();
    for (const item of all) {
      if (item[value] === null) continue;
      const entry = counts.get(item[value]) || { name: item[name], count: 0 };
      entry.count += 1;
      counts.set(item[value], entry);
    }
    const sorted = [...counts].sort((a, b) => text.compare(a[1].name, b[1].name));
    for (const [key, { name, count }] of sorted) select.append(new Option(`${name} (${count.toLocaleString("en")})`, key));
  }

  // What fits on a screen at once, the rest of the page in portions between which the browser can paint.
  function fill(items, portion, at = 0, mine = (filling += 1)) {
    if (mine !== filling) return;
    const part = makeRows(items.slice(at, at + portion));
    if (at === 0) body.replaceChildren(...part);
    else body.append(...part);
    if (at + portion < items.length) setTimeout(fill, 0, items, portion, at + portion, mine);
  }

  function show(portion = PORTION) {
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    fill(chosen.slice(page * PAGE, (page + 1) * PAGE), portion);
    const n = (count) => count.toLocaleString("en");
    const total = `${n(all.length)} suspect${all.length === 1 ? "" : "s"}`;
    at("status").textContent = chosen.length === all.length ? total : `${n(chosen.length)} of ${total}`;
    at("pages").hidden = pages === 1;
    at("page").textContent = `page ${page + 1} of ${pages}`;
    at("previous").disabled = page === 0;
    at("next").disabled = page === pages - 1;
  }

  function choose() {
    const given = at("given").value, suggested = at("suggested").value, state = at("state").value;
    const part = at("path").value.toLowerCase();
    chosen = all.filter((item) =>
      (given === "" || item.given === Number(given)) && (suggested === "" || item.suggested === Number(suggested)) &&
      (state === "" || item.states.includes(state)) && (part === "" || item.path.toLowerCase().includes(part)));
    chosen.sort(orders[at("sort").value]);
    page = 0;
    show();
  }

  function reset() {
    for (const id of ["given", "suggested", "state", "path"]) at(id).value = "";
    at("sort").value = "rank";
    choose();
  }

  function turn(by) {
    page += by;
    show();
    at("suspects").scrollIntoView();
  }

  // A link to a sample leads to its page, also when a filter hides it.
  function follow() {
    const item = byId.get(location.hash.slice(1));
    if (!item) return;
    if (!chosen.includes(item)) reset();
    page = Math.floor(chosen.indexOf(item) / PAGE);
    show(PAGE);
    for (const { row } of all) if (row) row.classList.toggle("target", row === item.row);
    item.row.scrollIntoView();
  }

  function detail(item) {
    open = item;
    makeRows([item]);
    load(item);
    const position = chosen.indexOf(item);
    const parts = Array.from(item.row.cells, (cell) => {
      const part = document.createElement("div");
      part.className = cell.className;
      const source = cell.className === "picture" ? cell.firstElementChild : cell;
      const inner = cell.className === "picture" ? part.appendChild(document.createElement("a")) : part;
      inner.append(...Array.from(source.childNodes, (node) => node.cloneNode(true)));
      return part;
    });
    at("detail-body").replaceChildren(parts[1], parts[0], parts[2], parts[4], parts[3]);
    at("detail-previous").disabled = position <= 0;
    at("detail-next").disabled = position === chosen.length - 1;
    if (!at("detail").open) at("detail").showModal();
  }

  function step(by) {
    const item = chosen[chosen.indexOf(open) + by];
    if (item) detail(item);
  }

  fillSelect(at("given"), "given", "givenName");
  fillSelect(at("suggested"), "suggested", "suggestedName");
  for (const id of ["given", "suggested", "state", "sort"]) at(id).addEventListener("change", choose);
  at("path").addEventListener("input", choose);
  at("reset").addEventListener("click", reset);
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  at("view").addEventListener("click", () => {
    const cards = gallery.classList.toggle("cards");
    at("view").setAttribute("aria-pressed", String(cards));
  });
  body.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || link.className === "decide" || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    detail(byId.get(link.hash.slice(1)));
  });
  document.querySelectorAll("a[data-given]").forEach((link) => link.addEventListener("click", () => {
    at("given").value = link.dataset.given;
    at("suggested").value = link.dataset.suggested || "";
    at("state").value = at("path").value = "";
    choose();
  }));
  at("detail-previous").addEventListener("click", () => step(-1));
  at("detail-next").addEventListener("click", () => step(1));
  at("detail-close").addEventListener("click", () => at("detail").close());
  at("detail").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
  });
  at("detail").addEventListener("close", () => {
    if (!open.row.isConnected) {
      page = Math.floor(chosen.indexOf(open) / PAGE);
      show(PAGE);
    }
    open.row.querySelector("a").focus();
  });
  addEventListener("hashchange", follow);
  at("filters").hidden = gallery.hidden = false;
  choose();
  follow();
})();
