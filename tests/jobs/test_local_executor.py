"""Processes of this machine as jobs: what a foreign handle does."""

import os
from pathlib import Path

import pytest

from rlhf_demo.jobs.local_executor import LocalExecutor


@pytest.mark.parametrize(
    "handle", ["", "0", "1", "-1", "1e3", "\u0663", "9" * 30, "node-b/1", str(2**31)]
)
def test_handle_that_is_no_process_of_this_machine_is_not_alive_and_gets_no_signal(
    handle, tmp_path, monkeypatch
):
    def sent(*_):
        raise AssertionError("a signal was sent")

    monkeypatch.setattr(os, "kill", sent)
    monkeypatch.setattr(os, "killpg", sent)
    executor = LocalExecutor()
    assert not executor.alive(handle, tmp_path)
    executor.stop(handle, Path(tmp_path), hard=True)
    assert executor.exit_code(handle) is None and executor.memory(handle) == 0.0
