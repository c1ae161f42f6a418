// A tree at each of its events: the fold of its records, as a log is folded.
import type { Asked, Event, Outcome, Seeded, Told, TreeData } from "./data";

export interface Node {
  id: number;
  parent: number;
  depth: number;
  agent: string;
  outcome: Outcome;
  score: number;
  program: string | null;
  duplicateOf: number | null;
  turn: number;
  told: Told | null;
  asked: Asked | null;
  seeded: Seeded | null;
  /** The event that added it, counted from 1: it is there from then on. */
  at: number;
  children: number[];
}

export interface Turn {
  turn: number;
  agent: string;
  parent: number | null;
  asked: number;
  closed: number;
}

export interface Model {
  data: TreeData;
  nodes: Node[];
  agents: string[];
  turns: Turn[];
  /** How many nodes, the root included, there are after so many events. */
  size: number[];
  /** The best score after so many events. */
  best: number[];
  /** How many turns were asked for after so many events. */
  asks: number[];
  solvedAt: number | null;
  answer: number | null;
  ended: string | null;
  detail: string;
}

const ROOT: Omit<Node, "children"> = {
  id: 0,
  parent: -1,
  depth: 0,
  agent: "",
  outcome: "not_run",
  score: 0,
  program: null,
  duplicateOf: null,
  turn: -1,
  told: null,
  asked: null,
  seeded: null,
  at: 0,
};

export function fold(data: TreeData, agents: string[]): Model {
  const known = [...agents];
  const model: Model = {
    data,
    nodes: [{ ...ROOT, children: [] }],
    agents: known,
    turns: [],
    size: [1],
    best: [0],
    asks: [0],
    solvedAt: null,
    answer: null,
    ended: null,
    detail: "",
  };
  data.events.forEach((event, place) => take(model, event, place + 1));
  return model;
}

/** Adds what came after the model was made: events of a tree that still grows. */
export function grow(model: Model): void {
  for (let place = model.size.length; place <= model.data.events.length; place++) {
    take(model, model.data.events[place - 1], place);
  }
}

function take(model: Model, event: Event, at: number): void {
  const { nodes, turns } = model;
  let best = model.best[at - 1];
  let asks = model.asks[at - 1];
  if (event.kind === "asked") {
    asks += 1;
    if (!model.agents.includes(event.agent)) model.agents.push(event.agent);
    turns[event.turn] = { turn: event.turn, agent: event.agent, parent: event.parent, asked: at, closed: Infinity };
  } else if (event.kind === "seeded") {
    nodes[0] = { ...nodes[0], outcome: event.outcome, score: event.score, program: event.program, seeded: event };
    best = event.score;
  } else if (event.kind === "told") {
    const turn = turns[event.turn];
    if (turn) turn.closed = at;
    if (event.node !== null && event.parent !== null) {
      const asked = turn ? (model.data.events[turn.asked - 1] as Asked) : null;
      nodes.push({
        id: event.node,
        parent: event.parent,
        depth: nodes[event.parent].depth + 1,
        agent: turn?.agent ?? "",
        outcome: event.outcome,
        score: event.score,
        program: event.program,
        duplicateOf: event.duplicate_of ?? null,
        turn: event.turn,
        told: event,
        asked,
        seeded: null,
        at,
        children: [],
      });
      nodes[event.parent].children.push(event.node);
      best = Math.max(best, event.score);
      if (event.score >= 1 && model.solvedAt === null) model.solvedAt = event.node;
    }
  } else if (event.kind === "passed" || event.kind === "failed" || event.kind === "cancelled") {
    if (turns[event.turn]) turns[event.turn].closed = at;
  } else if (event.kind === "left") {
    for (const turn of turns) if (turn && turn.agent === event.agent && turn.closed === Infinity) turn.closed = at;
  } else if (event.kind === "ended") {
    model.ended = event.reason;
    model.detail = event.detail;
  }
  model.size.push(nodes.length);
  model.best.push(best);
  model.asks.push(asks);
}

/** The turns in flight after so many events. */
export function inFlight(model: Model, at: number): Turn[] {
  return model.turns.filter((turn) => turn && turn.asked <= at && turn.closed > at);
}

/** A node and its ancestors, the root first. */
export function pathTo(model: Model, id: number): number[] {
  const path: number[] = [];
  for (let node = id; node >= 0 && model.nodes[node]; node = model.nodes[node].parent) path.push(node);
  return path.reverse();
}

/** What happens at an event, in a sentence. */
export function sentence(model: Model, at: number): string {
  if (at === 0) return "nothing has been asked yet";
  const event = model.data.events[at - 1];
  switch (event.kind) {
    case "asked": {
      const what =
        event.parent === null
          ? "is asked, and picks the place"
          : event.parent === 0
            ? model.nodes[0].program === null
              ? "is asked to write afresh"
              : "is asked to repair the given program"
            : `is asked to improve #${event.parent}`;
      return `${event.agent} ${what}${event.again ? ", again" : ""}`;
    }
    case "told": {
      const agent = model.turns[event.turn]?.agent ?? "";
      if (event.node === null) return `${agent} names a place that is not on offer`;
      const copy = event.duplicate_of === undefined ? "" : `, the same program as #${event.duplicate_of}`;
      return `${agent} writes #${event.node}: ${words(event.outcome)}${copy}`;
    }
    case "passed":
      return `${model.turns[event.turn]?.agent ?? ""} lets its turn pass`;
    case "seeded":
      return `the given program is graded: ${words(event.outcome)}`;
    case "failed":
      return `turn ${event.turn} is void: a fault of the ${event.fault}`;
    case "cancelled":
      return `turn ${event.turn} is taken back`;
    case "joined":
      return `${event.agent} joins`;
    case "left":
      return `${event.agent} leaves`;
    case "ended":
      return `the search ends: ${event.detail || words(event.reason)}`;
  }
}

export function words(name: string): string {
  return name.replaceAll("_", " ");
}
