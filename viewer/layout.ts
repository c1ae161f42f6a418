// Where nodes stand: the tidy tree of d3-hierarchy, in units of one node's width and one level.
import { hierarchy, tree as tidy } from "d3-hierarchy";
import type { Model } from "./fold";

export interface Layout {
  /** Place of each node by its number, in units. */
  x: Float64Array;
  y: Float64Array;
  /** Of each level the nodes, from left to right. */
  levels: number[][];
  left: number;
  right: number;
  depth: number;
}

interface Place {
  id: number;
  inner: Place[];
}

export function layout(model: Model): Layout {
  const places: Place[] = model.nodes.map((node) => ({ id: node.id, inner: [] }));
  for (const node of model.nodes) for (const child of node.children) places[node.id].inner.push(places[child]);
  const root = hierarchy(places[0], (place) => place.inner);
  tidy<Place>()
    .nodeSize([1, 1])
    .separation((a, b) => (a.parent === b.parent ? 1 : 1.3))(root);
  const found: Layout = {
    x: new Float64Array(places.length),
    y: new Float64Array(places.length),
    levels: [],
    left: 0,
    right: 0,
    depth: 0,
  };
  root.each((node) => {
    const x = node.x ?? 0;
    found.x[node.data.id] = x;
    found.y[node.data.id] = node.depth;
    (found.levels[node.depth] ??= []).push(node.data.id);
    found.left = Math.min(found.left, x);
    found.right = Math.max(found.right, x);
  });
  found.depth = found.levels.length - 1;
  for (const level of found.levels) level.sort((a, b) => found.x[a] - found.x[b]);
  return found;
}
