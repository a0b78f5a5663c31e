// @ts-check
// What the Feedback tab's ballot tells the figures below it.

export const tellOfVote = () => window.dispatchEvent(new CustomEvent("rlhf:voted"));

export const onVote = (/** @type {() => void} */ act) => window.addEventListener("rlhf:voted", act);

/** @param {{question: string}} asked the ballot's new question */
export const tellOfQuestion = (asked) =>
  window.dispatchEvent(new CustomEvent("rlhf:question", { detail: asked }));

export const onQuestion = (/** @type {(asked: {question: string}) => void} */ act) =>
  window.addEventListener("rlhf:question", (event) => act(event.detail));
