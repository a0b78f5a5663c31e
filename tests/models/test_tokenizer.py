"""What is loaded from a tokenizer's folder: tokens, pad tokens, and refusals in one sentence."""
# ruff: noqa: F811  (a fixture is imported, and named again where it is used)

import json
from contextlib import suppress
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from rlhf_demo.errors import CheckpointError
from rlhf_demo.models import tokenizer as tokenizers
from rlhf_demo.models import tokenizer_parts
from rlhf_demo.models.tokenizer import BYTE_0, PAD, load_tokenizer, load_tokenizer_for
from rlhf_demo.paths import CHECKPOINTS
from tests.unpadded import TEXTS, copy_of, unpadded_tokenizer_folder  # noqa: F401  (one is a fixture)

TRUE_GPT2 = CHECKPOINTS.parent.parent / "shared" / "gpt2-tokenizer"


def change(path, **keys):
    spec = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(spec | keys))


@pytest.fixture
def shipped(tmp_path):
    """A copy of the shipped tokenizer, to spoil."""
    return copy_of(CHECKPOINTS / "gpt2-mini", tmp_path / "shipped")


# -- pad tokens ------------------------------------------------------------------------------------


def test_tokenizer_without_pad_gives_the_job_to_byte_zero_and_keeps_all_ids(
    unpadded_tokenizer_folder,
):
    plain = AutoTokenizer.from_pretrained(unpadded_tokenizer_folder)
    ours = load_tokenizer(unpadded_tokenizer_folder)
    assert plain.pad_token_id is None
    assert ours.pad_token == PAD
    assert ours.pad_token_id == plain.get_vocab()[BYTE_0]
    assert ours.pad_token_id != ours.eos_token_id
    assert len(ours) == len(plain)
    renamed = {
        PAD if token == BYTE_0 else token: index for token, index in plain.get_vocab().items()
    }
    assert ours.get_vocab() == renamed
    for text in [*TEXTS, "naïve “quotes” — 日本語 😀\n\t"]:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]
        assert ours.decode(ours(text)["input_ids"]) == text


def test_renamed_pad_is_skipped_in_texts_and_survives_saving(unpadded_tokenizer_folder, tmp_path):
    ours = load_tokenizer(unpadded_tokenizer_folder)
    ids = ours("Good.")["input_ids"]
    assert (
        ours.decode([ours.pad_token_id, *ids, ours.pad_token_id], skip_special_tokens=True)
        == "Good."
    )
    ours.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.pad_token_id, again.eos_token_id) == (ours.pad_token_id, ours.eos_token_id)
    assert again.get_vocab() == ours.get_vocab()


def test_eos_as_pad_does_not_count(unpadded_tokenizer_folder, tmp_path):
    plain = AutoTokenizer.from_pretrained(unpadded_tokenizer_folder)
    plain.pad_token = plain.eos_token
    plain.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == PAD


def test_shipped_tokenizer_has_a_pad_of_its_own():
    tokenizer = load_tokenizer(CHECKPOINTS / "gpt2-mini")
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert (
        tokenizer.get_vocab()
        == AutoTokenizer.from_pretrained(CHECKPOINTS / "gpt2-mini").get_vocab()
    )


@pytest.mark.skipif(
    not TRUE_GPT2.is_dir(), reason="the true GPT-2 tokenizer is not on this machine"
)
def test_true_gpt2_tokenizer_keeps_its_size_and_ids():
    plain, ours = AutoTokenizer.from_pretrained(TRUE_GPT2), load_tokenizer(TRUE_GPT2)
    assert len(ours) == len(plain) == 50257
    assert (ours.eos_token, ours.model_max_length) == ("<|endoftext|>", 1024)
    assert ours.pad_token_id == 188  # where GPT-2 keeps byte 0
    for text in TEXTS:
        assert ours(text)["input_ids"] == plain(text)["input_ids"]


def test_tokenizer_without_any_token_for_padding_is_refused(tmp_path):
    words = Tokenizer(models.WordLevel({"good": 0, "end": 1}, unk_token=None))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="end").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no token that can serve as padding"):
        load_tokenizer(tmp_path)


# -- what the configurations say -------------------------------------------------------------------


def test_special_tokens_that_no_configuration_names_come_by_their_ids(shipped):
    """GPT-2 on the Hub names none in tokenizer_config.json."""
    (shipped / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    change(shipped / "config.json", eos_token_id=[0, 5], bos_token_id=0, pad_token_id=7)
    tokenizer = load_tokenizer(shipped)
    seventh = tokenizer.convert_ids_to_tokens(7)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|endoftext|>", "<|endoftext|>")
    assert (tokenizer.pad_token, tokenizer.model_max_length) == (seventh, 1024)


@pytest.mark.parametrize("number", [-1, 8192, 2**32, 2**70, True, "0", None, [], 0.0])
def test_id_of_no_token_names_none(shipped, number):
    (shipped / "tokenizer_config.json").write_text("{}")
    change(shipped / "config.json", bos_token_id=number, eos_token_id=0)
    tokenizer = load_tokenizer(shipped)
    assert (tokenizer.bos_token, tokenizer.eos_token) == (None, "<|endoftext|>")


def test_special_token_that_the_vocabulary_lacks_is_left_out(unpadded_tokenizer_folder, tmp_path):
    """transformers would add it, with an id for which the network has no embedding."""
    folder = copy_of(unpadded_tokenizer_folder, tmp_path / "odd")
    change(folder / "tokenizer_config.json", pad_token={"content": "[PAD]"}, cls_token="[CLS]")
    tokenizer = load_tokenizer(folder)
    assert len(tokenizer) == len(AutoTokenizer.from_pretrained(unpadded_tokenizer_folder))
    assert (tokenizer.pad_token, tokenizer.cls_token) == (PAD, None)


def test_older_map_of_special_tokens_counts_where_the_configuration_is_silent(shipped):
    settings = {"eos_token": {"content": "<|endoftext|>"}}
    (shipped / "tokenizer_config.json").write_text(json.dumps(settings))
    (shipped / "special_tokens_map.json").write_text('{"bos_token": "the", "eos_token": "a"}')
    tokenizer = load_tokenizer(shipped)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("the", "<|endoftext|>")


def test_longest_text_may_be_written_with_a_point(shipped):
    change(shipped / "tokenizer_config.json", model_max_length=512.0)
    longest = load_tokenizer(shipped).model_max_length
    assert (longest, type(longest)) == (512, int)


def test_tokenizer_with_tokens_that_the_network_lacks_is_refused(tiny_model_folder, shipped):
    network = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    load_tokenizer_for(network, shipped)
    network.resize_token_embeddings(8191)
    with pytest.raises(CheckpointError, match=r"has a token 8,191, but its network knows only"):
        load_tokenizer_for(network, shipped)


@pytest.mark.parametrize("longest", [0, 0.5, -5, "5", None, 10**40, float("inf")])
def test_impossible_longest_text_means_that_there_is_none(shipped, longest):
    change(shipped / "tokenizer_config.json", model_max_length=longest)
    assert load_tokenizer(shipped).model_max_length == int(1e30)  # as transformers writes it


def test_chat_template_is_kept_from_either_place(shipped):
    change(shipped / "tokenizer_config.json", chat_template="{{ messages }}")
    assert load_tokenizer(shipped).chat_template == "{{ messages }}"
    (shipped / "chat_template.jinja").write_text("{{ eos_token }}")
    assert load_tokenizer(shipped).chat_template == "{{ eos_token }}"


@pytest.mark.parametrize(
    "change_to",
    [
        {"tokenizer_class": "MyT5Tokenizer", "extra_ids": 30_000_000},
        {"tokenizer_class": "Qwen2Tokenizer", "fast_tokenizer_files": ["tokenizer.4.0.0.json"]},
        {"add_prefix_space": True, "added_tokens_decoder": {"9000000": {"content": "x"}}},
        {"additional_special_tokens": ["x" * 2000], "add_bos_token": True, "vocab_size": 1e12},
    ],
)
def test_configuration_cannot_change_how_texts_become_tokens(shipped, monkeypatch, change_to):
    plain = load_tokenizer(shipped)
    change(shipped / "tokenizer_config.json", **change_to)
    (shipped / "tokenizer.4.0.0.json").write_text("{}")
    (shipped / "added_tokens.json").write_text('{"film": 9000000}')
    tokenizer = load_tokenizer(shipped)
    assert tokenizer.get_vocab() == plain.get_vocab()
    assert [tokenizer(text)["input_ids"] for text in TEXTS] == [
        plain(text)["input_ids"] for text in TEXTS
    ]


@pytest.mark.parametrize("key", ["padding", "truncation"])
def test_lengths_in_the_file_itself_do_not_count(shipped, key):
    """Padding to a fixed length of 10^9 tokens would fill the memory."""
    spec = json.loads((shipped / "tokenizer.json").read_text())
    spec["padding"] = {
        "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "the",
    }  # fmt: skip
    spec["truncation"] = {
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (shipped / "tokenizer.json").write_text(json.dumps(spec))
    tokenizer = load_tokenizer(shipped)
    plain = load_tokenizer(CHECKPOINTS / "gpt2-mini")
    assert tokenizer(TEXTS[1])["input_ids"] == plain(TEXTS[1])["input_ids"]
    assert tokenizer.pad_token == PAD


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("tokenizer_config.json", '{"a": "' + "b" * 2**22 + '"}', "larger than 4,194,304 bytes"),
        ("special_tokens_map.json", "[]", "holds no configuration"),
        ("config.json", "{", "holds no usable tokenizer"),
        ("tokenizer_config.json", "[" * 100_000, "holds no usable tokenizer"),
        ("tokenizer.json", "{}", "its tokenizer.json has no vocabulary"),
        ("tokenizer.json", '{"model": {"vocab": {}}}', "its tokenizer.json cannot be loaded"),
    ],
)
def test_damaged_file_is_named_in_one_sentence(shipped, name, content, sentence):
    (shipped / name).write_text(content)
    with pytest.raises(CheckpointError, match=sentence) as error:
        load_tokenizer(shipped)
    assert len(str(error.value).splitlines()) == 1


# -- files from before there was a tokenizer.json --------------------------------------------------


def older_form(folder, kind, **settings):
    """GPT-2's and RoBERTa's files, cut out of the shipped tokenizer.json."""
    model = json.loads((CHECKPOINTS / "gpt2-mini" / "tokenizer.json").read_text())["model"]
    model["vocab"][BYTE_0] = model["vocab"].pop(PAD)
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    change(folder / "config.json", model_type=kind, **settings)
    return folder


def test_gpt2_without_tokenizer_json_is_read_from_its_older_files(tmp_path):
    folder = older_form(tmp_path, "gpt2", bos_token_id=0, eos_token_id=0)
    tokenizer, shipped = load_tokenizer(folder), load_tokenizer(CHECKPOINTS / "gpt2-mini")
    for text in TEXTS:  # the shipped tokenizer puts EOS in front
        assert tokenizer(text)["input_ids"] == shipped(text)["input_ids"][1:]
    assert (tokenizer.eos_token_id, tokenizer.pad_token) == (0, PAD)


def test_roberta_without_tokenizer_json_puts_its_own_tokens_around_a_text(tmp_path):
    folder = older_form(tmp_path, "roberta")
    vocabulary = json.loads((folder / "vocab.json").read_text())
    names = {"<s>": 8192, "<pad>": 8193, "</s>": 8194, "<unk>": 8195, "<mask>": 8196}
    (folder / "vocab.json").write_text(json.dumps(vocabulary | names))
    change(folder / "config.json", bos_token_id=8192, eos_token_id=8194, pad_token_id=8193)
    tokenizer = load_tokenizer(folder)
    theirs = RobertaTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids[-1]) == (8192, 8194)
        assert ids == theirs(text)["input_ids"]
    assert tokenizer.pad_token_id == 8193


@pytest.mark.parametrize("settings, words", [({}, [4, 4]), ({"do_lower_case": False}, [4, 5])])
def test_bert_without_tokenizer_json_is_read_from_its_words(tmp_path, settings, words):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nGood\n")
    change(tmp_path / "config.json", model_type="bert", pad_token_id=0)
    change(tmp_path / "tokenizer_config.json", **settings)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer("good Good")["input_ids"] == [2, *words, 3]
    assert tokenizer.pad_token == "[PAD]"


@pytest.mark.parametrize("kind", ["llama", None])
def test_other_models_need_a_tokenizer_json(tmp_path, kind):
    with pytest.raises(CheckpointError, match=r"no usable tokenizer \(no tokenizer.json\)"):
        load_tokenizer(older_form(tmp_path, kind))


def test_older_file_without_bound_is_not_read(tmp_path, monkeypatch):
    folder = older_form(tmp_path, "gpt2")
    monkeypatch.setattr(tokenizers, "MOST_FILE", 1000)
    with pytest.raises(CheckpointError, match=r"vocab\.json is larger than 1,000 bytes"):
        load_tokenizer(folder)


# -- tokenizers that would fill the memory, or run code --------------------------------------------


class Encoded:
    def __init__(self, ids):
        self.ids = ids


def test_tokenizer_that_makes_many_tokens_of_one_letter_is_refused():
    class Odd:
        def decode(self, ids):
            return ""

        def encode(self, text, add_special_tokens):
            return Encoded([0] * (1000 if text == "h" else len(text)))

    with pytest.raises(ValueError, match="makes more than 16 tokens of the letter 'h'"):
        tokenizers._try(Odd())


def test_tokenizer_that_makes_a_short_text_long_is_refused_before_a_longer_one():
    asked = []

    class Long:
        def encode(self, text, add_special_tokens):
            asked.append((len(text), add_special_tokens))
            return Encoded([0] * 10 * len(text))

        def decode(self, ids):
            return ""

    with pytest.raises(ValueError, match="16 characters long into 160 tokens"):
        tokenizers._try(Long())
    assert asked == [(16, True)]


class PanicException(BaseException):
    """As the library's in Rust raises it."""


@pytest.mark.parametrize("function", ["encode", "decode"])
def test_tokenizer_whose_library_panics_is_refused(function):
    class Panics:
        def encode(self, text, add_special_tokens):
            return self.panic() if function == "encode" else Encoded([0])

        def decode(self, ids):
            self.panic()

        def panic(self):
            raise PanicException

    with pytest.raises(ValueError, match="its library panics on a text"):
        tokenizers._try(Panics())


@pytest.mark.parametrize("error", [PanicException, KeyboardInterrupt])
def test_panic_while_the_file_is_read_is_one_sentence_and_nothing_else(shipped, monkeypatch, error):
    def from_str(text):
        raise error

    monkeypatch.setattr(tokenizer_parts, "Tokenizer", SimpleNamespace(from_str=from_str))
    with pytest.raises(CheckpointError if error is PanicException else error):
        load_tokenizer(shipped)


def test_words_that_are_no_byte_pairs_lend_no_pad_token(tmp_path):
    words = Tokenizer(models.WordLevel({BYTE_0: 0, "end": 1, "?": 2}, unk_token="?"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="end", unk_token="?").save_pretrained(
        tmp_path
    )
    assert load_tokenizer(tmp_path).pad_token == "?"


def test_tokenizer_with_a_very_long_token_is_refused(shipped):
    """A text of such tokens, each prefix of which is kept, would fill the memory."""
    spec = json.loads((shipped / "tokenizer.json").read_text())
    spec["added_tokens"].append(spec["added_tokens"][0] | {"id": 9000, "content": "a" * 1001})
    (shipped / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match="has a text of 1,001 letters"):
        load_tokenizer(shipped)


def test_code_that_comes_with_a_tokenizer_is_neither_run_nor_asked_about(
    tiny_model_folder, tmp_path, monkeypatch
):
    evil = copy_of(tiny_model_folder, tmp_path / "evil")
    maps = {"AutoTokenizer": ["evil.T", None]}
    change(evil / "tokenizer_config.json", tokenizer_class="Evil", auto_map=maps)
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with suppress(CheckpointError):
        load_tokenizer(evil)
    assert asked == [] and not (tmp_path / "ran").exists()
