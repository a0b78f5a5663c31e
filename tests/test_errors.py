"""Errors: one sentence for a person, and a list of their classes that is true."""

import inspect
import re

from rlhf_demo import errors
from rlhf_demo.errors import DemoError, TrainingDiverged


def test_tree_in_the_docstring_names_every_class_and_no_other():
    classes = {
        name: one
        for name, one in vars(errors).items()
        if inspect.isclass(one) and one.__module__ == errors.__name__
    }
    told = re.findall(r"^    (?:\|  )?(?:\|- |`- )?(\w+) ", errors.__doc__, re.M)
    assert sorted(told) == sorted(classes)
    assert all(issubclass(one, DemoError) for one in classes.values())


def test_training_that_diverged_names_step_metric_and_value():
    error = TrainingDiverged(12, "policy/loss", float("inf"))
    assert str(error).startswith("training diverged at step 12: policy/loss became inf; ")
    assert (error.step, error.metric) == (12, "policy/loss")
