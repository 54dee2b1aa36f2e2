// What of a log is folded: which line stands in which row.

/**
 * @typedef {{ kind: "step" | "part" | "group", title: string, step: number | null, depth: number,
 *   first: number, last: number | null, open: boolean }} Fold
 */

/**
 * A row: a line, the fold that begins with it, or a fold alone (of a step, which has no line).
 * @typedef {{ line: number | null, fold: Fold | null, gap?: boolean }} Item
 */

/**
 * Rows from number `row` on: lines, or the head of a step.
 * @typedef {{ row: number, line: number, count: number, head: Fold | null }} Run
 */

/**
 * A fold as the server tells of it.
 * @typedef {[kind: Fold["kind"], title: string, step: number | null, depth: number, first: number,
 *   last: number | null, open: boolean]} Told
 */

export class Folds {
  /** @param {number} total */
  constructor(total) {
    this.total = total;
    /** @type {Fold[]} */
    this.folds = [];
    /**
     * What the reader has opened and closed.
     * @type {Map<string, boolean>}
     */
    this.chosen = new Map();
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Map<number, Fold>} the inner ones, by their first line */
    this.titles = new Map();
    /** @type {Map<number | null, Fold>} */
    this.steps = new Map();
    this.count = 0;
    this.lay();
  }

  /**
   * @param {Told[]} told in their order
   * @param {number} total
   */
  set(told, total) {
    this.folds = told.map(([kind, title, step, depth, first, last, open]) => ({ kind, title, step, depth, first, last, open }));
    this.titles = new Map();
    this.steps = new Map();
    for (const fold of this.folds) {
      if (fold.kind !== "step") this.titles.set(fold.first, fold);
      else if (!this.steps.has(fold.step)) this.steps.set(fold.step, fold);
    }
    this.total = total;
    this.lay();
  }

  /** @param {number} total */
  grow(total) {
    if (total === this.total) return;
    this.total = total;
    this.lay();
  }

  /** @param {Fold} fold */
  isOpen(fold) {
    return this.chosen.get(name(fold)) ?? fold.open;
  }

  /**
   * @param {Fold} fold
   * @param {boolean} open
   */
  toggle(fold, open = !this.isOpen(fold)) {
    this.chosen.set(name(fold), open);
    this.lay();
  }

  /** @param {boolean} open */
  all(open) {
    for (const fold of this.folds) this.chosen.set(name(fold), open);
    this.lay();
  }

  /**
   * Open whatever hides a line.
   * @param {number} line
   */
  reveal(line) {
    let changed = false;
    for (const fold of this.folds) {
      if (fold.first > line) break;
      const hides = line <= this.end(fold) && (fold.kind === "step" || line > fold.first);
      if (hides && !this.isOpen(fold)) {
        this.chosen.set(name(fold), true);
        changed = true;
      }
    }
    if (changed) this.lay();
    return changed;
  }

  /** @param {Fold} fold */
  end(fold) {
    return fold.last ?? this.total - 1;
  }

  /** Lay the rows out anew. */
  lay() {
    /** @type {Run[]} */
    const runs = [];
    let row = 0;
    let line = 0;
    /** @param {number} end lines up to this one, which does not count */
    const upTo = (end) => {
      if (end <= line) return;
      runs.push({ row, line, count: end - line, head: null });
      row += end - line;
      line = end;
    };
    for (const fold of this.folds) {
      if (fold.first < line) continue;
      upTo(Math.min(fold.first, this.total));
      if (fold.kind === "step") runs.push({ row: row++, line: fold.first, count: 1, head: fold });
      if (this.isOpen(fold)) continue;
      if (fold.kind !== "step") upTo(fold.first + 1);
      line = Math.max(line, this.end(fold) + 1);
    }
    upTo(this.total);
    this.runs = runs;
    this.count = row;
  }

  /**
   * @param {number} row
   * @returns {Item}
   */
  item(row) {
    const run = this.runs[this.find(row, (each) => each.row)];
    if (!run) return { line: null, fold: null };
    if (run.head) return { line: null, fold: run.head };
    const line = run.line + row - run.row;
    return { line, fold: this.titles.get(line) ?? null };
  }

  /**
   * The row of a line, or of what hides it.
   * @param {number} line
   */
  row(line) {
    const at = this.find(line, (each) => each.line);
    const run = this.runs[at];
    if (!run) return 0;
    return run.head ? run.row : run.row + Math.min(line - run.line, run.count - 1);
  }

  /**
   * The last run that begins at or before a place.
   * @param {number} place
   * @param {(run: Run) => number} of
   */
  find(place, of) {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (of(/** @type {Run} */ (this.runs[middle])) <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * The folds that a line stands in, the outermost first.
   * @param {number} line
   */
  around(line) {
    return this.folds.filter((fold) => fold.first <= line && line <= this.end(fold));
  }
}

/** @param {Fold} fold */
const name = (fold) => `${fold.depth} ${fold.first}`;
