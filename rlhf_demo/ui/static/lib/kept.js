// @ts-check
// What a browser keeps as JSON, which anybody may have edited.

/**
 * @param {string | null} kept JSON
 * @returns {Record<string, any>} the object; an empty one if it is none
 */
export const keptObject = (kept) => {
  let known;
  try {
    known = JSON.parse(kept || "{}");
  } catch {
    return {};
  }
  return known && typeof known === "object" && !Array.isArray(known) ? known : {};
};
