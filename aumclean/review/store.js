// What the page knows: the samples of the queue, what is said of each, which of them are wanted, and their groups.

const DEFAULTS = { by: "pair", label: "", like: "", least: "", path: "", state: "", reviewer: "", witness: "", sort: "wrong", size: "", group: "", sample: "" };
const FILTERS = ["label", "like", "least", "path", "state", "reviewer", "witness"];
const OWN_GROUP = 6;  // suspects: smaller pairs are put together by what they look like
const A_LOOK = 24;    // images that a person takes in at a glance
const FINDINGS = {
  disagree: "Reviewers disagree", again: "Second opinion", conflict: "Same picture, different labels",
  leak: "In another split too", twin: "Nearly the same picture",
};

export const store = { session: null, rows: [], groups: [], version: 0, view: { ...DEFAULTS } };
const seenUpTo = new Map(); // group -> how many of its images have been on the screen

export function fill(session) {
  const { rows: columns, classes, witnesses = {}, again } = session;
  const name = (index) => (index === null ? null : classes[index]);
  store.session = session;
  store.rows = columns.sample_id.map((id, at) => ({
    at, id, label: name(columns.label[at]), like: name(columns.suggested[at]), path: columns.path[at],
    wrong: columns.wrong?.[at] ?? null, kind: columns.kind?.[at] ?? "suspect", together: columns.together?.[at] ?? null,
    outlier: columns.outlier?.[at] ?? null,
    witness: Object.fromEntries(Object.keys(witnesses).map((column) => [column, columns[column][at]])),
    outcome: null, said: [], pending: null, again: false,
  }));
  for (const at of again) store.rows[at].again = true;
  return learn(session);
}

// What was decided, by whomever; gives the rows that changed.
export function learn({ version, said }) {
  store.version = version;
  return said.map(([at, outcome, voices]) => Object.assign(store.rows[at], { outcome, said: voices }));
}

export const mine = (row) => row.said.find((voice) => voice.reviewer === store.session.reviewer);
export const isOpen = (row, group) => !row.pending && (row.outcome === null || group?.kind === "disagree" && row.outcome === "contradictory");
export const openIn = (group) => group.members.filter((row) => isOpen(row, group));
export const decidedCount = () => store.rows.reduce((sum, row) => sum + (row.outcome !== null), 0);
export const seen = (group) => seenUpTo.get(group.key) ?? 0;
export const see = (group, upTo) => seenUpTo.set(group.key, Math.max(seen(group), upTo));

// Filters, which the address keeps

export function readAddress() {
  store.view = { ...DEFAULTS, ...Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => name in DEFAULTS)) };
}

export function setView(changed) {
  Object.assign(store.view, changed);
  const told = Object.entries(store.view).filter(([name, value]) => value !== DEFAULTS[name]);
  history.replaceState(null, "", `#${new URLSearchParams(told)}`);
}

export const filtersInUse = () => FILTERS.filter((name) => store.view[name] !== "");
export const withoutFilters = () => Object.fromEntries(FILTERS.map((name) => [name, ""]));

function passes(row) {
  const { label, like, least, path, state, reviewer, witness } = store.view;
  const states = { open: row.outcome === null, decided: row.outcome !== null, again: row.again };
  const [column, sign] = [witness.slice(0, -1), witness.at(-1)];
  return (label === "" || row.label === label) && (like === "" || row.like === like) &&
    (least === "" || row.wrong >= Number(least)) && row.path.toLowerCase().includes(path.toLowerCase()) &&
    (state === "" || (states[state] ?? row.outcome === state)) &&
    (reviewer === "" || row.said.some((voice) => voice.reviewer === reviewer)) &&
    (witness === "" || row.witness[column] !== null && (sign === "+") === row.witness[column] >= 0.5);
}

const text = new Intl.Collator("en", { numeric: true });
const ORDERS = {
  wrong: (a, b) => a.at - b.at, // the queue's own order
  label: (a, b) => text.compare(a.label, b.label) || a.at - b.at,
  like: (a, b) => text.compare(a.like ?? "", b.like ?? "") || a.at - b.at,
  path: (a, b) => text.compare(a.path, b.path),
  outlier: (a, b) => (b.outlier ?? 0) - (a.outlier ?? 0) || a.at - b.at,
};

// Groups

export function regroup() {
  const wanted = store.rows.filter(passes).sort(ORDERS[store.view.sort] ?? ORDERS.wrong);
  const pairs = new Map();
  for (const row of wanted) pairs.set(pairOf(row), (pairs.get(pairOf(row)) ?? 0) + 1);
  const groups = new Map();
  for (const row of wanted) {
    const made = groupOf(row, pairs.get(pairOf(row)));
    if (!groups.has(made.key)) groups.set(made.key, { ...made, members: [], expected: null });
    groups.get(made.key).members.push(row);
  }
  for (const group of groups.values()) {
    if (group.kind === "conflict" || group.kind === "twin") group.members.sort((a, b) => a.together - b.together);
    const known = group.members.filter((row) => row.wrong !== null);
    if (known.length) group.expected = known.reduce((sum, row) => sum + row.wrong, 0);
  }
  const worth = ({ kind, members, expected }) =>
    kind === "disagree" ? 2e12 : kind === "again" ? 1e12 : (expected ?? members.length) / Math.ceil(members.length / A_LOOK);
  store.groups = store.session.blind ? [...groups.values()] : [...groups.values()].sort((a, b) => worth(b) - worth(a));
}

const pairOf = (row) => JSON.stringify([row.label, row.like]);

function groupOf(row, ofPair) {
  if (store.session.blind) return { key: "all", kind: "all", name: "Spot check" };
  const { by } = store.view;
  const finding = row.outcome === "contradictory" ? "disagree" : row.again ? "again" : row.kind;
  if (by !== "none" && finding in FINDINGS) return { key: finding, kind: finding, name: FINDINGS[finding] };
  if (by === "none") return { key: "all", kind: "all", name: "All" };
  if (by === "label") return { key: `label ${row.label}`, kind: "label", given: row.label };
  if (by === "pair" && row.kind === "other") return { key: `other ${row.label}`, kind: "other", given: row.label };
  if (row.like === null) return { key: "like nothing", kind: "all", name: "Looks like no class" };
  if (by === "like" || ofPair < OWN_GROUP) return { key: `like ${row.like}`, kind: "like", like: row.like };
  return { key: `pair ${pairOf(row)}`, kind: "pair", given: row.label, like: row.like };
}

export const groupNamed = (key) => store.groups.find((group) => group.key === key);
export const groupWith = (row) => store.groups.find((group) => group.members.includes(row));

// The next group with something to decide, from the start again after the end; null when there is none.
export function nextGroup(from, step = 1) {
  const at = store.groups.indexOf(from), total = store.groups.length;
  for (let ahead = 1; ahead <= total; ahead += 1) {
    const group = store.groups[(at + step * ahead + 2 * total) % total];
    if (group !== from && openIn(group).length) return group;
  }
  return null;
}

export function nextOpen(group, after) {
  const { members } = group, from = members.indexOf(after) + 1;
  return [...members.slice(from), ...members.slice(0, from)].find((row) => row !== after && isOpen(row, group)) ?? null;
}
