"""Commands that use models and train none."""

from tests.command import refused


def test_file_that_cannot_be_written_is_one_sentence(
    capsys, tmp_path, tiny_model_folder, prompts_file
):
    (tmp_path / "file").write_text("")
    err = refused(
        capsys, "generate", "--model", tiny_model_folder, "--prompts", prompts_file,
        "--max-new-tokens", "1", "--out", tmp_path / "file" / "out.jsonl",
    )  # fmt: skip
    assert str(tmp_path / "file") in err
