// The viewer of a log: any of its lines at once, folded, searched and followed. Without it the page
// has the log in parts.

import { Folds } from "./log-folds.js";
import { Lines, written } from "./log-lines.js";
import { Painter } from "./log-rows.js";
import { Search } from "./log-search.js";
import { MODES } from "./log-times.js";
import { View } from "./log-view.js";
import { register } from "./keys.js";
import { refresh } from "./live.js";
import { PatientSource } from "./stream.js";

/** @typedef {import("./log-folds.js").Item} Item */

/**
 * What the page says of the log.
 * @typedef {{ build: number, total: number, grows: boolean, began: number | null, version: string,
 *   steps: { number: number, at: number | null, state: string }[], machines: string[] }} About
 */

const AGAIN = 700;

class Log {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    this.about = /** @type {About} */ (JSON.parse(box.dataset.log ?? "{}"));
    const here = `/builds/${this.about.build}/log`;
    this.api = `/api${here}`;
    this.lines = new Lines(`${here}/rows?v=${this.about.version}&`, this.about.total);
    this.lines.put(written(box, this.about.machines, this.about.total));
    this.folds = new Folds(this.about.total);
    this.view = new View(box);
    this.rows = new Painter(this.about, this.lines, this.folds);
    this.search = new Search(`${here}/search?`, () => this.show());
    this.follows = this.about.grows;
    this.fresh = 0;
    /** Whether the reader has gone anywhere. */
    this.moved = false;
    /** @type {{ first: number, last: number } | null} */
    this.marked = null;
    this.outlining = 0;
    this.begin();
  }

  begin() {
    this.tools();
    this.listen();
    this.show();
    const toLine = this.goToHash();
    if (!toLine && !this.search.asked) this.view.goToEnd();
    else this.follows = false;
    void this.outline(toLine);
    if (this.about.grows) this.tail();
    this.say();
  }

  // What is shown.

  /** What is in each row: what is asked for, or all that is not folded away. */
  show() {
    this.box.hidden = this.lines.total === 0;
    document.getElementById("log-tools")?.toggleAttribute("hidden", this.box.hidden);
    const only = this.search.shown(this.lines.total);
    const count = only ? only.count : this.folds.count;
    /** @param {number} at @returns {Item} */
    const item = (at) => {
      if (!only) return this.folds.item(at);
      const line = only.select(at);
      return { line, fold: null, gap: at > 0 && only.select(at - 1) !== line - 1 };
    };
    this.item = item;
    this.rowOf = (/** @type {number} */ line) => (only ? Math.min(only.rank(line), count - 1) : this.folds.row(line));
    this.view.show({ count, row: (at) => this.rows.row(item(at), { marked: this.marked, hits: this.search.hits }) });
    this.say();
  }

  /**
   * Bring a line into view, and open what hides it.
   * @param {number} line
   */
  goTo(line) {
    this.pause();
    if (!this.search.isFilter && this.folds.reveal(line)) this.show();
    this.view.reveal(this.rowOf?.(line) ?? 0);
  }

  /** @param {boolean} [toLine] whether a line was asked for by the address */
  async outline(toLine = false) {
    const answer = await fetch(`/builds/${this.about.build}/log/outline?v=${this.about.version}`);
    if (!answer.ok) return;
    const outline = /** @type {{ folds: import("./log-folds.js").Told[], lines: number }} */ (await answer.json());
    const top = this.topLine();
    this.lines.total = Math.max(this.lines.total, outline.lines);
    this.folds.set(outline.folds, this.lines.total);
    this.show();
    if (toLine) this.goToHash();
    else if (this.follows || top === null || !(this.moved || this.search.asked)) this.view.goToEnd();
    else this.view.goTo(this.rowOf?.(top) ?? 0);
  }

  /** The first line that is in view. */
  topLine() {
    for (let at = this.view.top.row; at <= this.view.last; at++) {
      const line = this.item?.(at)?.line;
      if (line !== null && line !== undefined) return line;
    }
    return null;
  }

  // What comes while it grows.

  tail() {
    const source = new PatientSource((id) => `/builds/${this.about.build}/tail?after=${id || this.about.total}`);
    source.addEventListener("rows", (event) => {
      const message = /** @type {MessageEvent<string>} */ (event);
      const some = /** @type {import("./log-lines.js").Rows} */ (JSON.parse(message.data));
      this.come(some);
    });
    source.addEventListener("end", () => {
      source.close();
      this.about.grows = false;
      void this.outline(true);
      this.search.more();
      this.say();
    });
  }

  /** @param {import("./log-lines.js").Rows} some */
  come(some) {
    if (some.total <= this.lines.total) return;
    this.fresh += some.total - this.lines.total;
    const isSeen = this.box.getBoundingClientRect().bottom <= innerHeight + 40;
    this.lines.put(some);
    this.folds.grow(this.lines.total);
    this.show();
    if (this.follows) {
      this.fresh = 0;
      this.view.goToEnd();
      if (isSeen) this.box.scrollIntoView({ block: "nearest" });
    }
    if (this.outlining) return;
    this.outlining = setTimeout(() => {
      this.outlining = 0;
      this.search.more();
      const { folds } = this;
      const last = [...folds.steps.keys()].at(-1);
      const step = some.rows.at(-1)?.[1];
      const begins = step !== undefined && step >= 0 && last !== step + 1;
      if (begins) refresh();
      if (begins || some.rows.some((row) => /^(?:::|##\[|---|\+\+\+|~~~|\^\^\^)/.test(row[5]))) void this.outline();
    }, AGAIN);
  }

  pause() {
    this.moved = true;
    this.follows = false;
  }

  follow() {
    this.follows = true;
    this.fresh = 0;
    this.view.goToEnd();
    this.say();
  }

  /** What stands around the lines: how many there are, and whether they are followed. */
  say() {
    const { total } = this.lines;
    this.box.style.setProperty("--digits", String(Math.max(3, String(total).length)));
    text("log-count", `${total.toLocaleString("en")} ${total === 1 ? "line" : "lines"}`);
    document.getElementById("log-empty")?.toggleAttribute("hidden", total > 0);
    const pill = document.getElementById("log-follow");
    if (pill) {
      pill.hidden = this.box.hidden || (!this.about.grows && this.view.isAtEnd);
      const news = this.fresh ? `${this.fresh.toLocaleString("en")} new ${this.fresh === 1 ? "line" : "lines"}` : "";
      const word = this.about.grows ? (this.follows ? "Following" : `Paused${news ? `: ${news}` : ""}`) : "To the end";
      pill.classList.toggle("is-on", this.about.grows && this.follows);
      if (pill.textContent !== word) pill.textContent = word;
      pill.ariaPressed = this.about.grows ? String(this.follows) : null;
    }
    text("log-found", this.search.words());
    document.getElementById("log-found")?.classList.toggle("bad", this.search.failed);
    this.paintMarks();
  }

  /** Where in the log what is looked for stands, beside the scrollbar. */
  paintMarks() {
    const paper = document.getElementById("log-marks");
    if (!(paper instanceof HTMLCanvasElement)) return;
    const { hits } = this.search;
    paper.hidden = !hits || hits.count === 0 || this.search.isFilter;
    const pen = paper.getContext("2d");
    if (paper.hidden || !hits || !pen) return;
    const tall = Math.max(1, this.view.tall);
    paper.width = 6;
    paper.height = tall;
    pen.fillStyle = getComputedStyle(paper).color;
    const { count } = this.folds;
    for (let at = 0, last = -1; at < Math.min(hits.count, 4000); at++) {
      const line = hits.set.select(hits.count > 4000 ? Math.floor((at * hits.count) / 4000) : at);
      const y = Math.round((this.folds.row(line) / Math.max(1, count)) * (tall - 2));
      if (y !== last) pen.fillRect(0, y, 6, 2);
      last = y;
    }
  }

  // Marked lines: links to them, and copies.

  /** Show what the address names. */
  goToHash() {
    const { hash } = location;
    const lines = /^#L(\d+)(?:-L?(\d+))?$/.exec(hash);
    const within = /^#S(\d+)L(\d+)(?:-L?(\d+))?$/.exec(hash);
    const step = /^#step-(\d+)$/.exec(hash);
    const start = (/** @type {string | undefined} */ number) => this.folds.steps.get(Number(number));
    if (lines) return this.mark(Number(lines[1]) - 1, Number(lines[2] ?? lines[1]) - 1);
    if (within) {
      const first = start(within[1])?.first;
      if (first === undefined) return true; // its outline is still to come
      return this.mark(first + Number(within[2]) - 1, first + Number(within[3] ?? within[2]) - 1);
    }
    const fold = step && start(step[1]);
    if (fold) {
      this.pause();
      this.folds.toggle(fold, true);
      this.show();
      this.view.goTo(this.folds.row(fold.first));
      this.box.scrollIntoView({ block: "nearest" });
    }
    return step !== null;
  }

  /**
   * Mark lines, and bring the first into view.
   * @param {number} first
   * @param {number} last
   */
  mark(first, last) {
    const [low, high] = first <= last ? [first, last] : [last, first];
    if (low < 0 || low >= this.lines.total) return false;
    this.marked = { first: low, last: Math.min(high, this.lines.total - 1) };
    this.show();
    this.goTo(low);
    this.sayMarked();
    this.box.scrollIntoView({ block: "nearest" });
    return true;
  }

  sayMarked() {
    const bar = document.getElementById("log-marked");
    if (!bar) return;
    bar.hidden = !this.marked;
    if (!this.marked) return;
    const { first, last } = this.marked;
    const words = first === last ? `Line ${first + 1}` : `Lines ${first + 1} to ${last + 1}`;
    text("log-marked-words", words);
  }

  unmark() {
    this.marked = null;
    history.replaceState(null, "", location.pathname + location.search);
    this.sayMarked();
    this.show();
  }

  /** The marked lines' name within their step, which stays when what comes before is longer. */
  within() {
    if (!this.marked) return "";
    const { first, last } = this.marked;
    const step = this.folds.around(first).find((fold) => fold.kind === "step");
    if (!step?.step) return `#L${first + 1}${last > first ? `-${last + 1}` : ""}`;
    const [a, b] = [first - step.first + 1, last - step.first + 1];
    return `#S${step.step}L${a}${b > a ? `-${b}` : ""}`;
  }

  /** @param {string} what */
  async copy(what) {
    if (!this.marked) return;
    const { first, last } = this.marked;
    const here = location.origin + location.pathname;
    let words = `${here}#L${first + 1}${last > first ? `-${last + 1}` : ""}`;
    if (what === "within") words = here + this.within();
    if (what === "lines") {
      const answer = await fetch(`/builds/${this.about.build}/log/text?from=${first}&count=${last - first + 1}`);
      if (!answer.ok) return;
      words = await answer.text();
    }
    await navigator.clipboard.writeText(words);
    text("log-marked-words", what === "lines" ? "Lines copied" : "Link copied");
    setTimeout(() => this.sayMarked(), 1500);
  }

  // What readers do.

  listen() {
    this.lines.addEventListener("rows", () => {
      this.rows.age += 1;
      this.view.later();
    });
    this.view.addEventListener("drawn", () => this.drawn());
    this.view.addEventListener("moved", () => {
      this.moved = true;
      this.follows = this.about.grows && this.view.isAtEnd;
      if (this.follows) this.fresh = 0;
      this.say();
    });
    this.box.addEventListener("click", (event) => this.clicked(event));
    this.box.addEventListener("keydown", (event) => this.pressed(event));
    this.box.addEventListener("mouseover", (event) => this.hovered(event));
    addEventListener("hashchange", () => this.goToHash());
    document.addEventListener("cupel:seek", (event) => void this.seek(/** @type {CustomEvent} */ (event).detail));
    register("n", "Next line that is found", () => this.next(1), () => this.search.asked);
    register("N", "Line found before", () => this.next(-1), () => this.search.asked);
    register("e", "Next line of an error", () => void this.nextError());
    register("l", "To the log", () => this.box.focus());
    register("s", "Search the log", () => this.goToSearch());
    register("c", "Copy the marked lines", () => void this.copy("lines"), () => this.marked !== null);
  }

  searchField() {
    const field = document.querySelector("#log-tools input[type=search]");
    return field instanceof HTMLInputElement ? field : null;
  }

  goToSearch() {
    const field = this.searchField();
    field?.focus();
    field?.select();
  }

  drawn() {
    /** @type {Set<number>} */
    const wanted = new Set();
    for (let at = this.view.first; at <= this.view.last; at++) {
      const line = this.item?.(at)?.line;
      if (line === null || line === undefined) continue;
      wanted.add(line);
    }
    this.lines.want(wanted);
    this.rows.dress(this.view.rows, this.search);
    const line = this.topLine();
    text("log-where", line === null ? "" : this.folds.around(line).map((fold) => fold.title).join(" › "));
    const row = line === null ? undefined : this.lines.get(line);
    if (row) this.tell(row[0], line ?? 0, "view");
  }

  /**
   * Tell what else is on the page which moment of the log is looked at.
   * @param {number} time
   * @param {number} line
   * @param {"view" | "pointer"} by
   */
  tell(time, line, by) {
    const detail = { at: time, line, by };
    document.dispatchEvent(new CustomEvent("cupel:log-moment", { detail }));
  }

  /** @param {MouseEvent} event */
  hovered(event) {
    const line = lineOf(event.target);
    const row = line === null ? undefined : this.lines.get(line);
    if (row && line !== null) this.tell(row[0], line, "pointer");
  }

  /**
   * Show the line of a time.
   * @param {unknown} time
   */
  async seek(time) {
    if (typeof time !== "number" || !Number.isFinite(time) || time < 0) return;
    const answer = await fetch(`${this.api}/at?time=${time}`);
    const found = answer.ok ? /** @type {{ line: number | null }} */ (await answer.json()) : null;
    if (found && found.line !== null) {
      this.goTo(found.line);
      this.view.goTo(this.rowOf?.(found.line) ?? 0);
    }
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const { target } = event;
    if (!(target instanceof Element)) return;
    const at = Number(/** @type {HTMLElement | null} */ (target.closest(".l"))?.dataset.at);
    const fold = target.closest("button") && this.item?.(at)?.fold;
    if (fold) {
      this.pause();
      this.folds.toggle(fold);
      this.show();
      this.say();
    }
    const number = target.closest("a.n");
    if (!number || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const line = lineOf(number) ?? 0;
    const from = event.shiftKey && this.marked ? this.marked.first : line;
    this.marked = { first: Math.min(from, line), last: Math.max(from, line) };
    const { first, last } = this.marked;
    history.replaceState(null, "", `#L${first + 1}${last > first ? `-${last + 1}` : ""}`);
    this.pause();
    this.sayMarked();
    this.show();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this;
    const onButton = event.target instanceof Element && event.target.closest("button, a");
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => view.by(view.height),
      ArrowUp: () => view.by(-view.height),
      PageDown: () => view.by(view.page * view.height),
      PageUp: () => view.by(-view.page * view.height),
      Home: () => this.toStart(),
      g: () => this.toStart(),
      End: () => this.follow(),
      G: () => this.follow(),
      f: () => void this.nextError(),
      w: () => this.wrap(!view.wraps),
      Escape: () => this.unmark(),
    };
    if (!onButton) keys[" "] = () => view.by((event.shiftKey ? -1 : 1) * view.page * view.height);
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  toStart() {
    this.pause();
    this.view.goTo(0);
    this.say();
  }

  /**
   * Go to the next line that is found, or to the one before.
   * @param {1 | -1} by
   */
  next(by) {
    const line = this.search.next(by, this.topLine() ?? 0);
    if (line === null) return;
    this.mark(line, line);
    this.search.at = line;
    this.say();
  }

  async nextError() {
    const from = this.marked ? this.marked.last + 1 : (this.topLine() ?? 0);
    text("log-found", "looking for errors…");
    const line = await this.search.nextError(from);
    if (line === null) text("log-found", "no line tells of an error");
    else {
      this.mark(line, line);
      this.say();
    }
  }

  /** @param {boolean} wraps */
  wrap(wraps) {
    const line = this.topLine();
    this.view.wrap(wraps);
    if (this.follows) this.view.goToEnd();
    else if (line !== null) this.view.goTo(this.rowOf?.(line) ?? 0);
    remember("wrap", wraps ? "yes" : "", "");
    const box = document.getElementById("log-wrap");
    if (box instanceof HTMLInputElement) box.checked = wraps;
  }

  /** The fields and buttons above the lines. */
  tools() {
    const form = document.getElementById("log-tools");
    if (!(form instanceof HTMLFormElement)) return;
    for (const each of document.querySelectorAll("[data-log-parts]")) each.setAttribute("hidden", "");
    this.search.read(new URLSearchParams(location.search), form);
    form.addEventListener("input", () => this.search.changed(form));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.next(1);
    });
    this.searchField()?.addEventListener("keydown", (event) => {
      const { key, shiftKey } = /** @type {KeyboardEvent} */ (event);
      if (key === "Enter" && shiftKey) {
        event.preventDefault();
        this.next(-1);
      } else if (key === "Escape") this.box.focus();
    });
    const times = form.elements.namedItem("times");
    if (times instanceof HTMLSelectElement) {
      const mode = recall("times", "clock");
      times.value = MODES.find((each) => each === mode) ?? "clock";
      const set = () => {
        this.rows.mode = MODES.find((each) => each === times.value) ?? "clock";
        this.box.dataset.times = this.rows.mode;
        this.rows.age += 1;
        this.view.later();
      };
      times.addEventListener("change", () => {
        remember("times", times.value, "clock");
        set();
      });
      set();
    }
    const wrap = document.getElementById("log-wrap");
    if (recall("wrap", "") === "yes") this.wrap(true);
    wrap?.addEventListener("change", () => this.wrap(wrap instanceof HTMLInputElement && wrap.checked));
    /** @type {Record<string, () => void>} */
    const actions = {
      "log-follow": () => this.follow(),
      "log-next": () => this.next(1),
      "log-previous": () => this.next(-1),
      "log-error": () => void this.nextError(),
      "log-fold": () => this.foldAll(),
      "log-copy": () => void this.copy("lines"),
      "log-link": () => void this.copy("link"),
      "log-within": () => void this.copy("within"),
      "log-unmark": () => this.unmark(),
    };
    for (const [id, act] of Object.entries(actions)) document.getElementById(id)?.addEventListener("click", act);
  }

  /** Fold all, or unfold all if all is folded. */
  foldAll() {
    const line = this.topLine();
    const open = !this.folds.folds.some((fold) => this.folds.isOpen(fold));
    this.folds.all(open);
    this.show();
    if (line !== null) this.view.goTo(this.folds.row(line));
  }
}

/**
 * The line that something stands in.
 * @param {EventTarget | null} target
 */
function lineOf(target) {
  const row = target instanceof Element ? target.closest(".l[id^=L]") : null;
  return row ? Number(row.id.slice(1)) - 1 : null;
}

/**
 * @param {string} id
 * @param {string} words
 */
function text(id, words) {
  const element = document.getElementById(id);
  if (element && element.textContent !== words) element.textContent = words;
}

/**
 * A choice, in the address and for the next log.
 * @param {string} name
 * @param {string} value
 * @param {string} usual
 */
function remember(name, value, usual) {
  localStorage.setItem(`cupel.log.${name}`, value);
  const query = new URLSearchParams(location.search);
  if (value === usual) query.delete(name);
  else query.set(name, value);
  const words = query.toString();
  history.replaceState(null, "", location.pathname + (words ? `?${words}` : "") + location.hash);
}

/**
 * @param {string} name
 * @param {string} usual
 */
function recall(name, usual) {
  return new URLSearchParams(location.search).get(name) ?? localStorage.getItem(`cupel.log.${name}`) ?? usual;
}

const box = document.getElementById("log");
if (box?.dataset.log) new Log(box);
