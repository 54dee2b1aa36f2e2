// What brings every page to life. Every page is complete without it.

import { follow } from "./live.js";
import { grow } from "./tail.js";
import { tick } from "./times.js";

follow();
tick();
grow();
