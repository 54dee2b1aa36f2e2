// A terminal in the machine of a build. What comes from there is hostile: it may fill the screen and
// nothing else. Titles and the clipboard are not its business, and links are text.

import { adoptStyles } from "./adopted.js";
import { Shell } from "./shell.js";
import { FitAddon } from "./vendor/xterm-addon-fit-0.11.0.mjs";
import { Terminal } from "./vendor/xterm-6.0.0.mjs";

/** @typedef {import("./shell.js").End} End */

const SMALLEST = 9;
const LARGEST = 28;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const TITLES_LINKS_CLIPBOARD = [0, 1, 2, 8, 52];
const CONTROLS = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;

/** @template {HTMLElement} E @param {string} id @param {new () => E} kind @returns {E} */
function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

/** What somebody likes, from one visit to the next; a browser may keep nothing. */
const liking = {
  /** @param {string} name @param {string} otherwise */
  get(name, otherwise) {
    try {
      return localStorage.getItem(`terminal-${name}`) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  /** @param {string} name @param {string} value */
  set(name, value) {
    try {
      localStorage.setItem(`terminal-${name}`, value);
    } catch {
      // It is liked for this visit alone.
    }
  },
};

/**
 * The colours of the page, as its style sheets have them now.
 * @param {HTMLElement} place
 */
function theme(place) {
  const style = getComputedStyle(place);
  /** @param {string} name */
  const value = (name) => style.getPropertyValue(name).trim();
  /** @type {Record<string, string>} */
  const found = {
    background: value("--log"),
    foreground: value("--ink"),
    cursor: value("--ink"),
    cursorAccent: value("--log"),
    selectionBackground: value("--line-strong"),
  };
  NAMES.forEach((name, number) => {
    found[name] = value(`--t${number}`);
    found[`bright${name[0]?.toUpperCase()}${name.slice(1)}`] = value(`--t${number + 8}`);
  });
  return found;
}

/** @param {string} text as it may be typed: with no escape that would end a bracketed paste */
function typed(text) {
  return text.replace(/\r\n?/g, "\n").replace(CONTROLS, "");
}

/**
 * Asks before several lines are typed at once: a shell would run each.
 * @param {string} text
 */
function agreed(text) {
  const lines = text.replace(/\n$/, "").split("\n").length;
  if (lines < 2 && !text.endsWith("\n")) return Promise.resolve(true);
  const dialog = part("paste", HTMLDialogElement);
  const what = lines === 1 ? "a line with its end" : `${lines.toLocaleString("en")} lines`;
  part("paste-title", HTMLElement).textContent = `Paste ${what}?`;
  part("paste-text", HTMLElement).textContent = text.length > 4000 ? `${text.slice(0, 4000)}…` : text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "paste");
  });
}

/** @param {End} end */
function ending(end) {
  if (end.status === null) return { text: `${end.reason ?? "It ended."}`, hint: end.hint ?? "" };
  const how = end.status < 0 ? `ended by signal ${-end.status}` : `ended with status ${end.status}`;
  return { text: `The shell has ${how}.`, hint: "" };
}

class Page {
  constructor() {
    this.section = part("terminal", HTMLElement);
    this.screen = part("terminal-screen", HTMLElement);
    this.over = part("terminal-over", HTMLElement);
    /** @type {Shell | null} */
    this.shell = null;
    this.hasTyped = false;
    this.section.hidden = false;
    this.terminal = new Terminal({
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      fontFamily: getComputedStyle(this.section).getPropertyValue("--mono"),
      fontSize: Number(liking.get("font", "13")),
      minimumContrastRatio: 4.5,
      screenReaderMode: liking.get("reader", "no") === "yes",
      scrollback: 5000,
      theme: theme(this.section),
    });
    this.fit = new FitAddon();
    this.terminal.loadAddon(this.fit);
    for (const number of TITLES_LINKS_CLIPBOARD) {
      this.terminal.parser.registerOscHandler(number, () => true);
    }
    this.terminal.open(this.screen);
    this.listen();
    this.tools();
    this.begin();
  }

  listen() {
    const utf8 = new TextEncoder();
    this.terminal.onData((text) => {
      this.hasTyped = true;
      this.shell?.type(utf8.encode(text));
    });
    this.terminal.onBinary((text) => this.shell?.type(Uint8Array.from(text, (char) => char.charCodeAt(0))));
    this.terminal.onResize(({ rows, cols }) => this.shell?.resize(rows, cols));
    this.terminal.attachCustomKeyEventHandler((event) => this.key(event));
    new ResizeObserver(() => this.fit.fit()).observe(this.screen);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.terminal.options.theme = theme(this.section);
    });
    this.screen.addEventListener("paste", (event) => this.paste(event), true);
    addEventListener("beforeunload", (event) => {
      if (this.shell && this.hasTyped) event.preventDefault();
    });
  }

  tools() {
    const reader = part("terminal-reader", HTMLInputElement);
    reader.checked = this.terminal.options.screenReaderMode === true;
    reader.onchange = () => {
      this.terminal.options.screenReaderMode = reader.checked;
      liking.set("reader", reader.checked ? "yes" : "no");
    };
    for (const [id, step] of /** @type {[string, number][]} */ ([["terminal-smaller", -1], ["terminal-larger", 1]])) {
      part(id, HTMLButtonElement).onclick = () => this.resizeText(step);
    }
    part("terminal-copy", HTMLButtonElement).onclick = () => this.copy();
    part("terminal-leave", HTMLButtonElement).onclick = () => this.shell?.leave();
    part("terminal-again", HTMLButtonElement).onclick = () => this.begin();
  }

  begin() {
    this.over.hidden = true;
    this.hasTyped = false;
    part("terminal-leave", HTMLButtonElement).hidden = false;
    this.terminal.reset();
    this.terminal.options.disableStdin = false;
    this.fit.fit();
    this.say("Connecting…");
    const { shell = "", machine = "" } = this.section.dataset;
    const wish = { rows: this.terminal.rows, columns: this.terminal.cols, machine };
    this.shell = new Shell(shell, wish, {
      show: (data, shown) => this.terminal.write(data, shown),
      begun: () => this.say("Connected"),
      notice: (text) => this.say(text),
      company: (users) => this.company(users),
      ended: (end) => this.ended(end),
    });
    this.terminal.focus();
  }

  /** @param {End} end */
  ended(end) {
    const { text, hint } = ending(end);
    this.shell = null;
    this.terminal.options.disableStdin = true;
    this.say("Not connected");
    this.company([]);
    part("terminal-leave", HTMLButtonElement).hidden = true;
    part("terminal-end", HTMLElement).textContent = text[0]?.toUpperCase() + text.slice(1);
    part("terminal-hint", HTMLElement).textContent = hint;
    this.over.hidden = false;
    part("terminal-again", HTMLButtonElement).focus();
  }

  /** @param {string} text */
  say(text) {
    part("terminal-state", HTMLElement).textContent = text;
  }

  /** @param {string[]} users */
  company(users) {
    const own = this.section.dataset.user;
    const rest = [...users];
    if (own !== undefined && rest.includes(own)) rest.splice(rest.indexOf(own), 1);
    const place = part("terminal-company", HTMLElement);
    place.textContent = rest.length ? `Also here: ${rest.map((user) => (user === own ? "you" : user)).join(", ")}` : "";
  }

  /** @param {number} step */
  resizeText(step) {
    const size = Math.min(LARGEST, Math.max(SMALLEST, (this.terminal.options.fontSize ?? 13) + step));
    this.terminal.options.fontSize = size;
    liking.set("font", String(size));
    this.fit.fit();
  }

  async copy() {
    if (!this.terminal.hasSelection()) {
      this.say("Nothing is selected: select with the mouse first");
      return;
    }
    try {
      await navigator.clipboard.writeText(this.terminal.getSelection());
      this.say("Copied");
    } catch {
      this.say("This browser lets pages copy only over HTTPS; use its own menu");
    }
    this.terminal.focus();
  }

  /** @param {ClipboardEvent} event */
  async paste(event) {
    event.preventDefault();
    event.stopPropagation();
    const text = typed(event.clipboardData?.getData("text/plain") ?? "");
    if (text && this.shell && (await agreed(text))) this.terminal.paste(text);
    this.terminal.focus();
  }

  /**
   * Whether the terminal is to have a key.
   * @param {KeyboardEvent} event
   */
  key(event) {
    if (!event.ctrlKey || !event.shiftKey) return true;
    if (event.code === "KeyC") {
      event.preventDefault();
      if (event.type === "keydown") void this.copy();
      return false;
    }
    if (event.code === "F6") {
      event.preventDefault();
      part("terminal-copy", HTMLButtonElement).focus();
      return false;
    }
    return event.code !== "KeyV";
  }
}

if (document.getElementById("terminal")) {
  adoptStyles();
  new Page();
}
