// A list of any length, of which only the rows in view are in the page.
//
// Browsers know no element of more than some ten million pixels, and a log may need twenty times
// that. What is in view is therefore kept as a row and pixels within it (`top`); the scrollbar only
// tells, and is told, roughly where that is, unless there is a pixel for every pixel.

/**
 * A row to draw.
 * @typedef {{ key: string, draw: (element: HTMLElement) => void, version: string }} Drawn
 */

/**
 * What is shown: how many rows there are, and each of them.
 * @typedef {{ count: number, row: (at: number) => Drawn }} Content
 */

const TALLEST = 8e6;
const BEYOND = 12;
const SETTLE = 150;

export class View extends EventTarget {
  /** @param {HTMLElement} box the element that scrolls */
  constructor(box) {
    super();
    this.box = box;
    this.space = element("log-space");
    this.port = element("log-port");
    this.rows = element("log-rows");
    this.port.append(this.rows);
    this.space.append(this.port);
    /** @type {Content} */
    this.content = { count: 0, row: () => ({ key: "", draw: () => {}, version: "" }) };
    this.top = { row: 0, px: 0 };
    this.wraps = false;
    this.height = 20;
    this.tall = 0;
    /**
     * What rows measure, where they wrap.
     * @type {Map<string, number>}
     */
    this.measured = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
    /** Rows from `first` on are in the page. */
    this.first = 0;
    this.last = -1;
    this.told = 0;
    this.frame = 0;
    this.settling = 0;
    box.replaceChildren(this.space);
    box.classList.add("log-live");
    box.addEventListener("scroll", () => this.scrolled());
    box.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    new ResizeObserver(() => this.resized()).observe(box);
    this.resized();
  }

  resized() {
    const size = parseFloat(getComputedStyle(this.box).fontSize);
    this.height = Math.round(size * 1.55);
    this.box.style.setProperty("--row", `${this.height}px`);
    this.measured.clear();
    this.draw();
  }

  /** @param {Content} content */
  show(content) {
    this.content = content;
    this.draw();
  }

  /** @param {boolean} wraps */
  wrap(wraps) {
    this.wraps = wraps;
    this.box.classList.toggle("log-wraps", wraps);
    this.measured.clear();
    this.draw();
  }

  /** Whether every row has its own pixels in the scrollbar. */
  get isExact() {
    return !this.wraps && this.content.count * this.height <= TALLEST;
  }

  get isAtEnd() {
    const end = this.end();
    return this.top.row > end.row || (this.top.row === end.row && this.top.px >= end.px - 2);
  }

  /** How many rows fit. */
  get page() {
    return Math.max(1, Math.floor(this.tall / this.height) - 1);
  }

  /**
   * Bring a row into view: at the top, or `above` rows below it.
   * @param {number} row
   * @param {number} above
   */
  goTo(row, above = 0) {
    this.top = { row: Math.max(0, row - above), px: 0 };
    this.draw();
  }

  /**
   * Bring a row into view if it is not.
   * @param {number} row
   */
  reveal(row) {
    const visible = row > this.top.row && row < this.top.row + this.page - 1;
    if (!visible || this.wraps) this.goTo(row, Math.floor(this.page / 3));
    else this.draw();
  }

  goToEnd() {
    this.top = this.end();
    this.draw();
  }

  /** @param {number} px */
  by(px) {
    this.top.px += px;
    this.draw();
    this.dispatchEvent(new Event("moved"));
  }

  // The scrollbar.

  scrolled() {
    const at = this.box.scrollTop;
    if (Math.abs(at - this.told) < 1) return;
    const moved = at - this.told;
    if (this.isExact) this.top = { row: 0, px: at };
    else if (Math.abs(moved) < this.tall * 1.5) this.top.px += moved;
    else this.top = this.place(at);
    this.told = at;
    this.later();
    this.dispatchEvent(new Event("moved"));
  }

  /** @param {WheelEvent} event */
  wheeled(event) {
    if (this.isExact || event.ctrlKey || event.shiftKey || !event.deltaY) return;
    const unit = [1, this.height, this.tall][event.deltaMode] ?? 1;
    const before = this.top;
    this.by(event.deltaY * unit);
    const stays = this.top.row === before.row && this.top.px === before.px;
    if (!stays || this.box.scrollHeight > this.tall) event.preventDefault();
  }

  /**
   * Where the scrollbar says to be.
   * @param {number} at
   * @returns {{ row: number, px: number }}
   */
  place(at) {
    const end = this.end();
    const range = this.box.scrollHeight - this.tall;
    const share = range > 0 ? Math.min(1, at / range) : 0;
    const row = share * (end.row + end.px / this.height);
    return share === 1 ? end : { row: Math.floor(row), px: (row % 1) * this.height };
  }

  /** Where the scrollbar has to be. */
  mark() {
    if (this.isExact) return this.top.row * this.height + this.top.px;
    const end = this.end();
    const range = this.box.scrollHeight - this.tall;
    const rows = end.row + end.px / this.height;
    return rows > 0 ? (range * Math.min(rows, this.top.row + this.top.px / this.tallOf(this.top.row))) / rows : 0;
  }

  /** Tell the scrollbar, but not while it is at the reader's hand. */
  settle() {
    clearTimeout(this.settling);
    const tell = () => {
      if (!this.isExact && Math.abs(this.box.scrollTop - this.told) >= 1) return this.scrolled();
      this.told = Math.round(this.mark());
      if (Math.abs(this.box.scrollTop - this.told) >= 1) this.box.scrollTop = this.told;
      this.told = this.box.scrollTop;
    };
    if (this.isExact) tell();
    else this.settling = setTimeout(tell, SETTLE);
  }

  // Rows.

  /**
   * The height of a row, as far as it is known.
   * @param {number} row
   */
  tallOf(row) {
    if (!this.wraps) return this.height;
    return this.measured.get(this.content.row(row).key) ?? this.height;
  }

  /** The last place to be: where the last row ends at the bottom. */
  end() {
    if (!this.wraps) {
      const px = Math.max(0, this.content.count * this.height - this.tall);
      return { row: Math.floor(px / this.height), px: px % this.height };
    }
    let left = this.tall;
    let row = this.content.count;
    while (left > 0 && row > 0) left -= this.tallOf(--row);
    return { row, px: Math.max(0, -left) };
  }

  /** Make `top` a place that is there. */
  normalise() {
    const { top } = this;
    while (top.px < 0 && top.row > 0) {
      const rows = this.wraps ? 1 : Math.min(top.row, Math.ceil(-top.px / this.height));
      top.row -= rows;
      top.px += this.wraps ? this.tallOf(top.row) : rows * this.height;
    }
    if (this.wraps) {
      while (top.row < this.content.count - 1 && top.px >= this.tallOf(top.row)) top.px -= this.tallOf(top.row++);
    } else {
      top.row += Math.floor(top.px / this.height);
      top.px -= Math.floor(top.px / this.height) * this.height;
    }
    if (top.row < 0 || (top.row === 0 && top.px < 0)) Object.assign(top, { row: 0, px: 0 });
    const end = this.end();
    if (top.row > end.row || (top.row === end.row && top.px > end.px)) Object.assign(top, end);
  }

  later() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    let height = this.content.count * this.height;
    if (this.wraps) for (const tall of this.measured.values()) height += tall - this.height;
    this.space.style.height = `${Math.min(height, TALLEST)}px`;
    this.tall = this.box.clientHeight;
    this.port.style.height = `${Math.min(this.tall, height)}px`;
    this.normalise();
    this.lay();
    // What wraps is measured once it is there; then there may be room for more, or less.
    for (let turn = 0; this.wraps && turn < 3 && this.measure(); turn++) {
      this.normalise();
      this.lay();
    }
    this.settle();
    this.dispatchEvent(new Event("drawn"));
  }

  /** Put the rows that are in view into the page. */
  lay() {
    this.first = Math.max(0, this.top.row - BEYOND);
    let above = 0;
    for (let row = this.first; row < this.top.row; row++) above += this.tallOf(row);
    let below = -this.top.px;
    let row = this.top.row;
    while (row < this.content.count && below < this.tall) below += this.tallOf(row++);
    this.last = Math.min(this.content.count, row + BEYOND) - 1;
    this.fill();
    this.rows.style.transform = `translateY(${-above - this.top.px}px)`;
  }

  fill() {
    /** @type {Map<string, HTMLElement>} */
    const shown = new Map();
    for (let at = this.first; at <= this.last; at++) {
      const row = this.content.row(at);
      const made = this.shown.get(row.key) ?? element("l");
      if (made.dataset.version !== row.version) {
        row.draw(made);
        made.dataset.version = row.version;
      }
      made.dataset.at = String(at);
      shown.set(row.key, made);
    }
    for (const [key, made] of this.shown) if (!shown.has(key)) made.remove();
    let next = this.rows.firstElementChild;
    for (const made of shown.values()) {
      if (made === next) next = next.nextElementSibling;
      else this.rows.insertBefore(made, next);
    }
    this.shown = shown;
  }

  /** Measure the rows that are there; whether any was not known. */
  measure() {
    let news = false;
    for (const [key, made] of this.shown) {
      const tall = made.getBoundingClientRect().height;
      news ||= this.measured.get(key) !== tall;
      this.measured.set(key, tall);
    }
    return news;
  }
}

/** @param {string} name of its class */
function element(name) {
  const made = document.createElement("div");
  made.className = name;
  return made;
}
