// Keys. What they do is told by attributes in the markup; a page's module may add its own with
// `register`. They rest while somebody types, and are never combined with other keys.

import { ask, open } from "./dialog.js";

/** @typedef {{ key: string, words: string, action: () => void, applies: () => boolean }} Key */

/** Milliseconds in which the second of two keys has to come. */
const TOGETHER = 1500;

/** @type {Map<string, Key>} */
const keys = new Map();

/** What has been pressed of a key that is two, and when. */
const begun = { key: "", at: 0 };

/**
 * Let a key do something on this page. What cannot be taken back is left to a button with
 * `data-confirm`, which the action clicks.
 * @param {string} key as the browser names it ("x", "Enter"), or two with a space between ("g q")
 * @param {string} words what it does, for the list that `?` opens
 * @param {() => void} action
 * @param {() => boolean} [applies] whether it does something on the page as it is now
 */
export function register(key, words, action, applies = () => true) {
  keys.set(key, { key, words, action, applies });
}

/** Begin to listen. */
export function listen() {
  const some = (/** @type {string} */ selector) => () => seen(selector).length > 0;
  register("?", "List the keys", list);
  register("j", "Next row", () => step(1), some("[data-row]"));
  register("k", "Row before", () => step(-1), some("[data-row]"));
  register("Enter", "Open the row", enter, some("[data-row]"));
  register("f", "Next failure", nextFailure, some("[data-failure]"));
  register("/", "Filter", () => write("[data-filter]"), some("[data-filter]"));
  register("s", "Search", () => write("[data-search]"), some("[data-search], #search"));
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-key]"))) {
    register(`g ${link.dataset.key}`, `Go to ${link.textContent?.trim()}`, () => link.click());
  }
  register("Escape", "Leave", leave);
  document.addEventListener("keydown", pressed);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-keys]")) list();
  });
  document.addEventListener("submit", confirmFirst);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (document.querySelector("dialog:modal")) return;
  if (isTyping(event.target) && event.key !== "Escape") return;
  const second = begun.key && event.timeStamp - begun.at < TOGETHER ? `${begun.key} ${event.key}` : "";
  const key = keys.get(second) ?? keys.get(event.key);
  const first = [...keys.keys()].some((each) => each.startsWith(`${event.key} `));
  Object.assign(begun, { key: first && !second ? event.key : "", at: event.timeStamp });
  if (!key?.applies() || (key.key === "Enter" && !isRow(document.activeElement))) return;
  if (key.key !== "Escape") event.preventDefault(); // which browsers know what to do with, too
  key.action();
}

/** @param {EventTarget | null} target where the keys belong to a field, or to a terminal */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.closest("textarea, select, [data-typing]")) return true;
  return target instanceof HTMLInputElement && !["button", "checkbox", "radio", "submit"].includes(target.type);
}

/** @param {Element | null} element */
function isRow(element) {
  return element instanceof HTMLElement && element.dataset.row !== undefined;
}

/**
 * What can be seen of what a selector finds; what stands in closed details can be made seen.
 * @param {string} selector
 */
function seen(selector) {
  const all = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(selector)]);
  return all.filter((each) => each.closest("details:not([open])") || each.getClientRects().length > 0);
}

/** The id of the row that was last at the reader's hand, for when the focus went elsewhere. */
let last = "";

/** @param {1 | -1} by */
function step(by) {
  const rows = seen("[data-row]").filter((row) => !row.closest("details:not([open])"));
  const at = document.activeElement?.closest("[data-row]") ?? (last ? document.getElementById(last) : null);
  const found = rows.findIndex((row) => row === at);
  const top = rows.findIndex((row) => row.getBoundingClientRect().bottom > 0);
  const next = found < 0 ? Math.max(top, 0) : Math.min(Math.max(found + by, 0), rows.length - 1);
  goTo(rows[next], "nearest");
}

function nextFailure() {
  const all = seen("[data-failure]");
  const at = document.activeElement;
  const after = all.find((each) => at && at.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
  goTo(after ?? all[0], "center");
}

/**
 * @param {HTMLElement | undefined} element
 * @param {ScrollLogicalPosition} block
 */
function goTo(element, block) {
  if (!element) return;
  for (let each = element.closest("details"); each; each = each.parentElement?.closest("details") ?? null) each.open = true;
  if (element.tabIndex < 0 && !element.hasAttribute("tabindex")) element.tabIndex = -1;
  last = element.id;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block });
}

function enter() {
  document.activeElement?.querySelector("a")?.click();
}

/** @param {string} selector */
function write(selector) {
  const field = seen(selector)[0] ?? seen("#search")[0];
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
}

function leave() {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  last = "";
}

function list() {
  const rows = [...keys.values()].filter((each) => each.applies()).map(({ key, words }) => {
    const row = document.createElement("li");
    const names = document.createElement("span");
    for (const part of key.split(" ")) {
      const name = document.createElement("kbd");
      name.textContent = part === "Escape" ? "Esc" : part;
      names.append(name, " ");
    }
    row.append(names, words);
    return row;
  });
  const all = document.createElement("ul");
  all.className = "keys";
  all.append(...rows);
  open("Keys", all);
}

/**
 * A form whose button says so is sent after a question.
 * @param {SubmitEvent} event
 */
function confirmFirst(event) {
  const { submitter: button, target: form } = event;
  if (!(button instanceof HTMLButtonElement) || !(form instanceof HTMLFormElement)) return;
  const question = button.dataset.confirm;
  if (question === undefined || button.dataset.confirmed !== undefined) return;
  event.preventDefault();
  const word = button.textContent?.trim() ?? "";
  ask(question || `${button.ariaLabel ?? word}?`, word, () => {
    button.dataset.confirmed = "";
    form.requestSubmit(button);
    delete button.dataset.confirmed;
  });
}
