// One image after another: shows what the desk sends, sends what the reviewer decides, fetches ahead meanwhile.
// Text from the data only ever becomes text (textContent), never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const TINY = 160; // pixels: smaller images are shown with their pixels, not blurred

const LETTERS = { keep: "K", relabel: "R", remove: "X", unsure: "U", contradictory: "!" };

let session;      // what the desk says once
let item;         // what is shown
let busy = false; // a decision is under way to the disk
let unsent = null; // a request that got no answer
let last = null;  // the position that was decided last
const items = new Map();  // position -> promise of an item, fetched ahead
const images = new Map(); // sample_id -> promise of a decoded <img>, or of null
const marks = new Map();  // position -> decision made since the page was opened
let film = new Map();     // position -> button: what stays in sight is not made, loaded and drawn again

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function identity() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error);
  return answer;
}
class Refused extends Error {}

// Fetching ahead

function itemAt(at) {
  if (!items.has(at)) {
    const asked = ask(`api/item/${at}`);
    asked.catch(() => items.delete(at));
    items.set(at, asked);
  }
  return items.get(at);
}

function imageOf(sampleId) {
  if (!images.has(sampleId)) {
    const image = new Image();
    image.src = `image/${sampleId}`;
    images.set(sampleId, image.decode().then(() => image, () => null));
    if (images.size > 40) images.delete(images.keys().next().value);
  }
  return images.get(sampleId);
}

async function fetchAhead(positions) {
  for (const at of positions) {
    try {
      const { sample_id: sampleId, around, alike = [] } = await itemAt(at);
      await imageOf(sampleId);
      for (const one of [...around, ...alike]) new Image().src = `small/${one.sample_id}`; // once: browsers keep it
    } catch { return; }
  }
}

// Showing

async function go(at) {
  if (at === null || at === undefined) return finish();
  const [found] = await Promise.all([itemAt(at)]);
  const image = await imageOf(found.sample_id);
  item = found;
  $("end").hidden = true;
  $("desk").hidden = false;
  show(found, image);
  fetchAhead(found.ahead);
}

function show(found, image) {
  const suggested = found.suggested;
  $("label").textContent = found.label;
  $("or").textContent = suggested === null ? "?" : session.blind ? "or" : "looks like";
  $("suggested").textContent = suggested ?? "";
  $("suggested").hidden = suggested === null;
  $("confidence").textContent = found.confidence == null ? "" : `in ${Math.round(100 * found.confidence)} % of the epochs`;
  $("large").replaceChildren(image ?? make("p", "", "This image cannot be shown: it is gone, broken, or has changed since the scan."));
  if (image) {
    image.className = Math.max(image.naturalWidth, image.naturalHeight) <= TINY ? "tiny" : "";
    image.alt = `Image ${found.at + 1}, labelled ${found.label}`;
    image.dataset.sample = found.sample_id;
  }
  $("place").textContent = `${found.at + 1} of ${session.length}` + (found.rank && found.rank !== found.at + 1 ? `, rank ${found.rank}` : "");
  $("path").textContent = found.path;
  $("keep-label").textContent = found.label;
  $("relabel").hidden = suggested === null;
  $("relabel-label").textContent = suggested ?? "";
  showSaid(found);
  showExamples("given", found.label);
  showExamples("suggested", suggested);
  $("curve-section").hidden = !found.curve;
  if (found.curve) $("curve").replaceChildren(curve(found.curve));
  fill("copies", (found.copies ?? []).map((copy) => thumb(copy.sample_id, copy.label)));
  fill("alike", (found.alike ?? []).map(small));
  showFilm(found.around);
  $("note").value = found.mine?.note ?? "";
  $("note-line").hidden = !$("note").value;
  $("live").textContent = `Image ${found.at + 1} of ${session.length}, labelled ${found.label}` + (suggested === null ? "" : `, maybe ${suggested}`);
}

function fill(id, children) {
  $(`${id}-section`).hidden = children.length === 0;
  $(id).replaceChildren(...children);
}

function outcome(said) {
  return (said.decision === "relabel" ? `it is ${said.new_label}` : said.decision) + (said.note ? ` (${said.note})` : "");
}

function showSaid(found) {
  const voices = [found.mine, ...(found.others ?? [])].filter(Boolean);
  const apart = new Set(voices.filter((one) => one.decision !== "unsure").map((one) => `${one.decision} ${one.new_label}`)).size > 1;
  $("said").hidden = voices.length === 0;
  $("said").textContent = (apart ? "Contradictory: " : "Decided: ") +
    voices.map((one) => `${one === found.mine ? "you" : one.reviewer}: ${outcome(one)}`).join("; ");
}

function showExamples(which, label) {
  const examples = (label !== null && session.examples[label]) || [];
  if (which === "suggested") $("suggested-section").hidden = label === null;
  if ($(`${which}-title`).textContent === (label ?? "")) return;
  $(`${which}-title`).textContent = label ?? "";
  $(`${which}-examples`).replaceChildren(...examples.map((sampleId) => thumb(sampleId, label)));
}

function thumb(sampleId, label, tag = "span") {
  const holder = make(tag, "thumb");
  const image = make("img");
  image.alt = label;
  image.title = label;
  image.onload = () => { if (Math.max(image.naturalWidth, image.naturalHeight) < 48) image.className = "tiny"; };
  image.src = `small/${sampleId}`;
  holder.append(image);
  return holder;
}

function showFilm(around) {
  film = new Map(around.map((one) => [one.at, marked(film.get(one.at) ?? small(one), one)]));
  $("film").replaceChildren(...film.values());
}

function small(one) {
  const button = thumb(one.sample_id, one.label, "button");
  button.tabIndex = -1; // arrow keys walk the queue
  button.onclick = () => go(one.at);
  return marked(button, one);
}

function marked(button, one) {
  const decision = marks.has(one.at) ? marks.get(one.at) : one.decision;
  button.querySelector(".mark")?.remove();
  if (decision) button.append(make("span", `mark ${decision}`, LETTERS[decision]));
  button.setAttribute("aria-label", `Image ${one.at + 1}, labelled ${one.label}, ${decision ?? "undecided"}`);
  if (one.at === item.at) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  return button;
}

function drawing(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function curve({ draws, first_epoch: first, aum }) {
  const [width, height, left, bottom] = [310, 140, 30, 18];
  const values = draws.flatMap((draw) => [...draw.margin, draw.threshold]).concat(0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const epochs = draws.length ? draws[0].margin.length : 1;
  const x = (epoch) => left + (epochs > 1 ? epoch / (epochs - 1) : .5) * (width - left - 4);
  const y = (value) => 4 + (high - value) / (high - low || 1) * (height - bottom - 8);
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.append(drawing("title", {}, `Mean margin ${aum.toFixed(2)}; ` + draws.map((draw) => `threshold of draw ${draw.draw + 1}: ${draw.threshold.toFixed(2)}`).join(", ")));
  svg.append(drawing("rect", { class: "counts", x: x(first), y: 2, width: Math.max(0, width - 4 - x(first)), height: height - bottom - 2, rx: 3 }));
  svg.append(drawing("line", { class: "zero", x1: left, x2: width - 4, y1: y(0), y2: y(0) }));
  svg.append(drawing("text", { x: left - 5, y: y(0) + 3, "text-anchor": "end" }, "0"));
  for (const end of [low, high]) {
    if (Math.abs(y(end) - y(0)) > 12) svg.append(drawing("text", { x: left - 5, y: y(end) + 3, "text-anchor": "end" }, end.toFixed(1)));
  }
  for (const { draw, margin, threshold } of draws) {
    const kind = `draw-${draw % 3}`;
    svg.append(drawing("line", { class: `threshold ${kind}`, x1: left, x2: width - 4, y1: y(threshold), y2: y(threshold) }));
    svg.append(drawing("polyline", { class: kind, points: margin.map((value, epoch) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  }
  svg.append(drawing("text", { x: left, y: height - 4 }, "epoch 0"));
  svg.append(drawing("text", { x: width - 4, y: height - 4, "text-anchor": "end" }, String(epochs - 1)));
  draws.forEach(({ draw }, at) => svg.append(drawing("text", { class: `draw-${draw % 3}`, x: left + 70 + 62 * at, y: height - 4 }, `draw ${draw + 1}`)));
  svg.append(drawing("text", { x: left + 70 + 62 * draws.length, y: height - 4 }, "- - threshold"));
  return svg;
}

function showProgress(progress) {
  session.progress = progress;
  $("bar").max = session.length;
  $("bar").value = progress.decided;
  $("count").textContent = `${progress.decided} of ${session.length} decided`;
  const said = progress.estimate;
  if (!said) $("estimate").textContent = session.blind ? "which are flagged is not shown" : "";
  else if (said.expected === null) $("estimate").textContent = said.ahead ? `errors ahead: known after ${10 - said.rests_on} more decisions` : "";
  else $("estimate").textContent = `next ${said.ahead}: about ${said.expected} errors (${said.low} to ${said.high})`;
  $("contradictory").hidden = progress.contradictory.length === 0;
  $("contradictory").textContent = `${progress.contradictory.length} contradictory`;
}

function finish() {
  const { decided, counts, result } = session.progress;
  $("desk").hidden = true;
  $("end").hidden = false;
  $("back").hidden = last === null;
  $("end-counts").textContent = `${decided} decided: ` + Object.entries(counts).filter(([, count]) => count).map(([word, count]) => `${count} ${word}`).join(", ") + ".";
  $("result").replaceChildren();
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  for (const [name, part, what] of result ? [["Precision", result.precision, "of the flagged images are wrong"], ["Missed", result.missed, "of the images that are not flagged are wrong"]] : []) {
    $("result").append(make("dt", "", name));
    $("result").append(make("dd", "", part.share === null ? "Not known: none was decided." :
      `${percent(part.share)} ${what} (95 % interval ${percent(part.low)} to ${percent(part.high)}; ${part.wrong} of ${part.decided} decided` +
      `${part.unsure ? `, ${part.unsure} unsure` : ""}; speaks for ${part.of} images).`));
  }
  $("end-next").textContent = session.blind ? "The terminal shows the same when you end it with Ctrl-C." : "End the terminal's command with Ctrl-C, then carry the decisions out with aumclean clean.";
  $("live").textContent = "Everything here is decided";
}

// Deciding

async function send(path, body, then) {
  if (busy) return;
  busy = true;
  try {
    const answer = await ask(path, body);
    unsent = null;
    $("trouble").hidden = true;
    await then(answer);
  } catch (error) {
    unsent = () => send(path, body, then); // with the same id, so that it can never count twice
    trouble(error instanceof Refused ? `Not saved: ${error.message}.` :
      "Not saved: the desk does not answer. Start aumclean review again and open its new address; everything before this is safe.");
    if (error instanceof Refused) unsent = null;
  } finally {
    busy = false;
  }
}

function trouble(message) {
  $("trouble").firstElementChild.textContent = message;
  $("again").hidden = unsent === null;
  $("trouble").hidden = false;
}

function decide(decision, newLabel) {
  if ($("desk").hidden || (decision === "relabel" && (newLabel === null || newLabel === item.label))) return;
  const at = item.at;
  const body = { id: identity(), sample_id: item.sample_id, decision, new_label: newLabel ?? null, note: $("note").value.trim() };
  send("api/decide", body, async ({ progress, next }) => {
    marks.set(at, progress.contradictory.includes(at) ? "contradictory" : decision);
    items.delete(at);
    last = at;
    showProgress(progress);
    await go(next);
  });
}

function undo() {
  send("api/undo", { id: identity() }, async ({ progress, at }) => {
    marks.set(at, null);
    items.clear();
    showProgress(progress);
    await go(at);
  });
}

const KEYS = {
  k: () => decide("keep"),
  r: () => decide("relabel", item.suggested),
  Enter: () => decide("relabel", item.suggested),
  x: () => decide("remove"),
  u: () => decide("unsure"),
  c: () => choose(),
  z: () => undo(),
  n: () => skip(),
  " ": () => skip(),
  m: () => { $("note-line").hidden = false; $("note").focus(); },
  ArrowLeft: () => walk(-1),
  ArrowRight: () => walk(1),
  "?": () => $("help").showModal(),
};

function skip() {
  if (!$("desk").hidden) itemAt(item.at).then((fresh) => go(fresh.next ?? item.at)).catch(lost);
}

function walk(step) {
  const at = $("desk").hidden ? last : item.at + step;
  if (at !== null && at >= 0 && at < session.length) go(at).catch(lost);
}

function lost() {
  trouble("The desk does not answer. Start aumclean review again and open its new address; everything decided is safe.");
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target === $("note")) {
    if (event.key === "Enter" || event.key === "Escape") { $("note").blur(); event.preventDefault(); }
    return;
  }
  if (event.target.closest("button, a") && (event.key === "Enter" || event.key === " ")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat && event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  event.preventDefault();
  if (session && (item || event.key === "?" || event.key === "z")) act();
});

for (const button of document.querySelectorAll("[data-key]")) {
  button.onclick = () => { KEYS[button.dataset.key](); if (button.dataset.key !== "m") button.blur(); };
}
$("help-button").onclick = KEYS["?"];
$("again").onclick = () => unsent?.();
$("back").onclick = () => go(last).catch(lost);
$("contradictory").onclick = () => {
  const all = session.progress.contradictory;
  items.clear();
  go(all.find((at) => at > item.at) ?? all[0]).catch(lost);
};

// Choosing another class

let matching = [];
let chosen = 0;

function choose() {
  if ($("desk").hidden) return;
  $("class").value = "";
  match();
  $("choose").showModal();
  $("class").focus();
}

function match() {
  const typed = $("class").value.trim().toLowerCase();
  const others = session.classes.filter((name) => name !== item.label && name.toLowerCase().includes(typed));
  const begins = (name) => name.toLowerCase().startsWith(typed);
  matching = [...others.filter(begins), ...others.filter((name) => !begins(name))].slice(0, 100);
  chosen = 0;
  $("classes").replaceChildren(...matching.map((name, at) => {
    const option = make("li", "", name);
    option.id = `class-${at}`;
    option.setAttribute("role", "option");
    option.onclick = () => take(at);
    return option;
  }));
  highlight();
}

function highlight() {
  [...$("classes").children].forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
  $("class").setAttribute("aria-activedescendant", matching.length ? `class-${chosen}` : "");
  $("classes").children[chosen]?.scrollIntoView({ block: "nearest" });
}

function take(at) {
  if (!matching[at]) return;
  $("choose").close();
  decide("relabel", matching[at]);
}

$("class").oninput = match;
$("class").onkeydown = (event) => {
  if (event.key === "Enter") take(chosen);
  else if (event.key === "ArrowDown") chosen = Math.min(chosen + 1, matching.length - 1);
  else if (event.key === "ArrowUp") chosen = Math.max(chosen - 1, 0);
  else return;
  event.preventDefault();
  highlight();
};

// Beginning

async function begin() {
  session = await ask("api/session");
  document.title = `${session.run} · aumclean review`;
  $("run").textContent = session.run;
  $("mode").textContent = session.blind ? "blind spot check" : "review";
  $("reviewer").textContent = session.reviewer;
  $("help-estimate").hidden = session.blind;
  showProgress(session.progress);
  if (session.start === null) last = session.length - 1;
  await go(session.start);
}
begin().catch(lost);
