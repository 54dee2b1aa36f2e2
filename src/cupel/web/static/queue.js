// The queue: what is chosen is shown at once, and estimates count down.

import { show } from "./live.js";

/** Milliseconds without a key after which what was typed is looked for. */
const PAUSE = 150;

/** The form says what is shown; the address says it too, so that it can be kept and sent. */
function choose() {
  const form = document.querySelector("form[data-choice]");
  if (!(form instanceof HTMLFormElement)) return;
  let timer = 0;
  const now = (/** @type {boolean} */ back) => {
    clearTimeout(timer);
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (typeof value === "string" && value.trim()) query.set(name, value.trim());
    }
    show(query, back);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => now(false), PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    now(true);
  });
  addEventListener("popstate", () => {
    const query = new URLSearchParams(location.search);
    for (const field of form.elements) {
      if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = query.get(field.name) ?? "";
    }
  });
}

/** @param {number} seconds as `text.roughly` says it */
function roughly(seconds) {
  if (seconds <= 50) return `${Math.max(1, Math.ceil(seconds / 10)) * 10} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 600) return `${Math.floor(minutes / 60)} h ${String(Math.floor((minutes % 60) / 10) * 10).padStart(2, "0")} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** Estimates go on from what the server said; one that is over stays at its end. */
function countDown() {
  /** @type {WeakMap<Element, { said: string, at: number }>} */
  const seen = new WeakMap();
  const update = () => {
    const now = performance.now();
    for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-left]"))) {
      const said = time.dataset.left ?? "0";
      let first = seen.get(time);
      if (first?.said !== said) seen.set(time, (first = { said, at: now }));
      const text = `~${roughly(Number(said) - (now - first.at) / 1000)}`;
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(update, 1000);
}

choose();
countDown();
