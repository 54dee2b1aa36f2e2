// What a build's machines used, drawn so that it can be pointed at. The server has drawn the same
// lines already; they stay where this cannot run. Charts and the log share one axis of time: a moment
// that is pointed at in one is shown in the others, and a click on a chart brings the log there.

import { eachTime } from "./live.js";

/**
 * @typedef {(number | null)[]} Values
 * @typedef {{ name: string, start: number, end: number }} Step
 * @typedef {{ name: string, at: number[] } & Record<string, Values>} Machine
 * @typedef {{ growing: boolean, cpus: number | null, memory: number | null, steps: Step[],
 *   marks: { text: string, at: number }[], machines: Machine[] }} Figures
 * @typedef {{ left?: number, top?: number, idx?: number | null }} Cursor
 * @typedef {{ ctx: CanvasRenderingContext2D, bbox: { left: number, top: number, width: number, height: number },
 *   cursor: Cursor, over: HTMLElement, root: HTMLElement, data: Values[],
 *   valToPos(value: number, scale: string, canvas?: boolean): number, posToVal(at: number, scale: string): number,
 *   setCursor(at: { left: number, top: number }, fire?: boolean, tell?: boolean): void, setData(data: Values[]): void,
 *   setSize(size: { width: number, height: number }): void, redraw(): void, destroy(): void }} Plot
 * @typedef {{ title: string, lines: { name: string, key: string, dash?: number[], tone: string }[],
 *   told: (value: number) => string, least: number, most?: "cpus" | "memory" }} Kind
 */

const HEIGHT = 96;
const NEAR = 2;
const AGAIN = 5000;

/** @type {Kind[]} */
const KINDS = [
  { title: "Processor", lines: [{ name: "cores", key: "cpu", tone: "--run" }], told: (value) => value.toPrecision(2), least: 1, most: "cpus" },
  { title: "Memory", lines: [{ name: "memory", key: "memory", tone: "--run" }], told: size, least: 2 ** 20, most: "memory" },
  { title: "Disk", lines: [{ name: "read", key: "read", tone: "--run" }, { name: "written", key: "written", dash: [5, 2], tone: "--warn" }], told: (value) => `${size(value)}/s`, least: 2 ** 20 },
  { title: "Waited for", lines: [{ name: "cpu", key: "waits_cpu", tone: "--run" }, { name: "memory", key: "waits_memory", dash: [5, 2], tone: "--warn" }, { name: "disk", key: "waits_io", dash: [2, 2], tone: "--infra" }], told: (value) => `${value.toFixed(0)} %`, least: 100 },
];

/** @param {number} bytes */
function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = bytes;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toPrecision(3)} ${units[at]}`;
}

/** @param {number} seconds */
function elapsed(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = `${Math.floor(whole / 60) % 60}`.padStart(2, "0");
  const rest = `${whole % 60}`.padStart(2, "0");
  return whole < 3600 ? `${Math.floor(whole / 60)}:${rest}` : `${Math.floor(whole / 3600)}:${minutes}:${rest}`;
}

/**
 * @param {string} name
 * @param {Element} at
 */
const tone = (name, at) => getComputedStyle(at).getPropertyValue(name).trim();

/** All charts of a page, on one axis. */
class Charts {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    this.address = section.dataset.used ?? "";
    /** @type {{ plot: Plot, kind: Kind, machine: number, said: HTMLElement, place: HTMLElement }[]} */
    this.drawn = [];
    /** @type {Figures | null} */
    this.figures = null;
    this.asking = false;
    this.pointed = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** When the first machine began: what the axis of time counts from. */
    this.start = 0;
  }

  async ask() {
    if (this.asking || document.hidden) return;
    this.asking = true;
    try {
      const answer = await fetch(this.address, { headers: { Accept: "application/json" } });
      if (answer.ok) this.take(/** @type {Figures} */ (await answer.json()));
    } catch {
      // The connection was lost: what is drawn stays, and the next time asks again.
    } finally {
      this.asking = false;
    }
    clearTimeout(this.timer);
    if (this.figures?.growing) this.timer = setTimeout(() => this.ask(), AGAIN);
  }

  /** @param {Figures} figures */
  take(figures) {
    const before = this.figures;
    this.figures = figures;
    if (!figures.machines.length) return;
    this.start = Math.min(...figures.machines.map((machine) => machine.at[0] ?? Infinity));
    this.section.hidden = false;
    if (before?.machines.length === figures.machines.length && this.drawn.length) {
      for (const each of this.drawn) each.plot.setData(this.data(each.kind, figures.machines[each.machine]));
    } else this.draw();
  }

  /**
   * @param {Kind} kind
   * @param {Machine | undefined} machine
   * @returns {Values[]}
   */
  data(kind, machine) {
    if (!machine) return [[], ...kind.lines.map(() => [])];
    return [machine.at.map((at) => at - this.start), ...kind.lines.map((line) => machine[line.key] ?? [])];
  }

  draw() {
    const figures = this.figures;
    if (!figures) return;
    for (const each of this.drawn) each.plot.destroy();
    this.drawn = [];
    const groups = this.section.querySelector("[data-charts]");
    if (!groups) return;
    const made = figures.machines.map((machine, number) => {
      const group = document.createElement("div");
      if (machine.name) {
        const heading = document.createElement("h3");
        heading.className = "section-head";
        heading.textContent = machine.name;
        group.append(heading);
      }
      const charts = document.createElement("div");
      charts.className = "plots";
      group.append(charts);
      for (const kind of KINDS) {
        if (kind.lines.some((line) => machine[line.key]?.some((value) => value !== null))) this.add(charts, kind, number);
      }
      return group;
    });
    groups.replaceChildren(...made);
    for (const each of this.drawn) this.fit(each);
  }

  /**
   * @param {HTMLElement} charts
   * @param {Kind} kind
   * @param {number} machine
   */
  add(charts, kind, machine) {
    const figure = document.createElement("figure");
    figure.className = "panel";
    const caption = document.createElement("figcaption");
    const title = document.createElement("b");
    title.textContent = kind.title;
    const said = document.createElement("span");
    said.className = "muted";
    caption.append(title, " ", said);
    const place = document.createElement("div");
    figure.append(caption, place);
    charts.append(figure);
    const uPlot = Reflect.get(window, "uPlot");
    const plot = /** @type {Plot} */ (new uPlot(this.options(kind, said), this.data(kind, this.figures?.machines[machine]), place));
    this.drawn.push({ plot, kind, machine, said, place });
    plot.over.addEventListener("click", () => {
      const at = plot.posToVal(plot.cursor.left ?? -1, "x");
      if (Number.isFinite(at)) document.dispatchEvent(new CustomEvent("cupel:seek", { detail: this.start + at }));
    });
    plot.over.addEventListener("pointerenter", () => (this.pointed = true));
    plot.over.addEventListener("pointerleave", () => (this.pointed = false));
    this.tell(plot, kind, said);
  }

  /** @param {{ plot: Plot, place: HTMLElement }} each */
  fit({ plot, place }) {
    if (place.clientWidth) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }

  /**
   * @param {Kind} kind
   * @param {HTMLElement} said
   */
  options(kind, said) {
    const root = this.section;
    const most = kind.most ? this.figures?.[kind.most] ?? null : null;
    const axis = {
      stroke: () => tone("--muted", root),
      grid: { stroke: () => tone("--line", root), width: 1 },
      ticks: { show: false },
      font: `11px ${tone("--sans", root)}`,
    };
    /** @type {(plot: Plot, at: number[]) => string[]} */
    const since = (_, at) => at.map(elapsed);
    /** @type {(plot: Plot, axis: number, low: number, high: number) => number[]} */
    const ends = (_, __, low, high) => [low, high];
    /** @type {(plot: Plot, values: number[]) => string[]} */
    const told = (_, values) => values.map((value) => (value ? kind.told(value) : ""));
    return {
      width: 300,
      height: HEIGHT,
      padding: [9, 8, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "used" }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false },
        y: {
          /** @type {(plot: Plot, low: number, high: number | null) => [number, number]} */
          range: (_, __, high) => {
            const top = Math.max(kind.least, high ?? 0);
            return [0, most !== null && most <= NEAR * (high ?? 0) ? Math.max(top, most * 1.05) : top];
          },
        },
      },
      axes: [
        { ...axis, size: 18, gap: 2, values: since },
        { ...axis, size: 66, gap: 3, splits: ends, values: told },
      ],
      series: [{}, ...kind.lines.map((line) => ({ label: line.name, stroke: () => tone(line.tone, root), width: 1.5, dash: line.dash, points: { show: false } }))],
      hooks: {
        drawClear: [(/** @type {Plot} */ plot) => this.bands(plot)],
        draw: [(/** @type {Plot} */ plot) => this.limits(plot, most)],
        setCursor: [(/** @type {Plot} */ plot) => this.tell(plot, kind, said)],
      },
    };
  }

  /**
   * Steps behind the lines, in turn lighter and darker.
   * @param {Plot} plot
   */
  bands(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.fillStyle = tone("--sunk", this.section);
    for (const [number, step] of (this.figures?.steps ?? []).entries()) {
      const from = Math.max(plot.valToPos(step.start - this.start, "x", true), left);
      const to = Math.min(plot.valToPos(step.end - this.start, "x", true), left + width);
      if (number % 2 === 0 && to > from) plot.ctx.fillRect(from, top, to - from, height);
    }
    plot.ctx.restore();
  }

  /**
   * What there is at most, and what ended the build.
   * @param {Plot} plot
   * @param {number | null} most
   */
  limits(plot, most) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.lineWidth = devicePixelRatio;
    plot.ctx.strokeStyle = tone("--bad", this.section);
    const y = most === null ? -1 : plot.valToPos(most, "y", true);
    plot.ctx.setLineDash([6, 4]);
    if (y >= top) stroke(plot.ctx, left, y, left + width, y);
    plot.ctx.setLineDash([]);
    for (const mark of this.figures?.marks ?? []) {
      const x = plot.valToPos(mark.at - this.start, "x", true);
      if (x >= left && x <= left + width) stroke(plot.ctx, x, top, x, top + height);
    }
    plot.ctx.restore();
  }

  /**
   * Say what a chart has where it is pointed at, or last.
   * @param {Plot} plot
   * @param {Kind} kind
   * @param {HTMLElement} said
   */
  tell(plot, kind, said) {
    const times = plot.data[0] ?? [];
    const pointed = plot.cursor.idx ?? null;
    const at = pointed ?? times.length - 1;
    const values = kind.lines.map((line, number) => {
      const value = plot.data[number + 1]?.[at];
      const told = value === null || value === undefined ? "?" : kind.told(value);
      return kind.lines.length > 1 ? `${line.name} ${told}` : told;
    });
    const when = times[at];
    const after = pointed !== null && typeof when === "number" ? `at ${elapsed(when)}: ` : "";
    const most = kind.most ? this.figures?.[kind.most] ?? null : null;
    said.textContent = after + values.join(", ") + (most === null ? "" : ` of ${kind.told(most)}`);
  }

  /**
   * Show a moment that is looked at elsewhere.
   * @param {number} at
   */
  point(at) {
    if (this.pointed) return;
    for (const { plot } of this.drawn) {
      const left = plot.valToPos(at - this.start, "x");
      plot.setCursor(Number.isFinite(left) && left >= 0 ? { left, top: 0 } : { left: -10, top: -10 }, true, false);
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} on
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 */
function stroke(on, x, y, toX, toY) {
  on.beginPath();
  on.moveTo(x, y);
  on.lineTo(toX, toY);
  on.stroke();
}

/**
 * The moment that an event is about, in seconds.
 * @param {Event} event
 */
function moment(event) {
  const detail = event instanceof CustomEvent ? event.detail : null;
  const at = typeof detail === "object" && detail !== null ? Reflect.get(detail, "at") : detail;
  return Number(at);
}

const section = document.getElementById("used");
if (section && Reflect.get(window, "uPlot")) {
  const charts = new Charts(section);
  document.addEventListener("cupel:log-moment", (event) => {
    const at = moment(event);
    if (Number.isFinite(at)) charts.point(at);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.drawn.forEach(({ plot }) => plot.redraw()));
  new ResizeObserver(() => charts.drawn.forEach((each) => charts.fit(each))).observe(section);
  document.addEventListener("visibilitychange", () => charts.ask());
  eachTime(() => void charts.ask());
}
