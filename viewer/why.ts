// Why a selector chose: its walk down the tree, with the posterior of each that was compared and what was drawn of it.
import type { Arm, Asked, Stop, Why } from "./data";
import { html, type Child } from "./html";
import { mark, plainLine, short } from "./marks";

const FROM = -0.25;
const TO = 1.25;

const GAMMA = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Gamma(z) by Lanczos, z > 0. */
export function lnGamma(z: number): number {
  if (z < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * z)) - lnGamma(1 - z);
  const y = z - 1;
  let sum = 0.99999999999980993;
  GAMMA.forEach((g, place) => (sum += g / (y + place + 1)));
  const t = y + GAMMA.length - 0.5;
  return 0.5 * Math.log(2 * Math.PI) + (y + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The density of a law at a value. */
export function density(law: [string, ...number[]], value: number): number {
  const [kind, ...given] = law;
  if (kind === "beta") {
    const [a, b] = given;
    if (value <= 0 || value >= 1) return 0;
    return Math.exp(
      (a - 1) * Math.log(value) + (b - 1) * Math.log(1 - value) + lnGamma(a + b) - lnGamma(a) - lnGamma(b),
    );
  }
  if (kind === "t") {
    const [centre, scale, freedom] = given;
    const away = (value - centre) / scale;
    const whole =
      lnGamma((freedom + 1) / 2) - lnGamma(freedom / 2) - 0.5 * Math.log(freedom * Math.PI) - Math.log(scale);
    return Math.exp(whole - ((freedom + 1) / 2) * Math.log(1 + (away * away) / freedom));
  }
  const at = ((value - FROM) / (TO - FROM)) * (given.length - 1);
  const low = Math.min(Math.max(Math.floor(at), 0), given.length - 2);
  return given[low] + (given[low + 1] - given[low]) * Math.min(Math.max(at - low, 0), 1);
}

function span(arms: Arm[]): [number, number] {
  const beta = arms.every((arm) => !arm.law || arm.law[0] === "beta");
  if (beta) return [0, 1];
  const drawn = arms.flatMap((arm) => [Number(arm.value), arm.draw ?? Number(arm.value)]).filter(Number.isFinite);
  return [Math.min(FROM, ...drawn), Math.max(TO, ...drawn)];
}

const WIDE = 190;
const TALL = 30;

/** The density of an arm's posterior, with the point that was drawn. */
function Curve({ arm, within, won, kind }: { arm: Arm; within: [number, number]; won: boolean; kind: string }) {
  const [low, high] = within;
  const across = (value: number) => 2 + ((value - low) / (high - low)) * (WIDE - 4);
  const law = arm.law;
  const value = Number(arm.value);
  let shape = "";
  if (law) {
    const points = Array.from({ length: 97 }, (_, place) => low + ((high - low) * (place + 0.5)) / 97);
    const heights = points.map((point) => density(law, point));
    const sorted = [...heights].sort((a, b) => a - b);
    // a density without a bound does not flatten the rest
    const most = Math.max(Math.min(sorted[96], sorted[88] * 1.6), 1e-9);
    const drawn = heights.map(
      (one, place) =>
        `${across(points[place]).toFixed(1)},${(TALL - 2 - Math.min(one / most, 1) * (TALL - 6)).toFixed(1)}`,
    );
    shape = `M${across(low)},${TALL - 2} L${drawn.join(" L")} L${across(high)},${TALL - 2} Z`;
  }
  const at = Number.isFinite(value) ? across(Math.min(Math.max(value, low), high)) : WIDE - 4;
  const was =
    arm.draw !== undefined && arm.weight !== undefined ? across(Math.min(Math.max(arm.draw, low), high)) : null;
  return html`<svg class=${`curve ${kind} ${won ? "won" : ""}`} viewBox=${`0 0 ${WIDE} ${TALL}`}
    preserveAspectRatio="none" aria-hidden="true">
    <line class="base" x1="0" x2=${WIDE} y1=${TALL - 2} y2=${TALL - 2} />
    ${shape ? html`<path class="law" d=${shape} />` : ""}
    ${was === null ? "" : html`<line class="was" x1=${was} x2=${at} y1=${TALL / 2} y2=${TALL / 2} />`}
    <line class="drawn" x1=${at} x2=${at} y1="3" y2=${TALL - 2} />
    <circle class="drawn" cx=${at} cy=${TALL - 2} r="2.6" />
  </svg>`;
}

/** A value that is compared: small ones by their power of ten, since which is larger is all that counts. */
function figure(value: number): string {
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : short(value);
}

function lawText(arm: Arm): string {
  if (!arm.law) return "";
  const [kind, ...given] = arm.law;
  if (kind === "beta") return `Beta(${short(given[0])}, ${short(given[1])})`;
  if (kind === "t") return `t(${short(given[0])}, ${short(given[1])}; ${short(given[2])})`;
  return "mixed model";
}

interface Rival {
  arm: Arm;
  name: Child;
  kind: string;
  won: boolean;
  go?: () => void;
}

function Rivals({ rivals }: { rivals: Rival[] }) {
  const within = span(rivals.map((one) => one.arm));
  return html`<table class="rivals"><colgroup><col class="who" /><col class="drawing" /><col class="law" /><col />
    </colgroup><thead class="unseen"><tr><th>of</th><th>posterior</th><th>scores seen</th><th>value</th></tr></thead>
      <tbody>
    ${rivals.map(
      ({ arm, name, kind, won, go }) => html`<tr class=${won ? "won" : ""}>
      <th scope="row">${go ? html`<button class="link" onClick=${go}>${name}</button>` : name}</th>
      <td class="drawing"><${Curve} arm=${arm} within=${within} won=${won} kind=${kind} /></td>
      <td class="law">${lawText(arm) || (arm.n ? `mean ${short(arm.mean ?? 0)}` : "untried")}<small>
        ${arm.n ? `${short(arm.n)} ${arm.n === 1 ? "score" : "scores"}` : "no score yet"}</small></td>
      <td class="value">${typeof arm.value === "number" ? figure(arm.value) : "\u221e"}${
        arm.weight === undefined
          ? ""
          : html`<small title=${`depth guidance: ${figure(arm.draw ?? 0)} was drawn`}>
            ${arm.law?.[0] === "beta" ? `\u00d7 ${short(arm.weight)}` : `\u2212 ${short(-arm.weight)}`}<span
              class="unseen"> by depth guidance</span></small>`
      }</td>
    </tr>`,
    )}
  </tbody></table>`;
}

function named(node: number): string {
  return node === 0 ? "the root" : `#${node}`;
}

function StopView({ stop, agents, choose }: { stop: Stop; agents: string[]; choose: (id: number) => void }) {
  const parts: Child[] = [];
  if (stop.agents?.length) {
    parts.push(html`<${Agents} arms=${stop.agents} agents=${agents} chosen=${stop.agent ?? 0} />`);
  }
  const goesOn = stop.to !== undefined;
  if (stop.gen && stop.cont) {
    parts.push(
      html`<${Rivals} rivals=${[
        { arm: stop.gen, name: html`GEN<small>a new child</small>`, kind: "gen", won: !goesOn },
        { arm: stop.cont, name: html`CONT<small>go on below</small>`, kind: "cont", won: goesOn },
      ]} />`,
    );
  }
  const children: Rival[] = (stop.children ?? []).map((arm) => ({
    arm,
    name: `#${arm.who}`,
    kind: "child",
    won: arm.who === stop.to,
    go: () => choose(arm.who ?? 0),
  }));
  if (stop.gen && !stop.cont) children.unshift({ arm: stop.gen, name: "a new child", kind: "gen", won: !goesOn });
  if (children.length) {
    parts.push(html`<${Rivals} rivals=${children} />`);
    if (stop.rest) parts.push(html`<p class="note">and ${stop.rest} more children with smaller values</p>`);
  }
  const end = goesOn
    ? html`goes on to <button class="link" onClick=${() => choose(stop.to ?? 0)}>#${stop.to}</button>`
    : "stops: a new child here";
  return html`<li><h4>At ${stop.node ? html`<button class="link" onClick=${() => choose(stop.node)}>
    ${named(stop.node)}</button>` : "the root"}<span class="outcome">${end}</span></h4>${parts}</li>`;
}

function Agents({ arms, agents, chosen }: { arms: Arm[]; agents: string[]; chosen: number }) {
  return html`<${Rivals} rivals=${arms.map((arm) => ({
    arm,
    kind: "agent",
    won: arm.who === chosen || (arm.who === undefined && chosen === 0),
    name: html`<span class="agent">${mark(arm.who ?? 0)} ${plainLine(agents[arm.who ?? 0] ?? "")}</span>`,
  }))} />`;
}

const RULES: Record<string, string> = {
  uct: "UCT walks down by the largest score, then the leaf gets a batch of children of every agent.",
  best_first: "The best node that was not expanded yet gets a batch of children of every agent.",
  breadth_first: "The best nodes of each level get the same number of children, level by level.",
  repeated_sampling: "Every node is a fresh one.",
  sequential_refinement: "Every node improves the one before it; agents take turns.",
  random: "Any node and any agent, uniformly.",
  schedule: "Place and agent of each expansion are fixed beforehand.",
  exhaustive: "Every place gets its children in turn.",
};

const AGAIN =
  "A fault made the turn before it void; the same agent was asked at the same place again, and nothing was drawn.";
const UNSELECTED = "In this game the agents pick the place, or a controller does; no selector chose it.";

export function WhyView({
  asked,
  agents,
  selector,
  trouble,
  choose,
}: {
  asked: Asked | null;
  agents: string[];
  selector: string;
  trouble: string;
  choose: (id: number) => void;
}) {
  if (!asked) return html`<p class="note">Nobody chose this node: it was there at the start.</p>`;
  if (asked.again) return html`<p class="note">${AGAIN}</p>`;
  if (!selector) return html`<p class="note">${UNSELECTED}</p>`;
  const why: Why | undefined = asked.why;
  if (!why)
    return html`<p class="note">
      ${trouble ? `Why cannot be told: ${plainLine(trouble)}.` : "Nothing is known of this choice."}</p>`;
  const name = selector.split(",")[0];
  const [parent, agent] = why.choice;
  const walk = why.walk ?? [];
  const people = why.agents?.length
    ? html`<li><h4>The agent<span class="outcome">${plainLine(asked.agent)}</span></h4><${Agents} arms=${why.agents}
      agents=${agents} chosen=${agent} /></li>`
    : "";
  const last = walk.at(-1);
  const leaf =
    walk.length && last?.to !== undefined
      ? html`<li><h4>At <button class="link" onClick=${() => choose(parent)}>#${parent}</button><span
        class="outcome">a leaf: it is expanded</span></h4></li>`
      : "";
  const empty = !walk.length && !why.agents?.length;
  return html`<div class="why">
    <p class="lead">${plainLine(asked.agent)} was asked ${parent === 0 ? "at the root" : html`at <button class="link"
      onClick=${() => choose(parent)}>#${parent}</button>`}
      ${why.batch ? `, as number ${why.batch[0]} of a batch of ${why.batch[1]}` : ""}.</p>
    ${RULES[name] && (empty || name === "uct") ? html`<p class="note">${RULES[name]}</p>` : ""}
    ${empty && !RULES[name] ? html`<p class="note">
      ${name} drew nothing for this choice${parent ? "" : "; there was no node to hold against another"}.</p>` : ""}
    <ol class="walk">${why.agent_first ? people : ""}${walk.map((stop) => html`<${StopView} stop=${stop}
      agents=${agents} choose=${choose} />`)}${leaf}${why.agent_first ? "" : people}</ol>
    ${empty ? "" : html`<p
      class="note">Each curve is a posterior over scores; the line is what was drawn of it. The largest draw wins.</p>`}
  </div>`;
}

/** The nodes that a selector's walk went through. */
export function wayOf(why: Why | undefined): number[] {
  if (!why?.walk?.length) return [];
  const way = [why.walk[0].node];
  for (const stop of why.walk) if (stop.to !== undefined) way.push(stop.to);
  return way;
}
