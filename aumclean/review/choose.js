// A dialog for another class: its first letters, an arrow, Enter.
import { $, make } from "./dom.js";

let names = [];
let matching = [];
let at = 0;
let take = () => {};

export function choose(classes, then) {
  [names, take] = [classes, then];
  $("class").value = "";
  match();
  $("choose").showModal();
  $("class").focus();
}

function match() {
  const typed = $("class").value.trim().toLowerCase();
  const found = names.filter((name) => name.toLowerCase().includes(typed));
  const begins = (name) => name.toLowerCase().startsWith(typed);
  matching = [...found.filter(begins), ...found.filter((name) => !begins(name))].slice(0, 100);
  at = 0;
  $("classes").replaceChildren(...matching.map((name, number) => {
    const option = make("li", "", name);
    option.id = `class-${number}`;
    option.setAttribute("role", "option");
    option.onclick = () => done(number);
    return option;
  }));
  highlight();
}

function highlight() {
  [...$("classes").children].forEach((option, number) => option.setAttribute("aria-selected", String(number === at)));
  $("class").setAttribute("aria-activedescendant", matching.length ? `class-${at}` : "");
  $("classes").children[at]?.scrollIntoView({ block: "nearest" });
}

function done(number) {
  if (matching[number] === undefined) return;
  leave();
  $("choose").close();
  take(matching[number]);
}

// The field of a closed dialog has the focus until the next frame, and would take the keys that come before.
const leave = () => $("class").blur();

$("choose").oncancel = leave;
$("class").oninput = match;
$("class").onkeydown = (event) => {
  if (event.key === "Enter") done(at);
  else if (event.key === "ArrowDown") at = Math.min(at + 1, matching.length - 1);
  else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
  else return;
  event.preventDefault();
  highlight();
};
