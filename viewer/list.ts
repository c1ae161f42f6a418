// The list of trees: what each came to, sortable and filtered, and what the run was.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { firstDifferent, pairs, type Pair } from "./compare";
import type { Index, RunData, Summary } from "./data";
import { html, type Child } from "./html";
import { amount, duration, mark, palette, plainLine, short, visible } from "./marks";

const STEP = 200;
const EMPTY = "Nothing has been asked yet; trees appear here as they begin.";

export function Barcode({ tree, index, theme }: { tree: Summary; index: Index; theme: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const element = canvas.current;
    const pen = element?.getContext("2d");
    if (!element || !pen) return;
    const [wide, tall] = [element.clientWidth || 150, element.clientHeight || 18];
    const ratio = Math.min(devicePixelRatio || 1, 2);
    element.width = wide * ratio;
    element.height = tall * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colours = palette();
    const step = Math.min(wide / Math.max(tree.scores.length, 1), 9);
    tree.choices.forEach((choice, place) => {
      const outcome = index.codes[choice.split("/").at(-2) ?? ""] ?? "not_run";
      const score = tree.scores[place];
      pen.fillStyle = colours.of[score >= 1 ? "passed" : outcome];
      const height = 3 + (tall - 4) * score;
      pen.fillRect(place * step, tall - 1 - height, Math.max(step - (step > 3 ? 1.2 : 0), 0.8), height);
    });
    pen.fillStyle = colours.edge;
    pen.fillRect(0, tall - 1, wide, 1);
  }, [tree.scores.length, theme]);
  return html`<canvas class="barcode" ref=${canvas} role="img" aria-label=${`scores of ${tree.nodes} nodes in order`}>
    </canvas>`;
}

type Column =
  | "problem"
  | "solved"
  | "best"
  | "nodes"
  | "different"
  | "tokens"
  | "seconds"
  | "ended"
  | "differs"
  | "hidden";

interface Row {
  pair: Pair;
  trees: (Summary | null)[];
}

const last = (values: number[] | undefined) => (values ?? []).reduce((sum, one) => sum + one, 0);

function value(row: Row, column: Column): number | string {
  const tree = row.trees.find((one) => one !== null)!;
  switch (column) {
    case "problem":
      return row.pair.problem;
    case "solved":
      return tree.solved_at ?? Infinity;
    case "best":
      return -tree.best;
    case "nodes":
      return -tree.nodes;
    case "different":
      return -(tree.nodes - tree.duplicates);
    case "tokens":
      return -last(tree.tokens);
    case "seconds":
      return -last(tree.seconds);
    case "ended":
      return tree.ended ?? "";
    case "differs":
      return row.trees[0] && row.trees[1] ? (firstDifferent(row.trees[0], row.trees[1]) ?? Infinity) : -1;
    case "hidden":
      return -(tree.hidden ?? []).filter(Boolean).length;
  }
}

export function List({
  index,
  open,
  filter,
  setFilter,
  theme,
}: {
  index: Index;
  open: (pair: Pair) => void;
  filter: string;
  setFilter: (text: string) => void;
  theme: number;
}) {
  const [order, setOrder] = useState<[Column, boolean]>(["problem", false]);
  const [most, setMost] = useState(STEP);
  const two = index.runs.length > 1;
  const all = index.runs.flatMap((run) => run.trees);
  const has = {
    tokens: all.some((tree) => tree.tokens),
    seconds: all.some((tree) => tree.seconds),
    hidden: all.some((tree) => tree.hidden),
  };
  const rows = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    const found = pairs(index)
      .map(
        (pair): Row => ({
          pair,
          trees: pair.places.map((place, run) => (place === null ? null : index.runs[run].trees[place])),
        }),
      )
      .filter(
        ({ pair, trees }) =>
          !wanted ||
          pair.problem.toLowerCase().includes(wanted) ||
          (["solved", "unsolved"].includes(wanted) && (wanted === "solved") === trees.some((tree) => tree?.solved)) ||
          trees.some((tree) => tree?.solved_by?.toLowerCase().includes(wanted)),
      );
    const [column, down] = order;
    found.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      const way = typeof x === "string" ? x.localeCompare(String(y), undefined, { numeric: true }) : x - Number(y);
      return (Number.isNaN(way) ? 0 : way) * (down ? -1 : 1);
    });
    return found;
  }, [index, filter, order, all.reduce((sum, tree) => sum + tree.events, 0)]);
  const columns: [Column, string][] = [
    ["problem", "Problem"],
    ["solved", "Solved"],
    ["best", "Best"],
    ["nodes", "Nodes"],
    ["different", "Different"],
    ...(has.tokens ? [["tokens", "Tokens"] as [Column, string]] : []),
    ...(has.seconds ? [["seconds", "Time"] as [Column, string]] : []),
    ...(has.hidden ? [["hidden", "Hidden"] as [Column, string]] : []),
    ...(two ? [["differs", "First difference"] as [Column, string]] : []),
    ["ended", "Ended"],
  ];
  return html`<section aria-label="the list of trees" class="list">
    <div class="filter"><label for="filter">Filter</label><input id="filter" type="search"
      placeholder="problem, agent, solved, unsolved" value=${filter}
        onInput=${(event: any) => setFilter(event.currentTarget.value)} />
      <span class="aside">${rows.length} of ${pairs(index).length} trees</span></div>
    <div class="scroll" tabindex="0" role="region" aria-label="table of trees"><table class="trees"><thead><tr>
      ${columns.map(
        ([
          column,
          title,
        ]) => html`<th scope="col" class=${`c-${column}`}
          aria-sort=${order[0] === column ? (order[1] ? "descending" : "ascending") : "none"}>
        <button onClick=${() => setOrder([column, order[0] === column && !order[1]])}>${title}<span aria-hidden="true"
          class="arrow">${order[0] === column ? (order[1] ? "\u25be" : "\u25b4") : ""}</span></button></th>
        ${column === "problem" ? html`<th scope="col" class="c-strip"><span>Nodes in order, by score</span>
          </th>` : ""}`,
      )}
    </tr></thead><tbody>
      ${rows.slice(0, most).map((row) => html`<${Line} key=${row.pair.key} row=${row}
        columns=${columns.map(([column]) => column)} index=${index} open=${open} theme=${theme} />`)}
    </tbody></table></div>
    ${rows.length > most ? html`<p><button class="quiet"
      onClick=${() => setMost(most + 1000)}>show more (${rows.length - most})</button></p>` : ""}
    ${rows.length ? "" : html`<p class="note">${index.live && !all.length ? EMPTY : "No tree is like that."}</p>`}
  </section>`;
}

function each(row: Row, tell: (tree: Summary, run: number) => Child): Child {
  return row.trees.map(
    (tree, run) => html`<div class="half">${tree ? tell(tree, run) : html`<span class="aside">not there</span>`}</div>`,
  );
}

function Line({
  row,
  columns,
  index,
  open,
  theme,
}: {
  row: Row;
  columns: Column[];
  index: Index;
  open: (pair: Pair) => void;
  theme: number;
}) {
  const cell = (column: Column): Child => {
    switch (column) {
      case "solved":
        return each(row, (tree, run) => {
          if (tree.solved_at === null) return html`<span class="aside">no</span>`;
          const agent = index.runs[run].agents.findIndex((one) => one.name === tree.solved_by);
          return html`<span class="o-passed">\u2713</span> at #${tree.solved_at} <span
            class="agent by">by ${mark(agent)} ${visible(tree.solved_by ?? "")}</span>`;
        });
      case "best":
        return each(row, (tree) => short(tree.best, 2));
      case "nodes":
        return each(row, (tree) => String(tree.nodes));
      case "different":
        return each(row, (tree) => String(tree.nodes - tree.duplicates));
      case "tokens":
        return each(row, (tree) => amount(last(tree.tokens)));
      case "seconds":
        return each(row, (tree) => duration(last(tree.seconds)));
      case "hidden":
        return each(row, (tree) => {
          const verdict = tree.answer === null ? null : tree.hidden?.[tree.answer - 1];
          const glyph =
            verdict === true
              ? html`<span class="o-passed">\u2713</span>`
              : verdict === false
                ? html`<span class="o-wrong_answer">\u2717</span>`
                : "?";
          return html`answer ${glyph}, ${(tree.hidden ?? []).filter(Boolean).length} of ${tree.nodes}`;
        });
      case "differs": {
        const [one, other] = row.trees;
        if (!one || !other) return "";
        const node = firstDifferent(one, other);
        return node === null ? html`<span class="aside">none</span>` : `at #${node}`;
      }
      case "ended":
        return each(
          row,
          (tree) =>
            html`<span class="aside" title=${plainLine(tree.detail)}>
              ${tree.ended === null ? "still open" : tree.ended.replaceAll("_", " ")}</span>`,
        );
      default:
        return "";
    }
  };
  return html`<tr onClick=${(event: MouseEvent) => {
    if (!(event.target as Element).closest("a, button")) open(row.pair);
  }}>
    ${columns.map((column) =>
      column === "problem"
        ? html`<th scope="row"><button class="link name" onClick=${() => open(row.pair)}>${visible(row.pair.problem)}
          </button><span class="aside seed">seed ${row.pair.seed}</span></th>
        <td class="c-strip">${each(row, (tree) => html`<${Barcode} tree=${tree} index=${index} theme=${theme} />`)}
          </td>`
        : html`<td class=${`c-${column}`}>${cell(column)}</td>`,
    )}
  </tr>`;
}

export function About({ run, letter }: { run: RunData; letter: string }) {
  const { trees } = run;
  const sum = (take: (tree: Summary) => number) => trees.reduce((total, tree) => total + take(tree), 0);
  const nodes = sum((tree) => tree.nodes);
  const solved = trees.filter((tree) => tree.solved).length;
  const facts: [string, Child][] = !run.set
    ? []
    : [
        ["problems", `${run.set}${run.split ? `, ${run.split}` : ""}`],
        ["selector", run.selector || "the agents choose"],
        ["budget", run.budget],
        ["score", `${run.rules.score} on ${run.rules.score_on} tests`],
        ["game", String(run.rules.game)],
      ];
  return html`<section class="about" aria-label=${plainLine(`the run ${run.name}`)}>
    <h2>${letter ? html`<span class="letter">${letter}</span> ` : ""}${visible(run.name)}</h2>
    <div class="sums">
      <p><b>${solved}<small> of ${trees.length}</small></b><span>solved</span></p>
      <p><b>${amount(nodes)}</b><span>nodes</span></p>
      ${nodes ? html`<p><b>${Math.round((100 * (nodes - sum((tree) => tree.duplicates))) / nodes)}<small> %</small>
        </b><span>of them different</span></p>` : ""}
      ${sum((tree) => last(tree.tokens)) ? html`<p><b>${amount(sum((tree) => last(tree.tokens)))}</b>
        <span>tokens</span></p>` : ""}
      ${run.planned !== null && run.planned > trees.length ? html`<p><b>${run.planned - trees.length}</b>
        <span>trees to come</span></p>` : ""}
    </div>
    ${
      run.set
        ? html`<dl>${facts.filter(([, text]) => text).map(([name, text]) => html`<div><dt>${name}</dt><dd>
          ${visible(String(text))}</dd></div>`)}
      ${run.agents.map((agent, place) => html`<div><dt><span class="agent">${mark(place)} ${visible(agent.name)}
        </span></dt><dd>${visible(agent.policy || "policy unknown")}${agent.role ? html`<span
          class="aside"> ${visible(agent.role)}</span>` : ""}</dd></div>`)}
    </dl>`
        : ""
    }
  </section>`;
}
