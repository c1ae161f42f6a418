// The tree as a list for keyboards and screen readers, and for whoever reads lists: only the rows in view are made.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { words, type Model } from "./fold";
import { html } from "./html";
import { GLYPHS, mark, plainLine, short } from "./marks";

const ROW = 26;
const SPARE = 12;

interface Row {
  id: number;
  place: number;
  of: number;
}

function rowsOf(model: Model, size: number, folded: Set<number>): Row[] {
  const rows: Row[] = [];
  const stack: Row[] = [{ id: 0, place: 1, of: 1 }];
  while (stack.length) {
    const row = stack.pop()!;
    rows.push(row);
    if (folded.has(row.id)) continue;
    const children = model.nodes[row.id].children.filter((child) => child < size);
    for (let place = children.length - 1; place >= 0; place--) {
      stack.push({ id: children[place], place: place + 1, of: children.length });
    }
  }
  return rows;
}

export function Outline({
  model,
  at,
  selected,
  choose,
  label,
}: {
  model: Model;
  at: number;
  selected: number;
  choose: (id: number) => void;
  label: string;
}) {
  const size = model.size[at];
  const box = useRef<HTMLDivElement>(null);
  const [folded, setFolded] = useState<Set<number>>(() => new Set());
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const rows = useMemo(() => rowsOf(model, size, folded), [model, size, folded]);
  const current = Math.max(
    rows.findIndex((row) => row.id === selected),
    0,
  );

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watcher = new ResizeObserver(() => setHeight(element.clientHeight));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const [low, high] = [current * ROW, (current + 1) * ROW];
    if (low < element.scrollTop) element.scrollTop = low;
    else if (high > element.scrollTop + element.clientHeight) element.scrollTop = high - element.clientHeight;
  }, [current, height]);

  const fold = (id: number, closed: boolean) => {
    const next = new Set(folded);
    if (closed) next.add(id);
    else next.delete(id);
    setFolded(next);
  };

  const pressed = (event: KeyboardEvent) => {
    const row = rows[current];
    const inner = model.nodes[row.id].children.filter((child) => child < size);
    const go = (place: number) => choose(rows[Math.min(Math.max(place, 0), rows.length - 1)].id);
    const page = Math.max(Math.floor(height / ROW) - 1, 1);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
      case "ArrowDown":
        go(current + 1);
        break;
      case "ArrowUp":
        go(current - 1);
        break;
      case "PageDown":
        go(current + page);
        break;
      case "PageUp":
        go(current - page);
        break;
      case "Home":
        go(0);
        break;
      case "End":
        go(rows.length - 1);
        break;
      case "ArrowRight":
        if (inner.length && folded.has(row.id)) fold(row.id, false);
        else if (inner.length) choose(inner[0]);
        break;
      case "ArrowLeft":
        if (inner.length && !folded.has(row.id)) fold(row.id, true);
        else if (row.id) choose(model.nodes[row.id].parent);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const first = Math.max(Math.floor(top / ROW) - SPARE, 0);
  const shown = rows.slice(first, first + Math.ceil(height / ROW) + 2 * SPARE);
  return html`<div class="outline" role="tree" tabindex="0" ref=${box} aria-label=${label}
      aria-activedescendant=${`row-${rows[current].id}`} onKeyDown=${pressed}
      onScroll=${(event: any) => setTop(event.currentTarget.scrollTop)}>
    <div role="none" style=${{ height: `${rows.length * ROW}px` }}>
      <div role="none" style=${{ transform: `translateY(${first * ROW}px)` }}>
        ${shown.map(({ id, place, of }) => {
          const node = model.nodes[id];
          const inner = node.children.some((child) => child < size);
          const open = inner ? !folded.has(id) : undefined;
          const empty = id === 0 && node.program === null;
          const name = empty ? "root" : id === 0 ? "#0 given" : `#${id} ${node.agent}`;
          const said = empty ? "" : `, ${words(node.outcome)}, score ${short(node.score)}`;
          const copy = node.duplicateOf === null ? "" : `, same as #${node.duplicateOf}`;
          return html`<div key=${id} id=${`row-${id}`} role="treeitem" class=${`row ${id === selected ? "chosen" : ""}`}
              aria-level=${node.depth + 1} aria-setsize=${of} aria-posinset=${place} aria-expanded=${open}
              aria-selected=${id === selected} aria-label=${plainLine(`${name}${said}${copy}`)}
              style=${{ paddingLeft: `${8 + Math.min(node.depth, 14) * 13}px` }} onClick=${() => choose(id)}>
            <span class="twist" aria-hidden="true" onClick=${(event: Event) => {
              if (!inner) return;
              event.stopPropagation();
              fold(id, Boolean(open));
            }}>${inner ? (open ? "\u25be" : "\u25b8") : ""}</span>
            <span class=${`o-${node.score >= 1 ? "passed" : node.outcome}`}>
              ${id ? mark(model.agents.indexOf(node.agent)) : mark(0)}</span>
            <span class="number">${empty ? "root" : `#${id}`}</span>
            <span class="who">${plainLine(node.agent)}</span>
            ${id === model.answer ? html`<span class="answer" title="the answer">\u2605</span>` : ""}
            ${
              empty
                ? ""
                : html`<span class=${`glyph o-${node.outcome}`}>
                  ${node.duplicateOf === null ? GLYPHS[node.outcome] : `=${node.duplicateOf}`}</span>
              <span class="score">${short(node.score, 2)}</span>`
            }
          </div>`;
        })}
      </div>
    </div>
  </div>`;
}
