// From the key to the first frame that shows the next image, as a person sees it: milliseconds in window.taken.
window.taken = [];
addEventListener("keydown", () => {
  window.pressed = { at: performance.now(), sample: document.querySelector("#large img")?.dataset.sample };
}, true);
new MutationObserver(() => {
  const image = document.querySelector("#large img");
  const pressed = window.pressed;
  if (!pressed || !image || !image.dataset.sample || image.dataset.sample === pressed.sample) return;
  window.pressed = null;
  image.decode().then(() => requestAnimationFrame(() => setTimeout(() => window.taken.push(performance.now() - pressed.at))));
}).observe(document, { childList: true, subtree: true, attributes: true });
