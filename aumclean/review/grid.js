// One group as a grid: only the cards in sight are made; selected by click, box, range or keys.
import { $, make, mark, percent, picture, sized } from "./dom.js";
import { isOpen, nextOpen, see, seen, store } from "./store.js";

const GAP = 10, CAPTION = 24, MARGIN = 600; // pixels; rows this far outside are made already
const cards = new Map(); // row -> element
let group = { key: "", members: [] };
let place = new Map();   // row -> number in the group
let columns = 1, cell = 144;
let top = 0, height = 0; // of what is in sight, kept here: to ask the page for them after a change makes it lay out all
let focus = null, anchor = null;
const chosen = new Set();

export const grid = { onChange: () => {}, onOpen: () => {}, get group() { return group; }, get focus() { return focus; } };
let due = false;
function tell() { // once for all that a key or a scroll changes
  if (!due) queueMicrotask(() => { due = false; grid.onChange(); });
  due = true;
}

export const selected = () => [...chosen].sort((a, b) => place.get(a) - place.get(b));
export const target = () => (chosen.size ? selected() : focus ? [focus] : []);

export function showGroup(next, at) {
  group = next;
  place = new Map(group.members.map((row, number) => [row, number]));
  chosen.clear();
  $("cards").replaceChildren();
  cards.clear();
  scrollTo(0);
  focus = anchor = at ?? group.members.find((row) => isOpen(row, group)) ?? group.members[0] ?? null;
  layout();
}

export const usualSize = () => (innerWidth < 600 ? 104 : 144);

const OWN = 50; // milliseconds after a scroll of ours, within which where it went need not be asked for
let scrolled = -OWN;

function scrollTo(there) {
  scrolled = performance.now();
  $("scroll").scrollTop = top = there;
}

function look() {
  const before = top;
  top = $("scroll").scrollTop;
  if (top !== before) drawSoon();
}

export function layout() {
  height = $("scroll").clientHeight;
  const width = $("scroll").clientWidth - 2 * GAP;
  const size = Math.max(96, Math.min(Number(store.view.size) || usualSize(), width));
  columns = Math.max(1, Math.floor((width + GAP) / (size + GAP)));
  cell = Math.floor((width - GAP * (columns - 1)) / columns);
  $("cards").style.height = `${Math.ceil(group.members.length / columns) * rowHeight() + GAP}px`;
  for (const [row, card] of cards) arrange(card, row);
  if (focus) reveal(focus);
  draw();
}

const rowHeight = () => cell + CAPTION + GAP;

function arrange(card, row) {
  const number = place.get(row);
  card.style.transform = `translate(${GAP + (number % columns) * (cell + GAP)}px, ${GAP + Math.floor(number / columns) * rowHeight()}px)`;
  card.style.width = `${cell}px`;
  card.style.height = `${cell + CAPTION}px`;
  sized(card.querySelector("img") ?? make("img"), cell);
}

export function draw() {
  if (!height) return; // hidden
  const first = Math.max(0, Math.floor((top - MARGIN) / rowHeight())) * columns;
  const last = Math.min(group.members.length, Math.ceil((top + height + MARGIN) / rowHeight()) * columns);
  const wanted = new Set(group.members.slice(first, last));
  for (const [row, card] of cards) if (!wanted.has(row)) { card.remove(); cards.delete(row); }
  for (const row of wanted) if (!cards.has(row)) { cards.set(row, makeCard(row)); $("cards").append(cards.get(row)); }
  const inSight = Math.min(group.members.length, Math.floor((top + height - GAP - cell / 2) / rowHeight() + 1) * columns);
  const before = seen(group); // what was jumped over, or whose picture is not there yet, was not seen
  const unseen = group.members.slice(before, inSight).findIndex((row) => !cards.has(row) || cards.get(row).querySelector("img")?.complete === false);
  see(group, unseen < 0 ? inSight : before + unseen);
  tell();
}

let drawing = false;
function drawSoon() {
  if (!drawing) requestAnimationFrame(() => { drawing = false; draw(); });
  drawing = true;
}

function makeCard(row) {
  const card = make("div", "card");
  card.id = `card-${row.at}`;
  card.setAttribute("role", "option");
  const image = picture(row.id, "");
  image.addEventListener("load", drawSoon, { once: true });
  image.addEventListener("error", drawSoon, { once: true });
  const frame = make("div", "frame");
  frame.append(image);
  const caption = make("div", "caption");
  caption.append(...captionOf(row));
  card.append(frame, caption);
  arrange(card, row);
  refresh(card, row);
  return card;
}

function captionOf(row) {
  const parts = [];
  if (group.given === undefined) parts.push(make("span", "of given", row.label));
  if (group.like === undefined && row.like !== null) parts.push(make("span", "of suggested", row.like));
  if (parts.length === 2) parts.splice(1, 0, make("span", "to", "→"));
  if (row.wrong !== null) parts.push(make("span", "wrong", percent(row.wrong)));
  return parts;
}

function refresh(card, row) {
  const decision = row.pending?.decision ?? row.outcome;
  const newLabel = row.pending?.newLabel ?? row.said.find((voice) => voice.decision === "relabel")?.new_label;
  card.classList.toggle("chosen", chosen.has(row));
  card.classList.toggle("focus", row === focus);
  card.classList.toggle("done", Boolean(decision) && !isOpen(row, group)); // what is to be settled stays clear
  card.setAttribute("aria-selected", String(chosen.has(row)));
  card.setAttribute("aria-label", [
    `Labeled ${row.label}`, row.like === null ? "" : `looks like ${row.like}`, row.wrong === null ? "" : `wrong at ${percent(row.wrong)}`,
    decision ? (decision === "relabel" ? `relabeled ${newLabel}` : decision) : "undecided",
  ].filter(Boolean).join(", "));
  card.title = row.path + (row.said.length ? ` (${row.said.map((voice) => `${voice.reviewer}: ${voice.new_label ?? voice.decision}`).join("; ")})` : "");
  card.querySelector(".mark")?.remove();
  const shown = mark(row);
  if (shown) card.firstElementChild.append(shown);
}

// After a decision or a change of the selection: the cards that are there are brought up to date.
export function update(rows, { flash = false } = {}) {
  for (const row of rows ?? cards.keys()) {
    const card = cards.get(row);
    if (!card) continue;
    refresh(card, row);
    if (flash) card.firstElementChild.animate?.([{ filter: "brightness(1.6)" }, { filter: "none" }], 350);
  }
  if (focus) $("cards").setAttribute("aria-activedescendant", `card-${focus.at}`);
  tell();
}

function reveal(row) {
  const line = GAP + Math.floor(place.get(row) / columns) * rowHeight();
  if (line - GAP < top) scrollTo(line - GAP);
  else if (line + rowHeight() > top + height) scrollTo(line + rowHeight() - height);
}

// Selecting

function setFocus(row) {
  if (!row) return;
  focus = row;
  reveal(row);
  draw();
  update();
}

export function move(by, extend) {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[by] ??
    { PageUp: -1, PageDown: 1 }[by] * Math.max(1, Math.floor(height / rowHeight())) * columns;
  const at = by === "Home" ? 0 : by === "End" ? Infinity : (place.get(focus) ?? 0) + step;
  const row = group.members[Math.max(0, Math.min(group.members.length - 1, at))];
  if (extend) range(row);
  else anchor = row;
  setFocus(row);
}

function range(to, without) {
  const [from, until] = [place.get(anchor ?? to), place.get(to)].sort((a, b) => a - b);
  for (const row of group.members.slice(from, until + 1)) without ? chosen.delete(row) : chosen.add(row);
}

export function toggle(row = focus) {
  if (!row) return;
  if (!chosen.delete(row)) chosen.add(row);
  anchor = row;
  setFocus(row);
}

export function clear() {
  chosen.clear();
  update();
}

// All that is undecided and has been on the screen; again: nothing.
export function selectSeen() {
  draw();
  const rows = group.members.slice(0, seen(group)).filter((row) => isOpen(row, group));
  const all = rows.length && rows.every((row) => chosen.has(row)) && chosen.size === rows.length;
  chosen.clear();
  if (!all) rows.forEach((row) => chosen.add(row));
  update();
}

export function select(rows) {
  chosen.clear();
  for (const row of rows) if (place.has(row)) chosen.add(row);
  if (chosen.size) setFocus(selected()[0]);
}

// After a step: on to the next that is undecided; false when the group has none left.
export function proceed(rows) {
  chosen.clear();
  const next = nextOpen(group, rows.at(-1));
  anchor = next;
  if (next) setFocus(next);
  update();
  return Boolean(next);
}

// Pointer: a click, a range with shift, a box by dragging; a finger scrolls

function rowAt(event) {
  const card = event.target.closest(".card");
  return card ? store.rows[Number(card.id.slice(5))] : null;
}

let drag = null;

function point(event) {
  const box = $("cards").getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function dragTo(event) {
  const now = point(event), { start, before } = drag;
  const [left, right, top, bottom] = [Math.min(start.x, now.x), Math.max(start.x, now.x), Math.min(start.y, now.y), Math.max(start.y, now.y)];
  if (!drag.box && Math.max(right - left, bottom - top) < 6) return;
  drag.box ??= $("cards").appendChild(make("div", "box"));
  Object.assign(drag.box.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
  chosen.clear();
  before.forEach((row) => chosen.add(row));
  const across = (x) => Math.floor((x - GAP) / (cell + GAP)), down = (y) => Math.floor((y - GAP) / rowHeight());
  for (let line = Math.max(0, down(top)); line <= down(bottom); line += 1) {
    for (let column = Math.max(0, across(left)); column <= Math.min(columns - 1, across(right)); column += 1) {
      const row = group.members[line * columns + column];
      if (row) drag.without ? chosen.delete(row) : chosen.add(row);
    }
  }
  const edge = $("scroll").getBoundingClientRect();
  if (event.clientY > edge.bottom - 24) $("scroll").scrollTop += 24;
  if (event.clientY < edge.top + 24) $("scroll").scrollTop -= 24;
  update();
}

export function listen() {
  const area = $("cards");
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    drag = { start: point(event), before: [...chosen], box: null, row: rowAt(event), without: event.altKey };
    area.setPointerCapture(event.pointerId);
    area.focus({ preventScroll: true });
  });
  area.addEventListener("pointermove", (event) => { if (drag) dragTo(event); });
  area.addEventListener("pointerup", (event) => {
    const was = drag;
    drag = null;
    was?.box?.remove();
    if (was && !was.box && was.row) click(was.row, event.shiftKey);
  });
  area.addEventListener("pointercancel", () => { drag?.box?.remove(); drag = null; });
  area.addEventListener("click", (event) => { if (event.pointerType === "touch" && rowAt(event)) toggle(rowAt(event)); });
  area.addEventListener("dblclick", (event) => { const row = focus; if (row && event.detail === 2) grid.onOpen(row); });
  $("scroll").addEventListener("scroll", (event) => {
    if (event.timeStamp - scrolled < OWN) setTimeout(look, OWN);
    else look();
  }, { passive: true });
  new ResizeObserver(layout).observe($("scroll"));
}

function click(row, shift) {
  if (shift) range(row);
  else { toggle(row); return; }
  setFocus(row);
}
