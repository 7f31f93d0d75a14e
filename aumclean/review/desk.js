// The desk: keys and buttons to decisions, and which of its three parts is shown: grid, one image large, the end.
import { choose } from "./choose.js";
import { compare, detail, listenDetail, lookAt, refreshDetail, showDetail, uncompare, zoomBy, zoomToOriginal } from "./detail.js";
import { $, count, make, percent, some, thumb } from "./dom.js";
import { showEnd } from "./end.js";
import { clear, grid, layout, listen, move, proceed, select, selected, selectSeen, showGroup, target, toggle, update, usualSize } from "./grid.js";
import { ask, line, send } from "./queue.js";
import * as st from "./store.js";

const { store } = st;
const SURE = 0.95;
const NO_ANSWER = "The desk does not answer. Start aumclean review again and open its new address; everything decided is safe.";
let part = null;

// Showing

function show(which) {
  part = which;
  for (const id of ["grid", "desk", "end"]) $(id).hidden = id !== which;
  document.body.dataset.part = which;
}

function openGroup(group, at) {
  if (!group) return;
  show("grid");
  st.setView({ group: group.key, sample: "" });
  showGroup(group, at);
  showTitle(group);
  showGroups();
  $("groups").classList.remove("open");
  $("cards").focus({ preventScroll: true });
}

function openDetail(row) {
  const group = st.groupWith(row) ?? { key: "", members: [row] };
  show("desk");
  st.setView({ group: group.key, sample: String(row.id) });
  showDetail(row, group);
}

function showHelp() {
  $("help").showModal();
  $("help").scrollTop = 0; // the button that has the focus is its last part
}

async function openEnd() {
  try {
    await showEnd();
    show("end");
  } catch { line.onTrouble(NO_ANSWER); }
}

function chips(group) {
  if (group.name) return [make("span", "", group.name)];
  const parts = [];
  if (group.given !== undefined) parts.push(make("span", "word", "labeled"), make("span", "label given", group.given));
  if (group.like !== undefined) parts.push(make("span", "word", parts.length ? "looks like" : "all look like"), make("span", "label suggested", group.like));
  return parts;
}

function showTitle(group) {
  $("group-title").replaceChildren(...chips(group));
  const references = [group.given, group.like].filter((label) => label !== undefined).flatMap((label, which) => {
    const examples = store.session.examples[label] ?? [];
    const kind = label === group.like ? "suggested" : "given";
    return examples.length ? [make("span", `kind ${kind}`, `typical ${label}`),
      ...examples.map((id) => thumb(id, `Typical ${label}`, () => lookAt(id, `Typical ${label}`)))] : [];
  });
  $("references").replaceChildren(...references);
  $("references").hidden = references.length === 0;
  layout();
}

function expectation(group) {
  const open = st.openIn(group).length, total = group.members.length;
  const expected = group.expected === null ? "" : `, about ${count(Math.round(group.expected))} expected to be wrong`;
  return `${some(total, group.kind === "other" ? "image" : "suspect")}${expected}` + (open === total ? "" : open ? `; ${count(open)} undecided` : "; all decided");
}

function showGroups() {
  const there = $("group-list").children;
  if (there.length !== store.groups.length || [...there].some((one, at) => one.dataset.key !== store.groups[at].key)) {
    $("group-list").replaceChildren(...store.groups.map((group) => {
      const item = make("li");
      item.dataset.key = group.key;
      const button = make("button");
      const name = make("span", "name");
      if (group.name) name.append(group.name);
      else name.append(make("span", "of given", group.given ?? "any"), make("span", "to", group.like === undefined ? "" : " → "), make("span", "of suggested", group.like ?? ""));
      button.append(name, make("span", "number"));
      button.onclick = () => openGroup(group);
      item.append(button);
      return item;
    }));
  }
  store.groups.forEach((group, at) => {
    const button = there[at].firstElementChild, open = st.openIn(group).length;
    button.lastElementChild.textContent = open ? count(open) : "✓";
    button.classList.toggle("done", open === 0);
    button.setAttribute("aria-label", `${button.firstElementChild.textContent}, ${open ? `${open} undecided` : "all decided"}`);
    if (group === grid.group) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
  const left = store.groups.filter((group) => st.openIn(group).length).length;
  $("groups-count").textContent = left ? `${count(left)} to decide` : "all decided";
  $("groups-button").textContent = `Groups (${count(left)})`;
}

// The parts that follow from what is selected and decided.
grid.onChange = () => {
  const { group } = grid, chosen = selected().length, rows = target();
  $("selection").textContent = chosen ? `${count(chosen)} selected` : "";
  const like = new Set(rows.map((row) => row.like));
  $("accept-label").textContent = like.size === 1 ? rows[0].like ?? "" : rows.length ? "each suggestion" : "";
  const sure = surest(group), whole = st.seen(group) >= group.members.length;
  $("accept-high").hidden = sure.length === 0;
  $("accept-high").disabled = !whole;
  $("accept-high").title = whole ? "" : `Look at the whole group first: ${count(st.seen(group))} of ${count(group.members.length)} seen`;
  $("accept-high").lastElementChild.textContent = `accept ${count(sure.length)} above 95%`;
  $("group-about").textContent = expectation(group);
};

const surest = (group) => st.openIn(group).filter((row) => row.wrong >= SURE && row.like !== null);

function showProgress() {
  const decided = st.decidedCount(), { blind } = store.session;
  $("bar").max = store.rows.length;
  $("bar").value = decided;
  $("count").textContent = `${count(decided)} of ${count(store.rows.length)} decided`;
  const open = store.rows.filter((row) => row.outcome === null && row.wrong !== null);
  const expected = open.reduce((sum, row) => sum + row.wrong, 0);
  $("estimate").textContent = blind ? "which are flagged is not shown" : open.length ? `about ${count(Math.round(expected))} ${decided ? "of the rest " : ""}expected to be wrong` : "";
  showGroups();
}

function changed(rows, flash) {
  update(rows, { flash });
  if (part === "desk") refreshDetail();
  showProgress();
}

let toasting;
function toast(text, kind = "") {
  $("toast").textContent = text;
  $("toast").className = `shown ${kind}`;
  clearTimeout(toasting);
  toasting = setTimeout(() => { $("toast").className = ""; }, 1400);
}

// Deciding: the page moves on at once, the mark is full when the desk has it on disk

function decide(decision, labelOf = () => null) {
  if (line.stalled) return toast("Not taken: the desk does not answer", "remove");
  const asked = part === "desk" ? [detail.row] : part === "grid" ? target() : [];
  const made = asked.map((row) => {
    const newLabel = decision === "relabel" ? labelOf(row) : null;
    return { row, decision: newLabel === row.label ? "keep" : decision, newLabel: newLabel === row.label ? null : newLabel };
  }).filter((one) => one.decision !== "relabel" || one.newLabel !== null);
  if (!made.length) return asked.length ? toast("No suggestion to accept: choose C, K or X") : undefined;
  if (made.length < asked.length) toast(`${some(asked.length - made.length, "image")} without a suggestion left`);
  const note = part === "desk" ? $("note").value.trim() : "";
  for (const { row, ...pending } of made) row.pending = pending;
  const rows = made.map((one) => one.row);
  send("api/decide", () => ({
    since: store.version,
    decisions: made.map((one) => ({ sample_id: one.row.id, decision: one.decision, new_label: one.newLabel, note })),
  }), (answer) => {
    for (const one of made) if (one.row.pending?.decision === one.decision && one.row.pending.newLabel === one.newLabel) one.row.pending = null;
    const learned = answer ? st.learn(answer) : [];
    changed([...new Set([...rows, ...learned])], true);
    if (answer) toast(saved(made), made[0].decision);
    if (answer && part !== "end" && store.rows.every((row) => row.outcome !== null)) openEnd();
  });
  update(rows);
  goOn(rows);
}

function saved(made) {
  const labels = new Set(made.map((one) => one.newLabel));
  const what = made[0].decision !== "relabel" ? made[0].decision : labels.size === 1 ? `it is ${made[0].newLabel}` : "suggestions accepted";
  return made.length === 1 ? `✓ ${what}` : `✓ ${count(made.length)}: ${what}. Z undoes`;
}

const firstOpen = (group) => group?.members.find((row) => st.isOpen(row, group));

function goOn(rows) {
  const group = part === "desk" ? detail.group : grid.group;
  const within = part === "desk" ? st.nextOpen(group, rows.at(-1)) : proceed(rows);
  const next = within ? group : st.nextGroup(group);
  if (part === "grid" && !within && next) openGroup(next);
  if (part === "desk") openDetail(within || (firstOpen(next) ?? rows.at(-1)));
  showProgress();
}

function undo() {
  if (line.stalled) return toast("Not taken: the desk does not answer", "remove");
  send("api/undo", () => ({ since: store.version }), (answer) => {
    if (!answer) return;
    const rows = answer.undone.map((at) => store.rows[at]);
    for (const row of rows) row.pending = null;
    const learned = st.learn(answer);
    if (part === "desk" || store.session.blind) openDetail(rows[0]);
    else {
      if (part !== "grid" || !grid.group.members.includes(rows[0])) openGroup(st.groupWith(rows[0]) ?? grid.group);
      select(rows);
    }
    changed(learned, true);
    toast(`Undone: ${some(rows.length, "decision")}`);
  });
}

const accept = () => decide("relabel", (row) => row.like);

// Accept, and leave what is not selected for later.
function acceptAndGoOn() {
  const { group } = grid;
  accept();
  if (grid.group === group) toGroup(1);
}

function acceptSurest() {
  if (part !== "grid" || $("accept-high").disabled) return;
  select(surest(grid.group));
  if (selected().length) accept();
}

function chooseClass() {
  const rows = part === "desk" ? [detail.row] : target();
  if (!rows.length) return;
  const labels = new Set(rows.map((row) => row.label));
  choose(store.session.classes.filter((name) => labels.size > 1 || !labels.has(name)), (name) => decide("relabel", () => name));
}

function walk(step) {
  const { members } = detail.group;
  const row = members[members.indexOf(detail.row) + step];
  if (row) openDetail(row);
}

function skip() {
  const { row, group } = detail;
  const next = st.nextOpen(group, row) ?? firstOpen(st.nextGroup(group));
  if (next) openDetail(next);
}

function toGroup(step) {
  const next = st.nextGroup(grid.group, step);
  if (next) openGroup(next);
  else openEnd();
}

// All that is undecided in one grid, and the groups again.
function whatIsLeft() {
  const left = store.view.by === "none" && store.view.state === "open";
  refilter(left ? { by: "pair", state: "" } : { by: "none", state: "open" });
}

function back() {
  if (part === "desk" && uncompare() || store.session.blind) return;
  if (part === "desk") openGroup(st.groupNamed(detail.group.key) ?? store.groups[0], detail.row);
  else clear();
}

function resize(by) {
  $("size").value = Number($("size").value) + by;
  $("size").oninput();
}

// Keys

const BOTH = {
  k: () => decide("keep"), r: accept, Enter: accept, x: () => decide("remove"), u: () => decide("unsure"),
  c: chooseClass, z: undo, "?": showHelp, Escape: back,
};
const IN_GRID = {
  " ": () => toggle(), a: selectSeen, y: acceptSurest, d: () => grid.focus && openDetail(grid.focus), n: () => toGroup(1),
  p: () => toGroup(-1), l: whatIsLeft, f: () => $("filter-button").click(), "+": () => resize(24), "-": () => resize(-24),
};
const IN_DETAIL = {
  " ": skip, n: skip, d: back, ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), "+": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4),
  0: () => zoomBy(0), o: zoomToOriginal, m: () => { $("note-line").hidden = false; $("note").focus(); },
};
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];

function act(key, shift) {
  if (part === "grid" && MOVES.includes(key)) return move(key, shift) ?? true;
  if (part === "grid" && key === "Enter" && shift) return acceptAndGoOn() ?? true;
  const found = (part === "grid" ? IN_GRID : part === "desk" ? IN_DETAIL : { ArrowLeft: leaveEnd })[key] ?? (part === "end" && key !== "z" && key !== "?" ? null : BOTH[key]);
  found?.();
  return Boolean(found);
}

addEventListener("keydown", (event) => {
  if (!part || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, select") && event.target.id !== "size") {
    if (event.key === "Escape" || event.key === "Enter" && event.target === $("note")) { event.target.blur(); event.preventDefault(); }
    return;
  }
  const press = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.target.closest("button, a, pre") && (press === "Enter" || press === " ")) return;
  if (event.target === $("size") && MOVES.includes(press)) return;
  if (event.repeat && !MOVES.includes(press)) return;
  if (act(press, event.shiftKey)) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-key]")) {
  button.onclick = () => { act(button.dataset.key); if (button.dataset.key !== "m") button.blur(); };
}
$("accept-high").onclick = acceptSurest;
$("help-button").onclick = BOTH["?"];
$("end-button").onclick = openEnd;
$("back").onclick = leaveEnd;
function leaveEnd() {
  if (store.session.blind) openDetail(detail.row ?? store.rows[0]);
  else openGroup(grid.group.members.length ? grid.group : store.groups[0]);
}
grid.onOpen = openDetail;
detail.onWalk = openDetail;
line.onTrouble = (message) => { $("trouble").textContent = message; $("trouble").hidden = !message; };

// Filters

function options(select, named) {
  select.replaceChildren(new Option("any", ""), ...named.map(([value, text]) => new Option(text, value)));
}

function fillFilters() {
  const tally = (of) => {
    const counts = new Map();
    for (const row of store.rows) for (const name of of(row)) counts.set(name, (counts.get(name) ?? 0) + 1);
    return [...counts].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true })).map(([name, number]) => [name, `${name} (${count(number)})`]);
  };
  const field = (name) => document.querySelector(`[data-filter="${name}"]`);
  options(field("label"), tally((row) => [row.label]));
  options(field("like"), tally((row) => (row.like === null ? [] : [row.like])));
  options(field("reviewer"), tally((row) => row.said.map((voice) => voice.reviewer)));
  const witnesses = Object.entries(store.session.witnesses);
  options(field("witness"), witnesses.flatMap(([column, name]) => [[`${column}+`, `${name}: 50% or more`], [`${column}-`, `${name}: below 50%`]]));
  $("witness-label").hidden = witnesses.length === 0;
  field("sort").querySelector("[value=outlier]").hidden = store.rows.every((row) => row.outlier === null);
  for (const one of document.querySelectorAll("[data-filter]")) one.value = store.view[one.dataset.filter];
}

function refilter(changed) {
  st.setView(changed);
  st.regroup();
  const used = st.filtersInUse().length;
  $("filter-button").textContent = used ? `Filter and sort (${used})` : "Filter and sort";
  $("nothing").hidden = store.groups.length > 0;
  openGroup(st.groupNamed(store.view.group) ?? store.groups.find((group) => st.openIn(group).length) ?? store.groups[0] ?? { key: "", members: [], name: "Nothing" });
  showProgress();
}

for (const one of document.querySelectorAll("[data-filter]")) {
  one.addEventListener(one.type === "search" ? "input" : "change", () => {
    const hadFocus = document.activeElement;
    refilter({ [one.dataset.filter]: one.value });
    hadFocus.focus();
  });
}
$("reset").onclick = $("reset-too").onclick = () => { refilter(st.withoutFilters()); fillFilters(); };
$("filters").onsubmit = (event) => event.preventDefault();
$("filter-button").onclick = () => {
  $("filters").hidden = !$("filters").hidden;
  $("filter-button").setAttribute("aria-expanded", String(!$("filters").hidden));
  if (!$("filters").hidden) { fillFilters(); document.querySelector("[data-filter]").focus(); }
  layout();
};
$("size").oninput = () => { st.setView({ size: $("size").value }); layout(); };
$("groups-button").onclick = () => {
  const open = $("groups").classList.toggle("open");
  $("groups-button").setAttribute("aria-expanded", String(open));
};

// Beginning

function arrive() {
  st.readAddress();
  $("size").value = store.view.size || usualSize();
  st.regroup();
  fillFilters();
  const wanted = store.rows.find((row) => String(row.id) === store.view.sample);
  if (store.session.blind) {
    const open = store.rows.find((row) => row.outcome === null);
    if (open) openDetail(open);
    else openEnd();
  } else if (wanted) openDetail(wanted);
  else if (!store.view.group && store.rows.every((row) => row.outcome !== null)) openEnd();
  else refilter({});
  showProgress();
}

async function begin() {
  const session = await ask("api/session");
  st.fill(session);
  document.title = `${session.run} · aumclean review`;
  $("run").textContent = session.run;
  $("mode").textContent = session.blind ? "blind spot check" : "review";
  $("reviewer").textContent = session.reviewer;
  $("report").hidden = !session.report;
  $("to-grid").hidden = session.blind;
  listen();
  listenDetail();
  arrive();
  addEventListener("hashchange", arrive);
}
begin().catch(() => line.onTrouble(NO_ANSWER));
