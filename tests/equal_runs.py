"""Whether two runs hold the same: metrics and texts but for times, weights bit by bit, report."""

import torch
from safetensors.torch import load_file

from rlhf_demo.files import read_json


def without_times(rows):
    """Return rows without the keys that differ from one execution to the next."""
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


def weights(run):
    """Return the tensors of a run's model or adapter."""
    return load_file(next(run.model_folder.glob("*model*.safetensors")))


def assert_equal_runs(run, other):
    """Compare a policy's run with another."""
    for name in ("metrics", "samples"):
        assert without_times(run.read(name)) == without_times(other.read(name))
    mine, others = weights(run), weights(other)
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)
    assert read_json(run.folder / "report.json") == read_json(other.folder / "report.json")
