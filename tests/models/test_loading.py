"""Networks that do not load from a folder: each is refused in one sentence."""

import json
import os
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models import loading
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from tests.tiny import save_tiny_classifier
from tests.unpadded import copy_of

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory, tiny_model_folder):
    return save_tiny_classifier(tmp_path_factory.mktemp("classifiers") / "one", tiny_model_folder)


def one_sentence(error):
    return len(str(error.value).splitlines()) == 1


def test_truncated_weights_are_named_in_one_sentence(tiny_model_folder, tmp_path):
    broken = copy_of(tiny_model_folder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="broken cannot be loaded") as error:
        load_policy(str(broken), device=CPU)
    assert one_sentence(error)


def test_weights_of_other_sizes_are_named_in_one_sentence(tiny_model_folder, tmp_path):
    broken = copy_of(tiny_model_folder, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"n_embd": 48}))
    with pytest.raises(CheckpointError, match="broken cannot be loaded") as error:
        load_policy(str(broken), device=CPU)
    assert one_sentence(error)


def test_config_that_is_no_json_is_named_in_one_sentence(
    tiny_model_folder, classifier_folder, tmp_path
):
    for number, (folder, load) in enumerate(
        [(tiny_model_folder, load_policy), (classifier_folder, load_reward_model)]
    ):
        broken = copy_of(folder, tmp_path / f"broken{number}")
        (broken / "config.json").write_text('{"model_type": ')
        with pytest.raises(CheckpointError, match="broken") as error:
            load(str(broken), device=CPU)
        assert one_sentence(error)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "value_head.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_damaged_adapter_or_value_head_is_named_in_one_sentence(
    tiny_model_folder, tmp_path, file, content
):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / file).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be loaded") as error:
        load_policy(str(tmp_path / "model"), device=CPU)
    assert one_sentence(error)


def test_adapter_without_weights_is_named_in_one_sentence(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded") as error:
        load_policy(str(tmp_path / "model"), device=CPU)
    assert one_sentence(error)


def test_missing_tokenizer_is_named_in_one_sentence(tiny_model_folder, tmp_path):
    left_out = (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
    )
    bare = copy_of(tiny_model_folder, tmp_path / "bare", leave_out=left_out)
    with pytest.raises(CheckpointError, match="bare holds no usable tokenizer") as error:
        load_policy(str(bare), device=CPU)
    assert one_sentence(error)


def test_weights_that_are_a_pipe_are_refused_unopened(tiny_model_folder, tmp_path):
    """Opening one waits for a writer, and no other thread runs meanwhile."""
    given = copy_of(tiny_model_folder, tmp_path / "given", leave_out=["model.safetensors"])
    os.mkfifo(given / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"given .*it has no model\.safetensors") as error:
        load_policy(str(given), device=CPU)
    assert one_sentence(error)


@pytest.fixture(scope="session")
def opened():
    """Paths that Python opens; the hook stays until the process ends, hence the switch."""
    paths, on = [], [False]

    def note(event, values):
        if on[0] and event == "open":
            paths.append(str(values[0]))

    sys.addaudithook(note)
    on[0] = True
    yield paths
    on[0] = False


@pytest.mark.parametrize("with_adapter", [False, True])
def test_libraries_open_no_file_that_lies_beside_the_weights(
    tiny_model_folder, tmp_path, opened, with_adapter
):
    """transformers would read an index of any size, and unpickle the weights that it names."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    if with_adapter:
        policy = load_policy(str(given), device=CPU, for_training=True, lora_rank=4)
        policy.save(tmp_path / "model")
    for name in ("generation_config.json", "model.safetensors.index.json", "pytorch_model.bin"):
        (given / name).write_text(json.dumps({"weight_map": {"a": "../x.bin"}}))
    os.mkfifo(given / "zzz.safetensors")
    opened.clear()
    load_policy(str(tmp_path / "model" if with_adapter else given), device=CPU)
    inside = {path.split("/")[-1] for path in opened if path.startswith(str(tmp_path))}
    ours = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert "config.json" in inside and inside <= {*ours, "adapter_config.json"}


def test_model_in_several_files_loads_whole_and_needs_them_all(tiny_model_folder, tmp_path):
    parts = copy_of(tiny_model_folder, tmp_path / "parts", leave_out=["model.safetensors"])
    weights = load_file(tiny_model_folder / "model.safetensors")
    names = sorted(weights)
    for part, some in enumerate([names[:10], names[10:]], 1):
        save_file({name: weights[name] for name in some}, parts / f"model-{part}-of-2.safetensors")
    policy = load_policy(str(parts), device=CPU)
    loaded = policy.lm.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in names)
    (parts / "model-1-of-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match="parts cannot be loaded"):
        load_policy(str(parts), device=CPU)


@pytest.mark.parametrize("load", [load_policy, load_reward_model])
def test_pickled_weights_are_never_loaded(tiny_model_folder, classifier_folder, tmp_path, load):
    whole = tiny_model_folder if load is load_policy else classifier_folder
    pickled = copy_of(whole, tmp_path / "pickled", leave_out=("model.safetensors",))
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled cannot be loaded.*safetensors") as error:
        load(str(pickled), device=CPU)
    assert one_sentence(error)


def test_pickled_adapter_is_never_loaded(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "adapter_model.safetensors").unlink()
    torch.save({}, tmp_path / "model" / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"cannot be loaded.*safetensors"):
        load_policy(str(tmp_path / "model"), device=CPU)


def test_reward_adapter_is_no_policy(tiny_model_folder, tmp_path):
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=4, device=CPU)
    model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    with pytest.raises(CheckpointError, match=r"scores texts and cannot write"):
        load_policy(str(tmp_path / "reward"), device=CPU)


def test_classifier_is_no_policy(classifier_folder):
    with pytest.raises(CheckpointError, match=r"scores texts and cannot write"):
        load_policy(str(classifier_folder), device=CPU)


def test_policy_adapter_is_no_reward_model(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="has no classification head"):
        load_reward_model(str(tmp_path / "model"), device=CPU)


# -- what strangers send ---------------------------------------------------------------------------


@pytest.fixture
def adapter_folder(tiny_model_folder, tmp_path):
    policy = load_policy(str(tiny_model_folder), device=CPU, for_training=True, lora_rank=4)
    policy.save(tmp_path / "model")
    return tmp_path / "model"


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [{"target_modules": "([a-z0-9._]+)+!"}, {"exclude_modules": "([a-z0-9._]+)+!"},
     {"rank_pattern": {"([a-z0-9._]+)+!": 4}}, {"alpha_pattern": {"([a-z0-9._]+)+!": 4}},
     {"layers_pattern": "([a-z0-9._]+)+!", "layers_to_transform": [0]},
     {"modules_to_save": "score"}, {"target_modules": [["c_attn"]]},
     {"modules_to_save": ["a"] * 1001}, {"target_modules": ["c_attn"] * 1001},
     {"init_lora_weights": "pissa"}, {"layer_replication": [[0, 2], [0, 2]]},
     {"peft_type": "ADALORA"}, {"peft_type": None}, {"megatron_config": {"x": 1}}],
)  # fmt: skip
def test_adapter_that_is_more_than_plain_lora_is_refused_before_peft_reads_it(
    adapter_folder, monkeypatch, changes
):
    load_policy(str(adapter_folder), device=CPU)
    change(adapter_folder / "adapter_config.json", **changes)
    monkeypatch.setattr("peft.get_peft_model", None)
    with pytest.raises(CheckpointError, match="model is not a plain LoRA adapter") as error:
        load_policy(str(adapter_folder), device=CPU)
    assert one_sentence(error)


def test_adapter_on_an_adapter_is_refused(adapter_folder, tmp_path):
    copy = copy_of(adapter_folder, tmp_path / "other")
    change(copy / "adapter_config.json", base_model_name_or_path=str(adapter_folder))
    with pytest.raises(CheckpointError, match="other is an adapter on an adapter"):
        load_policy(str(copy), device=CPU)
    change(copy / "adapter_config.json", base_model_name_or_path=str(copy))  # on itself
    with pytest.raises(CheckpointError, match="other is an adapter on an adapter"):
        load_policy(str(copy), device=CPU)


def test_adapter_whose_file_lacks_weights_or_has_others_is_refused(adapter_folder):
    path, config = adapter_folder / "adapter_model.safetensors", "adapter_config.json"
    weights = load_file(path)
    change(adapter_folder / config, r=10**12)  # 100 TB a matrix, if it were made
    with pytest.raises(CheckpointError, match=r"model cannot be loaded") as error:
        load_policy(str(adapter_folder), device=CPU)
    assert one_sentence(error)
    change(adapter_folder / config, r=4)
    for wrong in (
        dict(list(weights.items())[2:]),
        weights | {"base_model.model.other.lora_A.weight": torch.ones(1)},
    ):
        save_file(wrong, path)
        with pytest.raises(CheckpointError, match="its configuration and its files differ in"):
            load_policy(str(adapter_folder), device=CPU)


def test_adapter_of_huge_rank_without_weights_takes_no_memory(adapter_folder):
    """A tensor of shape [rank, 0] is in a file of 128 bytes. It gave a process 8 GB."""
    path = adapter_folder / "adapter_model.safetensors"
    change(adapter_folder / "adapter_config.json", r=2 * 10**9)
    name = next(name for name in load_file(path) if "lora_A" in name)
    save_file({name: torch.empty(2 * 10**9, 0)}, path)
    with pytest.raises(CheckpointError, match="model cannot be loaded") as error:
        load_policy(str(adapter_folder), device=CPU)
    assert one_sentence(error)


@pytest.mark.parametrize(
    "changes", [{"vocab_size": 10**11}, {"n_layer": 10**9}, {"n_positions": 10**9}]
)
def test_configuration_that_asks_for_more_than_the_files_hold_is_refused_unmade(
    tiny_model_folder, tmp_path, monkeypatch, changes
):
    large = copy_of(tiny_model_folder, tmp_path / "large")
    change(large / "config.json", **changes)
    monkeypatch.setattr("transformers.GPT2LMHeadModel.from_pretrained", None)
    with pytest.raises(CheckpointError, match=r"large cannot be loaded \(its configuration asks"):
        load_policy(str(large), device=CPU)


def test_weights_that_no_network_reads_are_refused(tiny_model_folder, tmp_path):
    """The limits of a model's trial grow with its weights."""
    given = copy_of(tiny_model_folder, tmp_path / "given")
    tensors = load_file(given / "model.safetensors")
    count = sum(tensor.numel() for tensor in tensors.values())
    for times, refused in ((2, False), (4, True)):
        save_file(tensors | {"more": torch.zeros(times * count)}, given / "model.safetensors")
        if refused:
            with pytest.raises(CheckpointError, match="weights that its configuration does not"):
                load_policy(str(given), device=CPU)
        else:
            load_policy(str(given), device=CPU)


def test_model_with_one_tensor_is_refused(tiny_model_folder, tmp_path):
    bare = copy_of(tiny_model_folder, tmp_path / "bare", leave_out=("model.safetensors",))
    save_file({"transformer.ln_f.weight": torch.ones(32)}, bare / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"bare cannot be loaded \(its configuration asks"):
        load_policy(str(bare), device=CPU)


def test_model_whose_files_hold_other_tensors_is_not_made_up(tiny_model_folder, tmp_path):
    noise = copy_of(tiny_model_folder, tmp_path / "noise")
    weights = load_file(noise / "model.safetensors")
    weights["other"] = weights.pop("transformer.h.0.attn.c_attn.weight")
    save_file(weights, noise / "model.safetensors", {"format": "pt"})
    told = r"noise cannot be loaded \(its files lack transformer\.h\.0\.attn\.c_attn\.weight\)"
    with pytest.raises(CheckpointError, match=told):
        load_policy(str(noise), device=CPU)


def test_network_of_more_parts_than_any_here_is_not_made(tiny_model_folder, monkeypatch):
    monkeypatch.setattr(loading, "MOST_CALLS", 20)
    with pytest.raises(CheckpointError, match="its configuration asks for too large a network"):
        load_policy(str(tiny_model_folder), device=CPU)


@pytest.mark.parametrize("load", [load_policy, load_reward_model])
def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(
    tiny_model_folder, classifier_folder, tmp_path, monkeypatch, load
):
    whole = tiny_model_folder if load is load_policy else classifier_folder
    evil = copy_of(whole, tmp_path / "evil")
    kind = "CausalLM" if load is load_policy else "SequenceClassification"
    maps = {"AutoConfig": "evil.C", f"AutoModelFor{kind}": "evil.M"}
    change(evil / "config.json", model_type="evilnet", auto_map=maps)
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with pytest.raises(CheckpointError, match="evil cannot be loaded") as error:
        load(str(evil), device=CPU)
    assert one_sentence(error) and asked == [] and not (tmp_path / "ran").exists()
