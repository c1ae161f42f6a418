// What the page is given: the index, and for each tree the records of its events (mars2_env/view/records.py).
import { inflateSync, strFromU8 } from "fflate";

export type Outcome =
  | "passed"
  | "wrong_answer"
  | "runtime_error"
  | "compile_error"
  | "time_limit"
  | "memory_limit"
  | "output_limit"
  | "not_run"
  | "no_program"
  | "illegal";

export interface Feedback {
  outcome: Outcome;
  unshown?: boolean;
  test?: number;
  input?: string;
  expected?: string;
  actual?: string;
  error_type?: string;
  error_message?: string;
  traceback?: string;
  limit?: string;
}

/** One of those that a selector held against each other. */
export interface Arm {
  who?: number;
  value: number | string;
  n: number;
  mean?: number;
  draw?: number;
  law?: [string, ...number[]];
  weight?: number;
}

export interface Stop {
  node: number;
  agents?: Arm[];
  agent?: number;
  gen?: Arm;
  cont?: Arm;
  children?: Arm[];
  rest?: number;
  to?: number;
}

export interface Why {
  choice: [number, number];
  walk?: Stop[];
  agents?: Arm[];
  agent_first?: boolean;
  batch?: [number, number];
}

export type Message = [role: string, text: string];

interface Judged {
  outcome: Outcome;
  groups: Record<string, string>;
  feedback?: Feedback;
}

export interface Asked {
  kind: "asked";
  turn: number;
  agent: string;
  parent: number | null;
  pending?: number;
  again?: boolean;
  why?: Why;
  prompt?: Message[];
}

export interface Told extends Judged {
  kind: "told";
  turn: number;
  node: number | null;
  parent: number | null;
  score: number;
  reply: string;
  program: string | null;
  duplicate_of?: number;
  given?: boolean;
  model_score?: number;
  hidden?: boolean | null;
  prompt?: Message[];
}

export interface Seeded extends Judged {
  kind: "seeded";
  program: string;
  score: number;
}
export interface Failed {
  kind: "failed";
  turn: number;
  reason: string;
  fault: string;
}
export interface Passed {
  kind: "passed";
  turn: number;
}
export interface Cancelled {
  kind: "cancelled";
  turn: number;
}
export interface Joined {
  kind: "joined";
  agent: string;
  role: string;
}
export interface Left {
  kind: "left";
  agent: string;
}
export interface Ended {
  kind: "ended";
  reason: string;
  detail: string;
}
export type Event = Asked | Told | Passed | Seeded | Failed | Cancelled | Joined | Left | Ended;

export interface Generation {
  finish: string;
  version: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  cut?: number;
  thinking?: number;
  text?: string;
  tokens?: [number, number];
  logprob?: number;
}

export interface Step {
  role: string;
  call?: string;
  observation?: string;
  seconds?: number;
  generation?: Generation;
}

export interface Trace {
  policy_seconds?: number;
  judge_seconds?: number;
  cpu_seconds?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
  cost?: number;
  generation?: Generation;
  steps?: Step[];
}

export interface Problem {
  id: string;
  statement?: string;
  starter?: string;
  public?: [string, string][];
}

export interface Credit {
  name: string;
  shaped: number[];
  advantage: number[];
}

export interface TreeData {
  problem: Problem;
  seed: number;
  events: Event[];
  traces: Record<string, Trace>;
  trouble: Record<string, string>;
  credit?: Credit;
}

export interface Summary {
  problem: string;
  seed: number;
  events: number;
  nodes: number;
  best: number;
  solved: number;
  solved_at: number | null;
  solved_by: string | null;
  duplicates: number;
  ended: string | null;
  detail: string;
  answer: number | null;
  turns: Record<string, number>;
  outcomes: Record<string, Record<string, number>>;
  scores: number[];
  choices: string[];
  tokens?: number[];
  seconds?: number[];
  hidden?: (boolean | null)[];
  log?: string;
}

export interface RunData {
  name: string;
  set: string;
  split: string;
  agents: { name: string; role: string; policy: string }[];
  selector: string;
  budget: string;
  rules: Record<string, unknown>;
  reward_model: string | null;
  sandbox: string;
  package: string;
  planned: number | null;
  hidden: boolean;
  trees: Summary[];
}

export interface Index {
  schema: number;
  live: boolean;
  codes: Record<string, Outcome>;
  runs: RunData[];
}

/** The data of a block of the page; null where there is no such block. */
function block<T>(name: string): T | null {
  const element = document.getElementById(`data-${name}`);
  if (!element) return null;
  const text = element.textContent ?? "";
  if (element.getAttribute("type") === "application/json") return JSON.parse(text) as T;
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return JSON.parse(strFromU8(inflateSync(packed))) as T;
}

export function readIndex(): Index {
  const index = block<Index>("index");
  if (!index) throw new Error("the page holds no data");
  return index;
}

const kept = new Map<string, TreeData | null>();

/** A tree of the page, by run and place in its list; read when it is first asked for. */
export function readTree(run: number, place: number): TreeData | null {
  const name = `tree-${run}-${place}`;
  if (!kept.has(name)) kept.set(name, block<TreeData>(name));
  return kept.get(name) ?? null;
}
