// Draws the rows of a log: lines with their numbers and times, and the heads of folds.

import { CONTINUES } from "./log-lines.js";
import { clock, delta, moment, since } from "./log-times.js";

/** @typedef {import("./log-folds.js").Fold} Fold */
/** @typedef {import("./log-folds.js").Item} Item */
/** @typedef {import("./log-lines.js").Row} Row */
/** @typedef {{ marked: { first: number, last: number } | null, hits: import("./log-hits.js").Hits | null }} Marks */

const STREAMS = ["", "err", "note"];

export class Painter {
  /**
   * @param {import("./log.js").About} about
   * @param {import("./log-lines.js").Lines} lines
   * @param {import("./log-folds.js").Folds} folds
   */
  constructor(about, lines, folds) {
    this.about = about;
    this.lines = lines;
    this.folds = folds;
    /** @type {import("./log-times.js").Mode} */
    this.mode = "clock";
    this.age = 0;
  }

  /**
   * @param {Item} item
   * @param {Marks} marks
   * @returns {import("./log-view.js").Drawn}
   */
  row({ line, fold, gap = false }, { marked, hits }) {
    if (line === null) {
      const version = fold ? `${this.folds.isOpen(fold)} ${this.folds.end(fold)} ${fold.title}` : "";
      return { key: `F${fold?.first}`, version, draw: (row) => fold && this.head(row, fold) };
    }
    const isMarked = marked !== null && marked.first <= line && line <= marked.last;
    const isHit = hits?.set.has(line) ?? false;
    const known = this.lines.get(line);
    const open = fold ? this.folds.isOpen(fold) : "";
    // Until a line is there its row is looked at again whenever some have come.
    const version = `${known ? this.mode : this.age} ${isMarked} ${isHit} ${open} ${gap} ${known && this.time(line, known)}`;
    const draw = (/** @type {HTMLElement} */ row) => {
      this.line(row, line, known, fold);
      row.classList.toggle("is-marked", isMarked);
      row.classList.toggle("is-hit", isHit);
      row.classList.toggle("is-apart", gap);
    };
    return { key: `L${line}`, version, draw };
  }

  /**
   * @param {HTMLElement} row
   * @param {number} line
   * @param {Row | undefined} known
   * @param {Fold | null} fold
   */
  line(row, line, known, fold) {
    row.id = `L${line + 1}`;
    const number = document.createElement("a");
    number.className = "n";
    number.href = `#L${line + 1}`;
    number.textContent = String(line + 1);
    row.className = "l";
    row.replaceChildren(number);
    if (!known) {
      row.append(document.createElement("span"));
      return;
    }
    const [at, , stream, part, flags, html] = known;
    if (STREAMS[stream]) row.classList.add(STREAMS[stream] ?? "");
    if (flags & CONTINUES) row.classList.add("more");
    if (stream === 1) number.title = "stderr";
    const time = document.createElement("time");
    time.dateTime = new Date(at * 1000).toISOString();
    time.title = moment(at);
    time.textContent = this.time(line, known);
    row.append(time);
    const machine = this.about.machines[part];
    if (machine !== undefined) {
      const name = document.createElement("b");
      name.textContent = machine;
      row.append(name);
    }
    const words = document.createElement("span");
    if (fold) row.append(this.title(fold));
    else words.innerHTML = html;
    if (!fold) row.append(words);
    for (const each of /** @type {NodeListOf<HTMLElement>} */ (words.querySelectorAll("[data-fg], [data-bg]"))) colour(each);
  }

  /**
   * What opens and closes a fold.
   * @param {Fold} fold
   */
  title(fold) {
    const open = this.folds.isOpen(fold);
    const button = document.createElement("button");
    button.className = "log-title";
    button.type = "button";
    button.ariaExpanded = String(open);
    const title = document.createElement("bdi");
    title.textContent = fold.title || "…";
    const count = document.createElement("small");
    const lines = this.folds.end(fold) - fold.first + (fold.kind === "step" ? 1 : 0);
    count.textContent = `${lines.toLocaleString("en")} ${lines === 1 ? "line" : "lines"}`;
    button.append(title, " ", count);
    return button;
  }

  /**
   * The head of a step.
   * @param {HTMLElement} row
   * @param {Fold} fold
   */
  head(row, fold) {
    row.className = "l log-step";
    row.removeAttribute("id");
    if (fold.step !== null) row.id = `step-${fold.step}`;
    const button = this.title(fold);
    const step = this.about.steps.find((each) => each.number === fold.step);
    if (step?.state === "failure" || step?.state === "killed") {
      row.classList.add("is-bad");
      const word = document.createElement("b");
      word.textContent = step.state === "failure" ? "failed" : "killed";
      button.append(word);
    }
    row.replaceChildren(button);
  }

  /**
   * @param {number} line
   * @param {Row} row
   */
  time(line, [at, step]) {
    switch (this.mode) {
      case "clock":
        return clock(at);
      case "build":
        return since(at - (this.about.began ?? at));
      case "step": {
        const said = this.about.steps.find((each) => each.number === step + 1)?.at;
        const first = this.folds.steps.get(step < 0 ? null : step + 1)?.first;
        const began = said ?? (first === undefined ? undefined : this.lines.get(first)?.[0]);
        return began === undefined || began === null ? "" : since(at - began);
      }
      case "delta": {
        const before = line > 0 ? this.lines.get(line - 1)?.[0] : at;
        return before === undefined ? "" : delta(at - before);
      }
      default:
        return "";
    }
  }

  /**
   * Show where in the lines what is looked for stands.
   * @param {HTMLElement} rows
   * @param {import("./log-search.js").Search} search
   */
  dress(rows, search) {
    const registry = /** @type {Map<string, unknown> | undefined} */ (Reflect.get(CSS, "highlights"));
    const Highlight = Reflect.get(window, "Highlight");
    if (!registry || !Highlight) return;
    /** @type {Range[]} */
    const ranges = [];
    const pattern = search.pattern();
    if (pattern) for (const words of rows.querySelectorAll(".is-hit > span")) ranges.push(...found(words, pattern));
    registry.set("log-hit", new Highlight(...ranges));
  }
}

/**
 * Where a pattern fits the text of an element.
 * @param {Element} element
 * @param {RegExp} pattern
 */
function found(element, pattern) {
  /** @type {{ node: Node, start: number }[]} */
  const nodes = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let size = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    nodes.push({ node, start: size });
    size += node.textContent?.length ?? 0;
  }
  /** @type {Range[]} */
  const ranges = [];
  const place = (/** @type {number} */ at, /** @type {boolean} */ isEnd) =>
    nodes.filter((each) => (isEnd ? each.start < at : each.start <= at)).at(-1);
  for (const match of (element.textContent ?? "").matchAll(pattern)) {
    const [first, end] = [match.index ?? 0, (match.index ?? 0) + match[0].length];
    const [a, b] = [place(first, false), place(end, true)];
    if (!a || !b || first === end || ranges.length >= 50) continue;
    const range = new Range();
    range.setStart(a.node, first - a.start);
    range.setEnd(b.node, end - b.start);
    ranges.push(range);
  }
  return ranges;
}

/**
 * Show the exact colour; styles keep it apart from its ground.
 * @param {HTMLElement} element
 */
function colour(element) {
  for (const kind of ["fg", "bg"]) {
    const exact = element.dataset[kind];
    if (exact) element.style.setProperty(`--${kind}`, `#${exact}`);
  }
}
