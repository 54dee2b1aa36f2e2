// What brings every page to life. Every page is complete without it.

import { copyOnClick } from "./dialog.js";
import { listen } from "./keys.js";
import { follow } from "./live.js";
import { tick } from "./times.js";

follow();
tick();
listen();
copyOnClick();
