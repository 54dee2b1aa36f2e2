// The tail of a log, and links to its lines.

import { refresh } from "./live.js";
import { PatientSource } from "./stream.js";

/**
 * New lines come into view while the end is in view.
 * @param {HTMLElement} log
 */
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
    if (message.data.includes("<h3")) refresh();
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

/** Begin to follow the log of this page, if it has one that grows. */
export function grow() {
  findLine();
  addEventListener("hashchange", findLine);
  const growing = document.querySelector("[data-tail]");
  if (growing instanceof HTMLElement) tail(growing);
}
