// Keeps the live part of a page as it is on the server, without taking away what a reader is at:
// focus, selection, open details, what was typed, and what scripts have set.

import { PatientSource } from "./stream.js";

/** @typedef {{ trigger(target: Element, name: string): void, createEventSource?: (url: string) => EventTarget }} Htmx */
/** @typedef {{ defaults: { callbacks: Record<string, (...given: any[]) => boolean | void> } }} Morph */

const htmx = /** @type {Htmx} */ (Reflect.get(window, "htmx"));
const morph = /** @type {Morph} */ (Reflect.get(window, "Idiomorph"));
const HAVE = "X-Cupel-Have";

/** What the live part shows: the answer to which address, and which version of it. */
const shown = { address: "", version: "" };

/** The address that the reader sees, which scripts change with `show`. */
const address = () => location.pathname + location.search;

/** The live part of this page, if it has one. */
export const part = () => document.getElementById("live");

/** Ask for the live part again; nothing happens if it is what is shown. */
export function refresh() {
  const live = part();
  if (live) htmx.trigger(live, "sse:changed");
}

/**
 * Change the page's query and show what it asks for.
 * @param {URLSearchParams} query
 * @param {boolean} [back] whether the browser's back button returns to the former
 */
export function show(query, back = false) {
  const text = query.toString();
  const url = location.pathname + (text ? `?${text}` : "") + location.hash;
  if (back) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  refresh();
}

/**
 * Do something now and after each refresh that changed the live part.
 * @param {() => void} action
 */
export function eachTime(action) {
  action();
  document.addEventListener("cupel:refreshed", action);
}

/** Begin to follow the server. */
export function follow() {
  htmx.createEventSource = (url) => new PatientSource(() => url);
  document.addEventListener("htmx:sseOpen", () => say(true));
  document.addEventListener("htmx:sseError", () => say(false));
  document.addEventListener("htmx:configRequest", ask);
  document.addEventListener("htmx:beforeSwap", take);
  document.addEventListener("htmx:afterSwap", restore);
  addEventListener("popstate", refresh);
  morph.defaults.callbacks.beforeAttributeUpdated = mayUpdate;
  morph.defaults.callbacks.beforeNodeMorphed = (node, fresh) => !isKept(node) && !isSame(fresh);
  morph.defaults.callbacks.beforeNodeRemoved = (node) => !isKept(node);
}

/** @param {boolean} live */
function say(live) {
  const pulse = document.getElementById("pulse");
  if (!pulse) return;
  pulse.hidden = false;
  pulse.dataset.live = live ? "yes" : "no";
  pulse.textContent = live ? "live" : "connecting";
}

/** @param {Event} event */
function ask(event) {
  const { detail } = /** @type {CustomEvent} */ (event);
  if (detail.elt !== part()) return;
  detail.path = address();
  if (shown.address === detail.path && shown.version) detail.headers[HAVE] = shown.version;
}

/** The id of what had the focus before a swap. */
let focused = "";

/** @param {Event} event */
function take(event) {
  const { detail } = /** @type {CustomEvent} */ (event);
  if (detail.target !== part()) return;
  const asked = detail.pathInfo.requestPath;
  if (asked !== address()) {
    detail.shouldSwap = false; // the reader has gone on while this was under way
    refresh();
    return;
  }
  const version = detail.xhr.getResponseHeader(HAVE);
  if (version) Object.assign(shown, { address: asked, version });
  focused = document.activeElement?.closest("#live [id]")?.id ?? "";
}

/** @param {Event} event */
function restore(event) {
  if (/** @type {CustomEvent} */ (event).detail.target !== part()) return;
  const lost = document.activeElement === null || document.activeElement === document.body;
  if (focused && lost) document.getElementById(focused)?.focus({ preventScroll: true });
  if (document.querySelector("#live [data-same]")) {
    shown.version = ""; // this page is not what the server took it for
    refresh();
    return;
  }
  document.dispatchEvent(new Event("cupel:refreshed"));
}

/**
 * An element with `data-kept` and an id belongs to a script: refreshes leave it whole.
 * @param {Node} node
 */
function isKept(node) {
  return node instanceof HTMLElement && node.dataset.kept !== undefined;
}

/**
 * What the server knows to be as it is shown, it does not send again.
 * @param {Node} node
 */
function isSame(node) {
  return node instanceof HTMLElement && node.dataset.same !== undefined;
}

/**
 * Whether a refresh may set an attribute. What the reader opened, typed or chose stays, and so do
 * the attributes that the element lists in `data-keep`.
 * @param {string} name
 * @param {Element} node
 */
function mayUpdate(name, node) {
  if (name === "open" && (node instanceof HTMLDetailsElement || node instanceof HTMLDialogElement)) return false;
  if (name === "tabindex" && node.hasAttribute("data-row")) return false; // the keys have set it
  if (node instanceof HTMLElement && node.dataset.keep?.split(" ").includes(name)) return false;
  if (node instanceof HTMLInputElement && name === "checked") return node.checked === node.defaultChecked;
  if (node instanceof HTMLOptionElement && name === "selected") return node.selected === node.defaultSelected;
  if (node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement) {
    return name !== "value" || node.value === node.defaultValue;
  }
  return true;
}
