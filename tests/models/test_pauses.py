"""Where long computations pause, so that others can compute."""

import threading

import pytest
import torch

from rlhf_demo.models import pauses
from rlhf_demo.models.fluency_judge import mean_logprobs
from rlhf_demo.models.pauses import pause, pausing
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import generate


def test_way_is_called_in_the_pauses_of_its_thread_alone():
    pause()
    called = []
    with pausing(lambda: called.append(1)):
        pause()
        other = threading.Thread(target=pause)
        other.start()
        other.join()
        assert called == [1]
        pause()
    pause()
    assert called == [1, 1]


def test_pauses_end_with_a_failure():
    with pytest.raises(ZeroDivisionError), pausing(lambda: 1 / 0):
        pause()
    pause()
    assert pauses._of_thread.way is None


def test_models_pause_before_each_token_that_they_write_and_each_batch_that_they_read(
    tiny_model_folder,
):
    policy = load_policy(str(tiny_model_folder), device=torch.device("cpu"))
    called = []
    with pausing(lambda: called.append(1)):
        found = generate(policy, ["The", "A"], max_new_tokens=5, temperature=1.0, seed=0)
    assert len(called) == max(map(len, found))
    called.clear()
    with pausing(lambda: called.append(1)):
        mean_logprobs(policy, ["The"] * 33, [" film"] * 33)
    assert len(called) == 3  # 16, 16 and 1
