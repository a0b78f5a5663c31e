"""Stage 0: pretrain or continue a small GPT-2 on any text.

Owns the optimisers, the schedule and the loop; what is trained on is corpus.py's, a new model new_gpt2.py's. Everything that is drawn depends on the seed and the step alone, so a run that was stopped or
killed and resumed gives the numbers of one that was not.

Sources: Radford et al. 2019 (GPT-2); Jordan et al. 2024, https://kellerjordan.github.io/posts/muon (Muon for
the matrices); Liu et al. 2025, https://arxiv.org/abs/2502.16982 (Muon's steps scaled to the size of Adam's).
"""

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
)

from rlhf_demo.config import BaseConfig
from rlhf_demo.corpus import (
    PACKED_TOKENS,
    ROW_TOKENS,
    Batch,
    Corpus,
    batches,
    common_words,
    cut,
    sentences,
)
from rlhf_demo.errors import DataError, TrainingDiverged
from rlhf_demo.locate import locate
from rlhf_demo.models import (
    autocast,
    load_tokenizer,
    max_positions,
    pick_device,
    pick_dtype,
)
from rlhf_demo.new_gpt2 import new_model, new_tokenizer, save_model
from rlhf_demo.runs import Run, StopRequested, replacing, replacing_folder, write_json
from rlhf_demo.texts import hold_out, read_documents

logger = logging.getLogger(__name__)

WEIGHT_DECAY = 0.1
"""Of the matrices; embeddings and norms have none."""
ADAM_BETAS = (0.9, 0.95)
LAST_RATE = 0.03
"""Learning rate at the last step as a share of the peak."""
HELD_OUT_TOKENS = 40_000
"""Tokens of each kind that one evaluation reads."""


def train_base(config: BaseConfig, run: Run, resume: bool = False) -> None:
    """Train in the run's folder until the last step, or until somebody asks to stop.

    Raises:
        DataError: the text cannot be read, or holds too little for the stage.
        CheckpointError: the model, or the saved state of a resumed run, cannot be used.
        TrainingDiverged: the loss stopped being finite.
    """
    with run.recording():
        _Trainer(config, run).train(resume)


class _Trainer:
    """What the loop holds: model, optimisers, text, and how far it is."""

    def __init__(self, config: BaseConfig, run: Run) -> None:
        self.config, self.run = config, run
        self.device = pick_device(config.device)
        self.dtype = pick_dtype(self.device, config.dtype)
        torch.manual_seed(config.seed)

        # 1. Read the text and set the held-out documents apart before anything is learned from the others.
        texts, held_out = hold_out(
            *read_documents(config.data, config.column, config.split), config.held_out
        )
        documents = [found for found in map(sentences, texts) if found]
        run.check_stop()

        # 2. Load or make the model, and turn the text into tokens.
        if config.model == "new":
            self.tokenizer = new_tokenizer(" ".join(document) for document in documents)
            self.model: PreTrainedModel = new_model(self.tokenizer)
        else:
            folder = locate(config.model)
            self.tokenizer = load_tokenizer(folder)
            self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.to(self.device).train()
        if config.dropout is not None:
            set_dropout(self.model, config.dropout)
        self.edge = self.tokenizer.eos_token_id
        wanted = PACKED_TOKENS if config.stage == "packed" else ROW_TOKENS
        self.row_tokens = min(wanted, max_positions(self.model))
        common = common_words(
            (sentence for document in documents for sentence in document), config.common_words
        )
        self.corpus = Corpus.build(documents, self.tokenizer, common, config.longest_sentence)
        run.check_stop()
        held_out_corpus = Corpus.build(
            [found for found in map(sentences, held_out) if found],
            self.tokenizer,
            common,
            config.longest_sentence,
        )
        self.held_out = self._held_out_batches(held_out_corpus)
        logger.info(
            "%d documents with %d sentences (%.0f%% plain), %d documents held out; %s on %s",
            len(self.corpus), len(self.corpus.plain), 100 * self.corpus.plain.mean(), len(held_out),
            self.dtype, self.device,
        )  # fmt: skip

        # 3. Matrices to Muon, the rest to Adam.
        matrices, rest = split_parameters(self.model)
        self.optimisers = [
            torch.optim.Muon(
                matrices, lr=0.0, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, lr=0.0, betas=ADAM_BETAS, weight_decay=0.0),
        ]
        self.step = self.tokens = self.cut = self.place = 0
        self.loss = torch.compile(batch_loss, dynamic=False) if config.compile else batch_loss

    # -- text ----------------------------------------------------------------------------------------

    def _held_out_batches(self, corpus: Corpus) -> dict[str, list[Batch]]:
        """Cut the held-out documents, the same way in every run with this seed of the cut (0)."""
        kinds = {"": "packed" if self.config.stage == "packed" else "segments"}
        if self.config.stage == "plain":
            kinds["plain_"] = "plain"
        found = {}
        for prefix, stage in kinds.items():
            segments = cut(corpus, stage, self.edge, self.row_tokens, np.random.default_rng(0))
            rows = batches(segments, self.row_tokens, self.config.batch_tokens) if segments else []
            found[prefix] = rows[: max(1, HELD_OUT_TOKENS // self.config.batch_tokens)]
        return found

    def _batches(self) -> Iterator[Batch]:
        """Yield batches for ever from where the run is; each pass cuts the text anew."""
        while True:
            rng = np.random.default_rng([self.config.seed, self.cut])
            segments = cut(
                self.corpus,
                self.config.stage,
                self.edge,
                self.row_tokens,
                rng,
                self.config.plain_share,
            )
            if not segments:
                raise DataError(
                    f"the text gives no row for the stage {self.config.stage!r}: give more, or another stage"
                )
            found = batches(segments, self.row_tokens, self.config.batch_tokens)
            order = rng.permutation(len(found))
            while self.place < len(found):
                self.place += 1
                yield found[order[self.place - 1]]
            self.cut, self.place = self.cut + 1, 0

    def _tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        found = (torch.from_numpy(field) for field in (batch.ids, batch.segments, batch.positions))
        ids, segments, positions = (field.to(self.device) for field in found)
        return ids, segments, positions

    # -- loop ----------------------------------------------------------------------------------------

    def train(self, resume: bool) -> None:
        if resume and self.run.checkpoint_path.is_file():
            self._load()
        self.run.rewind(self.step if self.step else -1)
        if self.step == 0:
            self.run.append("metrics", [{"step": 0, **self._evaluate()}])
        stream = self._batches()
        for _ in tqdm(range(self.step, self.config.total_steps), disable=None):
            try:
                self.run.check_stop()
            except StopRequested:
                self._save()
                raise
            self.run.append("metrics", [self._train_step(next(stream))])
            if self.step % self.config.checkpoint_every == 0:
                self._save()
        self._finish()

    def _train_step(self, batch: Batch) -> dict[str, Any]:
        began = time.perf_counter()
        self.step += 1
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)  # for models with dropout
        rate = learning_rate(self.step, self.config)
        with autocast(self.device, self.dtype):
            loss = self.loss(self.model, *self._tensors(batch))
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(self.step, "base/loss", value)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad()
        tokens = int((batch.segments > 0).sum())
        self.tokens += tokens
        seconds = time.perf_counter() - began
        row = {
            "step": self.step,
            "base/loss": value,
            "base/learning_rate": rate,
            "base/gradient_norm": norm,
            "base/tokens": self.tokens,
            "time/step_seconds": seconds,
            "time/tokens_per_second": tokens / seconds,
        }
        if self.step % self.config.evaluate_every == 0 or self.step == self.config.total_steps:
            row |= self._evaluate()
        return row

    def _evaluate(self) -> dict[str, float]:
        """Measure the held-out text: loss in nats per token, and perplexity = exp(loss)."""
        self.model.eval()
        row = {}
        for prefix, found in self.held_out.items():
            if not found:  # no plain sentence among the held-out ones
                continue
            total, count = 0.0, 0
            with torch.no_grad(), autocast(self.device, self.dtype):
                for batch in found:
                    targets = int(
                        (batch.positions > 0).sum()
                    )  # every token but the first of each segment
                    total += batch_loss(self.model, *self._tensors(batch)).item() * targets
                    count += targets
            loss = total / count
            row |= {
                f"base/held_out_{prefix}loss": loss,
                f"base/held_out_{prefix}perplexity": math.exp(min(loss, 50.0)),
            }
        self.model.train()
        logger.info(
            "step %d: %s", self.step, ", ".join(f"{key} {value:.4f}" for key, value in row.items())
        )
        return row

    # -- files ---------------------------------------------------------------------------------------

    def _save(self) -> None:
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "cut": self.cut,
            "place": self.place,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with replacing(self.run.checkpoint_path) as temporary:
            torch.save(state, temporary)

    def _load(self) -> None:
        path = self.run.checkpoint_path
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens, self.cut, self.place = (
            state[key] for key in ("step", "tokens", "cut", "place")
        )

    def _finish(self) -> None:
        with replacing_folder(self.run.model_folder) as temporary:
            save_model(self.model, self.tokenizer, temporary)
        rows = self.run.read("metrics")
        first, last = rows[0], rows[-1]
        report = {"steps": self.step, "tokens": self.tokens}
        for key in (key for key in last if key.startswith("base/held_out")):
            report |= {key: last[key], f"{key}_before": first[key]}
        write_json(self.run.folder / "report.json", report)


# -- parts -------------------------------------------------------------------------------------------


def batch_loss(model: PreTrainedModel, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
    """Return the mean cross-entropy of the next token inside each segment, in nats.

    Args:
        model: causal language model.
        ids: [rows, time], token ids.
        segments: [rows, time], number of the segment in its row, 0 = not filled.
        positions: [rows, time], place of the token in its segment.
    """
    time_steps = ids.shape[1]
    causal = torch.ones(time_steps, time_steps, dtype=torch.bool, device=ids.device).tril()
    # A token sees those before it in its own segment: [rows, 1, time, time], True = seen.
    seen = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
    logits = model(
        input_ids=ids, attention_mask=seen, position_ids=positions, use_cache=False
    ).logits
    trained = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    targets = ids[:, 1:].masked_fill(~trained, -100)
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), targets.flatten(), ignore_index=-100
    )


def learning_rate(step: int, config: BaseConfig) -> float:
    """Return the rate of a step, 1 to total_steps: linear warm-up, then a cosine down to LAST_RATE of the peak."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.total_steps - config.warmup_steps)
    return config.learning_rate * (
        LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    )


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Drop this share of the embeddings and of what each block adds; its config keeps what it says.

    Attention weights are left whole: with dropout there, torch leaves its fast attention.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0 if name.endswith("attn_dropout") else share


def split_parameters(model: PreTrainedModel) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the matrices of the blocks, and everything else: embeddings, output layer, norms and biases."""
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    tables.add(model.get_output_embeddings().weight)
    parameters = list(model.parameters())
    matrices = [one for one in parameters if one.ndim == 2 and one not in tables]
    return matrices, [one for one in parameters if one.ndim != 2 or one in tables]
