// @ts-check
// What the list of runs says of each kind.
import { stages } from "../../shared/navigation.js";

export const kindOf = (/** @type {string} */ kind) => (stages[kind] || { title: kind }).title;

export const curvesOf = (/** @type {string} */ kind) => (stages[kind] || { curves: [] }).curves;
