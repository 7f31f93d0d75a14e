// One image large: zoom and pan, beside it any reference or neighbour, and why it is suspect.
import { curve } from "./curve.js";
import { $, make, mark, picture, sized, thumb } from "./dom.js";
import { ask } from "./queue.js";
import { mine, store } from "./store.js";

const FILM = [-3, 6]; // images of the group before and after
const AHEAD = 6;
const LEAST = 320; // pixels: a tiny picture is not shown below this side
const items = new Map();  // row -> promise of what is shown beside it
const images = new Map(); // row -> <img> whose loading has begun
let row = null, group = null;
let zoom = { scale: 1, x: 0, y: 0 };

export const detail = { onWalk: () => {}, get row() { return row; }, get group() { return group; } };

const itemOf = (one) => {
  if (!items.has(one)) {
    const asked = ask(`api/item/${one.at}`);
    asked.catch(() => items.delete(one));
    items.set(one, asked);
  }
  return items.get(one);
};

function imageOf(one) {
  if (!images.has(one)) {
    const image = make("img");
    image.src = `image/${one.id}`;
    image.dataset.sample = one.id;
    image.draggable = false;
    images.set(one, image);
    if (images.size > 30) images.delete(images.keys().next().value);
  }
  return images.get(one);
}

export function showDetail(next, inGroup) {
  [row, group] = [next, inGroup];
  const { blind } = store.session;
  $("label").textContent = row.label;
  $("or").textContent = row.like === null ? "?" : blind ? "or" : "looks like";
  $("suggested").textContent = $("relabel-label").textContent = row.like ?? "";
  $("suggested").hidden = $("relabel").hidden = row.like === null;
  $("keep-label").textContent = row.label;
  $("place").textContent = `${group.members.indexOf(row) + 1} of ${group.members.length}`;
  $("path").textContent = row.path;
  zoom = { scale: 1, x: 0, y: 0 };
  $("large").replaceChildren(pane(imageOf(row), `Labeled ${row.label}`));
  showExamples("given", row.label);
  showExamples("suggested", row.like);
  $("note").value = mine(row)?.note ?? "";
  $("note-line").hidden = !$("note").value;
  $("why").textContent = "";
  for (const id of ["curve", "copies", "nearest", "alike"]) $(`${id}-section`).hidden = true;
  $("live").textContent = `Image ${group.members.indexOf(row) + 1} of ${group.members.length}, labeled ${row.label}` + (row.like === null ? "" : `, maybe ${row.like}`);
  refreshDetail();
  itemOf(row).then((item) => { if (item.at === row.at) showItem(item); }, () => {});
  fetchAhead();
}

function showItem({ why, curve: drawn, copies = [], nearest = [], alike = [] }) {
  $("why").textContent = why ?? "";
  $("curve-section").hidden = !drawn;
  if (drawn) $("curve").replaceChildren(curve(drawn));
  fill("copies", copies.map((copy) => thumb(copy.sample_id, copy.label, () => compare(copy.sample_id, `The same file, labeled ${copy.label}`))));
  fill("nearest", nearest.map((one) => {
    const holder = make("span", "labeled");
    const kind = one.label === row.label ? "given" : one.label === row.like ? "suggested" : "";
    holder.append(thumb(one.sample_id, one.label, () => compare(one.sample_id, `Most like it, labeled ${one.label}`)), make("span", `of ${kind}`, one.label));
    return holder;
  }));
  fill("alike", alike.map((at) => store.rows[at]).map((one) => thumb(one.id, one.label, () => compare(one.id, `Looks alike, labeled ${one.label}`))));
}

function fetchAhead() {
  const from = group.members.indexOf(row) + 1;
  for (const one of group.members.slice(from, from + AHEAD)) imageOf(one);
  for (const one of group.members.slice(from, from + 2)) itemOf(one).catch(() => {});
}

// What decisions change: who said what, and the marks below.
export function refreshDetail() {
  const told = row.pending ? "Being saved: " : row.outcome === "contradictory" ? "Reviewers disagree: " : "Decided: ";
  const voices = row.pending ? [{ reviewer: store.session.reviewer, decision: row.pending.decision, new_label: row.pending.newLabel }] : row.said;
  $("said").hidden = voices.length === 0;
  $("said").textContent = told + voices.map((one) => `${one.reviewer === store.session.reviewer ? "you" : one.reviewer}: ${outcome(one)}`).join("; ");
  const at = group.members.indexOf(row);
  $("film").replaceChildren(...group.members.slice(Math.max(0, at + FILM[0]), at + FILM[1]).map(small));
}

const outcome = (voice) => (voice.decision === "relabel" ? `it is ${voice.new_label}` : voice.decision) + (voice.note ? ` (${voice.note})` : "");

function small(one) {
  const button = thumb(one.id, one.label, () => detail.onWalk(one));
  const shown = mark(one);
  if (shown) button.append(shown);
  button.tabIndex = -1; // arrow keys walk the group
  button.setAttribute("aria-label", `Image ${group.members.indexOf(one) + 1}, labeled ${one.label}, ${one.pending?.decision ?? one.outcome ?? "undecided"}`);
  if (one === row) button.setAttribute("aria-current", "true");
  return button;
}

function fill(id, children) {
  $(`${id}-section`).hidden = children.length === 0;
  $(id).replaceChildren(...children);
}

function showExamples(which, label) {
  const examples = (label !== null && store.session.examples[label]) || [];
  $(`${which}-section`).hidden = examples.length === 0;
  if ($(`${which}-title`).textContent === (label ?? "")) return;
  $(`${which}-title`).textContent = label ?? "";
  $(`${which}-examples`).replaceChildren(...examples.map((id) => thumb(id, label, () => compare(id, `Typical ${label}`))));
}

// Panes, side by side, with one zoom

function pane(image, text) {
  const holder = make("div", "pane");
  image.alt = text;
  const fit = () => sized(image, Math.min(holder.clientWidth, holder.clientHeight), LEAST);
  image.addEventListener("load", () => { fit(); apply(); }, { once: true });
  image.addEventListener("error", () => holder.replaceChildren(
    make("p", "", "This image cannot be shown: it is gone, broken, or has changed since the scan.")), { once: true });
  new ResizeObserver(fit).observe(holder);
  holder.append(image);
  return holder;
}

export function compare(sampleId, text) {
  const image = make("img");
  image.src = `image/${sampleId}`;
  const beside = pane(image, text);
  beside.append(make("p", "beside", text));
  const close = make("button", "plain close", "×");
  close.setAttribute("aria-label", "Close the picture beside");
  close.onclick = uncompare;
  beside.append(close);
  uncompare();
  $("large").append(beside);
  apply();
}

export function uncompare() {
  const there = $("large").children.length > 1;
  if (there) $("large").lastElementChild.remove();
  return there;
}

function apply() {
  for (const image of $("large").querySelectorAll("img")) {
    image.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
  }
  $("large").classList.toggle("zoomed", zoom.scale > 1);
}

export function zoomBy(factor) {
  const scale = Math.max(1, Math.min(40, zoom.scale * factor));
  const ratio = scale / zoom.scale;
  zoom = scale === 1 ? { scale, x: 0, y: 0 } : { scale, x: zoom.x * ratio, y: zoom.y * ratio };
  apply();
}

// Every pixel of the original as one of the screen's.
export function zoomToOriginal() {
  const image = $("large").querySelector("img");
  if (!image?.naturalWidth) return;
  const shown = Math.max(image.naturalWidth, image.naturalHeight) / (image.clientWidth || 1);
  zoom = { scale: Math.max(1, shown), x: 0, y: 0 };
  apply();
}

export function listenDetail() {
  const stage = $("large");
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(Math.exp(-event.deltaY / 300)); }, { passive: false });
  stage.addEventListener("pointermove", (event) => {
    if (!event.buttons || zoom.scale === 1) return;
    zoom = { ...zoom, x: zoom.x + event.movementX, y: zoom.y + event.movementY };
    apply();
  });
  stage.addEventListener("dblclick", () => (zoom.scale > 1 ? zoomBy(0) : zoomToOriginal()));
}

export function lookAt(sampleId, text) {
  const image = make("img");
  image.alt = text;
  image.src = `image/${sampleId}`;
  sized(image, Math.min(innerWidth, innerHeight) * 0.7, LEAST);
  $("look-picture").replaceChildren(image);
  $("look-text").textContent = text;
  $("look").showModal();
}
