// The end, or how far it is: what comes next, how good the flags were, what is left unseen, how far reviewers agree.
import { $, count, make, percent, some } from "./dom.js";
import { ask } from "./queue.js";
import { store } from "./store.js";

const SAID = { keep: "kept", relabel: "relabeled", remove: "to be removed", contradictory: "in dispute" };
const interval = ({ low, high }) => `95% interval ${percent(low, 1)} to ${percent(high, 1)}`;

export async function showEnd() {
  const told = await ask("api/end");
  $("end-title").textContent = told.open ? `${some(told.open, "image")} still undecided` : "Everything here is decided";
  const counts = Object.entries(told.counts).map(([word, number]) => `${count(number)} ${SAID[word] ?? word}`).join(", ");
  $("end-counts").textContent = `${count(store.rows.length - told.open)} of ${count(store.rows.length)} decided${counts && `: ${counts}`}.`;
  $("result").replaceChildren(...(told.spot_check ? spotCheck(told.spot_check) : review(told)).flatMap(
    ([name, sentence]) => [make("dt", "", name), make("dd", "", sentence)]));
  const contradictory = told.counts.contradictory ?? 0;
  $("end-next").textContent = store.session.blind ? "The terminal shows the same when you end it with Ctrl-C." :
    contradictory ? `Reviewers disagree on ${some(contradictory, "image")}: settle these first, or give clean --partial.` :
      "Next, in a terminal: end the desk with Ctrl-C, then carry the decisions out.";
  $("command").textContent = told.command;
  $("command").hidden = store.session.blind;
  $("live").textContent = $("end-title").textContent;
}

function spotCheck({ precision, missed }) {
  return [["Precision", precision, "of the flagged images are wrong"], ["Missed", missed, "of the images that are not flagged are wrong"]].map(
    ([name, part, what]) => [name, part.share === null ? "Not known: none was decided." :
      `${percent(part.share, 1)} ${what} (${interval(part)}; ${part.wrong} of ${part.decided} decided` +
      `${part.unsure ? `, ${part.unsure} unsure` : ""}; speaks for ${some(part.of, "image")}).`]);
}

function review({ precision, unseen, agreement }) {
  const told = [];
  if (precision.share !== null) {
    told.push(["Precision so far", `${count(precision.wrong)} of ${some(precision.decided, "decided suspect")} ` +
      `${precision.wrong === 1 ? "was" : "were"} wrong: ${percent(precision.share, 1)} (${interval(precision)}).` +
      (precision.open ? " The most suspect come first, so the share among the rest is rather lower." : "")]);
  }
  if (unseen && unseen.samples) {
    told.push(["Left unseen", `About ${count(Math.round(unseen.expected))} wrong labels (${count(Math.round(unseen.low))} to ` +
      `${count(Math.round(unseen.high))}) are expected among the ${some(unseen.samples, "image")} that nobody was asked about. ` +
      "A spot check (--spot-check 60) measures it."]);
  }
  for (const { reviewers, both, agreed, kappa, low, high } of agreement) {
    told.push([reviewers.join(" and "), `agree on ${count(agreed)} of ${some(both, "image")} that both decided` +
      (kappa === null ? "." : `: kappa ${kappa.toFixed(2)} (95% interval ${low.toFixed(2)} to ${high.toFixed(2)}).`)]);
  }
  return told;
}
