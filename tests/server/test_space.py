"""ZeroGPU with a stand-in for `spaces`, a package of Hugging Face's own machines."""

import functools
import importlib
import inspect
import os
import subprocess
import sys
from types import ModuleType

import pytest

from rlhf_demo.server import space


def answer(prompt: str, *, tokens: int = 8) -> str:
    return f"{prompt} {tokens}"


def answer_in_parts(prompt: str):
    yield prompt
    yield prompt * 2


def stand_in(asked):
    """Make a module `spaces` whose decorator notes what was asked, and wraps as the real one."""
    module = ModuleType("spaces")

    def gpu(*, duration):
        def decorate(function):
            asked.append((function.__name__, duration))
            if inspect.isgeneratorfunction(function):

                @functools.wraps(function)
                def wrapper(*args, **named):
                    yield from function(*args, **named)

            else:

                @functools.wraps(function)
                def wrapper(*args, **named):
                    return function(*args, **named)

            wrapper.zerogpu = None
            return wrapper

        return decorate

    module.GPU = gpu
    return module


@pytest.fixture
def reloaded(monkeypatch):
    """Return a function that imports space.py anew under given circumstances, undone at the end."""

    def load(variable, spaces):
        if variable is None:
            monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
        else:
            monkeypatch.setenv("SPACES_ZERO_GPU", variable)
        monkeypatch.delenv("SPACE_ID", raising=False)
        monkeypatch.setitem(sys.modules, "spaces", spaces)  # None: importing it fails
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        return importlib.reload(space)

    yield load
    monkeypatch.undo()
    importlib.reload(space)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("true", True), ("True", True), ("1", True), ("t", True), ("", False), ("0", False),
     ("false", False), (None, False)],
)  # fmt: skip
def test_on_zero_gpu_with_each_value_says_what_spaces_would(reloaded, variable, expected):
    assert reloaded(variable, None).on_zero_gpu() is expected


def test_gpu_handler_on_zero_gpu_asks_for_the_gpu_and_keeps_the_function(reloaded):
    asked = []
    zero = reloaded("true", stand_in(asked))

    handler, parts = zero.gpu_handler(answer), zero.gpu_handler(answer_in_parts)

    assert asked == [("answer", zero.GPU_SECONDS), ("answer_in_parts", zero.GPU_SECONDS)]
    assert handler.__name__ == "answer"
    assert inspect.signature(handler) == inspect.signature(answer)
    assert handler("a", tokens=2) == "a 2"
    assert inspect.isgeneratorfunction(parts) and not inspect.isgeneratorfunction(handler)
    assert list(parts("a")) == ["a", "aa"]


def test_gpu_handler_elsewhere_returns_the_function_itself(reloaded):
    asked = []
    assert reloaded(None, stand_in(asked)).gpu_handler(answer) is answer
    assert asked == []


def test_gpu_handler_without_spaces_installed_returns_the_function_itself(reloaded):
    assert reloaded("true", None).gpu_handler(answer) is answer


def test_hide_gpu_on_zero_gpu_leaves_child_processes_no_gpu(reloaded):
    zero = reloaded("true", None)
    zero.hide_gpu()
    command = [sys.executable, "-c", "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "''"


def test_hide_gpu_elsewhere_changes_nothing(reloaded):
    reloaded(None, None).hide_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_app_device_and_note_on_zero_gpu_say_that_training_uses_the_cpu(reloaded):
    zero = reloaded("true", None)
    assert zero.app_device() == "cpu"
    assert "training runs in the background on the CPU" in zero.note()


def test_app_device_and_note_elsewhere_leave_the_choice_and_say_nothing(reloaded):
    elsewhere = reloaded(None, None)
    assert elsewhere.app_device() == "auto"
    assert elsewhere.note() is None


@pytest.mark.parametrize(
    ("gpus", "devices", "cores", "words"),
    [
        ([], [], "8", "This Space has no GPU: it trains on the CPU, which has 8 cores."),
        (["Tesla T4"], ["nvidia0"], "4",
         "This Space has a GPU (Tesla T4): models are trained and run on it."),
        (["A10G", "A10G"], [], "4",
         "This Space has 2 GPUs, of which it uses one (A10G): models are trained and run on it."),
        ([], ["nvidia0", "nvidiactl"], "4",
         "This Space has a GPU: models are trained and run on it."),
    ],
)  # fmt: skip
def test_space_says_what_its_hardware_is(
    reloaded, monkeypatch, tmp_path, gpus, devices, cores, words
):
    here = reloaded(None, None)
    monkeypatch.setenv("SPACE_ID", "ann/rlhf")
    monkeypatch.setenv("CPU_CORES", cores)
    monkeypatch.setattr(here, "GPUS", tmp_path / "gpus")
    monkeypatch.setattr(here, "DEVICES", tmp_path)
    for number, name in enumerate(gpus):
        (tmp_path / "gpus" / str(number)).mkdir(parents=True)
        text = f"Model: \t\t {name}\nIRQ:   \t\t 16\n"
        (tmp_path / "gpus" / str(number) / "information").write_text(text)
    for name in devices:
        (tmp_path / name).touch()
    assert here.note() == words


def test_cores_are_counted_if_the_space_does_not_name_them(reloaded, monkeypatch, tmp_path):
    here = reloaded(None, None)
    monkeypatch.setenv("SPACE_ID", "ann/rlhf")
    monkeypatch.delenv("CPU_CORES", raising=False)
    monkeypatch.setattr(here, "GPUS", tmp_path)
    monkeypatch.setattr(here, "DEVICES", tmp_path)
    assert f"has {len(os.sched_getaffinity(0))} cores" in here.note()


def test_space_imported_first_comes_before_torch_and_brings_neither_torch_nor_gradio(tmp_path):
    (tmp_path / "spaces.py").write_text("import sys\nassert 'torch' not in sys.modules\n")
    program = (
        "import sys; from rlhf_demo.server import space; assert space.spaces is not None; "
        "assert not {'torch', 'gradio'} & set(sys.modules)"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = os.environ | {"SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
