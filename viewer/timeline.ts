// The slider over the events of a tree, over a strip that shows each of them.
import { useEffect, useRef } from "preact/hooks";
import { sentence, type Model } from "./fold";
import { html } from "./html";
import { palette, plainLine, visible, type Palette } from "./marks";

export interface Lane {
  model: Model;
  at: number;
}

/** The events of one tree, or of two by their asks: what the slider moves over. */
export interface Axis {
  length: number;
  position: number;
  unit: "event" | "ask";
}

const ICONS: Record<string, string> = {
  start: "M4 3v10M13 3.5v9L6 8z",
  back: "M11 3.5v9L4.5 8z",
  on: "M5 3.5v9L11.5 8z",
  end: "M12 3v10M3 3.5v9L10 8z",
  play: "M4.5 2.5v11L13.5 8z",
  pause: "M5.5 3v10M10.5 3v10",
};

function icon(name: string) {
  return html`<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" class="drawn-icon"><path
    d=${ICONS[name]} /></svg>`;
}

export function Timeline({
  lanes,
  axis,
  move,
  playing,
  play,
  divergence,
  theme,
}: {
  lanes: Lane[];
  axis: Axis;
  move: (position: number) => void;
  playing: boolean;
  play: () => void;
  divergence: number | null;
  theme: number;
}) {
  const strip = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = strip.current;
    if (!canvas) return;
    const paint = () => draw(canvas, lanes, axis, divergence);
    const watcher = new ResizeObserver(paint);
    watcher.observe(canvas);
    paint();
    return () => watcher.disconnect();
  });
  const said = lanes.map(({ model, at }) => sentence(model, at));
  return html`<div class="timeline" data-theme-seen=${theme}>
    <div class="buttons">
      <button class="icon" onClick=${() => move(0)} aria-label="to the start" title="to the start">${icon("start")}
        </button>
      <button class="icon" onClick=${() => move(axis.position - 1)} aria-label="one back"
        title="one back (left arrow)">${icon("back")}</button>
      <button class="icon" onClick=${play} aria-label=${playing ? "pause" : "play"} title="play (space)">
        ${icon(playing ? "pause" : "play")}</button>
      <button class="icon" onClick=${() => move(axis.position + 1)} aria-label="one on" title="one on (right arrow)">
        ${icon("on")}</button>
      <button class="icon" onClick=${() => move(axis.length)} aria-label="to the end" title="to the end">
        ${icon("end")}</button>
    </div>
    <div class="track">
      <canvas ref=${strip} aria-hidden="true"></canvas>
      <input type="range" min="0" max=${axis.length} step="1" value=${axis.position}
        aria-label=${`${axis.unit} of the search`}
        aria-valuetext=${plainLine(`${axis.unit} ${axis.position} of ${axis.length}: ${said.join("; ")}`)}
        onInput=${(event: any) => move(Number(event.currentTarget.value))} />
    </div>
    <p class="event"><span class="count">${axis.unit} ${axis.position} of ${axis.length}</span>
      <span class="what">${said.map((one, place) => html`${place ? html`<span class="aside"> | </span>` : ""}
        ${visible(one)}`)}</span>
      ${divergence === null ? "" : html`<button class="quiet" onClick=${() => move(divergence)}
        title="first difference (d)">first difference: ${axis.unit} ${divergence}</button>`}</p>
  </div>`;
}

function draw(canvas: HTMLCanvasElement, lanes: Lane[], axis: Axis, divergence: number | null): void {
  const pen = canvas.getContext("2d");
  const [wide, tall] = [canvas.clientWidth, canvas.clientHeight];
  if (!pen || !wide) return;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = wide * ratio;
  canvas.height = tall * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const colours = palette();
  const lane = tall / lanes.length;
  const across = (position: number) => 8 + ((wide - 16) * position) / Math.max(axis.length, 1);
  lanes.forEach(({ model }, row) => {
    const floor = lane * (row + 1) - 3;
    const room = lane - 7;
    const bar = Math.max(Math.min(((wide - 16) / Math.max(axis.length, 1)) * (axis.unit === "ask" ? 0.7 : 1.2), 7), 1);
    const dense = model.nodes.length > (wide - 16) / 1.5;
    if (dense) columns(pen, model, axis, across, floor, room, colours);
    for (const node of dense ? [] : model.nodes) {
      if (!node.at) continue;
      const x = across(axis.unit === "ask" ? model.asks[node.at] : node.at);
      pen.globalAlpha = node.duplicateOf === null ? 1 : 0.4;
      pen.fillStyle = colours.of[node.score >= 1 ? "passed" : node.outcome];
      const height = 4 + (room - 4) * node.score;
      pen.fillRect(x - bar / 2, floor - height, bar, height);
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.soft;
    pen.lineWidth = 1.2;
    pen.beginPath();
    model.best.forEach((best, at) => {
      const x = across(axis.unit === "ask" ? model.asks[at] : at);
      const y = floor - 4 - (room - 4) * best;
      if (at) pen.lineTo(x, floor - 4 - (room - 4) * model.best[at - 1]);
      pen.lineTo(x, y);
    });
    pen.stroke();
  });
  if (divergence !== null) {
    pen.strokeStyle = colours.of.time_limit;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(across(divergence), 1);
    pen.lineTo(across(divergence), tall - 1);
    pen.stroke();
  }
  pen.fillStyle = colours.panel;
  pen.globalAlpha = 0.62;
  pen.fillRect(across(axis.position) + 0.5, 0, wide, tall);
  pen.globalAlpha = 1;
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1.6;
  pen.beginPath();
  pen.moveTo(across(axis.position), 0);
  pen.lineTo(across(axis.position), tall);
  pen.stroke();
}

/** More nodes than pixels: a column for those that share one, as high as the mean of their scores. */
function columns(
  pen: CanvasRenderingContext2D,
  model: Model,
  axis: Axis,
  across: (position: number) => number,
  floor: number,
  room: number,
  colours: Palette,
): void {
  const sums = new Map<number, [number, number]>();
  for (const node of model.nodes) {
    if (!node.at) continue;
    const x = Math.round(across(axis.unit === "ask" ? model.asks[node.at] : node.at));
    const [sum, count] = sums.get(x) ?? [0, 0];
    sums.set(x, [sum + node.score, count + 1]);
  }
  for (const [x, [sum, count]] of sums) {
    const height = (room * sum) / count;
    pen.fillStyle = colours.of.passed;
    pen.fillRect(x - 0.5, floor - height, 1, height);
    pen.fillStyle = colours.edge;
    pen.fillRect(x - 0.5, floor - room, 1, room - height);
  }
}
