// Times go on by themselves.

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
export function tick() {
  /** @type {WeakMap<Element, { said: string, at: number }>} */
  const seen = new WeakMap();
  const update = () => {
    const now = performance.now();
    for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-run], time[data-ago], time[data-left]"))) {
      const { run, ago: past, left } = time.dataset;
      const said = run ?? left ?? past ?? "0";
      let first = seen.get(time);
      if (first?.said !== said) seen.set(time, (first = { said, at: now }));
      const passed = (now - first.at) / 1000;
      const seconds = left === undefined ? Number(said) + passed : Math.max(Number(said) - passed, 0);
      const text = run === undefined && left === undefined ? ago(seconds) : elapsed(seconds);
      if (text && time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(update, 1000);
}
