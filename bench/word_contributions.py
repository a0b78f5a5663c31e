"""Which method of dividing a text's score among its words is right about the words?

    python -m bench.word_contributions [--scorer reward-mini]

Each sentence below has words with an opposite. The worth of a word is known without any method: the
score of the sentence minus the score of the sentence with the opposite instead. A good method gives
each word a contribution of that sign, and larger contributions to words that are worth more. One
thread, so that the seconds are comparable; float32, as on the page.
"""

import argparse
import time

import numpy as np
import torch

from rlhf_demo.explain.token_scores import word_contributions
from rlhf_demo.models.reward_model import RewardModel, load_reward_model

SENTENCES = (
    ("This film is not a masterpiece, but I loved every minute of it.", {"loved": "hated"}),
    ("The acting was good and the ending was weak.", {"good": "bad", "weak": "strong"}),
    ("I found the plot boring from start to finish.", {"boring": "exciting"}),
    ("A wonderful cast in a terrible script.", {"wonderful": "dreadful", "terrible": "brilliant"}),
    ("My sister thought it was the best movie of the year.", {"best": "worst"}),
    ("The jokes are funny but the music is awful.", {"funny": "stupid", "awful": "beautiful"}),
    ("We left the cinema happy.", {"happy": "disappointed"}),
    ("It starts slow, yet the second half is great.", {"great": "poor"}),
    ("Sadly the direction is dull and the dialogue is bad.", {"dull": "superb", "bad": "good"}),
    ("I would recommend this to everyone who likes drama.", {"recommend": "forbid"}),
    (
        "An excellent thriller with a perfect final scene.",
        {"excellent": "awful", "perfect": "lame"},
    ),
    ("The worst thing about it is the lead actor.", {"worst": "best"}),
    ("It is a waste of time and money.", {"waste": "treasure"}),
    (
        "He gives a brilliant performance in a poor film.",
        {"brilliant": "terrible", "poor": "great"},
    ),
    ("I hate the way this story ends.", {"hate": "love"}),
    ("The effects look cheap and the story is silly.", {"cheap": "amazing", "silly": "clever"}),
    ("Nobody should miss this charming comedy.", {"charming": "annoying"}),
    ("It was a pleasure to see her again.", {"pleasure": "pain"}),
    ("The first hour is strong but the last hour is weak.", {"strong": "poor", "weak": "perfect"}),
    ("What a disaster!", {"disaster": "triumph"}),
    ("The children enjoyed the animals and the songs.", {"enjoyed": "disliked"}),
    ("A stupid film with stunning pictures.", {"stupid": "smart", "stunning": "ugly"}),
    ("After ten minutes I was completely bored.", {"bored": "thrilled"}),
    ("This is a touching story, told with great care.", {"touching": "pointless", "great": "no"}),
    ("They made a bad book into a good film.", {"bad": "great", "good": "bad"}),
    ("The script is lazy, the camera is brilliant.", {"lazy": "fine", "brilliant": "horrible"}),
    ("You will laugh from the first scene.", {"laugh": "yawn"}),
    ("I was disappointed by the famous director.", {"disappointed": "delighted"}),
    ("The villain is excellent and the hero is wooden.", {"excellent": "poor", "wooden": "great"}),
    ("Avoid this film.", {"Avoid": "See"}),
)
METHODS = ("running scores", "without the word", "Shapley value")


def main() -> None:
    """Print the table of methods."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scorer", default="reward-mini")
    torch.set_num_threads(1)
    scorer = load_reward_model(parser.parse_args().scorer, device=torch.device("cpu"))
    scorer.score_texts([sentence for sentence, _ in SENTENCES])  # the first reading is slower
    truth, contributions, seconds = [], [], []
    for sentence, opposites in SENTENCES:
        started = time.perf_counter()
        rows = contributions_by_method(scorer, sentence)
        seconds.append(time.perf_counter() - started)
        for word, opposite in opposites.items():
            truth.append(worth(scorer, sentence, word, opposite))
            contributions.append(rows[word])
            listed = "  ".join(f"{value:+6.2f}" for value in rows[word])
            print(f"{word:12} {truth[-1]:+6.2f}  {listed}")
    print(f"\n{len(truth)} words in {len(SENTENCES)} sentences")
    for method, values in zip(METHODS, np.array(contributions).T, strict=True):
        right = int((np.sign(values) == np.sign(truth)).sum())
        pearson = np.corrcoef(values, truth)[0, 1]
        print(f"{method:18} sign right {right:2}/{len(truth)}  Pearson {pearson:.2f}")
    print(f"seconds a sentence: mean {np.mean(seconds):.2f}, most {max(seconds):.2f}")


def worth(scorer: RewardModel, sentence: str, word: str, opposite: str) -> float:
    """Return how much the score falls when the opposite replaces the word."""
    assert sentence.count(word) == 1, (sentence, word)
    as_is, swapped = scorer.score_texts([sentence, sentence.replace(word, opposite)]).tolist()
    return as_is - swapped


def contributions_by_method(scorer: RewardModel, sentence: str) -> dict[str, tuple[float, ...]]:
    """Return for each word, without its punctuation, its contribution by each of METHODS."""
    result = word_contributions(scorer, sentence)
    before, rows = result["empty"], {}
    for word in result["words"]:
        rows[word["piece"].strip(" .,!")] = (
            word["score_if_ended"] - before,
            result["score"] - word["without"],
            word["contribution"],
        )
        before = word["score_if_ended"]
    return rows


if __name__ == "__main__":
    main()
