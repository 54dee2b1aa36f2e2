// The comparison of patch sets: what its address points at is shown, also in a file that is folded or cut.

import { register } from "./keys.js";

/** Unfold the file that the address points into; if it lacks the line, open the file alone. */
function reveal() {
  const wanted = location.hash.slice(1);
  const file = document.getElementById(wanted.replace(/:[LOH]\d+$/, ""));
  const folded = file?.querySelector("details");
  if (!file || !folded) return;
  folded.open = true;
  const line = document.getElementById(wanted);
  const alone = file.querySelector("[data-alone]");
  if (line) line.scrollIntoView({ block: line === file ? "start" : "center" });
  else if (alone instanceof HTMLAnchorElement) location.replace(alone.href + location.hash);
}

/** Fold the file at the reader's hand, or unfold it. */
function fold() {
  const at = document.activeElement?.closest(".file") ?? document.querySelector(".file");
  const folded = at?.querySelector("details");
  if (!(at instanceof HTMLElement) || !folded) return;
  folded.open = !folded.open;
  at.focus();
}

/** The form compares at once when something else is chosen. */
function submitAtOnce() {
  const form = document.querySelector("form.filters");
  if (form instanceof HTMLFormElement) form.addEventListener("change", () => form.requestSubmit());
}

reveal();
submitAtOnce();
addEventListener("hashchange", reveal);
register("o", "Fold or unfold the file", fold, () => document.querySelector(".file") !== null);
