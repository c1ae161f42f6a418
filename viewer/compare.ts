// Two runs side by side: which trees belong together, and where they first differ.
import type { Index, Summary } from "./data";
import type { Model } from "./fold";

export interface Pair {
  key: string;
  problem: string;
  seed: number;
  places: (number | null)[];
}

const keyOf = (tree: Summary) => `${tree.problem}\n${tree.seed}`;

/** The trees of a page, those of one problem and seed together; of a problem alone where no seeds agree. */
export function pairs(index: Index): Pair[] {
  const runs = index.runs.map((run) => run.trees);
  const seeds = runs.length < 2 || runs[0].some((tree) => runs[1].some((other) => keyOf(tree) === keyOf(other)));
  const found = new Map<string, Pair>();
  runs.forEach((trees, run) =>
    trees.forEach((tree, place) => {
      const key = seeds ? keyOf(tree) : tree.problem;
      const pair = found.get(key) ?? { key, problem: tree.problem, seed: tree.seed, places: runs.map(() => null) };
      pair.places[run] ??= place;
      found.set(key, pair);
    }),
  );
  return [...found.values()];
}

/** The number of the first node at which two trees differ; null where both are alike. */
export function firstDifferent(one: Summary, other: Summary): number | null {
  const place = one.choices.findIndex((choice, node) => choice !== other.choices[node]);
  if (place >= 0) return place + 1;
  return other.choices.length > one.choices.length ? one.choices.length + 1 : null;
}

/** After how many asks two trees first differ: in what was chosen, or in what came of it. */
export function divergence(one: Model, other: Model): { ask: number; what: string } | null {
  const most = Math.max(one.turns.length, other.turns.length);
  for (let turn = 0; turn < most; turn++) {
    const [a, b] = [one.turns[turn], other.turns[turn]];
    if (!a || !b) return { ask: turn + 1, what: "one goes on where the other has ended" };
    if (a.agent !== b.agent) return { ask: turn + 1, what: "another agent" };
    if (a.parent !== b.parent) return { ask: turn + 1, what: "another place" };
    const [x, y] = [a, b].map((asked, side) => [one, other][side].data.events[asked.closed - 1]);
    if (x?.kind !== y?.kind) return { ask: turn + 1, what: "another end" };
    if (
      x?.kind === "told" &&
      y?.kind === "told" &&
      (x.program !== y.program || x.outcome !== y.outcome || x.parent !== y.parent)
    ) {
      return { ask: turn + 1, what: "another program" };
    }
  }
  return null;
}

/** The event up to which so many asks have been dealt with. */
export function eventAt(model: Model, asks: number): number {
  if (asks >= model.turns.length) return model.data.events.length;
  let at = model.turns[asks]?.asked ?? model.data.events.length + 1;
  return Math.max((at -= 1), 0);
}
