// A shell in the machine of a build, over the WebSocket that docs/reference/api.md describes.

/** @typedef {{ status: number | null, reason: string | null, hint: string | null }} End */
/**
 * @typedef {object} Ends What a shell is connected to here.
 * @property {(data: Uint8Array, shown: () => void) => void} show say `shown` once it is
 * @property {() => void} begun
 * @property {(text: string) => void} notice
 * @property {(users: string[]) => void} company
 * @property {(end: End) => void} ended
 */

const WINDOW = 512 * 1024;
const TELL = 64 * 1024;
const PIECE = 32 * 1024;
const LOST = "The connection to the server was lost. What ran there was hung up on.";

export class Shell {
  /**
   * @param {string} address
   * @param {{ rows: number, columns: number, machine: string }} wish
   * @param {Ends} ends
   */
  constructor(address, wish, ends) {
    const url = new URL(address, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.ends = ends;
    this.isOver = false;
    this.shown = 0;
    this.socket.onopen = () =>
      this.say({
        terminal: { rows: wish.rows, columns: wish.columns, term: "xterm-256color" },
        machine: wish.machine,
        window: WINDOW,
        company: true,
      });
    this.socket.onmessage = (event) => this.hear(event.data);
    this.socket.onclose = () => this.end({ status: null, reason: LOST, hint: null });
  }

  /** @param {string | ArrayBuffer} data */
  hear(data) {
    if (typeof data !== "string") {
      const written = new Uint8Array(data, 1);
      this.ends.show(written, () => this.hasShown(written.length));
      return;
    }
    const told = JSON.parse(data);
    if (told.began) this.ends.begun();
    if (told.notice) this.ends.notice(told.notice);
    if (told.company) this.ends.company(told.company);
    if (told.ended) this.end(told.ended);
    // Timers of hidden pages may rest for a minute, after which the server gives us up; messages
    // wake us whatever happens.
    if (told.alive) this.say({ ping: 1 });
  }

  /** @param {number} count */
  hasShown(count) {
    this.shown += count;
    if (this.shown < TELL) return;
    this.say({ shown: this.shown });
    this.shown = 0;
  }

  /** @param {End} end */
  end(end) {
    if (this.isOver) return;
    this.isOver = true;
    this.socket.close();
    this.ends.ended(end);
  }

  /** @param {Uint8Array} data */
  type(data) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    for (let at = 0; at < data.length; at += PIECE) this.socket.send(data.slice(at, at + PIECE));
  }

  /** @param {number} rows @param {number} columns */
  resize(rows, columns) {
    this.say({ resize: [rows, columns] });
  }

  leave() {
    this.end({ status: null, reason: "You have left. What ran there was hung up on.", hint: null });
  }

  /** @param {object} told */
  say(told) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(told));
  }
}
