// @ts-check
// What the ballot of the Feedback tab tells the figures beside it.

export const tellOfVote = () => window.dispatchEvent(new CustomEvent("rlhf:voted"));

export const onVote = (/** @type {() => void} */ act) => window.addEventListener("rlhf:voted", act);

/** @param {{question: string}} asked what the ballot asks from now on */
export const tellOfQuestion = (asked) =>
  window.dispatchEvent(new CustomEvent("rlhf:question", { detail: asked }));

export const onQuestion = (/** @type {(asked: {question: string}) => void} */ act) =>
  window.addEventListener("rlhf:question", (/** @type {CustomEvent} */ event) => act(event.detail));
