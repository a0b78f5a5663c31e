"""What a measurement says of a policy, worked out again from the texts that it kept."""

import pytest
import torch

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run
from rlhf_demo.train.policy_measure import PolicyMeasure
from tests.stepping import checksum, checksum_of, longer

CPU = torch.device("cpu")


@pytest.fixture
def measure(tiny_model_folder, prompts_file, tmp_path):
    def make(scorer=longer, judge=checksum):
        config = DPOConfig(
            policy=str(tiny_model_folder), prompts=str(prompts_file), max_new_tokens=8
        )
        run = Run.create(tmp_path / "run", "dpo", config.to_dict())
        policy = load_policy(config.policy, device=CPU, for_training=True)
        return PolicyMeasure(config, run, policy, scorer, judge, torch.float32)

    return make


def test_score_is_in_deviations_of_the_bases_scores(measure):
    one = measure()
    row = one.row(3)
    scale = read_json(one.run.folder / "reward_scale.json")["reward"]
    kept = one.run.read("samples")
    raw = [len(text["response"]) / 10 for text in kept]
    assert [text["score"] for text in kept] == pytest.approx(raw)
    assert len(one.prompts) == len(kept)  # so that the mean can be worked out from these
    mean = sum((score - scale["mean"]) / scale["std"] for score in raw) / len(raw)
    assert row["objective/score"] == pytest.approx(mean, abs=1e-5)
    assert row["response/length"] == sum(len(text["token"]) for text in kept) / len(kept)


def test_judge_reads_the_same_texts(measure):
    one = measure(judge=checksum)
    row = one.row(1)
    scale = read_json(one.run.folder / "reward_scale.json")["judge"]
    judged = [checksum_of(text["prompt"], text["response"]) for text in one.run.read("samples")]
    mean = sum((score - scale["mean"]) / scale["std"] for score in judged) / len(judged)
    assert row["judge/score"] == pytest.approx(mean, abs=1e-5)


def test_without_a_judge_nothing_is_said_of_one(measure):
    assert not any(name.startswith("judge/") for name in measure(judge=None).row(0))


def test_untrained_policy_has_no_kl_and_a_moved_one_has(measure):
    one = measure()
    assert one.row(0)["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        one.policy.lm.transformer.h[0].mlp.c_proj.weight *= -20
    row = one.row(1)
    by_hand = [sum(text["kl"]) for text in one.run.read("samples") if text["step"] == 1]
    assert row["objective/kl"] == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-3)
    assert row["objective/kl"] > 0.1


def test_report_reads_held_out_prompts(measure, prompts_file):
    one = measure()
    one.write_report(one.run.folder / "report.json")
    report = read_json(one.run.folder / "report.json")
    held_out = load_prompts(str(prompts_file), "heldout")
    assert report["held_out"] == (held_out != one.trained)
    assert report["prompts"] == len(held_out)


def test_score_that_is_not_finite_ends_the_run(measure):
    scores = [longer]
    one = measure(scorer=lambda prompts, responses: scores[0](prompts, responses))
    scores[0] = lambda prompts, responses: torch.full((len(responses),), torch.nan)
    with pytest.raises(TrainingDiverged, match="step 5: objective/score became nan"):
        one.row(5)
