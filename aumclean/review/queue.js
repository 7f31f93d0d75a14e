// What is sent to the desk: one request after another, in the order of the keys, each until it is on disk.
// A request that got no answer is sent again with the same id, so that it can never count twice.

const AGAIN = 1000; // milliseconds
const waiting = [];
let sending = false;
let told = false; // whether the page shows what went wrong

export class Refused extends Error {}
export const line = { stalled: false, onTrouble: () => {} };

export async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error);
  return answer;
}

function identity() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// `body` is made when its turn has come; `then` gets the answer, or null when the desk refuses.
export function send(path, body, then) {
  waiting.push({ path, body, id: identity(), then });
  document.body.dataset.unsaved = waiting.length;
  if (!sending) work();
}

async function work() {
  sending = true;
  while (waiting.length) {
    const { path, body, id, then } = waiting[0];
    try {
      const answer = await ask(path, { id, ...body() });
      waiting.shift();
      if (told) trouble(false, "");
      then(answer);
    } catch (error) {
      if (error instanceof Refused) {
        waiting.shift();
        then(null);
        trouble(false, `Not saved: ${error.message}.`);
      } else {
        trouble(true, `${waiting.length === 1 ? "1 step is" : `${waiting.length} steps are`} not saved: the desk does not ` +
          "answer. Start aumclean review again and open its new address; everything before this is safe.");
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
      }
    }
    document.body.dataset.unsaved = waiting.length;
  }
  sending = false;
}

function trouble(stalled, message) {
  line.stalled = stalled;
  told = message !== "";
  line.onTrouble(message);
}

addEventListener("beforeunload", (event) => { if (waiting.length) event.preventDefault(); });
