// What is looked for in a log: the fields that say so, the address that keeps it, what is found.

import { Hits } from "./log-hits.js";

/** @typedef {import("./log-hits.js").Bits} Bits */

const PATIENCE = 180;
const FLAGS = ["regex", "case", "word", "only"];

export class Search {
  /**
   * @param {string} address
   * @param {() => void} show called when there is more to show
   */
  constructor(address, show) {
    this.address = address;
    this.show = show;
    /** @type {Record<string, string>} */
    this.fields = {};
    /**
     * What fits all that is asked for.
     * @type {Hits | null}
     */
    this.hits = null;
    /**
     * What fits machine and severity, and nothing else is shown.
     * @type {Hits | null}
     */
    this.filter = null;
    /** @type {Hits | null} */
    this.errors = null;
    /**
     * The line that was gone to last.
     * @type {number | null}
     */
    this.at = null;
    this.waiting = 0;
    /** @type {{ of: Hits, count: number, around: number, wide: Bits } | null} */
    this.spread = null;
  }

  get asked() {
    return this.hits !== null;
  }

  /** Whether lines are left out. */
  get isFilter() {
    return this.filter !== null || (this.hits !== null && this.fields.only === "yes");
  }

  get failed() {
    return Boolean(this.hits?.error || this.filter?.error);
  }

  /**
   * Take what the address asks for.
   * @param {URLSearchParams} query
   * @param {HTMLFormElement} form
   */
  read(query, form) {
    for (const field of form.elements) {
      if (!(field instanceof HTMLInputElement || field instanceof HTMLSelectElement)) continue;
      if (!field.name || field.name === "times" || field.name === "wrap") continue;
      const said = query.get(field.name);
      if (said === null) continue;
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = said === "yes";
      else field.value = said;
    }
    this.take(form);
    if (this.fields.q || this.fields.severity || this.fields.machine) this.ask();
  }

  /**
   * Something was typed or chosen.
   * @param {HTMLFormElement} form
   */
  changed(form) {
    const before = JSON.stringify(this.fields);
    this.take(form);
    if (JSON.stringify(this.fields) === before) return;
    this.keep();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.ask(), PATIENCE);
  }

  /** @param {HTMLFormElement} form */
  take(form) {
    const said = new FormData(form);
    this.fields = {};
    for (const name of ["q", "severity", "machine", "context", ...FLAGS]) {
      const value = said.get(name);
      if (typeof value === "string" && value) this.fields[name] = value;
    }
  }

  /** Keep what is asked for in the address. */
  keep() {
    const query = new URLSearchParams(location.search);
    for (const name of ["q", "severity", "machine", "context", ...FLAGS]) {
      const value = this.fields[name];
      if (value && !(name === "context" && value === "0")) query.set(name, value);
      else query.delete(name);
    }
    const words = query.toString();
    history.replaceState(null, "", location.pathname + (words ? `?${words}` : "") + location.hash);
  }

  ask() {
    const { q, regex, case: cased, word, severity, machine } = this.fields;
    const of = (/** @type {Record<string, string | undefined>} */ asked) => {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(asked)) if (value) query.set(name, value);
      return this.address + query.toString();
    };
    const parts = { severity, machine };
    this.filter = this.renewed(this.filter, severity || machine ? of(parts) : "");
    this.hits = this.renewed(this.hits, q ? of({ ...parts, q, regex, case: cased, word }) : "");
    this.at = null;
    this.show();
  }

  /**
   * What is found at an address; the same as before if that was asked for before.
   * @param {Hits | null} before
   * @param {string} address
   */
  renewed(before, address) {
    if (before?.address === address) return before;
    before?.stop();
    if (!address) return null;
    const hits = new Hits(address);
    hits.addEventListener("found", () => this.show());
    void hits.ask();
    return hits;
  }

  /** Look at what has come since. */
  more() {
    for (const hits of [this.hits, this.filter, this.errors]) if (hits?.done && !hits.error) void hits.ask();
  }

  /**
   * The lines that are shown, if not all are.
   * @param {number} total
   * @returns {Bits | null}
   */
  shown(total) {
    const from = this.fields.only === "yes" && this.hits ? this.hits : this.filter;
    if (!from) return null;
    const around = Math.min(50, Number(this.fields.context) || 0);
    if (!around) return from.set;
    const { count } = from;
    if (this.spread?.of !== from || this.spread.count !== count || this.spread.around !== around) {
      this.spread = { of: from, count, around, wide: from.set.spread(around, total) };
    }
    return this.spread.wide;
  }

  /**
   * The next line that is found after a place, or before it; all around the log.
   * @param {1 | -1} by
   * @param {number} top the first line in view
   * @returns {number | null}
   */
  next(by, top) {
    const set = this.hits?.set;
    if (!set || set.count === 0) return null;
    const rank = this.at === null ? set.rank(by > 0 ? top : top + 1) : set.rank(by > 0 ? this.at + 1 : this.at);
    const { count } = set;
    return set.select((by > 0 ? rank : rank - 1 + count) % count);
  }

  /**
   * The next line that tells of an error, from a line on; after the last comes the first.
   * @param {number} from
   * @returns {Promise<number | null>}
   */
  async nextError(from) {
    const address = `${this.address}severity=error`;
    if (this.errors?.address !== address) {
      this.errors = new Hits(address);
      void this.errors.ask();
    }
    const { errors } = this;
    while (!errors.done && errors.set.rank(from) >= errors.count) {
      await new Promise((resolve) => errors.addEventListener("found", resolve, { once: true }));
    }
    const { set, count } = errors;
    return count ? set.select(set.rank(from) % count) : null;
  }

  /** What was found, in words. */
  words() {
    const hits = this.hits ?? this.filter;
    if (!hits) return "";
    if (hits.error) return hits.error;
    const count = hits.count.toLocaleString("en");
    const so = hits.done ? "" : " so far";
    const at = this.hits && this.at !== null ? `${(this.hits.set.rank(this.at) + 1).toLocaleString("en")} of ` : "";
    return `${at}${count} ${hits.count === 1 ? "line" : "lines"}${so}`;
  }

  /** What is looked for as the browser understands it, to show where it stands in a line. */
  pattern() {
    const { q, regex, case: cased, word } = this.fields;
    if (!this.hits || !q) return null;
    let source = regex ? q : q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    if (word) source = `(?<![\\p{L}\\p{N}_])(?:${source})(?![\\p{L}\\p{N}_])`;
    try {
      return new RegExp(source, cased ? "gu" : "giu");
    } catch {
      return null; // Python knows expressions that browsers do not
    }
  }
}
