// @ts-check
// From logits to probabilities, in the browser, so that a slider needs no server.

/**
 * @param {number[]} logits the highest first
 * @param {number} temperature
 * @returns {number[]} probabilities of the same tokens
 */
export const softmax = (logits, temperature) => {
  const weights = logits.map((logit) => Math.exp((logit - logits[0]) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
};

/**
 * Sets the probability of the tokens that top-k and top-p leave out to 0.
 * @param {number[]} probabilities the highest first
 * @param {number} topK 0: all
 * @param {number} topP 1: all
 */
export const cut = (probabilities, topK, topP) => {
  let before = 0;
  const kept = probabilities.map((share, place) => {
    const isKept = (topK === 0 || place < topK) && (place === 0 || before < topP);
    before += share;
    return isKept ? share : 0;
  });
  const total = kept.reduce((sum, share) => sum + share, 0);
  return kept.map((share) => share / total);
};

/**
 * How unequal a distribution is: 0 if one token is certain.
 * @param {number[]} probabilities
 * @returns {number} entropy in nats
 */
export const entropy = (probabilities) =>
  probabilities.reduce((sum, share) => (share > 0 ? sum - share * Math.log(share) : sum), 0);

/**
 * Draws tokens.
 * @param {number[]} probabilities
 * @param {number} times
 * @param {() => number} random between 0 and 1
 * @returns {number[]} how often each token came
 */
export const draw = (probabilities, times, random) => {
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < times; i++) {
    let left = random();
    const place = probabilities.findIndex((share) => (left -= share) < 0);
    counts[place < 0 ? 0 : place] += 1;
  }
  return counts;
};

/**
 * The best policy under a KL penalty, as explain/optimum.py computes it.
 * @param {number[]} reference its probabilities
 * @param {number[]} scores
 * @param {number} beta of the penalty, above 0
 */
export const best = (reference, scores, beta) => {
  const exponents = reference.map((share, i) => Math.log(share) + scores[i] / beta);
  const highest = Math.max(...exponents);
  const weights = exponents.map((exponent) => Math.exp(exponent - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
};

/**
 * The KL divergence of one distribution from another, in nats.
 * @param {number[]} policy
 * @param {number[]} reference
 */
export const divergence = (policy, reference) =>
  policy.reduce(
    (sum, share, i) => (share > 0 ? sum + share * Math.log(share / reference[i]) : sum),
    0,
  );
