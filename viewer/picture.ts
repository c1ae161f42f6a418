// The tree on a canvas: as much of each node as there is room for, from columns of dust to cards.
import { inFlight, words, type Model, type Node } from "./fold";
import type { Layout } from "./layout";
import { OUTCOMES, palette, shapeOf, type Palette } from "./marks";

const UNIT = 36; // pixels from a node to its neighbour, and
const LEVEL = 70; // from a level to the next, at scale 1
const LARGEST = 5.4;
const TALLEST = 1.7;
const MARGIN = 44;
const FOOT = 34; // for the key below the tree
const ARRIVAL = 220; // milliseconds in which a new node appears

export interface Shown {
  model: Model;
  layout: Layout;
  /** After how many events. */
  at: number;
  selected: number;
  hovered: number;
  /** The way that a selector went down, where one is shown; else that to the selected node. */
  path: number[];
  isWhy: boolean;
  /** Nodes of the turns before this one are drawn back: two runs have them in common. */
  common: number;
}

interface Spot {
  x: number;
  y: number;
}

export class Picture {
  private shown: Shown | null = null;
  private width = 0;
  private height = 0;
  private fitX = 1;
  private fitY = 1;
  private scale = 1;
  private centre: Spot = { x: 0, y: 0 };
  private colours: Palette;
  private queued = 0;
  private born = new Map<number, number>();
  /** Whether the whole tree is kept in view as it grows: until somebody moves it. */
  follows = true;
  calm = false;

  constructor(private canvas: HTMLCanvasElement) {
    this.colours = palette();
  }

  show(next: Shown): void {
    const before = this.shown;
    this.shown = next;
    if (!before || before.model !== next.model) {
      this.born.clear();
      this.fit();
    } else {
      const had = before.model.size[Math.min(before.at, before.model.size.length - 1)];
      const has = next.model.size[next.at];
      if (has > had && has - had < 4 && !this.calm) {
        const now = performance.now();
        for (let id = had; id < has; id++) this.born.set(id, now);
      }
      if (before.layout !== next.layout && this.follows) this.fit();
    }
    this.redraw();
  }

  resize(width: number, height: number): void {
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    if (this.follows) this.fit();
    else this.measure();
    this.redraw();
  }

  /** Take the colours of the page anew: the colour scheme changed. */
  recolour(): void {
    this.colours = palette();
    this.redraw();
  }

  private measure(): void {
    if (!this.shown) return;
    const { layout } = this.shown;
    const wide = Math.max(layout.right - layout.left + 0.6, 1) * UNIT;
    const tall = Math.max(layout.depth, 0.6) * LEVEL;
    this.fitX = Math.min(1.55, Math.max(this.width - 2 * MARGIN, 60) / wide);
    this.fitY = Math.min(1.55, Math.max(this.height - 2 * MARGIN - FOOT, 60) / tall);
  }

  fit(): void {
    if (!this.shown) return;
    this.measure();
    const { layout } = this.shown;
    this.scale = Math.min(this.fitX, this.fitY);
    this.centre = { x: (layout.left + layout.right) / 2, y: layout.depth / 2 };
    this.follows = true;
    this.redraw();
  }

  private get across(): number {
    return UNIT * Math.max(this.fitX, this.scale);
  }

  private get down(): number {
    return LEVEL * Math.min(TALLEST, Math.max(this.fitY, this.scale));
  }

  private get middle(): number {
    return (this.height - FOOT) / 2;
  }

  private spot(id: number): Spot {
    const { layout } = this.shown!;
    return {
      x: this.width / 2 + (layout.x[id] - this.centre.x) * this.across,
      y: this.middle + (layout.y[id] - this.centre.y) * this.down,
    };
  }

  pan(dx: number, dy: number): void {
    this.follows = false;
    this.centre.x -= dx / this.across;
    this.centre.y -= dy / this.down;
    this.keep();
    this.redraw();
  }

  zoom(factor: number, x = this.width / 2, y = this.middle): void {
    this.follows = false;
    const world = {
      x: this.centre.x + (x - this.width / 2) / this.across,
      y: this.centre.y + (y - this.middle) / this.down,
    };
    const least = Math.min(this.fitX, this.fitY);
    this.scale = Math.min(LARGEST, Math.max(least, this.scale * factor));
    this.centre.x = world.x - (x - this.width / 2) / this.across;
    this.centre.y = world.y - (y - this.middle) / this.down;
    this.keep();
    this.redraw();
  }

  /** Bring a node into view, if it is not. */
  reveal(id: number): void {
    if (!this.shown || !this.width || !this.shown.model.nodes[id]) return;
    const { x, y } = this.spot(id);
    if (x > MARGIN && x < this.width - MARGIN && y > MARGIN && y < this.height - MARGIN) return;
    this.follows = false;
    this.centre = { x: this.shown.layout.x[id], y: this.shown.layout.y[id] };
    this.keep();
    this.redraw();
  }

  private keep(): void {
    const { layout } = this.shown!;
    const x = this.width / 2 / this.across - 1;
    const y = this.height / 2 / this.down - 0.5;
    const within = (value: number, low: number, high: number) =>
      low > high ? (low + high) / 2 : Math.min(Math.max(value, low), high);
    this.centre.x = within(
      this.centre.x,
      layout.left - Math.max(-x, 0) - 1 + Math.min(x, 0),
      layout.right + 1 + Math.max(-x, 0),
    );
    this.centre.y = within(this.centre.y, -Math.abs(y), layout.depth + Math.abs(y));
  }

  /** The node at a place of the canvas, or -1. */
  hit(x: number, y: number): number {
    if (!this.shown) return -1;
    const { layout, model, at } = this.shown;
    const size = model.size[at];
    const reach = Math.max(this.radius() + 3, 7);
    const level = Math.round(this.centre.y + (y - this.middle) / this.down);
    const card = this.isCard();
    let best = -1;
    let least = Infinity;
    for (const id of layout.levels[level] ?? []) {
      if (id >= size) continue;
      const spot = this.spot(id);
      const dx = Math.abs(spot.x - x);
      const dy = Math.abs(spot.y - y);
      if (card ? dx > this.across * 0.46 || dy > 26 : dx > reach || dy > Math.max(reach, 8)) continue;
      if (dx < least) [best, least] = [id, dx];
    }
    return best;
  }

  private radius(): number {
    return Math.min(16, this.across * 0.35, this.down * 0.28);
  }

  private isCard(): boolean {
    return this.across >= 132;
  }

  redraw(): void {
    if (this.queued) return;
    this.queued = requestAnimationFrame(() => {
      this.queued = 0;
      this.draw();
    });
  }

  close(): void {
    cancelAnimationFrame(this.queued);
  }

  draw(): void {
    const pen = this.canvas.getContext("2d");
    if (!pen || !this.shown || !this.width) return;
    const ratio = this.canvas.width / this.width;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.lineJoin = "round";
    const radius = this.radius();
    const size = this.shown.model.size[this.shown.at];
    this.edges(pen, size, radius);
    if (radius < 2.6) this.dust(pen, size, radius);
    else this.nodes(pen, size, radius);
    this.ghosts(pen, radius);
    this.rings(pen, size, radius);
    const now = performance.now();
    for (const [id, since] of this.born) if (now - since > ARRIVAL) this.born.delete(id);
    if (this.born.size) this.redraw();
  }

  private edges(pen: CanvasRenderingContext2D, size: number, radius: number): void {
    const { layout, model, path, isWhy } = this.shown!;
    const curved = radius >= 4.5;
    pen.strokeStyle = this.colours.edge;
    pen.lineWidth = curved ? 1.25 : 0.7;
    pen.beginPath();
    for (let level = 1; level < layout.levels.length; level++) {
      let last = NaN;
      let lastAbove = NaN;
      for (const id of layout.levels[level]) {
        if (id >= size) continue;
        const from = this.spot(model.nodes[id].parent);
        const to = this.spot(id);
        if ((from.x < -20 && to.x < -20) || (from.x > this.width + 20 && to.x > this.width + 20)) continue;
        if (!curved) {
          const [x, above] = [Math.round(to.x), Math.round(from.x)];
          if (x === last && above === lastAbove) continue;
          [last, lastAbove] = [x, above];
        }
        this.edge(pen, from, to, curved);
      }
    }
    pen.stroke();
    const way = path.filter((id) => id < size);
    pen.strokeStyle = isWhy ? this.colours.accent : this.colours.ink;
    pen.lineWidth = isWhy ? 2.6 : 1.9;
    pen.beginPath();
    for (let place = 1; place < way.length; place++)
      this.edge(pen, this.spot(way[place - 1]), this.spot(way[place]), curved);
    pen.stroke();
  }

  private edge(pen: CanvasRenderingContext2D, from: Spot, to: Spot, curved: boolean): void {
    pen.moveTo(from.x, from.y);
    if (!curved) return pen.lineTo(to.x, to.y);
    const middle = (from.y + to.y) / 2;
    pen.bezierCurveTo(from.x, middle, to.x, middle, to.x, to.y);
  }

  /** Many nodes to a few pixels: a column for those that share one, parted as they are, what passed at its foot. */
  private dust(pen: CanvasRenderingContext2D, size: number, radius: number): void {
    const { layout, model } = this.shown!;
    const wide = Math.max(2 * radius, 1);
    const tall = Math.max(7, Math.min(16, this.down * 0.34));
    const byColour = new Map<string, number[]>();
    const order = this.order;
    const column = (x: number, y: number, count: Map<string, number>, of: number) => {
      let foot = y + tall / 2;
      for (const colour of order) {
        const part = ((count.get(colour) ?? 0) / of) * tall;
        if (!part) continue;
        const own = byColour.get(colour) ?? byColour.set(colour, []).get(colour)!;
        own.push(x - wide / 2, (foot -= part), part);
      }
    };
    for (const level of layout.levels) {
      let [place, of, last] = [NaN, 0, { x: 0, y: 0 }];
      const count = new Map<string, number>();
      for (const id of level) {
        if (id >= size) continue;
        const spot = this.spot(id);
        if (spot.x < -4 || spot.x > this.width + 4) continue;
        const here = Math.floor(spot.x / wide);
        if (here !== place && of) {
          column(last.x, last.y, count, of);
          count.clear();
          of = 0;
        }
        if (!of) [place, last] = [here, spot];
        const colour = this.colour(model.nodes[id]);
        count.set(colour, (count.get(colour) ?? 0) + 1);
        of += 1;
      }
      if (of) column(last.x, last.y, count, of);
    }
    for (const [colour, parts] of byColour) {
      pen.fillStyle = colour;
      for (let at = 0; at < parts.length; at += 3) pen.fillRect(parts[at], parts[at + 1], wide, parts[at + 2]);
    }
  }

  private get order(): string[] {
    return [...new Set(OUTCOMES.map((outcome) => this.colours.of[outcome]))];
  }

  private colour(node: Node): string {
    return node.score >= 1 ? this.colours.of.passed : this.colours.of[node.outcome];
  }

  private nodes(pen: CanvasRenderingContext2D, size: number, radius: number): void {
    const { model } = this.shown!;
    const card = this.isCard();
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let id = 0; id < size; id++) {
      const spot = this.spot(id);
      const reach = card ? this.across : radius + 2;
      if (spot.x < -reach || spot.x > this.width + reach || spot.y < -40 || spot.y > this.height + 40) continue;
      const since = this.born.get(id);
      const age = since === undefined ? 1 : Math.min((performance.now() - since) / ARRIVAL, 1);
      const eased = 1 - (1 - age) ** 3;
      if (card && id > 0) this.card(pen, model.nodes[id], spot);
      else this.disc(pen, model.nodes[id], spot, radius * (0.3 + 0.7 * eased));
    }
  }

  private disc(pen: CanvasRenderingContext2D, node: Node, spot: Spot, radius: number): void {
    const { colours } = this;
    const { model, common } = this.shown!;
    const empty = node.id === 0 && node.program === null;
    const colour = empty ? colours.soft : this.colour(node);
    const copy = node.duplicateOf !== null;
    const size = copy ? radius * 0.82 : radius;
    const shape = node.id === 0 ? "circle" : shapeOf(model.agents.indexOf(node.agent));
    pen.globalAlpha = node.turn >= 0 && node.turn < common ? 0.4 : 1;
    trace(pen, shape, spot.x, spot.y, size);
    pen.fillStyle = colours.panel;
    pen.fill();
    if (!empty) {
      const whole = node.score >= 1 && !copy;
      pen.fillStyle = whole ? colour : colours.tint(node.score >= 1 ? "passed" : node.outcome);
      pen.fill();
      if (node.score > 0 && node.score < 1) {
        pen.save();
        pen.clip();
        pen.fillStyle = colours.of.passed;
        pen.globalAlpha *= 0.5;
        pen.fillRect(spot.x - size, spot.y + size - 2 * size * node.score, 2 * size, 2 * size);
        pen.restore();
        trace(pen, shape, spot.x, spot.y, size);
      }
    }
    pen.strokeStyle = colour;
    pen.lineWidth = radius > 6 ? 1.5 : 1;
    if (copy) pen.setLineDash([2.4, 2.2]);
    pen.stroke();
    if (copy) pen.setLineDash([]);
    if (radius >= 7.5) {
      pen.fillStyle = node.score >= 1 && !copy && !empty ? colours.onPassed : colours.ink;
      const text = node.id === 0 ? "" : String(node.id);
      pen.font = `${Math.min(radius * (text.length > 3 ? 0.62 : text.length > 2 ? 0.72 : 0.84), 12)}px ${colours.font}`;
      pen.fillText(text, spot.x, spot.y + 0.5);
      if (node.id === model.answer) star(pen, spot.x + size * 0.95, spot.y - size * 0.95, 4.6, colours);
    }
    pen.globalAlpha = 1;
  }

  private card(pen: CanvasRenderingContext2D, node: Node, spot: Spot): void {
    const { colours } = this;
    const { model, common } = this.shown!;
    const wide = Math.min(this.across * 0.92, 178);
    const [left, top, tall] = [spot.x - wide / 2, spot.y - 23, 46];
    const colour = this.colour(node);
    const copy = node.duplicateOf !== null;
    pen.globalAlpha = node.turn >= 0 && node.turn < common ? 0.4 : 1;
    pen.beginPath();
    pen.roundRect(left, top, wide, tall, 8);
    pen.fillStyle = colours.panel;
    pen.fill();
    pen.fillStyle = colours.tint(node.score >= 1 ? "passed" : node.outcome);
    pen.fill();
    pen.strokeStyle = colour;
    pen.lineWidth = 1.4;
    if (copy) pen.setLineDash([3, 2.6]);
    pen.stroke();
    pen.setLineDash([]);
    trace(pen, shapeOf(model.agents.indexOf(node.agent)), left + 15, top + 15, 6);
    pen.fillStyle = node.score >= 1 ? colour : colours.panel;
    pen.fill();
    pen.stroke();
    pen.textAlign = "left";
    pen.font = `600 11.5px ${colours.font}`;
    pen.fillStyle = colours.ink;
    const room = wide - 34;
    pen.fillText(clipped(pen, `#${node.id} ${node.agent}`, room), left + 27, top + 15.5);
    pen.font = `11px ${colours.font}`;
    pen.fillStyle = colours.soft;
    const said = copy
      ? `= #${node.duplicateOf}`
      : `${words(node.outcome)}${node.score > 0 && node.score < 1 ? ` ${node.score}` : ""}`;
    pen.fillText(clipped(pen, said, wide - 18), left + 9, top + 33);
    pen.textAlign = "center";
    if (node.id === model.answer) star(pen, left + wide - 12, top + 14, 5.5, colours);
    pen.globalAlpha = 1;
  }

  /** Turns in flight: empty, where their nodes will be. */
  private ghosts(pen: CanvasRenderingContext2D, radius: number): void {
    const { model, at, layout } = this.shown!;
    if (radius < 2.6) return;
    pen.strokeStyle = this.colours.accent;
    pen.lineWidth = 1.5;
    pen.setLineDash([3, 3]);
    for (const turn of inFlight(model, at)) {
      if (turn.parent === null) continue;
      const event = model.data.events[turn.closed - 1];
      const node = event?.kind === "told" ? event.node : null;
      const parent = this.spot(turn.parent);
      const to =
        node !== null && node < layout.x.length ? this.spot(node) : { x: parent.x, y: parent.y + this.down * 0.7 };
      pen.beginPath();
      this.edge(pen, parent, to, true);
      pen.stroke();
      trace(pen, shapeOf(model.agents.indexOf(turn.agent)), to.x, to.y, Math.max(radius * 0.8, 3));
      pen.fillStyle = this.colours.panel;
      pen.fill();
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  private rings(pen: CanvasRenderingContext2D, size: number, radius: number): void {
    const { selected, hovered } = this.shown!;
    for (const [id, strong] of [
      [hovered, false],
      [selected, true],
    ] as const) {
      if (id < 0 || id >= size) continue;
      const { x, y } = this.spot(id);
      pen.strokeStyle = this.colours.accent;
      pen.globalAlpha = strong ? 1 : 0.45;
      pen.lineWidth = strong ? 2.4 : 2;
      pen.beginPath();
      if (this.isCard() && id > 0) {
        const wide = Math.min(this.across * 0.92, 178) + 8;
        pen.roundRect(x - wide / 2, y - 27, wide, 54, 11);
      } else pen.arc(x, y, Math.max(radius + 4.5, 7), 0, 2 * Math.PI);
      pen.stroke();
      pen.globalAlpha = 1;
    }
  }
}

/** The outline of an agent's mark. */
export function trace(pen: CanvasRenderingContext2D, shape: string, x: number, y: number, r: number): void {
  pen.beginPath();
  if (shape === "circle") pen.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === "square") pen.roundRect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8, r * 0.28);
  else {
    const corners = shape === "diamond" ? 4 : shape === "hexagon" ? 6 : shape === "triangle" ? 3 : 5;
    const reach = r * (shape === "diamond" ? 1.18 : shape === "triangle" ? 1.22 : 1.08);
    for (let corner = 0; corner < corners; corner++) {
      const angle = -Math.PI / 2 + (2 * Math.PI * corner) / corners;
      pen.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle) + (shape === "triangle" ? r * 0.16 : 0));
    }
    pen.closePath();
  }
}

function star(pen: CanvasRenderingContext2D, x: number, y: number, r: number, colours: Palette): void {
  pen.beginPath();
  for (let corner = 0; corner < 10; corner++) {
    const angle = -Math.PI / 2 + (Math.PI * corner) / 5;
    const reach = corner % 2 ? r * 0.46 : r;
    pen.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
  }
  pen.closePath();
  pen.fillStyle = colours.star;
  pen.strokeStyle = colours.panel;
  pen.lineWidth = 1.4;
  pen.stroke();
  pen.fill();
}

function clipped(pen: CanvasRenderingContext2D, text: string, room: number): string {
  if (pen.measureText(text).width <= room) return text;
  let short = text.slice(0, 60);
  while (short && pen.measureText(`${short}...`).width > room) short = short.slice(0, -1);
  return `${short}...`;
}
