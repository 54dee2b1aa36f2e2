// How busy hosts are is no event, so pages that show it ask for it now and then.

import { refresh } from "./live.js";

const SPAN = 20_000;

setInterval(() => {
  if (!document.hidden) refresh();
}, SPAN);
