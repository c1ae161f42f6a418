// The one place where elements are made: htm over preact, which sets text as text and never as markup.
import { h, type VNode } from "preact";
import htm from "htm";

export type Child = VNode<any> | string | number | null | undefined | false | Child[];
export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: any[]) => VNode<any>;
