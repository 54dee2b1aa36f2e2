// Which lines of a log fit a question: a bit for each line, told by the server as it finds them.

const BLOCK = 4096;
const WORDS = BLOCK / 32;

/** @typedef {{ scanned: number, count: number, blocks: [number, string | number[]][], done: boolean, error?: string, hint?: string }} Message */

export class Hits extends EventTarget {
  /** @param {string} address where to ask, with the question in its query */
  constructor(address) {
    super();
    this.address = address;
    this.scanned = 0;
    this.done = false;
    this.error = "";
    this.set = new Bits();
    this.controller = new AbortController();
  }

  get count() {
    return this.set.count;
  }

  /** Ask for what fits from where the last answer ended. */
  async ask() {
    this.done = false;
    this.error = "";
    this.controller.abort();
    const controller = (this.controller = new AbortController());
    try {
      const answer = await fetch(`${this.address}&from=${this.scanned}`, { signal: controller.signal });
      if (!answer.ok || !answer.body) throw new Error(`the server said ${answer.status}`);
      await this.listen(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch (error) {
      if (controller.signal.aborted) return;
      this.error = error instanceof Error ? error.message : String(error);
    }
    if (controller.signal.aborted) return;
    this.done = true;
    this.dispatchEvent(new Event("found"));
  }

  /** @param {ReadableStreamDefaultReader<string>} reader */
  async listen(reader) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.take(JSON.parse(line));
      this.dispatchEvent(new Event("found"));
    }
  }

  /** @param {Message} message */
  take(message) {
    if (message.error) {
      this.error = message.error;
      return;
    }
    for (const [block, said] of message.blocks) {
      if (typeof said === "string") this.set.addBits(block, Uint8Array.from(atob(said), (each) => each.charCodeAt(0)));
      else for (const at of said) this.set.add(block * BLOCK + at);
    }
    this.scanned = message.scanned;
  }

  stop() {
    this.controller.abort();
  }
}

/** A set of many numbers. */
export class Bits {
  constructor() {
    /** @type {Map<number, Uint32Array>} */
    this.blocks = new Map();
    /**
     * How many numbers are in the blocks before each; made when it is needed.
     * @type {Uint32Array | null}
     */
    this.before = null;
  }

  /** @param {number} block */
  block(block) {
    let words = this.blocks.get(block);
    if (!words) this.blocks.set(block, (words = new Uint32Array(WORDS)));
    this.before = null;
    return words;
  }

  /** @param {number} number */
  add(number) {
    const words = this.block(Math.floor(number / BLOCK));
    const at = number % BLOCK;
    words[at >> 5] = (words[at >> 5] ?? 0) | (1 << (at & 31));
  }

  /**
   * @param {number} block
   * @param {Uint8Array} bytes
   */
  addBits(block, bytes) {
    const words = this.block(block);
    bytes.forEach((byte, at) => {
      words[at >> 2] = (words[at >> 2] ?? 0) | (byte << ((at & 3) * 8));
    });
  }

  /** @param {number} number */
  has(number) {
    const word = this.blocks.get(Math.floor(number / BLOCK))?.[(number % BLOCK) >> 5] ?? 0;
    return ((word >>> (number & 31)) & 1) === 1;
  }

  /** For each block how many numbers come before it, and at the end how many there are. */
  index() {
    if (this.before) return this.before;
    const last = Math.max(-1, ...this.blocks.keys());
    const before = new Uint32Array(last + 2);
    for (let block = 0; block <= last; block++) {
      let count = 0;
      for (const word of this.blocks.get(block) ?? []) count += ones(word);
      before[block + 1] = (before[block] ?? 0) + count;
    }
    this.before = before;
    return before;
  }

  get count() {
    const index = this.index();
    return index[index.length - 1] ?? 0;
  }

  /**
   * How many numbers are smaller.
   * @param {number} number
   */
  rank(number) {
    const index = this.index();
    const block = Math.floor(number / BLOCK);
    if (block >= index.length - 1) return this.count;
    let count = index[block] ?? 0;
    const words = this.blocks.get(block);
    const at = number % BLOCK;
    for (let word = 0; words && word < at >> 5; word++) count += ones(words[word] ?? 0);
    if (words && at & 31) count += ones((words[at >> 5] ?? 0) & ((1 << (at & 31)) - 1));
    return count;
  }

  /**
   * The number that has so many before it; -1 if there is none.
   * @param {number} rank
   */
  select(rank) {
    const index = this.index();
    if (rank < 0 || rank >= this.count) return -1;
    let low = 0;
    let high = index.length - 2;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((index[middle] ?? 0) <= rank) low = middle;
      else high = middle - 1;
    }
    let left = rank - (index[low] ?? 0);
    const words = this.blocks.get(low) ?? new Uint32Array(WORDS);
    for (let at = 0; at < WORDS; at++) {
      let word = words[at] ?? 0;
      const here = ones(word);
      if (left >= here) left -= here;
      else {
        while (left-- > 0) word &= word - 1;
        return low * BLOCK + at * 32 + 31 - Math.clz32(word & -word);
      }
    }
    return -1;
  }

  /**
   * The same, with so many numbers around each, below a limit.
   * @param {number} around
   * @param {number} limit
   */
  spread(around, limit) {
    let words = new Uint32Array(Math.ceil(limit / 32));
    for (const [block, some] of this.blocks) {
      words.set(some.subarray(0, Math.max(0, Math.min(WORDS, words.length - block * WORDS))), block * WORDS);
    }
    for (let step = 0; step < around; step++) words = widened(words);
    const wide = new Bits();
    for (let at = 0; at < words.length; at += WORDS) {
      const some = words.subarray(at, at + WORDS);
      if (some.some(Boolean)) wide.block(at / WORDS).set(some);
    }
    const rest = limit % 32;
    const last = words.length - 1;
    if (rest && last >= 0) {
      const words = wide.block(Math.floor(last / WORDS));
      words[last % WORDS] = (words[last % WORDS] ?? 0) & ((1 << rest) - 1);
    }
    return wide;
  }
}

/**
 * Each bit and its two neighbours.
 * @param {Uint32Array} words
 */
function widened(words) {
  return words.map((word, at) => {
    const [before, after] = [words[at - 1] ?? 0, words[at + 1] ?? 0];
    return word | (word << 1) | (word >>> 1) | (before >>> 31) | (after << 31);
  });
}

/**
 * How many bits of a word are set.
 * @param {number} word
 */
function ones(word) {
  let left = word - ((word >>> 1) & 0x55555555);
  left = (left & 0x33333333) + ((left >>> 2) & 0x33333333);
  return (((left + (left >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
