// A connection that rests while nobody looks.

/**
 * A stream of server-sent events that is closed while the page is hidden, because browsers keep
 * only six connections to a server, and opened again where it stopped.
 */
export class PatientSource extends EventTarget {
  /** @param {(last: string) => string} address the URL, given the id of the last event or "" */
  constructor(address) {
    super();
    this.address = address;
    this.last = "";
    this.readyState = EventSource.CONNECTING;
    /** @type {((event: Event) => void) | null} */
    this.onopen = null;
    /** @type {((event: Event) => void) | null} */
    this.onerror = null;
    /** @type {Set<string>} */
    this.names = new Set();
    /** @type {EventSource | null} */
    this.source = null;
    this.look = () => (document.hidden ? this.rest() : this.open());
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  open() {
    if (this.source || this.readyState === EventSource.CLOSED) return;
    this.source = new EventSource(this.address(this.last));
    this.source.onopen = (event) => {
      this.readyState = EventSource.OPEN;
      this.onopen?.(event);
    };
    this.source.onerror = (event) => {
      this.readyState = EventSource.CONNECTING;
      const refused = this.source?.readyState === EventSource.CLOSED;
      this.onerror?.(event);
      if (refused) {
        this.rest();
        setTimeout(this.look, 3000 + 3000 * Math.random()); // a crowd does not come back at once
      }
    };
    for (const name of this.names) this.forward(name);
  }

  rest() {
    this.source?.close();
    this.source = null;
  }

  close() {
    this.readyState = EventSource.CLOSED;
    document.removeEventListener("visibilitychange", this.look);
    this.rest();
  }

  /**
   * @param {string} name
   * @param {EventListenerOrEventListenerObject | null} listener
   */
  addEventListener(name, listener) {
    super.addEventListener(name, listener);
    if (!this.names.has(name)) {
      this.names.add(name);
      this.forward(name);
    }
  }

  /** @param {string} name */
  forward(name) {
    this.source?.addEventListener(name, (event) => {
      this.last = event.lastEventId || this.last;
      this.dispatchEvent(new MessageEvent(name, { data: event.data, lastEventId: event.lastEventId }));
    });
  }
}
