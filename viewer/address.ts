// What is looked at, as the address after the hash: run, problem, event, node, tab.
import { TABS, type Tab } from "./panel";

export interface Place {
  view: "trees" | "charts";
  problem: string | null;
  seed: number;
  run: string | null;
  position: number | null;
  node: number | null;
  tab: Tab;
}

export const START: Place = {
  view: "trees",
  problem: null,
  seed: 0,
  run: null,
  position: null,
  node: null,
  tab: "program",
};

export function parse(hash: string): Place {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name: string) => {
    const text = given.get(name);
    return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
  };
  const tab = given.get("tab") as Tab;
  return {
    view: given.get("view") === "charts" ? "charts" : "trees",
    problem: given.get("problem"),
    seed: whole("seed") ?? 0,
    run: given.get("run"),
    position: whole("event"),
    node: whole("node"),
    tab: TABS.includes(tab) ? tab : "program",
  };
}

export function format(place: Place): string {
  const told = new URLSearchParams();
  if (place.view === "charts") told.set("view", "charts");
  if (place.problem !== null) {
    if (place.run !== null) told.set("run", place.run);
    told.set("problem", place.problem);
    told.set("seed", String(place.seed));
    if (place.position !== null) told.set("event", String(place.position));
    if (place.node !== null) told.set("node", String(place.node));
    if (place.tab !== "program") told.set("tab", place.tab);
  }
  const text = told.toString();
  return text ? `#${text}` : "";
}
