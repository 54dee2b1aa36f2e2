// Brings the pages to life: connections that rest while nobody looks, times that go on, and the
// tail of a log. Every page is complete without it.

/** @typedef {{ trigger(target: Element, name: string): void, createEventSource?: (url: string) => EventTarget }} Htmx */

const htmx = /** @type {Htmx} */ (/** @type {unknown} */ (Reflect.get(window, "htmx")));

/**
 * A stream of server-sent events that is closed while the page is hidden, because browsers keep
 * only six connections to a server, and opened again where it stopped.
 */
class PatientSource extends EventTarget {
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
        setTimeout(this.look, 3000);
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

/** The live part of the page is asked for again only if it is not what is shown. */
function keepAlive() {
  const pulse = document.getElementById("pulse");
  let have = "";
  htmx.createEventSource = (url) => new PatientSource(() => url);
  /** @param {boolean} live */
  const say = (live) => {
    if (!pulse) return;
    pulse.hidden = false;
    pulse.dataset.live = live ? "yes" : "no";
    pulse.textContent = live ? "live" : "connecting";
  };
  document.addEventListener("htmx:sseOpen", () => say(true));
  document.addEventListener("htmx:sseError", () => say(false));
  document.addEventListener("htmx:configRequest", (event) => {
    if (have) /** @type {CustomEvent} */ (event).detail.headers["X-Cupel-Have"] = have;
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const xhr = /** @type {XMLHttpRequest} */ (/** @type {CustomEvent} */ (event).detail.xhr);
    have = xhr.getResponseHeader("X-Cupel-Have") ?? have;
  });
}

/** @param {number} seconds as `text.elapsed` says it */
function elapsed(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** @param {number} seconds as `text.ago` says it */
function ago(seconds) {
  if (seconds < 45) return "just now";
  for (const [unit, size, limit] of /** @type {[string, number, number][]} */ ([["min", 60, 90], ["h", 3600, 36], ["d", 86400, 60]])) {
    const count = Math.round(seconds / size);
    if (count < limit) return `${Math.max(count, 1)} ${unit} ago`;
  }
  return "";
}

/** Times go on from what the server said, so the browser's clock need not be right. */
function tick() {
  /** @type {WeakMap<Element, number>} */
  const seen = new WeakMap();
  const update = () => {
    const now = performance.now();
    for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-run], time[data-ago]"))) {
      if (!seen.has(time)) seen.set(time, now);
      const said = time.dataset.run ?? time.dataset.ago ?? "0";
      const seconds = Number(said) + (now - (seen.get(time) ?? now)) / 1000;
      const text = time.dataset.run === undefined ? ago(seconds) : elapsed(seconds);
      if (text && time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(update, 1000);
}

/** New lines come into view while the end is in view. @param {HTMLElement} log */
function tail(log) {
  const { tail: address = "", last: from = "0", step = "0" } = log.dataset;
  const count = document.getElementById("log-count");
  let last = Number(from);

  const source = new PatientSource((id) => {
    const [after, at] = id ? id.split("-") : [from, step];
    return `${address}?after=${after}&step=${at}`;
  });
  source.addEventListener("lines", (event) => {
    const message = /** @type {MessageEvent<string>} */ (event);
    const number = Number(message.lastEventId.split("-")[0]);
    if (number <= last) return;
    last = number;
    document.getElementById("log-empty")?.remove();
    const watched = log.getBoundingClientRect().bottom <= innerHeight + 80;
    log.insertAdjacentHTML("beforeend", message.data);
    if (count) count.textContent = `${last.toLocaleString("en")} ${last === 1 ? "line" : "lines"}`;
    if (watched) log.lastElementChild?.scrollIntoView({ block: "nearest" });
    const live = document.getElementById("live");
    if (live && message.data.includes("<h3")) htmx.trigger(live, "sse:changed");
  });
  source.addEventListener("end", () => source.close());
}

/** A link to a line that is on another part of the log leads there. */
function findLine() {
  const line = /^#L(\d+)$/.exec(location.hash);
  const log = document.getElementById("log");
  if (!line || !log || document.getElementById(`L${line[1]}`)) return;
  const number = Number(line[1]);
  if (number > Number(log.dataset.total)) return;
  const query = `?from=${Math.max(1, number - 500)}`;
  if (location.search !== query) location.replace(location.pathname + query + location.hash);
}

keepAlive();
tick();
findLine();
addEventListener("hashchange", findLine);
const growing = document.querySelector("[data-tail]");
if (growing instanceof HTMLElement) tail(growing);
