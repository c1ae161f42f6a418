// A run that goes on: its list and its trees as the server tells of them.
import type { Event, Index, RunData, Summary, Trace, TreeData } from "./data";

const base = () => location.pathname.replace(/[^/]*$/, "");

/** Keeps the index up to date; calls back after each change. */
export function followRuns(index: Index, changed: () => void): () => void {
  const source = new EventSource(`${base()}runs`);
  source.addEventListener("run", (message) => {
    const { run, about } = JSON.parse((message as MessageEvent).data) as {
      run: number;
      about: Omit<RunData, "trees" | "name">;
    };
    index.runs[run] = { ...index.runs[run], ...about };
    changed();
  });
  source.addEventListener("trees", (message) => {
    const { run, trees } = JSON.parse((message as MessageEvent).data) as { run: number; trees: Summary[] };
    const own = index.runs[run].trees;
    for (const tree of trees) {
      const place = own.findIndex((one) => one.problem === tree.problem && one.seed === tree.seed);
      if (place < 0) own.push(tree);
      else own[place] = tree;
    }
    changed();
  });
  return () => source.close();
}

interface More {
  records: Event[];
  traces: Record<string, Trace>;
  trouble: Record<string, string>;
}

/** Reads a tree as it grows. */
export function followTree(run: number, log: string, begun: (tree: TreeData) => void, grown: () => void): () => void {
  let tree: TreeData | null = null;
  const source = new EventSource(`${base()}tree?${new URLSearchParams({ run: String(run), log })}`);
  source.addEventListener("head", (message) => {
    tree = { ...(JSON.parse((message as MessageEvent).data) as TreeData), events: [], traces: {}, trouble: {} };
    begun(tree);
  });
  source.addEventListener("more", (message) => {
    if (!tree) return;
    const { records, traces, trouble } = JSON.parse((message as MessageEvent).data) as More;
    tree.events.push(...records);
    Object.assign(tree.traces, traces);
    Object.assign(tree.trouble, trouble);
    grown();
  });
  return () => source.close();
}
