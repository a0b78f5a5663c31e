"""What leaves this machine of a model; tests/server/test_published.py has the rest of the way."""

import torch

from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.publish import write_plain


def test_whole_weights_leave_without_other_files_of_the_folder(tmp_path, tiny_model_folder):
    source = tmp_path / "model"
    load_policy(str(tiny_model_folder), device=torch.device("cpu")).save(source)
    (source / "notes.md").write_text("private")
    (source / "weights.bin").write_bytes(b"pickled")
    folder = tmp_path / "plain"
    folder.mkdir()
    write_plain(source, folder)
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in source.iterdir()
    } - {"notes.md", "weights.bin"}  # fmt: skip
