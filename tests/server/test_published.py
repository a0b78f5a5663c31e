"""A run that is pushed to the Hub and pulled: the same bits, loaded by plain libraries."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from rlhf_demo.errors import CheckpointError, HubError, JobError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.hub.repositories import open_hub, upload
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from rlhf_demo.runs.run import Run
from rlhf_demo.server.published import pull_run, push_run
from tests.fake_hub import OWNER, Repository
from tests.finished import finished

NAME = f"{OWNER}/happy"
CPU = torch.device("cpu")


def trained_policy(folder):
    """The shipped base with an adapter and a value head of random numbers."""
    torch.manual_seed(3)
    policy = load_policy("gpt2-mini", device=CPU, for_training=True, lora_rank=2, value_head=True)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    policy.save(folder)


def trained_reward(folder, base="gpt2-mini"):
    """A base with an adapter and a scoring head of random numbers."""
    torch.manual_seed(4)
    model, tokenizer = new_reward_model(base, lora_rank=2, device=CPU)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_policy_comes_back_to_the_last_bit_and_plain_transformers_loads_it(hub, tmp_path):
    private = tmp_path / "home" / "someone" / "data.jsonl"
    run = finished(
        tmp_path / "ppo-1", "ppo", trained_policy, policy="gpt2-mini", reward="reward-mini",
        prompts=str(private), temperature=0.7, max_new_tokens=32,
    )  # fmt: skip
    write_json(run.folder / "job.json", {"title": "Happy | films", "owner": "a hash of a secret"})
    assert push_run(run.folder, NAME, private=True).endswith(NAME)
    pushed = hub[f"models/{NAME}"]
    assert pushed.private
    everything = b"".join(data for file, data in pushed.files.items() if "safetensors" not in file)
    for secret in (str(tmp_path), "what a person wrote", "a hash of a secret"):
        assert secret.encode() not in everything

    runs = tmp_path / "elsewhere"
    assert pull_run(NAME, runs) == "ppo-happy"
    pulled = runs / "ppo-happy"
    mine, back = load_policy(str(run.folder), device=CPU), load_policy(str(pulled), device=CPU)
    assert equal(mine, back) and back.value_head is not None
    for file in (pulled / "model").iterdir():
        assert file.read_bytes() == pushed.files[file.name]
    plain = AutoModelForCausalLM.from_pretrained(pulled / "model")
    assert equal(plain, mine.lm)
    tokenizer = AutoTokenizer.from_pretrained(pulled / "model")
    inputs = tokenizer("I watched this film and", return_tensors="pt")
    head = load_file(pulled / "model" / "value_head.safetensors")
    hidden = plain.base_model(**inputs).last_hidden_state
    ours = mine.values(mine.hidden(inputs["input_ids"], inputs["attention_mask"])[0])
    assert torch.allclose((hidden @ head["weight"].T + head["bias"])[..., 0], ours, atol=1e-4)

    assert pulled.stat().st_mode & 0o777 == 0o700  # other accounts of this machine stay out
    assert Run(pulled).status["status"] == "finished"
    assert Run(pulled).read("metrics") == run.read("metrics")
    assert read_json(pulled / "job.json")["title"] == "Happy | films"
    card = pushed.files["README.md"].decode()
    for words in (
        "license: apache-2.0", "library_name: transformers", "# Happy | films",
        f'AutoModelForCausalLM.from_pretrained("{NAME}")', "1.2 | 1.1 to 1.3", "`data.jsonl`",
        "held out of training", "| 20 | 2 | 4 |", "simulated rater", "value_head.safetensors",
        f"pull-model {NAME}",
    ):  # fmt: skip
        assert words in card, words
    with pytest.raises(JobError, match="exists already: delete that run first"):
        pull_run(NAME, runs)


def test_path_that_looks_like_a_name_of_the_hub_stays_here(hub, tmp_path, tiny_model_folder):
    """A run keeps paths as they were typed, from whatever folder that was."""
    hub.repositories["datasets/a/prompts"] = Repository()
    run = finished(
        tmp_path / "sft-1", "sft", load_policy(str(tiny_model_folder), device=CPU).save,
        policy="anna-smith/base", data="anna-smith/pairs.jsonl", prompts="a/prompts",
    )  # fmt: skip
    push_run(run.folder, NAME)
    pushed = hub[f"models/{NAME}"].files
    assert not [file for file, data in pushed.items() if b"anna-smith" in data]
    options = {"policy": "base", "data": "pairs.jsonl", "prompts": "a/prompts"}
    assert json.loads(pushed["run/config.json"])["options"] == options


def test_run_with_the_id_of_a_shipped_example_is_refused(hub, tmp_path):
    named = f"{OWNER}/quick"
    run = finished(
        tmp_path / "ppo-1", "ppo", trained_policy, policy="gpt2-mini", reward="reward-mini"
    )
    push_run(run.folder, named)
    with pytest.raises(JobError, match="ppo-quick is the id of a shipped example: rename"):
        pull_run(named, tmp_path / "runs")
    assert not (tmp_path / "runs" / "ppo-quick").exists()


def test_reward_model_comes_back_with_its_head(hub, tmp_path):
    run = finished(
        tmp_path / "reward-1", "reward", trained_reward, model="gpt2-mini", data="shipped"
    )
    push_run(run.folder, NAME)
    assert pull_run(NAME, tmp_path / "runs") == "reward-happy"
    pulled = tmp_path / "runs" / "reward-happy"
    mine = load_reward_model(str(run.folder), device=CPU)
    back = load_reward_model(str(pulled), device=CPU)
    assert equal(mine.model, back.model)
    plain = AutoModelForSequenceClassification.from_pretrained(pulled / "model").eval()
    assert equal(plain, mine.model) and plain.config.id2label == {0: "score"}
    text = "I watched this film and it was good."
    inputs = AutoTokenizer.from_pretrained(pulled / "model")(text, return_tensors="pt")
    assert torch.allclose(plain(**inputs).logits[0], mine.score_texts([text]), atol=1e-4)
    assert "2,500 pairs of sampled texts" in hub[f"models/{NAME}"].files["README.md"].decode()


PLAIN_PEFT = """
import sys, torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
torch.save(model.merge_and_unload().state_dict(), sys.argv[3])
scorer = AutoPeftModelForSequenceClassification.from_pretrained(sys.argv[2], num_labels=1).eval()
inputs = AutoTokenizer.from_pretrained(sys.argv[2])("It was good.", return_tensors="pt")
print(scorer(**inputs).logits.item())
"""


def test_adapter_on_a_base_of_the_hub_stays_one_and_plain_peft_loads_it(
    hub, tmp_path, tiny_model_folder
):
    base = tmp_path / "cache" / "models--some-one--tiny" / "snapshots" / "1"
    base.mkdir(parents=True)
    for file in tiny_model_folder.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    files = {file.name: file.read_bytes() for file in base.iterdir()}
    hub.repositories[f"models/{OWNER}/tiny"] = Repository(files=files)
    hub[f"models/{OWNER}/tiny"].card = {"license": "mit"}

    def save(folder):
        load_policy(str(base), device=CPU, for_training=True, lora_rank=2).save(folder)

    run = finished(tmp_path / "sft-1", "sft", save, policy=f"{OWNER}/tiny")
    push_run(run.folder, NAME)
    reward = finished(
        tmp_path / "reward-1", "reward", lambda folder: trained_reward(folder, str(base)),
        model=f"{OWNER}/tiny",
    )  # fmt: skip
    push_run(reward.folder, f"{OWNER}/scorer")
    pushed = hub[f"models/{NAME}"].files
    weights = "adapter_model.safetensors"
    assert pushed[weights] == (run.model_folder / weights).read_bytes()
    assert json.loads(pushed["adapter_config.json"])["base_model_name_or_path"] == f"{OWNER}/tiny"
    card = pushed["README.md"].decode()
    assert "license: mit" in card and f"base_model: {OWNER}/tiny" in card
    assert f'AutoPeftModelForCausalLM.from_pretrained("{NAME}")' in card
    result = subprocess.run(
        [sys.executable, "-c", PLAIN_PEFT, NAME, f"{OWNER}/scorer", tmp_path / "plain.pt"],
        env=os.environ | hub.environment(tmp_path / "home"), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    plain = torch.load(tmp_path / "plain.pt", weights_only=True)
    mine = load_policy(str(run.folder), device=CPU).lm.state_dict()
    assert all(torch.equal(plain[name], mine[name]) for name in mine)
    scorer = load_reward_model(str(reward.folder), device=CPU)
    assert abs(float(result.stdout) - float(scorer.score_texts(["It was good."])[0])) < 1e-4


def test_run_that_has_not_finished_or_has_no_model_is_refused_before_the_hub_is_asked(
    hub, tmp_path
):
    run = Run.create(tmp_path / "run", "ppo", {})
    with pytest.raises(JobError, match="run is queued: only a finished run can be pushed"):
        push_run(run.folder, NAME)
    with run.recording():
        pass
    with pytest.raises(JobError, match="run holds no model: choose a run that has trained one"):
        push_run(run.folder, NAME)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "bring"),
    [("reward_scale.json", "symlink_to"), ("reward_scale.json", "hardlink_to"),
     ("report.json", "symlink_to"), ("model/merges.txt", "symlink_to"),
     ("model/merges.txt", "hardlink_to"), ("model", "symlink_to")],
)  # fmt: skip
def test_run_with_a_link_is_refused_before_what_it_leads_to_is_published(
    hub, tmp_path, tiny_model_folder, name, bring
):
    """An archive keeps links: tar makes one of `.ssh/id_rsa` where it is unpacked in a home."""
    secret = tmp_path / "id_rsa"
    secret.write_text('{"auths": "what nobody else may read"}')
    run = finished(tmp_path / "sft-1", "sft", load_policy(str(tiny_model_folder), device=CPU).save)
    if name == "model":
        run.model_folder.rename(secret := tmp_path / "private")
    (run.folder / name).unlink(missing_ok=True)
    getattr(run.folder / name, bring)(secret)
    name = name.rpartition("/")[2]
    with pytest.raises(JobError, match=f"sft-1 holds the link '{name}': put a copy of the file"):
        push_run(run.folder, NAME)
    assert hub.asked == []


def test_weights_of_a_model_of_this_machine_are_published_only_if_told_so(
    hub, tmp_path, tiny_model_folder
):
    """A run from someone else may name any model as the base of its adapter."""

    def save(folder):
        load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=2).save(folder)

    run = finished(tmp_path / "sft-1", "sft", save)
    with pytest.raises(JobError, match="that model's weights too: add --with-base to publish"):
        push_run(run.folder, NAME)
    assert hub.asked == []
    push_run(run.folder, NAME, with_base=True)
    assert "model.safetensors" in hub[f"models/{NAME}"].files


def test_repository_of_another_kind_is_no_run(hub, tmp_path):
    hub.repositories[f"models/{NAME}"] = Repository(files={"config.json": b"{}"})
    with pytest.raises(HubError, match="holds no run: where a model is asked for, name it by"):
        pull_run(NAME, tmp_path)
    hub[f"models/{NAME}"].files |= {"run/config.json": b" " * (10**6 + 1)}
    with pytest.raises(HubError, match=r"run/config.json has 1,000,001 bytes"):
        pull_run(NAME, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name != "hub-cache"]


def test_only_files_of_a_run_are_fetched_whatever_others_are_called(
    hub, tmp_path, tiny_model_folder
):
    """`*.safetensors` is a name on the Hub, and would be a pattern for all files below."""
    run = finished(tmp_path / "sft-1", "sft", load_policy(str(tiny_model_folder), device=CPU).save)
    push_run(run.folder, NAME)
    pushed = hub[f"models/{NAME}"].files
    model = {file for file in pushed if "/" not in file}
    pushed |= dict.fromkeys(("*.safetensors", "deep/a.safetensors", "more.safetensors"), b"large")
    hub.asked.clear()
    pull_run(NAME, tmp_path / "runs")
    asked = [file for file in hub.asked if "/resolve/" in file]
    assert not [file for file in asked if "*" in file or "deep" in file or "more" in file]
    assert set(os.listdir(tmp_path / "runs" / "sft-happy" / "model")) == model


def test_commit_that_was_checked_is_the_one_that_is_fetched(
    hub, tmp_path, tiny_model_folder, monkeypatch
):
    """Its owner commits other files between any two requests."""
    run = finished(tmp_path / "sft-1", "sft", load_policy(str(tiny_model_folder), device=CPU).save)
    push_run(run.folder, NAME)
    pushed = hub[f"models/{NAME}"]
    checked = dict(pushed.files)
    hub.after_each_answer = lambda: pushed.commit(
        checked | {"run/config.json": b" " * 10**7, "model.safetensors": bytes(10**7)}, "Switch"
    )
    pull_run(NAME, tmp_path / "runs")
    pulled = tmp_path / "runs" / "sft-happy"
    for file in (pulled / "model").iterdir():
        assert file.read_bytes() == checked[file.name]


def test_model_of_another_kind_than_its_record_says_leaves_nothing(
    hub, tmp_path, tiny_model_folder
):
    made = tmp_path / "made"
    load_policy(str(tiny_model_folder), device=CPU).save(made)
    hub.repositories[f"models/{NAME}"] = Repository()
    config = {"kind": "reward", "options": {}, "created_at": "2026-01-31T09:00:00Z"}
    (made / "run").mkdir()
    write_json(made / "run" / "config.json", config)
    upload(open_hub(), NAME, "model", made, "Push")
    runs = tmp_path / "runs"
    runs.mkdir()
    with pytest.raises(CheckpointError, match="not of the kind that its record says"):
        pull_run(NAME, runs)
    assert list(runs.iterdir()) == []
