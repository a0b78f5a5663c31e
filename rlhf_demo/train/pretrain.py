"""Stage 0: pretrain a small GPT-2 on any text, or continue to.

Owns the optimizers and the loop. data/documents.py reads the text, data/corpus.py cuts it,
data/packing.py packs it, and models/new_gpt2.py makes a new model. Every random choice depends on
the seed and the step alone, so a run that was stopped or killed and then resumed gives the same
numbers as an uninterrupted one.

Sources: Radford et al. 2019 (GPT-2); Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
(Muon for the matrices); Liu et al. 2025, https://arxiv.org/abs/2502.16982 (its steps scaled to the
size of Adam's).
"""

import json
import logging
import math
import time
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel

from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.data.corpus import LONGEST_SEGMENT, Corpus, common_words, sentences
from rlhf_demo.data.documents import hold_out, read_documents
from rlhf_demo.data.packing import Batch, Stream, held_out_batches
from rlhf_demo.errors import CheckpointError, TrainingDiverged
from rlhf_demo.files import replacing_folder, write_json
from rlhf_demo.models.device import autocast, pick_device, pick_dtype
from rlhf_demo.models.loading import max_positions
from rlhf_demo.models.new_gpt2 import load_or_make, save_model
from rlhf_demo.models.token_text import special_id
from rlhf_demo.runs.run import Run, Status, StopRequested
from rlhf_demo.train.checkpoint import load_state, save_state
from rlhf_demo.train.schedule import cosine_rate

log = logging.getLogger(__name__)

WEIGHT_DECAY = 0.1
"""Of the matrices; embeddings, norms and biases have none."""
ADAM_BETAS = (0.9, 0.95)
LAST_RATE = 0.03
"""Learning rate of the last step as a fraction of the peak."""
ROW_TOKENS = 128
"""Several segments share a row of this many tokens, or of fewer if the model takes no more."""
PACKED_TOKENS = 256
"""The same for the text unit `packed`."""


def train_base(config: BaseConfig, run: Run, *, resume: bool = False) -> None:
    """Train until the last step or a stop request, and write everything into the run's folder.

    A finished run is left as it is.

    Raises:
        DataError: the text cannot be read, or is too short for the text unit.
        CheckpointError: the model, or the saved state of a resumed run, cannot be used.
        ConfigError: the saved state belongs to a run with other options.
        TrainingDiverged: the loss is no longer finite.
    """
    if resume and run.status["status"] == Status.FINISHED:
        return
    with run.recording():
        trainer = BaseTrainer(config, run)
        if resume and run.checkpoint_path.is_file():
            trainer.load_state()
        trainer.train()


def summary(run: Run) -> str:
    """Return a finished run's report as indented JSON."""
    report = run.report()
    return "" if report is None else json.dumps(report, indent=2)


class BaseTrainer:
    """The state of a pretraining run, and the loop."""

    def __init__(self, config: BaseConfig, run: Run) -> None:
        self.config, self.run = config, run
        self.device = pick_device(config.device)
        self.dtype = pick_dtype(self.device, config.dtype)
        self.step = self.tokens = 0

        # 1. Read the text, and set the held-out documents apart before anything is learned from it.
        texts = read_documents(config.data, config.column, config.split)
        kept, held_out = (
            [document for document in map(sentences, side) if document]
            for side in hold_out(*texts, config.held_out)
        )
        run.check_stop()

        # 2. Load or make the model, and turn the text into tokens.
        torch.manual_seed(config.seed)
        self.model, self.tokenizer = load_or_make(config.model, kept)
        self.model.to(self.device)  # pyright: ignore[reportArgumentType]  (wrapped without types)
        self.model.train()
        if config.dropout is not None:
            set_dropout(self.model, config.dropout)
        most_tokens = PACKED_TOKENS if config.text_unit == "packed" else ROW_TOKENS
        row_tokens = min(most_tokens, max_positions(self.model))
        if config.text_unit != "packed" and row_tokens < LONGEST_SEGMENT:
            raise CheckpointError(
                f"{config.model} reads {row_tokens} tokens at once and the text unit "
                f"{config.text_unit!r} needs {LONGEST_SEGMENT}: choose another model, or "
                "--text-unit packed"
            )
        common = common_words(chain.from_iterable(kept), config.common_words)
        train_corpus, held_out_corpus = (
            Corpus.build(documents, self.tokenizer, common, config.longest_sentence)
            for documents in (kept, held_out)
        )
        shape = (special_id(self.tokenizer, "eos"), row_tokens, config.batch_tokens)
        self.stream = Stream(
            train_corpus,
            config.text_unit,
            config.plain_share,
            config.longest_plain,
            *shape,
            config.seed,
        )
        self.held_out = held_out_batches(
            held_out_corpus, config.text_unit, config.longest_plain, *shape
        )
        self.documents = {"documents": len(kept), "held_out_documents": len(held_out)}
        log.info(
            "%d documents with %d sentences, %.0f%% plain; %d documents held out; %s on %s",
            len(kept), len(train_corpus.plain), 100 * train_corpus.plain_share, len(held_out),
            self.dtype, self.device,
        )  # fmt: skip

        # 3. Matrices to Muon, the rest to Adam.
        matrices, rest = split_parameters(self.model)
        self.optimizers = [
            torch.optim.Muon(
                matrices, lr=0.0, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, lr=0.0, betas=ADAM_BETAS, weight_decay=0.0),
        ]
        self.loss = torch.compile(batch_loss, dynamic=False) if config.compile else batch_loss

    # -- the loop --------------------------------------------------------------------------------

    def train(self) -> None:
        """Run the remaining steps, then write the model and the report."""
        # Without a saved state (step 0), -1 drops the row of step 0 too: it is written again.
        self.run.rewind(self.step or -1)
        if self.step == 0:
            self.run.append("metrics", [{"step": 0, **self._evaluate()}])
        steps = range(self.step, self.config.total_steps)
        for _ in tqdm(steps, initial=self.step, total=self.config.total_steps, disable=None):
            try:
                self.run.check_stop()
            except StopRequested:
                self.save_state()
                raise
            self.run.append("metrics", [self._train_step(self.stream.next())])
            if self.step % self.config.checkpoint_every == 0:
                self.save_state()
        self._finish()

    def _train_step(self, batch: Batch) -> dict[str, Any]:
        """Make one step of the optimizers, and return its metrics row."""
        started = time.perf_counter()
        self.step += 1
        # Dropout depends on the step, not on where the run was started or resumed.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        rate = cosine_rate(self.config, self.step, LAST_RATE)
        with autocast(self.device, self.dtype):
            loss = self.loss(self.model, *self._tensors(batch))
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(self.step, "base/loss", value)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        tokens = int((batch.segments > 0).sum())
        self.tokens += tokens
        seconds = time.perf_counter() - started
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
        """Return loss (nats per token) and perplexity, which is exp(loss), on the held-out text."""
        self.model.eval()
        row = {}
        for kind, batches in self.held_out.items():
            total, targets = 0.0, 0
            with torch.no_grad(), autocast(self.device, self.dtype):
                for batch in batches:
                    # Every token is predicted except the first of each segment.
                    count = int((batch.positions > 0).sum())
                    total += batch_loss(self.model, *self._tensors(batch)).item() * count
                    targets += count
            loss = total / targets
            row[f"base/held_out_{kind}loss"] = loss
            row[f"base/held_out_{kind}perplexity"] = math.exp(min(loss, 50.0))  # stays finite
        self.model.train()
        numbers = ", ".join(f"{key} {value:.4f}" for key, value in row.items())
        log.info("step %d: %s", self.step, numbers)
        return row

    def _tensors(self, batch: Batch) -> list[Tensor]:
        """Return ids, segments and positions, each [rows, time], on the device."""
        fields: list[np.ndarray] = [batch.ids, batch.segments, batch.positions]
        return [torch.from_numpy(field).to(self.device) for field in fields]

    # -- files -----------------------------------------------------------------------------------

    def save_state(self) -> None:
        """Write everything that --resume needs into one file."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "epoch": self.stream.epoch,
            "batch_index": self.stream.batch_index,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        save_state(self.run.checkpoint_path, self.config, state)

    def load_state(self) -> None:
        """Continue from the saved state.

        Raises:
            CheckpointError: the file is damaged.
            ConfigError: the state belongs to a run with other options.
        """
        state = load_state(self.run.checkpoint_path, self.config, self.device)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens = state["step"], state["tokens"]
        self.stream.epoch = state["epoch"]
        self.stream.batch_index = state["batch_index"]

    def _finish(self) -> None:
        with replacing_folder(self.run.model_folder) as temporary:
            save_model(self.model, self.tokenizer, temporary)
        rows = self.run.read("metrics")
        first, last = rows[0], rows[-1]
        report = {"steps": self.step, "tokens": self.tokens, **self.documents}
        for key in (key for key in last if key.startswith("base/held_out")):
            report |= {f"{key}_before": first[key], key: last[key]}
        write_json(self.run.folder / "report.json", report)


# -- parts -----------------------------------------------------------------------------------------


def batch_loss(model: PreTrainedModel, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
    """Return the mean cross-entropy of the next token inside each segment, in nats.

    Args:
        model: causal language model.
        ids: [rows, time], token ids.
        segments: [rows, time], number of the segment in its row, 0 = padding.
        positions: [rows, time], index of the token in its segment.
    """
    time_steps = ids.shape[1]
    causal = torch.ones(time_steps, time_steps, dtype=torch.bool, device=ids.device).tril()
    # A token attends to itself and those before it in its segment: [rows, 1, time, time].
    seen = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
    logits = model(
        input_ids=ids, attention_mask=seen, position_ids=positions, use_cache=False
    ).logits
    trained = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    targets = ids[:, 1:].masked_fill(~trained, -100)
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), targets.flatten(), ignore_index=-100
    )


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Drop this share of the embeddings and of each block's outputs; the config does not change.

    Attention weights have no dropout, because torch's fast attention does not run with it.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0 if name.endswith("attn_dropout") else share


def split_parameters(model: PreTrainedModel) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the matrices of the blocks, and the rest: embeddings, output layer, norms, biases."""
    embeddings = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    if head := model.get_output_embeddings():
        embeddings.add(head.weight)
    parameters = list(model.parameters())
    matrices = [p for p in parameters if p.ndim == 2 and p not in embeddings]
    return matrices, [p for p in parameters if p.ndim != 2 or p in embeddings]
