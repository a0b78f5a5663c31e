// @ts-check
// Title and curves of each kind of run.
import { stages } from "../../shared/navigation.js";

export const kindOf = (/** @type {string} */ kind) => (stages[kind] || { title: kind }).title;

export const curvesOf = (/** @type {string} */ kind) => (stages[kind] || { curves: [] }).curves;
