"""The lessons of the Learn tab: what each asks, and what it says once the student has answered.

The module of the same name in `lessons/` computes the answer on the loaded models.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One lesson: a question, a computation, and a sentence.

    Attributes:
        title: its name in the list of lessons.
        minutes: that it takes.
        core: it belongs to the course of 45 minutes.
        before: what the student reads before the question.
        question: what the student answers before anything is shown.
        answers: to choose from; the page adds "I do not know".
        sentence: the lesson in one sentence.
        code: the function that computed what is shown, as package.module:function.
        test: that checks this function, as path::name.
        caveat: what the lesson does not show.
    """

    title: str
    minutes: int
    core: bool = True
    before: str
    question: str
    answers: tuple[str, ...]
    sentence: str
    code: str
    test: str
    caveat: str


LESSONS: dict[str, Lesson] = {
    "next_token": Lesson(
        title="The next token",
        minutes=3,
        before="A token is a word or a piece of one. This model, a small GPT-2 trained on "
        "reviews of films, gives each of its 8,192 tokens a number, its logit. We "
        "divide the logits by a number that we choose, the temperature. Then "
        "softmax turns them into probabilities, which sum to 1: a larger logit "
        "gives a larger probability.",
        question="The text is \u201cThe acting was\u201d. We raise the temperature from 0.7 to 2. "
        "Which token is then the most likely?",
        answers=(
            "the same one as before",
            "a rarer one",
            "it depends on chance: with a high temperature no token leads",
        ),
        sentence="The model gives every token a probability. A higher temperature makes the "
        "probabilities more equal, a lower one less equal; neither changes their order.",
        code="explain.gpt2:forward",
        test="tests/explain/test_gpt2.py::test_logits_equal_those_of_transformers",
        caveat="The figures are of this small model. \u201cAfter PPO\u201d is the same "
        "model after further training, which the later lessons explain. Generating "
        "with top-k or top-p leaves tokens out, so the texts then follow other "
        "probabilities than the model\u2019s own.",
    ),
    "tokens": Lesson(
        title="Tokens",
        minutes=2,
        core=False,
        before="Before the model reads a text, a tokenizer cuts it into tokens. Its list has 8,192 "
        "of them: single bytes (an English letter is one), and pieces that were frequent in "
        "reviews of films. A frequent word is one token; a rare word is put together from several.",
        question="\u201cI watched this unbelievable masterpiece.\u201d has five words. "
        "\u201cPhotosynthesis needs chlorophyll.\u201d has three. How many tokens does the "
        "second have, compared with the first?",
        answers=("fewer", "as many, or less than twice as many", "at least twice as many"),
        sentence="The model never sees letters or words, only each token\u2019s number in "
        "the list. A rare word takes several tokens.",
        code="models.token_text:token_texts",
        test="tests/models/test_token_text.py::test_pieces_of_a_real_tokenizer_join_up_to_the_text",
        caveat="These tokens come from reviews of films. OpenAI\u2019s GPT-2 of 2019 has "
        "50,257 of them, from pages of the web, and cuts the same text at other "
        "places.",
    ),
    "vectors": Lesson(
        title="Vectors and positions",
        minutes=3,
        before="The model has a vector, a list of 256 numbers, for each of its 8,192 "
        "tokens. It learned them by predicting the next token in reviews of films. "
        "We compare two vectors by their cosine: it is near 1 if their numbers go "
        "up and down together, and near 0 if they have nothing to do with each "
        "other.",
        question="Which word\u2019s vector is closer to that of \u201cterrible\u201d: "
        "\u201cfantastic\u201d or \u201cbad\u201d?",
        answers=(
            "\u201cfantastic\u201d",
            "\u201cbad\u201d",
            "both are equally close",
        ),
        sentence="Tokens that are used alike get similar vectors, and a second vector says at "
        "which position a token stands.",
        code="explain.vectors:nearest",
        test="tests/explain/test_vectors.py::test_nearest_worked_by_hand",
        caveat="Near means used in the same contexts, not meaning the same. The model also "
        "uses this table at its end, to turn its last vector into logits, so the "
        "table had two jobs to learn.",
    ),
    "attention": Lesson(
        title="Attention",
        minutes=4,
        before="The model has six layers of four attention heads. In each head, every "
        "token makes a query (what it looks for), a key (what it can be found by) "
        "and a value (what it hands over), 64 numbers each. A token spreads a total "
        "weight of 1 over itself and the tokens before it, more to those whose keys "
        "fit its query, and collects their values with these weights.",
        question="The text is \u201cThe actress was very good and\u201d. The next word may be "
        "\u201cshe\u201d. Where does head 2 of layer 6 look from the last token, "
        "\u201cand\u201d?",
        answers=(
            "mostly at \u201cgood\u201d, the word before",
            "mostly at \u201cactress\u201d",
            "equally at all words",
            "ahead, at the next word",
        ),
        sentence="A token looks back at the tokens whose keys fit its query, and adds up their "
        "values.",
        code="explain.gpt2:attend",
        test="tests/explain/test_gpt2.py::test_attention_worked_by_hand",
        caveat="This head was chosen because its job is easy to see; most heads here spread their "
        "weight widely. What a head looks at does not tell what it is good for: the next "
        "lesson switches heads off.",
    ),
    "heads_off": Lesson(
        title="Switch a head off",
        minutes=3,
        before="In the lesson on attention, head 2 of layer 6 looked from \u201cand\u201d "
        "back at \u201cactress\u201d. Switching a head off means that what it "
        "collected is left out: everything else in the model stays as it is. "
        "Nothing is trained again.",
        question="The text is \u201cThe actress was very good and\u201d. We switch off only this "
        "head, one of 24. What happens to the probability that the next word is "
        "\u201cshe\u201d?",
        answers=(
            "it stays about the same: 23 heads are left",
            "it falls by up to two thirds",
            "it falls to less than a third",
            "it rises",
        ),
        sentence="To see what a part does, leave it out and compare: without one head the "
        "loss hardly changes, but a few heads do a job of their own.",
        code="explain.gpt2:forward",
        test="tests/explain/test_gpt2.py::"
        "test_a_head_that_is_off_equals_zeros_in_its_place_in_transformers",
        caveat="In training, the model never met a head that collects nothing. What breaks "
        "then is not always what the head does, and if a head is not missed, other "
        "heads may be doing the same job.",
    ),
    "layers": Lesson(
        title="Layer by layer",
        minutes=4,
        before="For each token the model keeps a vector of 256 numbers, the running sum. Each of "
        "its six layers adds to it twice: first what attention collected from other tokens, then "
        "what a feed-forward part makes of this one vector. The output layer reads the last sum. "
        "We let it read the earlier sums, too.",
        question="The text is \u201cIt was a waste of my\u201d. In the end, the base model "
        "puts one word first. After which layer is that word already first?",
        answers=(
            "at the input, before any layer",
            "after layer 1 or 2",
            "after layer 3 or 4",
            "only after layer 5 or 6",
        ),
        sentence="Attention brings information to a token, the feed-forward part works on it, and "
        "both only add to the sum that the output layer reads.",
        code="explain.gpt2:read_out",
        test="tests/explain/test_gpt2.py::test_the_last_sum_reads_as_the_output",
        caveat="Only the last sum was trained to be read by the output layer. A word that does not "
        "show in an early reading may still be there in another form.",
    ),
    "loss": Lesson(
        title="What it was trained for",
        minutes=3,
        before="The surprise at a token is minus the logarithm of the probability that the "
        "model gave it, in nats: 0 for probability 1, 0.7 for 1/2, 2.3 for 1/10, "
        "6.9 for 1/1000. A model that gives all 8,192 tokens the same probability "
        "has a surprise of 9.01 at every token. The mean over a text is the loss. "
        "The base was trained to lower it on reviews of films.",
        question="Which of these four texts surprises the base most, per token?",
        answers=(
            "a plain sentence about a film",
            "the words of that sentence in another order",
            "a sentence about photosynthesis",
            "a sentence about the stock market",
        ),
        sentence="The base was only ever trained to be less surprised by the next token; what it "
        "knows of films and of grammar came with that.",
        code="explain.surprise:surprises",
        test="tests/explain/test_surprise.py::test_mean_equals_the_loss_of_transformers",
        caveat="A low loss says that a text is like those of the training, not that it is true or "
        "good. Losses can be compared only between models with the same tokens.",
    ),
    "votes": Lesson(
        title="From votes to a score",
        minutes=3,
        before="A reward model gives each text a score. It predicts that text A wins "
        "against B with probability sigmoid(score A \u2212 score B): 50% for a "
        "difference of 0, 73% for 1, 95% for 3. Training raises the winner\u2019s "
        "score and lowers the loser\u2019s, so that the choices which people made "
        "become likely. Here we keep the base as it is and learn only 256 weights, "
        "one for each number of its last vector. They form a scoring head. It "
        "learns from eight choices of a simulated voter, the program star-rater.",
        question="We test the head on 40 other pairs. Tossing a coin gets 20 right on "
        "average. How many does the head get right?",
        answers=("23 or fewer", "24 to 30", "31 or more"),
        sentence="Training looks for the scores under which the votes were most likely. A few "
        "votes go far here, because the base\u2019s vectors already tell praise from complaint.",
        code="explain.vote_head:fit_head",
        test="tests/explain/test_vote_head.py::test_one_vote_worked_by_hand",
        caveat="The eight pairs differ clearly: eight pairs drawn at random gave 27 to 35 "
        "right in nine of ten draws. The voter is a program built on the same base "
        "as the head, and never contradicts itself as people do.",
    ),
    "reward_head": Lesson(
        title="Fool the reward model",
        minutes=4,
        before="The reward model reads a text with the base\u2019s six layers, slightly "
        "corrected. Where the base computes a logit for every token, the reward model computes "
        "one number, the score. The base\u2019s own texts score 0 on average, with a standard "
        "deviation of 1; a better text should score higher.",
        question="What does it make of \u201cThe acting was not terrible.\u201d?",
        answers=(
            "a score above 0: not terrible is mild praise",
            "about 0",
            "below 0, but above \u201cThe acting was terrible.\u201d",
            "as low as \u201cThe acting was terrible.\u201d, or lower",
        ),
        sentence="The score is a guess by a network that learned which texts won, and PPO "
        "looks for texts with a high score, whether they deserve it or not.",
        code="explain.gpt2:read_out",
        test="tests/explain/test_gpt2.py::test_the_last_sum_reads_as_the_output",
        caveat="The colours show the score if the text ended at that token; they do not show what "
        "caused it. No early layer was trained to be read by the scoring head, so a small number "
        "there does not mean that the layer knows nothing.",
    ),
    "word_scores": Lesson(
        title="Why running scores mislead",
        minutes=3,
        core=False,
        before="We want to know what each word adds to a text\u2019s score. The running score is "
        "the score of the text up to a word; we take how far the word changes it. Or we leave the "
        "word out of the whole text. Or we remove all words and put them back in many different "
        "orders, and average the change (the Shapley value).",
        question="The text is \u201cI expected a terrible film and I loved it.\u201d Which of the "
        "three ways say that \u201cloved\u201d raises the score?",
        answers=(
            "all three",
            "none",
            "leaving it out and the Shapley value, but not the running score",
            "another combination",
        ),
        sentence="A reward model has learned from finished texts, so the score of an unfinished "
        "text says little about the word that it ends with.",
        code="explain.token_scores:shapley_values",
        test="tests/explain/test_token_scores.py::"
        "test_negation_gets_the_blame_that_running_scores_do_not_give_it",
        caveat="Texts with missing words are unusual for the reward model too. Shapley values add "
        "up to the score, but they say how this model scores, not what a reader would mind.",
    ),
    "agent": Lesson(
        title="You are the agent",
        minutes=2,
        core=False,
        before="In reinforcement learning, an agent chooses one action after another, and is told "
        "by a reward how well it did. Here an action is the next token, and the score of the text "
        "comes only after the last one.",
        question="A player chooses six tokens, each out of the base\u2019s five most likely: it "
        "asks the reward model to score the text so far with each of the five, and takes the "
        "best. The PPO model takes its own most likely token each time. Who ends with the higher "
        "score, on average over three prompts?",
        answers=(
            "the player, who sees the score at every step",
            "the PPO model, which never sees it while it writes",
            "they end about equal, within 0.05",
        ),
        sentence="The score comes at the end, so the agent has to learn which early tokens "
        "lead to a good end.",
        code="objectives.rewards:token_rewards",
        test="tests/objectives/test_rewards.py::"
        "test_token_rewards_put_the_score_on_the_last_real_token",
        caveat="Three prompts, with six tokens each, are few, and the PPO model may choose among "
        "all tokens, the player among five. The agent\u2019s world is only the text and the reward "
        "model: nobody reads the text.",
    ),
    "leash": Lesson(
        title="What the KL penalty is for",
        minutes=4,
        before="PPO trains the model to write texts that the reward model scores high. "
        "That score is a proxy: it stands in for what people like. PPO also pays a "
        "price: beta, the KL coefficient, times the KL divergence, which says, in nats, how far "
        "the model\u2019s probabilities have moved from the base\u2019s (0 if they are the "
        "same). Here beta is 0: moving costs nothing. A simulated judge, which PPO never "
        "sees, scores the same texts for praise and for good writing.",
        question="The reward model\u2019s score rises to the end of training. What does the "
        "judge\u2019s score do?",
        answers=(
            "it rises with the reward model\u2019s score to the end",
            "it rises, then falls",
            "it falls from the first steps on",
        ),
        sentence="The KL penalty keeps the model near the texts from which the reward model "
        "learned, where its score can still be trusted.",
        code="explain.optimum:optimum",
        test="tests/explain/test_optimum.py::test_no_other_policy_has_a_higher_objective",
        caveat="The judge is simulated too, and another judge\u2019s score would peak "
        "elsewhere: star-rater, which only looks for praise, calls these broken "
        "texts better than the base\u2019s almost every time. Only people can say "
        "what is better.",
    ),
    "ppo_step": Lesson(
        title="Inside a step of PPO",
        minutes=6,
        before="In a step of PPO, the model writes 64 texts, the reward model scores them, "
        "and the weights change a little. In the first step of a run, the model "
        "wrote \u201ca complete mess.\u201d after \u201cThis thriller is\u201d, and "
        "the reward model scored it \u22121.8, far below the base\u2019s mean of 0. "
        "PPO gives the score to the last token. A second output of the model, the value "
        "head, predicts at each token how the rest of the text will turn out. The advantage "
        "of a token is how much better it turned out than predicted. PPO makes a token with "
        "a positive advantage more likely, and one with a negative advantage less "
        "likely. Once a step has made a token less than 0.80 or more than 1.20 "
        "times as likely, the clip stops PPO from pushing it further that way.",
        question="Which tokens get a negative advantage?",
        answers=(
            "only the last one, which gets the score",
            "only \u201cmess\u201d, the word to blame",
            "all of them",
            "some others",
        ),
        sentence="PPO does not know which word earned the score: it hands the score back to the "
        "tokens before, a little less to each, and its clip ends the push on a token that has "
        "already moved far enough.",
        code="objectives.advantages:gae",
        test="tests/objectives/test_advantages.py::test_gae_worked_by_hand_for_two_lengths",
        caveat="\u201cTimes as likely\u201d is measured after all updates of the step, but "
        "the clip acts on those in between. The advantages are compared with those "
        "of all 64 responses of the step, of which the run kept eight.",
    ),
    "changed": Lesson(
        title="What PPO changed",
        minutes=3,
        before="PPO here adds a small correction to every matrix (a table of weights) of "
        "every layer. We can give the base the correction of one layer and leave "
        "out the rest. The KL divergence, in nats, says how far that moves the "
        "probabilities of the next token; it is 0 if they stay the same.",
        question="Which layer\u2019s correction alone moves the next token most, and did its "
        "weights also change most, compared with their size?",
        answers=(
            "an early layer (1 to 3), and its weights changed most",
            "an early layer, but another layer\u2019s weights changed more",
            "a late layer (4 to 6), and its weights changed most",
            "a late layer, but another layer\u2019s weights changed more, or as much",
        ),
        sentence="Nearly equal changes of weights can have very unequal effects, and the "
        "effects of single layers do not add up to the effect of all.",
        code="explain.gpt2:with_changes",
        test="tests/explain/test_gpt2.py::"
        "test_changes_in_all_layers_make_the_tuned_network_and_in_none_the_base",
        caveat="Layers work on each other\u2019s results. What one layer does alone is neither its "
        "share of the whole nor what would be missing without it, so there is no single answer to "
        "where PPO\u2019s change happens.",
    ),
    "alternatives": Lesson(
        title="Without PPO?",
        minutes=4,
        before="Six methods use the same 1,241 pairs and the same base. RLOO and GRPO "
        "train like PPO, without a value head. DPO learns from the pairs without a "
        "reward model. Supervised fine-tuning (SFT) imitates the preferred texts. "
        "Best-of-N trains nothing: the base writes N responses, and the reward "
        "model chooses one. A simulated judge of sentiment and writing compared "
        "their texts with the base\u2019s, at several distances from the base.",
        question="Compare the methods at a KL of 2 nats from the base. Whose texts win most "
        "often against the base\u2019s?",
        answers=(
            "PPO\u2019s",
            "those of RLOO or GRPO",
            "those of DPO or SFT",
            "those of best-of-N",
            "no method wins clearly more often than another",
        ),
        sentence="Near the base the trained methods are hard to tell apart; they differ in what "
        "they need, and in what an answer costs.",
        code="evaluation.frontier:meeting",
        test="tests/evaluation/test_frontier.py::test_pairs_at_a_level_are_corrected_for_their_number",
        caveat="The record is of one small base, one set of pairs and few seeds "
        "(repetitions with other random numbers). Each answer of best-of-N costs N "
        "texts, and its KL is an upper bound: the true one may be smaller.",
    ),
    "uses": Lesson(
        title="Whose taste, and what for?",
        minutes=3,
        core=False,
        before="RLHF, reinforcement learning from human feedback, is the whole of this "
        "page: votes, a reward model, PPO. A reward model is tested on votes that "
        "were not used to train it. Voters make mistakes, so some of the votes in "
        "the test are wrong, too, not only some of those in training.",
        question="Each of two students answers 20% of the pairs wrong, by chance. They answer the "
        "same pairs. On what share of the pairs do they agree?",
        answers=("96%", "80%", "68%", "60%"),
        sentence="Wrong votes limit how well any reward model can do in a test, and the votes of "
        "some people are not the taste of all.",
        code="explain.noise:agreement",
        test="tests/explain/test_noise.py::test_two_voters_by_hand",
        caveat="Real voters do not err by chance alone: they disagree about taste, and share "
        "mistakes. None of the uses listed above is tested on this page.",
    ),
}
"""Id of each lesson, in the order of the course: the name of its module in `lessons/`."""
