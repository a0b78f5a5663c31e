// @ts-check
// What a student's phone says while it has no pair to show.

/** @param {import("../types").StudentState | null} view */
export const waiting = (view) => {
  if (!view) return "";
  const done = view.done >= view.goal;
  if (view.ppo && view.ppo.busy && done)
    return "You have answered all your pairs. Thank you! Now watch PPO train.";
  if (view.ppo && view.ppo.busy) return "Waiting for the next pair.";
  if (done && view.kind === "blind")
    return "Thank you for voting. The result appears here when the vote is over.";
  if (done) return "You have answered all your pairs. Thank you! Now watch the class screen.";
  return "Waiting for the next pair. It will appear here by itself.";
};
