// Programs: highlighted, with line numbers, and as changes against another program. Tokens become elements with text.
import { diffLines, diffWordsWithSpace } from "diff";
import hljs from "highlight.js/lib/core";
import cpp from "highlight.js/lib/languages/cpp";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import { html, type Child } from "./html";
import { visible } from "./marks";

export interface Token {
  text: string;
  kind: string;
}
export type Line = Token[];

const LARGEST = 60_000; // characters that are highlighted; more is shown as it is

/** Collects what the highlighter finds as flat tokens. The highlighter's own way out is text of HTML. */
class Tokens {
  found: Token[] = [];
  private open: string[] = [];
  addText(text: string): void {
    if (text) this.found.push({ text, kind: this.open.at(-1) ?? "" });
  }
  openNode(name: string): void {
    this.open.push(name.split(".")[0]);
  }
  closeNode(): void {
    this.open.pop();
  }
  startScope(name: string): void {
    this.openNode(name);
  }
  endScope(): void {
    this.closeNode();
  }
  __addSublanguage(inner: Tokens): void {
    this.found.push(...inner.found);
  }
  closeAllNodes(): void {
    this.open = [];
  }
  finalize(): void {}
  toHTML(): string {
    return "";
  }
}

const highlighter = hljs.newInstance();
highlighter.registerLanguage("python", python);
highlighter.registerLanguage("cpp", cpp);
highlighter.registerLanguage("markdown", markdown);
highlighter.configure({ __emitter: Tokens } as any);

export type Language = "python" | "cpp" | "markdown";

function tokens(text: string, language: Language): Token[] {
  if (text.length > LARGEST) return [{ text, kind: "" }];
  try {
    const found = highlighter.highlight(text, { language, ignoreIllegals: true }) as any;
    return (found._emitter as Tokens).found;
  } catch {
    return [{ text, kind: "" }];
  }
}

export function lines(text: string, language: Language): Line[] {
  const found: Line[] = [[]];
  for (const token of tokens(text.replace(/\n$/, ""), language)) {
    token.text.split("\n").forEach((piece, place) => {
      if (place) found.push([]);
      if (piece) found.at(-1)!.push({ text: piece, kind: token.kind });
    });
  }
  return found;
}

function shown(line: Line): Child {
  return line.map((token) =>
    token.kind ? html`<span class=${`t-${token.kind}`}>${visible(token.text)}</span>` : visible(token.text),
  );
}

export function Program({ text, language, label }: { text: string; language: Language; label: string }) {
  const all = lines(text, language);
  const width = String(all.length).length;
  return html`<div class="code" role="region" aria-label=${label} tabindex="0"><pre>${all.map(
    (line, place) =>
      html`<span class="line"><span class="number" aria-hidden="true">${String(place + 1).padStart(width)}</span>
        <code>${shown(line)}${"\n"}</code></span>`,
  )}</pre></div>`;
}

export function Prose({ text }: { text: string }) {
  return html`<div class="prose">${lines(text, "markdown").map((line) => html`<div class="row">
    ${line.length ? shown(line) : "\u200b"}</div>`)}</div>`;
}

interface Change {
  sign: " " | "+" | "-";
  before: number;
  after: number;
  line: Line;
  marks: [number, number][];
}

const CONTEXT = 3;

/** Splits the tokens of a line where marks begin and end. */
function marked(line: Line, marks: [number, number][]): Child {
  const parts: Child[] = [];
  let from = 0;
  for (const token of line) {
    let place = 0;
    while (place < token.text.length) {
      const at = from + place;
      const mark = marks.find(([low, high]) => at >= low && at < high);
      const next = mark ? mark[1] : Math.min(...marks.filter(([low]) => low > at).map(([low]) => low), Infinity);
      const piece = token.text.slice(place, Math.min(token.text.length, next - from));
      parts.push(
        html`<span class=${`${token.kind ? `t-${token.kind}` : ""} ${mark ? "changed" : ""}`}>${visible(piece)}</span>`,
      );
      place += piece.length;
    }
    from += token.text.length;
  }
  return parts;
}

function changes(before: string, after: string, language: Language): Change[] {
  const [old, young] = [lines(before, language), lines(after, language)];
  const whole = (text: string) => (text.endsWith("\n") ? text : `${text}\n`);
  const found: Change[] = [];
  let [a, b] = [0, 0];
  let taken: Change[] = [];
  const options = { timeout: 1000 };
  for (const part of diffLines(whole(before), whole(after), options) ?? []) {
    const here: Change[] = [];
    for (let place = 0; place < (part.count ?? 0); place++) {
      if (part.added) here.push({ sign: "+", before: 0, after: b + 1, line: young[b++] ?? [], marks: [] });
      else if (part.removed) here.push({ sign: "-", before: a + 1, after: 0, line: old[a++] ?? [], marks: [] });
      else here.push({ sign: " ", before: ++a, after: b + 1, line: young[b++] ?? [], marks: [] });
    }
    if (part.added && taken.length === here.length) here.forEach((one, place) => within(taken[place], one));
    taken = part.removed ? here : [];
    found.push(...here);
  }
  return found;
}

/** Marks what differs within a line that was changed. */
function within(old: Change, young: Change): void {
  const [before, after] = [old, young].map((one) => one.line.map((token) => token.text).join(""));
  if (before.length + after.length > 2000) return;
  let [a, b, same] = [0, 0, 0];
  for (const part of diffWordsWithSpace(before, after)) {
    const size = part.value.length;
    if (part.added) young.marks.push([b, (b += size)]);
    else if (part.removed) old.marks.push([a, (a += size)]);
    else [a, b, same] = [a + size, b + size, same + part.value.trim().length];
  }
  if (same * 3 < Math.max(before.trim().length, after.trim().length)) [old.marks, young.marks] = [[], []];
}

export function counted(before: string, after: string): [number, number] {
  const found = changes(before, after, "markdown");
  return [found.filter((one) => one.sign === "+").length, found.filter((one) => one.sign === "-").length];
}

export function Changes({
  before,
  after,
  language,
  label,
}: {
  before: string;
  after: string;
  language: Language;
  label: string;
}) {
  const all = changes(before, after, language);
  const [more, less] = [all.filter((one) => one.sign === "+").length, all.filter((one) => one.sign === "-").length];
  if (!more && !less) return html`<p class="note">The two programs are the same, letter by letter.</p>`;
  const near = all.map((_, place) =>
    all.slice(Math.max(place - CONTEXT, 0), place + CONTEXT + 1).some((one) => one.sign !== " "),
  );
  const rows: Child[] = [];
  let skipped = 0;
  const skip = () => {
    if (skipped)
      rows.push(
        html`<span class="line skipped"><span class="number"></span><code>
          ${skipped} unchanged ${skipped === 1 ? "line" : "lines"}${"\n"}</code></span>`,
      );
    skipped = 0;
  };
  const width = String(all.length).length;
  all.forEach((one, place) => {
    if (!near[place]) return (skipped += 1);
    skip();
    const kind = one.sign === "+" ? "added" : one.sign === "-" ? "removed" : "";
    rows.push(
      html`<span class=${`line ${kind}`}><span class="number" aria-hidden="true">
        ${String(one.before || "").padStart(width)} ${String(one.after || "").padStart(width)} ${one.sign}</span>
          <code>${kind ? html`<span class="unseen">${kind}: </span>` : ""}
            ${one.marks.length ? marked(one.line, one.marks) : shown(one.line)}${"\n"}</code></span>`,
    );
    return 0;
  });
  skip();
  return html`<p class="note"><span class="plus">+${more}</span> <span class="minus">\u2212${less}</span> lines</p>
    <div class="code" role="region" aria-label=${label} tabindex="0"><pre>${rows}</pre></div>`;
}
