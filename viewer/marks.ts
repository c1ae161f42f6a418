// How things look alike everywhere: the shape of an agent, the colour and glyph of an outcome, hostile text as text.
import type { Outcome } from "./data";
import { html, type Child } from "./html";

export const SHAPES = ["circle", "square", "diamond", "hexagon", "triangle", "pentagon"] as const;
export type Shape = (typeof SHAPES)[number];

export function shapeOf(agent: number): Shape {
  return SHAPES[Math.max(agent, 0) % SHAPES.length];
}

export const OUTCOMES: Outcome[] = [
  "passed",
  "wrong_answer",
  "runtime_error",
  "compile_error",
  "time_limit",
  "memory_limit",
  "output_limit",
  "no_program",
  "illegal",
  "not_run",
];

/** What stands for an outcome beside its colour, so that nobody has to tell colours apart. */
export const GLYPHS: Record<Outcome, string> = {
  passed: "\u2713",
  wrong_answer: "\u2717",
  runtime_error: "!",
  compile_error: "\u203c",
  time_limit: "\u29d6",
  memory_limit: "\u25a3",
  output_limit: "\u2261",
  no_program: "\u2205",
  illegal: "\u2298",
  not_run: "\u00b7",
};

export interface Palette {
  of: Record<Outcome, string>;
  tint: (outcome: Outcome) => string;
  panel: string;
  ink: string;
  soft: string;
  edge: string;
  accent: string;
  onPassed: string;
  star: string;
  font: string;
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const of = Object.fromEntries(OUTCOMES.map((one) => [one, read(one.replaceAll("_", "-"))])) as Record<
    Outcome,
    string
  >;
  const tints = Object.fromEntries(OUTCOMES.map((one) => [one, `${of[one]}2e`])) as Record<Outcome, string>;
  return {
    of,
    tint: (outcome) => tints[outcome],
    panel: read("panel"),
    ink: read("ink"),
    soft: read("soft"),
    edge: read("edge"),
    accent: read("accent"),
    onPassed: read("on-passed"),
    star: read("star"),
    font: "system-ui, sans-serif",
  };
}

/** An agent's mark as a small drawing. */
export function mark(agent: number, size = 12): Child {
  const shape = shapeOf(agent);
  const r = size / 2 - 1.2;
  const c = size / 2;
  const points = (corners: number, reach: number, lower = 0) =>
    Array.from({ length: corners }, (_, corner) => {
      const angle = -Math.PI / 2 + (2 * Math.PI * corner) / corners;
      return `${(c + reach * Math.cos(angle)).toFixed(2)},${(c + reach * Math.sin(angle) + lower).toFixed(2)}`;
    }).join(" ");
  const drawn =
    shape === "circle"
      ? html`<circle cx=${c} cy=${c} r=${r} />`
      : shape === "square"
        ? html`<rect x=${c - r * 0.9} y=${c - r * 0.9} width=${r * 1.8} height=${r * 1.8} rx=${r * 0.28} />`
        : shape === "diamond"
          ? html`<polygon points=${points(4, r * 1.12)} />`
          : shape === "hexagon"
            ? html`<polygon points=${points(6, r * 1.08)} />`
            : shape === "triangle"
              ? html`<polygon points=${points(3, r * 1.15, r * 0.16)} />`
              : html`<polygon points=${points(5, r * 1.08)} />`;
  return html`<svg class="mark" width=${size} height=${size} viewBox=${`0 0 ${size} ${size}`} aria-hidden="true">
    ${drawn}</svg>`;
}

/** What cannot be seen or turns text around: controls, formats, fillers, selectors and tags, halves of pairs. */
const STEERING = new RegExp(
  [
    "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f]",
    "[\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb]",
    "[\\ud800-\\udbff](?![\\udc00-\\udfff])",
    "(?<![\\ud800-\\udbff])[\\udc00-\\udfff]",
    "\\udb40[\\udc00-\\udfff]",
  ].join("|"),
  "g",
);

/** A text with what cannot be seen, or turns other text around, made visible; nothing of it is ever markup. */
export function visible(text: string): Child {
  if (!STEERING.test(text)) return text;
  STEERING.lastIndex = 0;
  const parts: Child[] = [];
  let last = 0;
  for (const found of text.matchAll(STEERING)) {
    if (found.index > last) parts.push(text.slice(last, found.index));
    const code = (found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(html`<span class="steering" title="a character that is not shown as it is">U+${code}</span>`);
    last = found.index + found[0].length;
  }
  if (last < text.length) parts.push(text.slice(last));
  return parts;
}

/** A text on one line without what cannot be seen, for labels that are attributes. */
export function plainLine(text: string): string {
  return text.replace(STEERING, "\ufffd").replace(/[\n\t]/g, " ");
}

export function short(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return value > 0 ? "\u221e" : "-";
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

export function amount(value: number): string {
  if (value >= 1e6) return `${short(value / 1e6)} M`;
  if (value >= 1e4) return `${short(value / 1e3)} k`;
  return String(Math.round(value));
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${short(seconds)} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${short(seconds / 3600)} h`;
}
