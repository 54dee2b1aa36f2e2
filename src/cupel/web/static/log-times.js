// The times beside the lines of a log: of day, or since something.

/** @typedef {"clock" | "build" | "step" | "delta" | "none"} Mode */

export const MODES = /** @type {Mode[]} */ (["clock", "build", "step", "delta", "none"]);

/**
 * The time of day in UTC.
 * @param {number} at
 */
export function clock(at) {
  return new Date(at * 1000).toISOString().slice(11, 19);
}

/**
 * The full time, for a title.
 * @param {number} at
 */
export function moment(at) {
  return `${new Date(at * 1000).toISOString().slice(0, 23).replace("T", " ")} UTC`;
}

/**
 * How long after something, to the tenth of a second.
 * @param {number} seconds
 */
export function since(seconds) {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const [h, m, s] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
  return `${h ? `${h}:${two(m)}` : m}:${two(s)}.${tenths % 10}`;
}

/**
 * How long after the line before; nothing for what came with it.
 * @param {number} seconds
 */
export function delta(seconds) {
  if (seconds < 0.0995) return seconds < 0.0005 ? "" : `+${Math.round(seconds * 1000)} ms`;
  return seconds < 99.95 ? `+${seconds.toFixed(1)} s` : `+${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}
