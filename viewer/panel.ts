// A node: its program, its changes, its tests, the conversation that made it, why it was asked for, and what it cost.
import type { Feedback, Index, Message, RunData, Seeded, Step, Told } from "./data";
import { Changes, Program, Prose, type Language } from "./code";
import { pathTo, words, type Model, type Node } from "./fold";
import { html, type Child } from "./html";
import { GLYPHS, amount, duration, mark, plainLine, short, visible } from "./marks";
import { WhyView } from "./why";

export const TABS = ["program", "changes", "tests", "talk", "why", "cost"] as const;
export type Tab = (typeof TABS)[number];
const TITLES: Record<Tab, string> = {
  program: "Program",
  changes: "Changes",
  tests: "Tests",
  talk: "Conversation",
  why: "Why",
  cost: "Cost",
};

export interface Other {
  name: string;
  model: Model;
  node: Node | null;
  run: RunData;
}

export interface PanelProps {
  index: Index;
  run: RunData;
  model: Model;
  node: Node;
  tab: Tab;
  setTab: (tab: Tab) => void;
  choose: (id: number) => void;
  other: Other | null;
}

const UNTOLD = "the log does not hold it";
const ORPHAN = "Its parent holds no program.";
const FRESH = "It was written afresh: there is no program before it.";

export function languageOf(run: RunData): Language {
  return /cpp/.test(run.sandbox) ? "cpp" : "python";
}

export function Panel(props: PanelProps) {
  const { node, tab, setTab } = props;
  const pressed = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
    setTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return html`<section class="panel" aria-label="the chosen node">
    <${Heading} ...${props} />
    <div role="tablist" class="tabs" aria-label="what to show of it" onKeyDown=${pressed}>
      ${TABS.map((one) => html`<button role="tab" id=${`tab-${one}`} aria-controls="tab-panel"
        aria-selected=${one === tab} tabindex=${one === tab ? 0 : -1} onClick=${() => setTab(one)}>${TITLES[one]}
          </button>`)}
    </div>
    <div role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${tab}`} tabindex="0" class="body"
      key=${`${node.id}-${tab}`}>
      ${view(props)}
    </div>
  </section>`;
}

function view(props: PanelProps): Child {
  const { model, node, tab } = props;
  if (node.id === 0 && node.program === null && tab !== "why" && tab !== "cost") {
    return html`<${RootView} model=${model} />`;
  }
  const views = {
    program: ProgramView, changes: ChangesView, tests: TestsView, talk: TalkView, why: BothWhys, cost: CostView,
  };
  return html`<${views[tab]} ...${props} />`;
}

export function outcomeBadge(node: Node): Child {
  return html`<span class=${`badge o-${node.outcome}`}><span aria-hidden="true">${GLYPHS[node.outcome]}
    </span> ${words(node.outcome)}</span>`;
}

function Heading({ model, node, choose, run }: PanelProps) {
  const path = pathTo(model, node.id);
  const agent = model.agents.indexOf(node.agent);
  const title = node.id === 0 ? (node.program === null ? "The root" : "#0, the given program") : `#${node.id}`;
  const brief = path.length > 7 ? [...path.slice(0, 2), -1, ...path.slice(-4)] : path;
  return html`<header class="heading">
    <nav class="path" aria-label="the way to it">${brief.map(
      (id, place) =>
        html`${place ? html`<span aria-hidden="true"> \u203a </span>` : ""}${
          id < 0
            ? "\u2026"
            : id === node.id
              ? html`<span aria-current="true">${id ? `#${id}` : "root"}</span>`
              : html`<button class="link" onClick=${() => choose(id)}>${id ? `#${id}` : "root"}</button>`
        }`,
    )}</nav>
    <h2>${title}${node.id ? html`<span class="agent">${mark(agent, 14)} ${visible(node.agent)}</span>` : ""}</h2>
    ${
      node.id === 0 && node.program === null
        ? ""
        : html`<p class="facts">${outcomeBadge(node)}
      <span>score <b>${short(node.score)}</b>${node.told?.given ? " (given)" : ""}</span>
      ${node.told?.model_score === undefined ? "" : html`<span>reward model <b>${short(node.told.model_score)}</b>
        </span>`}
      ${node.duplicateOf === null ? "" : html`<span>same program as <button class="link"
        onClick=${() => choose(node.duplicateOf!)}>#${node.duplicateOf}</button></span>`}
      ${node.id === model.answer && node.id ? html`<span class="answer">\u2605 the answer</span>` : ""}
      ${run.hidden && node.program !== null && node.id ? hiddenBadge(node.told?.hidden) : ""}</p>`
    }
  </header>`;
}

function hiddenBadge(passed: boolean | null | undefined): Child {
  if (passed === true) return html`<span class="badge o-passed">hidden tests: passed</span>`;
  if (passed === false) return html`<span class="badge o-wrong_answer">hidden tests: failed</span>`;
  return html`<span class="badge o-not_run">hidden tests: not graded</span>`;
}

function RootView({ model }: { model: Model }) {
  const { problem, trouble } = model.data;
  return html`<h3 class="first">The problem</h3>
    ${
      problem.statement === undefined
        ? html`<p class="note">Its statement is not here: ${plainLine(trouble.prompts ?? UNTOLD)}.</p>`
        : html`<${Prose} text=${problem.statement} />`
    }
    ${problem.starter ? html`<h3>It starts from</h3><${Program} text=${problem.starter} language="python"
      label="starter code" />` : ""}
    ${
      problem.public?.length
        ? html`<h3>Public tests</h3>${table(
            problem.public.map(([input, output], place) => [String(place + 1), box(input), box(output)]),
            ["", "input", "expected"],
          )}`
        : ""
    }`;
}

function box(text: string): Child {
  return html`<pre class="box">${visible(text)}</pre>`;
}

function table(rows: Child[][], head: string[]): Child {
  return html`<table class="plain"><thead><tr>${head.map((one) => html`<th scope="col">${one || html`<span
    class="unseen">number</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table>`;
}

function ProgramView({ node, run }: PanelProps) {
  if (node.program === null) {
    return html`<p class="note">No program was found in the reply; here it is as it came.</p><${Prose}
      text=${node.told?.reply ?? ""} />`;
  }
  return html`<div class="tools"><button class="quiet"
    onClick=${() => navigator.clipboard?.writeText(node.program ?? "").catch(() => {})}>Copy</button></div>
    <${Program} text=${node.program} language=${languageOf(run)} label=${`program of node ${node.id}`} />`;
}

function ChangesView({ node, model, run, other, choose }: PanelProps) {
  const parent = node.parent >= 0 ? model.nodes[node.parent] : null;
  const views: Child[] = [];
  if (parent?.program != null && node.program !== null) {
    views.push(html`<h3 class="first">Against its parent, <button class="link"
      onClick=${() => choose(parent.id)}>#${parent.id}</button></h3>
      <${Changes} before=${parent.program} after=${node.program} language=${languageOf(run)}
        label="changes to the parent" />`);
  } else {
    views.push(
      html`<p class="note">${node.program === null ? "It holds no program." : parent?.id ? ORPHAN : FRESH}</p>`,
    );
  }
  if (other && node.program !== null) {
    const twin = other.node;
    views.push(html`<h3>Against the same ask in ${visible(other.name)}${twin ? `, #${twin.id}` : ""}</h3>
      ${
        twin?.program == null
          ? html`<p class="note">There is no program.</p>`
          : html`<${Changes} before=${twin.program} after=${node.program} language=${languageOf(run)}
            label="changes to the other run" />`
      }`);
  }
  return views;
}

const NEVER = "never quoted: outcomes alone";

function TestsView({ node, model, index }: PanelProps) {
  const judged: Told | Seeded | null = node.told ?? node.seeded;
  if (!judged) return html`<p class="note">Nothing was judged.</p>`;
  const shown = model.data.problem.public ?? [];
  const facts = judged.feedback;
  const rows: Child[] = [];
  for (const [group, letters] of Object.entries(judged.groups)) {
    const outcomes = [...letters].map((letter) => index.codes[letter]);
    const passed = outcomes.filter((one) => one === "passed").length;
    rows.push(html`<h3>${group} tests<span class="aside">
      ${passed} of ${outcomes.length} passed${group === "public" ? "" : `, ${NEVER}`}</span></h3>
      <p class="strip">${outcomes.map((one, place) => html`<span class=${`test o-${one}`}
        title=${`test ${place + 1}: ${words(one)}`}><span aria-hidden="true">${GLYPHS[one]}</span><span
          class="unseen">test ${place + 1}: ${words(one)}. </span></span>`)}</p>`);
    if (group === "public" && shown.length) {
      rows.push(
        table(
          outcomes.map((one, place) => [
            String(place + 1),
            html`<span class=${`badge small o-${one}`}>${GLYPHS[one]} ${words(one)}</span>`,
            box(shown[place]?.[0] ?? ""),
            box(shown[place]?.[1] ?? ""),
          ]),
          ["", "outcome", "input", "expected"],
        ),
      );
    }
  }
  return html`${facts ? html`<${FeedbackView} facts=${facts} />` : judged.outcome === "passed" ? html`<p
    class="note first">Every test that was run passed.</p>` : ""}${rows}
    ${Object.keys(judged.groups).length ? "" : html`<p
      class="note">There was nothing to run: ${words(judged.outcome)}.</p>`}`;
}

function FeedbackView({ facts }: { facts: Feedback }) {
  if (facts.unshown) {
    return html`<h3 class="first">What may be quoted</h3><p
      class="note">It passes the tests that are shown and fails on tests that are not shown: that one bit.</p>`;
  }
  const cells: [string, string | undefined][] = [
    ["input", facts.input],
    ["expected", facts.expected],
    ["came out", facts.actual],
    ["error", [facts.error_type, facts.error_message].filter(Boolean).join(": ")],
    ["limit", facts.limit],
  ];
  return html`<h3 class="first">What may be quoted<span class="aside">
    ${facts.test === undefined ? "" : `public test ${facts.test + 1}: `}${words(facts.outcome)}</span></h3>
    <dl class="pairs">${cells.filter(([, text]) => text).map(([name, text]) => html`<dt>${name}</dt><dd>
      ${box(text ?? "")}</dd>`)}</dl>
    ${facts.traceback ? box(facts.traceback) : ""}`;
}

function TalkView({ node, model }: PanelProps) {
  const told = node.told;
  const prompt: Message[] | undefined = node.asked?.prompt ?? told?.prompt;
  const trace = model.data.traces[String(node.turn)];
  const trouble = model.data.trouble.prompts;
  return html`<div class="talk">
    ${node.seeded ? html`<p class="note">The problem came with this program.</p>` : ""}
    ${
      prompt
        ? prompt.map(([role, text]) => html`<${Said} role=${role} text=${text} />`)
        : node.id
          ? html`<p class="note">The prompt is not here: ${plainLine(trouble ?? UNTOLD)}.</p>`
          : ""
    }
    ${(trace?.steps ?? []).map((step: Step) => html`<${StepView} step=${step} />`)}
    ${told ? html`<${Said} role=${`${node.agent} replies`} text=${told.reply} mine=${true} />` : ""}
  </div>`;
}

function Said({ role, text, mine = false }: { role: string; text: string; mine?: boolean }) {
  return html`<article class=${`said ${mine ? "mine" : ""}`}><h4>${visible(role)}<span class="aside">
    ${amount(text.length)} characters</span></h4><${Prose} text=${text} /></article>`;
}

function StepView({ step }: { step: Step }) {
  const told = step.generation;
  const aside = told?.tokens ? `${amount(told.tokens[1])} tokens` : step.seconds ? duration(step.seconds) : "";
  return html`<article class=${`said step ${told ? "mine" : ""}`}><h4>${visible(step.role)}<span class="aside">
    ${aside}</span></h4>
    ${step.call ? html`<h5>was asked</h5><${Prose} text=${step.call} />` : ""}
    ${step.observation ? html`<h5>answered</h5><${Prose} text=${step.observation} />` : ""}
    ${told?.text ? html`<${Prose} text=${told.text} />` : ""}</article>`;
}

function BothWhys({ node, model, run, other, choose }: PanelProps) {
  const mine = html`<${WhyView} asked=${node.asked} agents=${model.agents} selector=${run.selector}
    trouble=${model.data.trouble.why ?? ""} choose=${choose} />`;
  if (!other) return mine;
  return html`<h3 class="first">${visible(run.name)}</h3>${mine}<h3>${visible(other.name)}, the same ask</h3>
    ${
      other.node
        ? html`<${WhyView} asked=${other.node.asked} agents=${other.model.agents} selector=${other.run.selector}
          trouble=${other.model.data.trouble.why ?? ""} choose=${() => {}} />`
        : html`<p class="note">There is no such ask.</p>`
    }`;
}

function CostView({ node, model, run }: PanelProps) {
  const trace = model.data.traces[String(node.turn)];
  const pairs: [string, Child][] = [];
  const policy = run.agents.find((one) => one.name === node.agent)?.policy;
  if (policy) pairs.push(["policy", visible(policy)]);
  if (trace) {
    const { generation: made } = trace;
    if (trace.prompt_tokens) pairs.push(["tokens of the prompt", amount(trace.prompt_tokens)]);
    if (trace.completion_tokens) pairs.push(["tokens written", amount(trace.completion_tokens)]);
    if (made?.thinking) pairs.push(["of these, thought", amount(made.thinking)]);
    if (made?.cut) pairs.push(["tokens cut from the prompt", amount(made.cut)]);
    if (made) pairs.push(["ended by", words(made.finish)]);
    if (made?.temperature !== undefined) pairs.push(["temperature", short(made.temperature)]);
    if (made?.top_p !== undefined) pairs.push(["top p", short(made.top_p)]);
    if (made?.logprob !== undefined) pairs.push(["mean log-probability of a token", short(made.logprob)]);
    if (made?.version) pairs.push(["version of the weights", String(made.version)]);
    if (trace.policy_seconds) pairs.push(["time in the policy", duration(trace.policy_seconds)]);
    if (trace.judge_seconds) pairs.push(["time in the judge", duration(trace.judge_seconds)]);
    if (trace.cpu_seconds) pairs.push(["CPU time of the program", duration(trace.cpu_seconds)]);
    if (trace.cost) pairs.push(["cost", short(trace.cost)]);
    if (trace.steps?.length) pairs.push(["steps", String(trace.steps.length)]);
  }
  const credit = model.data.credit;
  if (credit && node.id) {
    pairs.push([`credit (${credit.name})`, short(credit.shaped[node.id - 1])]);
    pairs.push(["advantage", short(credit.advantage[node.id - 1])]);
  }
  if (node.told && node.at) pairs.push(["told at event", String(node.at)]);
  return pairs.length
    ? html`<dl class="pairs wide">${pairs.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`
    : html`<p class="note">Nothing was written down of what it cost.</p>`;
}
