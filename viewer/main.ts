// The page: a list of trees and charts, or one tree (or two, side by side) with its slider and its chosen node.
import { render } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { START, format, parse, type Place } from "./address";
import { Charts } from "./charts";
import { divergence, eventAt, pairs, type Pair } from "./compare";
import { readIndex, readTree, type Index, type TreeData } from "./data";
import { fold, grow, pathTo, words, type Model, type Node } from "./fold";
import { html, type Child } from "./html";
import { layout, type Layout } from "./layout";
import { About, List } from "./list";
import { followRuns, followTree } from "./live";
import { GLYPHS, OUTCOMES, mark, plainLine, short, visible } from "./marks";
import { Outline } from "./outline";
import { Panel, TABS, type Other } from "./panel";
import { Picture } from "./picture";
import { Timeline } from "./timeline";
import { wayOf } from "./why";
import "uplot/dist/uPlot.min.css";
import "./viewer.css";

interface Side {
  run: number;
  model: Model;
  layout: Layout;
}

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function remembered(): Theme {
  try {
    const found = localStorage.getItem("mars2-theme") as Theme;
    return THEMES.includes(found) ? found : "auto";
  } catch {
    return "auto"; // a frame without storage
  }
}

const DARK = "(prefers-color-scheme: dark)";

/** Say in the document which colours hold: those that were chosen, or else the system's. */
function paint(theme: Theme): void {
  const own = matchMedia(DARK).matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme === "auto" ? own : theme;
}

/** The page's colours, and a number that changes with them. */
function useTheme(): [Theme, () => void, number] {
  const [theme, setTheme] = useState<Theme>(remembered);
  const [turn, next] = useReducer((count: number) => count + 1, 0);
  useLayoutEffect(() => {
    paint(theme);
    try {
      localStorage.setItem("mars2-theme", theme);
    } catch {
      // a frame without storage
    }
    next(0);
  }, [theme]);
  useEffect(() => {
    const query = matchMedia(DARK);
    const changed = () => {
      paint(theme);
      next(0);
    };
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [theme]);
  return [theme, () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]), turn];
}

function useAddress(): [Place, (change: Partial<Place>, push?: boolean) => void] {
  const [place, setPlace] = useState<Place>(() => parse(location.hash));
  const latest = useRef(place);
  latest.current = place;
  useEffect(() => {
    const moved = () => setPlace(parse(location.hash));
    addEventListener("hashchange", moved);
    addEventListener("popstate", moved);
    return () => {
      removeEventListener("hashchange", moved);
      removeEventListener("popstate", moved);
    };
  }, []);
  const go = useCallback((change: Partial<Place>, push = false) => {
    const next = { ...latest.current, ...change };
    latest.current = next;
    setPlace(next);
    try {
      const address = `${location.pathname}${location.search}${format(next)}`;
      if (push) history.pushState(null, "", address);
      else history.replaceState(null, "", address);
    } catch {
      // a frame without an address of its own
    }
  }, []);
  return [place, go];
}

/** Tells every picture on the page to do something. */
function pictures(what: "fit-tree" | "zoom-tree", detail?: number): void {
  for (const one of document.querySelectorAll(".picture")) one.dispatchEvent(new CustomEvent(what, { detail }));
}

function Canvas({
  side,
  at,
  selected,
  choose,
  path,
  isWhy,
  theme,
  title,
  other,
  common,
}: {
  side: Side;
  at: number;
  selected: number;
  choose: (id: number) => void;
  path: number[];
  isWhy: boolean;
  theme: number;
  title: Child;
  other: boolean;
  common: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useRef<Picture | null>(null);
  const [hovered, setHovered] = useState(-1);
  const [tip, setTip] = useState<{ x: number; y: number } | null>(null);
  const { model } = side;

  useEffect(() => {
    const drawn = new Picture(canvas.current!);
    drawn.calm = still();
    picture.current = drawn;
    (canvas.current as any).picture = drawn;
    const watcher = new ResizeObserver(([entry]) => drawn.resize(entry.contentRect.width, entry.contentRect.height));
    watcher.observe(box.current!);
    const fit = () => drawn.fit();
    const zoom = (event: any) => drawn.zoom(event.detail);
    box.current!.addEventListener("fit-tree", fit);
    box.current!.addEventListener("zoom-tree", zoom);
    return () => {
      watcher.disconnect();
      drawn.close();
    };
  }, []);
  useEffect(() => {
    picture.current?.show({ model, layout: side.layout, at, selected, hovered, path, isWhy, common });
  }, [model, side.layout, at, selected, hovered, path, isWhy, common]);
  useEffect(() => picture.current?.reveal(selected), [selected]);
  useEffect(() => picture.current?.recolour(), [theme]);

  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(0);
  const local = (event: PointerEvent | WheelEvent) => {
    const bounds = canvas.current!.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  };
  const down = (event: PointerEvent) => {
    canvas.current!.setPointerCapture(event.pointerId);
    pointers.current.set(event.pointerId, local(event));
    moved.current = 0;
  };
  const move = (event: PointerEvent) => {
    const here = local(event);
    const before = pointers.current.get(event.pointerId);
    if (before) {
      if (pointers.current.size === 2) {
        const [a, b] = [...pointers.current.values()];
        const far = Math.hypot(a.x - b.x, a.y - b.y);
        pointers.current.set(event.pointerId, here);
        const [c, d] = [...pointers.current.values()];
        picture.current?.zoom(Math.hypot(c.x - d.x, c.y - d.y) / Math.max(far, 1), (c.x + d.x) / 2, (c.y + d.y) / 2);
      } else {
        moved.current += Math.abs(here.x - before.x) + Math.abs(here.y - before.y);
        if (moved.current > 3) picture.current?.pan(here.x - before.x, here.y - before.y);
        pointers.current.set(event.pointerId, here);
      }
      setTip(null);
      return;
    }
    const id = picture.current?.hit(here.x, here.y) ?? -1;
    setHovered(id);
    setTip(id >= 0 ? here : null);
  };
  const up = (event: PointerEvent) => {
    const pressed = pointers.current.delete(event.pointerId);
    if (!pressed || moved.current > 3) return;
    const here = local(event);
    const id = picture.current?.hit(here.x, here.y) ?? -1;
    if (id >= 0) choose(id);
  };
  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    const here = local(event);
    picture.current?.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), here.x, here.y);
  };
  const node = hovered >= 0 ? model.nodes[hovered] : null;
  return html`<div class="picture" ref=${box}>
    ${title ? html`<h3 class="side">${title}</h3>` : ""}
    <canvas ref=${canvas} role="img"
      aria-label=${plainLine(`the tree of ${model.data.problem.id} as a picture; the list of nodes has the same`)}
      onPointerDown=${down} onPointerMove=${move} onPointerUp=${up}
        onPointerCancel=${(event: PointerEvent) => pointers.current.delete(event.pointerId)}
      onPointerLeave=${() => {
        setHovered(-1);
        setTip(null);
      }} onWheel=${wheel}></canvas>
    ${tip && node ? html`<${Tip} node=${node} at=${tip} within=${canvas.current?.clientWidth ?? 300} />` : ""}
    ${other ? "" : html`<${Legend} model=${model} at=${at} common=${common} />`}
  </div>`;
}

function Tip({ node, at, within }: { node: Node; at: { x: number; y: number }; within: number }) {
  const judged = node.id > 0 || node.program !== null;
  return html`<div class="tip" aria-hidden="true"
      style=${{ left: `${Math.min(at.x + 12, within - 190)}px`, top: `${at.y + 14}px` }}>
    <b>${node.id ? `#${node.id}` : "root"}</b> ${visible(node.agent)}<br />
    ${judged ? `${GLYPHS[node.outcome]} ${words(node.outcome)}, score ${short(node.score)}` : "everything begins here"}
    ${node.duplicateOf === null ? "" : html`<br />same program as #${node.duplicateOf}`}
  </div>`;
}

function Legend({ model, at, common }: { model: Model; at: number; common: number }) {
  const there = new Set(
    model.nodes.slice(1, model.size[at]).map((node) => (node.score >= 1 ? "passed" : node.outcome)),
  );
  return html`<div class="key"><p>${model.agents.map((agent, place) => html`<span class="agent">
    ${mark(place)} ${visible(agent)}</span>`)}</p>
    <p>${OUTCOMES.filter((one) => there.has(one)).map((one) => html`<span class=${`o-${one}`}>
      ${GLYPHS[one]} ${words(one)}</span>`)}
      ${model.nodes.some((node) => node.duplicateOf !== null) ? html`<span
        class="aside">dashed: a program that was there before</span>` : ""}
      ${common ? html`<span class="aside">faint: the same in both runs</span>` : ""}</p></div>`;
}

function TreePage({
  index,
  pair,
  place,
  go,
  theme,
  version,
}: {
  index: Index;
  pair: Pair;
  place: Place;
  go: (change: Partial<Place>, push?: boolean) => void;
  theme: number;
  version: number;
}) {
  const [sides, setSides] = useState<(Side | null)[]>([]);
  const [grown, bump] = useReducer((count: number) => count + 1, 0);
  const agentsOf = (run: number) => index.runs[run].agents.map((agent) => agent.name);

  useEffect(() => {
    if (!index.live) {
      setSides(
        pair.places.map((at, run) => {
          const data = at === null ? null : readTree(run, at);
          if (!data) return null;
          const model = fold(data, agentsOf(run));
          model.answer = at === null ? null : index.runs[run].trees[at].answer;
          return { run, model, layout: layout(model) };
        }),
      );
      return undefined;
    }
    setSides(pair.places.map(() => null));
    const stops = pair.places.map((at, run) => {
      if (at === null) return () => {};
      const put = (side: Side) => setSides((before) => before.map((one, other) => (other === run ? side : one)));
      let side: Side | null = null;
      return followTree(
        run,
        index.runs[run].trees[at].log ?? "",
        (data: TreeData) => {
          const model = fold(data, agentsOf(run));
          side = { run, model, layout: layout(model) };
          put(side);
        },
        () => {
          if (!side) return;
          const nodes = side.model.nodes.length;
          grow(side.model);
          side.model.answer = index.runs[run].trees[at].answer;
          side = nodes === side.model.nodes.length ? { ...side } : { ...side, layout: layout(side.model) };
          put(side);
          bump(0);
        },
      );
    });
    return () => stops.forEach((stop) => stop());
  }, [pair.key]);

  const there = sides.filter((side): side is Side => side !== null);
  const two = there.length > 1;
  const unit = two ? ("ask" as const) : ("event" as const);
  const length = two
    ? Math.max(...there.map((side) => side.model.turns.length))
    : (there[0]?.model.data.events.length ?? 0);
  const position = Math.min(Math.max(place.position ?? length, 0), length);
  const at = (side: Side) => (two ? eventAt(side.model, position) : position);
  const focus = there.findIndex((side) => index.runs[side.run].name === place.run);
  const current = there[Math.max(focus, 0)];
  const split = useMemo(() => (two ? divergence(there[0].model, there[1].model) : null), [two, sides, grown]);
  const [playing, setPlaying] = useState(false);

  const move = useCallback(
    (next: number) => {
      const within = Math.min(Math.max(next, 0), length);
      go({ position: within === length && index.live ? null : within });
    },
    [length, index.live],
  );

  useEffect(() => {
    if (!playing) return undefined;
    if (position >= length) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => move(position + 1), Math.max(Math.min(9000 / Math.max(length, 1), 420), 24));
    return () => clearTimeout(timer);
  }, [playing, position, length]);
  const play = () => {
    if (!playing && position >= length) move(0);
    setPlaying(!playing);
  };

  const size = current ? current.model.size[at(current)] : 1;
  const newest = size - 1;
  const wanted = place.node ?? (playing || index.live ? newest : (current?.model.answer ?? newest));
  const chosen = Math.min(wanted, newest);
  const choose = useCallback((id: number) => go({ node: id }), []);
  const node = current?.model.nodes[chosen];
  const isWhy = place.tab === "why";
  const path = useMemo(() => {
    if (!current || !node) return [];
    const way = isWhy ? wayOf(node.asked?.why) : [];
    return way.length ? [...new Set([...way, ...(node.id ? [node.id] : [])])] : pathTo(current.model, chosen);
  }, [current, chosen, isWhy, grown]);

  // at once, not after the next paint: a key that follows on another must not find what stood before it
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const from = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || from.closest("dialog")) return;
      if (from.matches("input:not([type=range]), textarea, select")) return;
      const range = from.matches("input[type=range]");
      if (event.key === "ArrowRight" && !range) move(position + 1);
      else if (event.key === "ArrowLeft" && !range) move(position - 1);
      else if (event.key === " " && !from.matches("button")) play();
      else if (event.key === "f") pictures("fit-tree");
      else if (event.key === "+" || event.key === "=")
        pictures("zoom-tree", 1.3);
      else if (event.key === "-")
        pictures("zoom-tree", 1 / 1.3);
      else if (event.key === "d" && split) move(split.ask);
      else if (/^[1-6]$/.test(event.key)) go({ tab: TABS[Number(event.key) - 1] });
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });

  if (!current || !node)
    return html`<p class="waiting" role="status">
      ${index.live ? "waiting for the first events" : "this tree is not in the page"}</p>`;
  const twinSide = two ? there.find((side) => side !== current) : undefined;
  const other: Other | null = twinSide
    ? {
        name: index.runs[twinSide.run].name,
        run: index.runs[twinSide.run],
        model: twinSide.model,
        node: twinSide.model.nodes.find((one) => one.turn === node.turn && one.id > 0) ?? null,
      }
    : null;
  const twinSelected = (side: Side) =>
    side === current ? chosen : other?.node && other.node.id < side.model.size[at(side)] ? other.node.id : -1;
  return html`<main class=${`tree-page ${two ? "two" : ""}`} data-version=${version}>
    <div class="left">
      <h3 class="bar">Nodes<span class="aside">${size - 1}</span></h3>
      <${Outline} model=${current.model} at=${at(current)} selected=${chosen} choose=${choose}
        label=${plainLine(`nodes of ${pair.problem}`)} />
    </div>
    <div class="centre">
      ${current.model.data.trouble.log ? html`<p class="broken" role="status">
        ${visible(current.model.data.trouble.log)}</p>` : ""}
      <div class="pictures">${there.map(
        (
          side,
        ) => html`<${Canvas} key=${`${pair.key}-${side.run}`} side=${side} at=${at(side)}
          selected=${twinSelected(side)} theme=${theme}
        choose=${(id: number) => go({ node: id, run: index.runs[side.run].name })}
          path=${side === current ? path : []} isWhy=${isWhy}
        other=${two && side !== there[0]} common=${two ? (split?.ask ?? Infinity) - 1 : 0}
        title=${two ? html`<span class="letter">${"AB"[side.run]}
          </span> ${visible(index.runs[side.run].name)}` : ""} />`,
      )}</div>
      <div class="zoom"><button class="icon" aria-label="the whole tree" title="the whole tree (f)"
        onClick=${() => pictures("fit-tree")}>\u2922</button></div>
      <${Timeline} lanes=${there.map((side) => ({ model: side.model, at: at(side) }))}
        axis=${{ length, position, unit }} move=${move} playing=${playing} play=${play}
        divergence=${split?.ask ?? null} theme=${theme} />
    </div>
    <${Panel} index=${index} run=${index.runs[current.run]} model=${current.model} node=${node} tab=${place.tab}
      setTab=${(tab: any) => go({ tab })} choose=${choose} other=${other} />
  </main>`;
}

const KEYS: [string, string][] = [
  ["left, right", "one event back, one on"],
  ["space", "play"],
  ["up, down", "in the list of nodes: the node before, the next"],
  ["left, right", "in the list of nodes: close, open"],
  ["1 to 6", "program, changes, tests, conversation, why, cost"],
  ["f, +, -", "the whole tree, nearer, farther"],
  ["j, k", "the next problem, the one before"],
  ["d", "the first difference of two runs"],
  ["/", "filter the list of trees"],
  ["escape", "back to the list"],
  ["?", "these keys"],
];

function Keys({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return html`<dialog ref=${box} onClose=${close} aria-label="keys"><h2>Keys</h2><dl class="pairs">
    ${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <button onClick=${() => box.current?.close()}>Close</button></dialog>`;
}

function App({ index }: { index: Index }) {
  const [place, go] = useAddress();
  const [theme, nextTheme, turn] = useTheme();
  const [filter, setFilter] = useState("");
  const [help, setHelp] = useState(false);
  const [version, bump] = useReducer((count: number) => count + 1, 0);
  const [all, setAll] = useState(() => pairs(index));
  useEffect(() => {
    if (!index.live) return undefined;
    return followRuns(index, () => {
      setAll(pairs(index));
      bump(0);
    });
  }, []);
  const pair =
    place.problem === null
      ? null
      : (all.find((one) => one.problem === place.problem && one.seed === place.seed) ??
        all.find((one) => one.problem === place.problem) ??
        null);
  const open = (next: Pair) =>
    go({ ...START, tab: place.tab, run: index.runs[0].name, problem: next.problem, seed: next.seed }, true);
  const beside = (step: number) => {
    const here = pair ? all.indexOf(pair) : -1;
    const next = all[here + step];
    if (next) open(next);
  };
  // at once, not after the next paint: a key that follows on another must not find what stood before it
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const from = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || from.closest("dialog")) return;
      if (from.matches("input:not([type=range]), textarea, select")) return;
      if (event.key === "?") setHelp(true);
      else if (event.key === "j") beside(1);
      else if (event.key === "k") beside(-1);
      else if (event.key === "Escape" && pair) go({ ...START }, true);
      else if (event.key === "/" && !pair) document.getElementById("filter")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  const names = index.runs.map((run) => run.name).join(" and ");
  const alone = all.length === 1;
  useEffect(() => {
    if (alone && place.problem === null && !index.live)
      go({ run: index.runs[0].name, problem: all[0].problem, seed: all[0].seed });
  }, [alone]);
  const back = pair && !alone;
  const at = pair ? all.indexOf(pair) : -1;
  return html`<a class="unseen skip" href="#content" onClick=${(event: Event) => {
    event.preventDefault();
    document.getElementById("content")?.focus();
  }}>to the content</a>
  <header class="top">
    <h1>${back ? html`<button class="link" onClick=${() => go({ ...START }, true)} title="back to the list (escape)">
      ${visible(names)}</button>` : html`<span>${visible(names)}</span>`}
      ${pair ? html`<span class="divider" aria-hidden="true">\u203a</span><span class="problem">
        ${visible(pair.problem)}</span><span class="aside">seed ${pair.seed}</span>` : ""}
      ${index.live ? html`<span class="live">live</span>` : ""}</h1>
    <nav aria-label="views">
      ${
        pair
          ? alone
            ? ""
            : html`<button class="icon" aria-label="the problem before" title="the problem before (k)"
              disabled=${at <= 0} onClick=${() => beside(-1)}>\u2039</button><span class="aside count">
                ${at + 1} of ${all.length}</span>
        <button class="icon" aria-label="the next problem" title="the next problem (j)"
          disabled=${at >= all.length - 1} onClick=${() => beside(1)}>\u203a</button>`
          : html`<div class="choice" role="group" aria-label="view"><button aria-pressed=${place.view === "trees"}
            onClick=${() => go({ view: "trees" })}>Trees</button><button aria-pressed=${place.view === "charts"}
              onClick=${() => go({ view: "charts" })}>Charts</button></div>`
      }
      <button class="quiet" onClick=${nextTheme} title="colours" aria-label=${`colours: ${theme}`}>
        ${theme === "auto" ? "auto" : theme}</button>
      <button class="icon" onClick=${() => setHelp(true)} aria-label="keys" title="keys (?)">?</button>
    </nav>
  </header>
  <div id="content" tabindex="-1" class=${pair ? "at-tree" : "at-list"}>
    ${
      pair
        ? html`<${TreePage} key=${pair.key} index=${index} pair=${pair} place=${place} go=${go} theme=${turn}
          version=${version} />`
        : html`<main class="list-page">
        <div class="abouts">${index.runs.map((run, number) => html`<${About} run=${run}
          letter=${index.runs.length > 1 ? "AB"[number] : ""} />`)}</div>
        ${place.problem !== null && index.runs.some((run) => run.trees.length) ? html`<p class="note"
          role="status">There is no tree of ${visible(place.problem)} here.</p>` : ""}
        ${place.view === "charts" ? html`<${Charts} index=${index} theme=${turn} />` : html`<${List} index=${index}
          open=${open} filter=${filter} setFilter=${setFilter} theme=${turn} />`}
      </main>`
    }
  </div>
  ${help ? html`<${Keys} close=${() => setHelp(false)} />` : ""}`;
}

const root = document.createElement("div");
root.id = "app";
document.body.append(root);
render(html`<${App} index=${readIndex()} />`, root);
