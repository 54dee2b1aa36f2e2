/** What Cupel's pages use of xterm.js's addon, for the checker of types. */
import type { Addon, Terminal } from "./xterm-6.0.0.mjs";
export class FitAddon implements Addon {
  activate(terminal: Terminal): void;
  dispose(): void;
  fit(): void;
}
