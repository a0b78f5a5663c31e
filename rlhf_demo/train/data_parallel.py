"""Several processes that train one policy together, each on its rows of every batch.

    accelerate launch --num_processes 2 -m rlhf_demo train-ppo --run-dir runs/two

starts them (data parallel). Every process holds the same weights and the same optimizer state. It
samples, scores and reads its own rows of a rollout, and its own rows of a minibatch. Then the
processes put their rollouts together (`joined`), and add up their gradients (`add`). All of them
compute everything else, in the same way, so two processes give the figures of one, up to rounding:
tests/train/test_data_parallel.py. The first process alone writes the run's files.

A process without others is the usual case, and then nothing here changes a number.

Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training",
section 2.2 (https://arxiv.org/abs/2006.15704).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather, pad_across_processes
from torch import Tensor

from rlhf_demo.runs.launch import launched
from rlhf_demo.runs.run import Run, StopRequested
from rlhf_demo.train.rollout import Rollout


class Processes:
    """The processes of a training.

    Attributes:
        count: how many there are.
        rank: the number of this one, from 0.
    """

    def __init__(self, device: torch.device) -> None:
        """Find the others, if `accelerate launch` has started this process."""
        self.count, self.rank = 1, 0
        self._state: PartialState | None = None
        if launched():
            self._state = PartialState(cpu=device.type == "cpu")
            self.count, self.rank = self._state.num_processes, self._state.process_index

    @property
    def first(self) -> bool:
        """Whether this one writes the run's files."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1

    # -- shares of a batch -------------------------------------------------------------------------

    def sizes(self, rows: int) -> list[int]:
        """Return how many of a batch's rows each process takes; they differ by at most one.

        A batch with fewer rows than processes is not shared: each takes all of it.
        """
        if rows < self.count:
            return [rows] * self.count
        return [rows // self.count + (rank < rows % self.count) for rank in range(self.count)]

    def share(self, rows: int) -> slice:
        """Return which rows of a batch this process takes."""
        if rows < self.count:
            return slice(0, rows)
        sizes = self.sizes(rows)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def gathered(self, x: Tensor, rows: int, *, padding: float = 0, left: bool = False) -> Tensor:
        """Put the shares of a batch of `rows` rows together.

        Args:
            x: [share, ...]; the processes may differ in the second dimension, too.
            padding: fills up what is shorter in the second dimension.
            left: fill it up on the left.
        """
        if self.alone or rows < self.count:
            return x
        whole = x.to(torch.uint8) if x.dtype == torch.bool else x  # gloo exchanges no truth values
        if x.dim() > 1:
            whole = pad_across_processes(whole, dim=1, pad_index=int(padding), pad_first=left)
        sizes = self.sizes(rows)
        padded: Any = gather(pad_across_processes(whole, dim=0))
        parts: list[Tensor] = padded.split(max(sizes))
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).to(x.dtype)

    def joined(self, part: Rollout, rows: int, pad: int) -> Rollout:
        """Put the processes' parts of a rollout of `rows` responses together.

        Args:
            pad: id of the padding token.
        """
        if self.alone:
            return part
        time = part.response_mask.shape[1]
        prompt_ids = self.gathered(part.sequence_ids[:, :-time], rows, padding=pad, left=True)
        prompt_mask = self.gathered(part.attention_mask[:, :-time], rows, left=True)
        response_ids = self.gathered(part.response_ids, rows, padding=pad)
        whole: dict[str, Any] = {
            name: self.gathered(tensor, rows)
            for name, tensor in part.tensors().items()
            if name not in ("sequence_ids", "attention_mask")
        }
        return Rollout(
            sequence_ids=torch.cat([prompt_ids, response_ids], dim=1),
            attention_mask=torch.cat([prompt_mask, whole["response_mask"]], dim=1),
            **whole,
        )

    # -- sums and agreements -----------------------------------------------------------------------

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.alone:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])  # one message instead of many
        torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def check_stop(self, run: Run) -> None:
        """Raise StopRequested in all processes alike; all must call it at the same point."""
        asked = torch.tensor([float(run.stop_requested)])
        if self._state is not None:
            asked = asked.to(self._state.device)
        self.add([asked])
        if asked.item():
            raise StopRequested

    def first_one_first(self) -> AbstractContextManager[None]:
        """Let the first process do something while the others wait; then these do it."""
        return nullcontext() if self._state is None else self._state.main_process_first()
