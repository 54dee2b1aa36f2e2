// The lines of a log, fetched by ranges as they are looked at.

/**
 * A line: when it was written, its step (-1: none), its stream, the machine's place, whether it
 * goes on with one before (1) and is complete (2), and its HTML, which the server has made harmless.
 * @typedef {[at: number, step: number, stream: number, part: number, flags: number, html: string]} Row
 */

/** @typedef {{ first: number, total: number, rows: Row[] }} Rows */

/**
 * The lines that the page came with, so that nothing has to be fetched to see them.
 * @param {HTMLElement} box
 * @param {string[]} machines
 * @param {number} total
 * @returns {Rows}
 */
export function written(box, machines, total) {
  /** @type {Row[]} */
  const rows = [];
  let step = -1;
  for (const each of box.children) {
    if (each.localName === "h3") {
      const number = Number(each.id.replace("step-", ""));
      step = number > NO_STEP ? -1 : number - 1;
    }
    const words = each.lastElementChild;
    const time = each.querySelector("time");
    if (!each.classList.contains("l") || !words || !time) continue;
    words.querySelector(".hidden-text")?.remove();
    const stream = ["err", "note"].findIndex((name) => each.classList.contains(name)) + 1;
    const part = machines.indexOf(each.querySelector("b")?.textContent ?? "");
    const goesOn = each.classList.contains("more") ? CONTINUES : 0;
    rows.push([Date.parse(time.dateTime) / 1000, step, stream, Math.max(part, 0), goesOn, words.innerHTML]);
  }
  const first = Number(box.querySelector(".l")?.id.slice(1) ?? 1) - 1;
  return { first, total, rows };
}

export const CONTINUES = 1;

/** The server's number of the step of lines that belong to none. */
const NO_STEP = 0xffff;
const CHUNK = 256;
const KEPT = 160;
const AT_ONCE = 4;

export class Lines extends EventTarget {
  /**
   * @param {string} address where ranges are fetched from
   * @param {number} total
   */
  constructor(address, total) {
    super();
    this.address = address;
    this.total = total;
    /** @type {Map<number, Row[]>} */
    this.chunks = new Map();
    /** @type {Map<number, AbortController>} */
    this.fetching = new Map();
    /** @type {number[]} */
    this.wanted = [];
  }

  /**
   * @param {number} line
   * @returns {Row | undefined}
   */
  get(line) {
    return this.chunks.get(Math.floor(line / CHUNK))?.[line % CHUNK];
  }

  /**
   * See to it that lines will be there; those that are not wanted any more are no longer fetched.
   * @param {Iterable<number>} lines
   */
  want(lines) {
    const chunks = new Set([...lines].map((line) => Math.floor(line / CHUNK)));
    for (const [chunk, fetching] of this.fetching) if (!chunks.has(chunk)) fetching.abort();
    for (const chunk of chunks) this.touch(chunk);
    this.wanted = [...chunks].filter((chunk) => !this.isThere(chunk));
    this.go();
  }

  /** @param {number} chunk */
  isThere(chunk) {
    return (this.chunks.get(chunk)?.length ?? 0) >= Math.min(CHUNK, this.total - chunk * CHUNK);
  }

  /** @param {number} chunk */
  touch(chunk) {
    const rows = this.chunks.get(chunk);
    if (!rows) return;
    this.chunks.delete(chunk);
    this.chunks.set(chunk, rows);
  }

  go() {
    for (const chunk of this.wanted) {
      if (this.fetching.size >= AT_ONCE) return;
      if (!this.fetching.has(chunk) && !this.isThere(chunk)) void this.fetch(chunk);
    }
  }

  /** @param {number} chunk */
  async fetch(chunk) {
    const controller = new AbortController();
    this.fetching.set(chunk, controller);
    const from = chunk * CHUNK + (this.chunks.get(chunk)?.length ?? 0);
    let failed = false;
    try {
      const url = `${this.address}from=${from}&count=${(chunk + 1) * CHUNK - from}`;
      const answer = await fetch(url, { signal: controller.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      this.put(await answer.json());
    } catch {
      failed = !controller.signal.aborted;
    }
    this.fetching.delete(chunk);
    if (failed) setTimeout(() => this.go(), 2000);
    else this.go();
  }

  /**
   * Take lines that came, the first of which may be known.
   * @param {Rows} some
   */
  put({ first, total, rows }) {
    this.total = Math.max(this.total, total);
    rows.forEach((row, at) => {
      const chunk = Math.floor((first + at) / CHUNK);
      const known = this.chunks.get(chunk) ?? [];
      // A chunk has no holes: lines after one are fetched again when they are looked at.
      if (known.length === (first + at) % CHUNK) known.push(row);
      this.chunks.set(chunk, known);
    });
    for (const chunk of this.chunks.keys()) {
      if (this.chunks.size <= KEPT) break;
      this.chunks.delete(chunk);
    }
    this.dispatchEvent(new Event("rows"));
  }
}
