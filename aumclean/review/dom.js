// Small things that every part of the page makes. Text from the data only ever becomes text, never markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function drawing(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export const percent = (share, digits = 0) =>
  share > 0 && share < 0.005 ? "<1%" : share > 0.994 && !digits ? ">99%" : `${(100 * share).toFixed(digits)}%`;
const NUMBERS = new Intl.NumberFormat("en"); // made once: making it takes longer than all else that a key does
export const count = (number) => NUMBERS.format(number);
export const some = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

// A tiny picture is enlarged four times at most, but never shown below `least`; its pixels stay sharp.
export function sized(image, most, least = 96) {
  const fit = () => {
    const longest = Math.max(image.naturalWidth, image.naturalHeight) || most;
    const side = Math.min(most, Math.max(least, 4 * longest));
    image.style.width = image.style.height = `${side}px`;
    image.classList.toggle("tiny", side > longest && longest <= 128);
  };
  if (image.complete && image.naturalWidth) fit();
  else image.addEventListener("load", fit, { once: true });
}

export function picture(sampleId, text) {
  const image = make("img");
  image.alt = text;
  image.draggable = false;
  image.decoding = "async";
  image.src = `small/${sampleId}`;
  image.addEventListener("error", () => image.replaceWith(make("span", "gone", "gone or changed")), { once: true });
  return image;
}

export function thumb(sampleId, label, act) {
  const holder = make(act ? "button" : "span", "thumb");
  const image = picture(sampleId, act ? "" : label);
  image.addEventListener("load", () => image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) < 48));
  holder.append(image);
  holder.title = label;
  if (act) {
    holder.type = "button";
    holder.setAttribute("aria-label", `${label}: look at it large`);
    holder.onclick = act;
  }
  return holder;
}

export const LETTERS = { keep: "K", relabel: "R", remove: "X", unsure: "U", contradictory: "!" };

export function mark(row) {
  const decision = row.pending?.decision ?? row.outcome;
  if (!decision) return null;
  const shown = make("span", `mark ${decision}${row.pending ? " pending" : ""}`, LETTERS[decision]);
  shown.title = row.pending ? "being saved" : decision;
  return shown;
}
