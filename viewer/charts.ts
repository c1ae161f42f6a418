// What a run came to, over nodes, tokens and seconds; and who wrote what.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { Index, Outcome, RunData, Summary } from "./data";
import { words } from "./fold";
import { html, type Child } from "./html";
import { GLYPHS, OUTCOMES, amount, duration, mark, palette, short, visible } from "./marks";

type Against = "nodes" | "tokens" | "seconds";
const POINTS = 120;
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

function spent(tree: Summary, against: Against): number[] {
  let sum = 0;
  const steps = against === "nodes" ? tree.scores.map(() => 1) : (tree[against] ?? []);
  return steps.map((step) => (sum += step));
}

/** Over what was spent on each tree: the share of trees solved, and the mean of their best scores. */
export function curves(run: RunData, against: Against, grid: number[]): { solved: number[]; best: number[] } {
  const solved = grid.map(() => 0);
  const best = grid.map(() => 0);
  for (const tree of run.trees) {
    const at = spent(tree, against);
    let [node, top] = [0, 0];
    grid.forEach((limit, place) => {
      while (node < at.length && at[node] <= limit) top = Math.max(top, tree.scores[node++]);
      best[place] += top;
      solved[place] += top >= 1 ? 1 : 0;
    });
  }
  const trees = Math.max(run.trees.length, 1);
  return { solved: solved.map((one) => one / trees), best: best.map((one) => one / trees) };
}

function gridOf(index: Index, against: Against): number[] {
  const most = Math.max(...index.runs.flatMap((run) => run.trees.map((tree) => spent(tree, against).at(-1) ?? 0)), 0);
  if (against === "nodes" && most <= POINTS) return Array.from({ length: most + 1 }, (_, place) => place);
  return Array.from({ length: POINTS + 1 }, (_, place) => (most * place) / POINTS);
}

function tell(against: Against, value: number): string {
  return against === "seconds" ? duration(value) : amount(value);
}

function Chart({
  index,
  against,
  kind,
  theme,
}: {
  index: Index;
  against: Against;
  kind: "solved" | "best";
  theme: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const trees = index.runs.reduce((sum, run) => sum + run.trees.reduce((inner, tree) => inner + tree.nodes, 0), 0);
  const grid = useMemo(() => gridOf(index, against), [index, against, trees]);
  const lines = useMemo(() => index.runs.map((run) => curves(run, against, grid)[kind]), [index, grid, kind]);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const colours = palette();
    const strokes = [colours.accent, colours.of.wrong_answer];
    const font = `12px ${colours.font}`;
    const axis = {
      stroke: colours.soft,
      font,
      grid: { stroke: colours.edge, width: 1 },
      ticks: { stroke: colours.edge, width: 1 },
    };
    const chart = new uPlot(
      {
        width: Math.max(element.clientWidth, 200),
        height: 220,
        legend: { show: false },
        cursor: { drag: { setScale: false } },
        scales: { x: { time: false }, y: { range: [0, 1.02] } },
        axes: [
          {
            ...axis,
            values: (_, ticks) => ticks.map((tick) => tell(against, tick)),
            ...(against === "seconds" ? {} : { incrs: WHOLE }),
          },
          { ...axis, size: 44, values: (_, ticks) => ticks.map((tick) => short(tick)) },
        ],
        series: [
          {},
          ...lines.map((_, run) => ({
            stroke: strokes[run],
            width: 2,
            dash: run ? [6, 4] : [],
            points: { show: false },
            paths: uPlot.paths.stepped?.({ align: 1 }),
          })),
        ],
      },
      [grid, ...lines] as uPlot.AlignedData,
      element,
    );
    const watcher = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 200), height: 220 }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      chart.destroy();
    };
  }, [grid, lines, theme]);
  const rows = grid.filter(
    (_, place) => place % Math.max(Math.floor(grid.length / 12), 1) === 0 || place === grid.length - 1,
  );
  return html`<figure class="chart"><figcaption>
    ${kind === "solved" ? "Share of trees solved" : "Mean of the trees' best scores"}<span
      class="aside">against ${against} spent on each tree</span></figcaption>
    <div ref=${box} aria-hidden="true"></div>
    <details><summary>as numbers</summary><table class="plain numbers"><thead><tr><th scope="col">${against}</th>
      ${index.runs.map((run) => html`<th scope="col">${visible(run.name)}</th>`)}</tr></thead>
      <tbody>${rows.map((at) => html`<tr><td>${tell(against, at)}</td>${lines.map((line) => html`<td>
        ${short(line[grid.indexOf(at)])}</td>`)}</tr>`)}</tbody></table></details>
  </figure>`;
}

function Bars({ run }: { run: RunData }) {
  const turns: Record<string, number> = {};
  const outcomes: Record<string, Record<string, number>> = {};
  for (const tree of run.trees) {
    for (const [agent, count] of Object.entries(tree.turns)) turns[agent] = (turns[agent] ?? 0) + count;
    for (const [agent, counts] of Object.entries(tree.outcomes)) {
      const own = (outcomes[agent] ??= {});
      for (const [outcome, count] of Object.entries(counts)) own[outcome] = (own[outcome] ?? 0) + count;
    }
  }
  const most = Math.max(...Object.values(turns), 1);
  const names = run.agents.map((agent) => agent.name);
  const agents = Object.keys(turns).sort((a, b) => names.indexOf(a) - names.indexOf(b));
  const used = OUTCOMES.filter((outcome) => agents.some((agent) => outcomes[agent]?.[outcome]));
  const cells = (agent: string): Child =>
    used.map((outcome) => {
      const count = outcomes[agent]?.[outcome] ?? 0;
      return count
        ? html`<span class=${`bar b-${outcome}`} style=${{ width: `${(100 * count) / most}%` }}
          title=${`${words(outcome)}: ${count}`}></span>`
        : "";
    });
  return html`<figure class="chart"><figcaption>${visible(run.name)}: turns of each agent<span
    class="aside">by what came of them</span></figcaption>
    <table class="bars"><thead class="unseen"><tr><th>agent</th><th>outcomes</th><th>nodes</th></tr></thead><tbody>
      ${agents.map(
      (agent) => html`<tr>
      <th scope="row"><span class="agent">${mark(names.indexOf(agent))} ${visible(agent)}</span></th>
      <td><div class="stack" aria-hidden="true">${cells(agent)}</div><span class="unseen">
        ${used.map((outcome) => `${words(outcome)} ${outcomes[agent]?.[outcome] ?? 0}`).join(", ")}</span></td>
      <td class="value">${turns[agent]}</td></tr>`,
    )}</tbody></table>
    <p class="legend">${used.map((outcome: Outcome) => html`<span class=${`o-${outcome}`}>
      ${GLYPHS[outcome]} ${words(outcome)}</span>`)}</p>
  </figure>`;
}

export function Charts({ index, theme }: { index: Index; theme: number }) {
  const all = index.runs.flatMap((run) => run.trees);
  const kinds: Against[] = [
    "nodes",
    ...(all.some((tree) => tree.tokens) ? ["tokens" as const] : []),
    ...(all.some((tree) => tree.seconds) ? ["seconds" as const] : []),
  ];
  const [against, setAgainst] = useState<Against>("nodes");
  return html`<section class="charts" aria-label="charts">
    <div class="choice" role="group" aria-label="against what">${kinds.map((kind) => html`<button
      aria-pressed=${kind === against} onClick=${() => setAgainst(kind)}>${kind}</button>`)}
      ${index.runs.length > 1 ? html`<p class="legend"><span class="line-a">${visible(index.runs[0].name)}</span><span
        class="line-b">${visible(index.runs[1].name)}</span></p>` : ""}</div>
    <div class="pair"><${Chart} index=${index} against=${against} kind="solved" theme=${theme} /><${Chart}
      index=${index} against=${against} kind="best" theme=${theme} /></div>
    <div class="pair">${index.runs.map((run) => html`<${Bars} run=${run} />`)}</div>
  </section>`;
}
