"""The card of a run's model: what a stranger needs to know before they use it.

It is the README.md of the model's repository. Everything in it comes from the run's folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from rlhf_demo.config.stages import STAGES
from rlhf_demo.files import Row, is_record
from rlhf_demo.intervals import Z_95
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.runs.run import RunConfig

POINTS = 9
"""Steps of a curve in its table."""

FIGURES = {
    "score": "score on prompts, in standard deviations of the base's own scores",
    "raw_score": "the same score, in the scorer's own units",
    "kl": "exact KL from the model it started from, nats per response",
    "length": "length of a response, tokens",
    "prompts": "prompts measured",
    "accuracy": "share of held-out pairs in the right order (a tie counts half)",
    "watched": "",  # another interval of the same accuracy
    "pairs": "held-out pairs",
    "different_pairs": "different ones among them",
    "loss": "loss on held-out pairs, nats",
    "stated": "the model's own mean confidence",
    "baseline_length": "the same share if the longer or the shorter text always wins",
    "train_pairs": "pairs that it was trained on",
    "score_std": "logits per unit of the score",
    "score_mean": "mean of the raw score, logits",
}
"""Figure of a report -> what it is; the empty ones are left out."""

DATA = {
    "data": "Trained on",
    "prompts": "Prompts",
    "reward": "Reward",
    "judge": "Judge, on whose scores nothing is trained",
    "rater": "Judge that labelled the pairs",
}
"""Option -> what it says of the data."""

SHIPPED = {
    "data": "the pairs that ship with the program: 2,500 pairs of sampled texts, labelled by a "
    "simulated rater, not by people",
    "prompts": "the prompts that ship with the program: openings of film reviews",
}


@dataclass(frozen=True)
class Subject:
    """What a card is about, besides the run's own files.

    Attributes:
        repository: OWNER/NAME.
        title: of the run.
        base: name of the model it was trained from; None: it was trained from scratch.
        base_on_hub: whether `base` is a Hub id, whose weights an adapter needs.
        licence: id of the base's licence; None: nobody knows it.
        adapter: whether the repository holds an adapter.
        value_head: whether it holds a value head.
    """

    repository: str
    title: str
    base: str | None
    base_on_hub: bool
    licence: str | None
    adapter: bool
    value_head: bool


def card(subject: Subject, config: RunConfig, report: Any, rows: Sequence[Row]) -> str:
    """Return the card in Markdown.

    Args:
        subject: the model.
        config: contents of the run's config.json, without paths of this machine.
        report: contents of its report.json; None if it wrote none.
        rows: its metrics.
    """
    stage = STAGES[config["kind"]]
    parts = [
        _front_matter(subject, stage.makes == "reward"),
        f"# {subject.title}\n\n{_first_words(subject, stage.title, stage.makes)}",
        f"## Use\n\n{_use(subject, config, stage.makes == 'reward')}",
        f"## Data\n\n{_data(config['options'])}",
        f"## Figures\n\n{_figures(report)}",
        f"## Curves\n\n{_curves(rows, stage.headline)}",
        f"## Limits\n\n{_limits(subject, config['options'], stage.makes == 'reward')}",
        f"## Settings\n\n{_settings(config)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(subject: Subject, scores: bool) -> str:
    lines = [
        f"license: {subject.licence or 'other'}",
        *([] if subject.licence else ["license_name: unknown"]),
        f"library_name: {'peft' if subject.adapter else 'transformers'}",
        f"pipeline_tag: {'text-classification' if scores else 'text-generation'}",
        *([f"base_model: {subject.base}"] if subject.base_on_hub else []),
        "tags:",
        "- rlhf",
        f"- {'reward-model' if scores else 'preference-tuning'}",
    ]
    return "\n".join(["---", *lines, "---"])


def _first_words(subject: Subject, method: str, makes: str) -> str:
    what = "scores texts" if makes == "reward" else "writes texts"
    start = f"from `{subject.base}`" if subject.base else "from scratch"
    licence = (
        f"The licence of the model it started from is `{subject.licence}`; this model has the same."
        if subject.licence
        else "The licence of the model it started from is not known: ask whoever made it."
    )
    if not subject.base:
        licence = "It has no base, so no licence of a base applies; its owner has to name one."
    return f"This model {what}. It was trained {start} ({method}) with RLHF, live. {licence}"


def _use(subject: Subject, config: RunConfig, scores: bool) -> str:
    options, name = config["options"], subject.repository
    kind = "SequenceClassification" if scores else "CausalLM"
    library, auto = ("peft", f"AutoPeftModelFor{kind}") if subject.adapter else (
        "transformers", f"AutoModelFor{kind}"
    )  # fmt: skip
    labels = ", num_labels=1" if scores and subject.adapter else ""
    lines = [
        *([f"from peft import {auto}", "from transformers import AutoTokenizer"]
          if library == "peft" else [f"from transformers import {auto}, AutoTokenizer"]),
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
        f'model = {auto}.from_pretrained("{name}"{labels}).eval()',
        'inputs = tokenizer("I watched this film and", return_tensors="pt")',
    ]  # fmt: skip
    if scores:
        lines.append("print(model(**inputs).logits)  # the score of the text")
    else:
        temperature = options.get("temperature", 0.7)
        tokens = options.get("max_new_tokens", 32)
        lines += [
            f"texts = model.generate(**inputs, do_sample=True, temperature={temperature}, top_k=0,",
            f"                       max_new_tokens={tokens})",
            "print(tokenizer.decode(texts[0], skip_special_tokens=True))",
        ]
    text = _code("python", lines)
    if subject.value_head:
        trunk = "model.get_base_model().base_model" if subject.adapter else "model.base_model"
        head = [
            "from huggingface_hub import hf_hub_download",
            "from safetensors.torch import load_file",
            "",
            f'head = load_file(hf_hub_download("{name}", "value_head.safetensors"))',
            f"hidden = {trunk}(**inputs).last_hidden_state",
            'print(hidden @ head["weight"].T + head["bias"])  # one value for each token',
        ]
        text += "\n\nThe value head of PPO has a file of its own:\n\n" + _code("python", head)
    fetch = [f"python -m rlhf_demo pull-model {name}"]
    return f"{text}\n\nIn RLHF, live, with the run's curves:\n\n{_code('sh', fetch)}"


def _code(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _data(options: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, words in DATA.items():
        value = options.get(name)
        if value is not None:
            shipped = SHIPPED.get(name) if value == "shipped" else None
            lines.append(f"- {words}: {shipped or f'`{value}`'}.")
    return "\n".join(lines) or "The run's settings name no data."


def _figures(report: Any) -> str:
    """Return the report's numbers as a table, each with its 95% interval if the report has one."""
    if not is_record(report):
        return "The run measured nothing of itself at its end."
    rows: list[tuple[str, str, str]] = []
    for name, value in report.items():
        words = FIGURES.get(name, name.replace("_", " "))
        if words and name.rpartition("_")[2] not in ("low", "high", "se") and _is_number(value):
            rows.append((words, _number(value), _interval(report, name, value)))
    if not rows:
        return "The run measured nothing of itself at its end."
    note = ""
    if report.get("held_out") is True:
        note = "\n\nThe prompts were held out of training."
    elif report.get("held_out") is False:
        note = "\n\nThe prompts are those that it was trained on."
    return _table(("figure", "value", "95% interval"), rows) + note


def _interval(report: dict[str, Any], name: str, value: float) -> str:
    """Return a figure's interval in words, its own or by its standard error; empty if none."""
    low, high = report.get(f"{name}_low"), report.get(f"{name}_high")
    error = report.get(f"{name}_se")
    if _is_number(error):
        low, high = value - Z_95 * error, value + Z_95 * error
    return f"{_number(low)} to {_number(high)}" if _is_number(low) and _is_number(high) else ""


def _curves(rows: Sequence[Row], headline: Sequence[str]) -> str:
    """Return some steps of the metrics that lists of runs show."""
    names = [name for name in headline if any(name in row for row in rows)]
    with_figures = [row for row in rows if any(name in row for name in names)]
    if not with_figures:
        return "The run noted no metrics."
    last = len(with_figures) - 1
    chosen = sorted({round(last * point / (POINTS - 1)) for point in range(POINTS)})
    lines = [
        (str(with_figures[index].get("step", "")),
         *(_number(with_figures[index].get(name)) for name in names))
        for index in chosen
    ]  # fmt: skip
    head = ("step", *(f"{GLOSSARY[name].label} ({GLOSSARY[name].unit})" for name in names))
    return _table(head, lines) + "\n\n`run/metrics.jsonl` has every step and every metric."


def _limits(subject: Subject, options: dict[str, Any], scores: bool) -> str:
    lines = [
        "It was trained to show how RLHF works, not to be used for decisions about people.",
        "It repeats what its base learned, and can be rude or wrong.",
    ]
    if scores:
        lines.append(
            "Its score orders texts like those it was trained on; on others it is a guess."
        )
    else:
        lines.append(
            "A higher score means that its reward liked its texts more, not that they are better."
        )
    if "shipped" in (options.get("data"), options.get("reward")) or options.get("reward") in (
        "reward-mini", "star-rater"
    ):  # fmt: skip
        lines.append("The preferences behind it are those of a simulated rater, not of people.")
    if options.get("clean_words"):
        lines.append(
            "Training ruled out rude words. That rule is not in the weights: it can write them."
        )
    if subject.adapter:
        lines.append(f"It is an adapter: it needs the weights of `{subject.base}`.")
    return "\n".join(f"- {line}" for line in lines)


def _settings(config: RunConfig) -> str:
    rows = [(f"`{name}`", f"`{value}`") for name, value in config["options"].items()]
    versions = ", ".join(f"{name} {number}" for name, number in config.get("versions", {}).items())
    commit = config.get("commit", "unknown")
    made = f"Made on {config['created_at']} with commit `{commit}`; {versions}."
    return _table(("option", "value"), rows) + "\n\n" + made


def without_folders(options: dict[str, Any], on_hub: Callable[[str], bool]) -> dict[str, Any]:
    """Return a run's options with only the last name of each path, which are private.

    Args:
        options: of the run.
        on_hub: says whether the Hub has a name. A relative path may look like one, and need not
            exist from the folder of this process.
    """
    return {
        name: Path(value).name if isinstance(value, str) and _is_path(value, on_hub) else value
        for name, value in options.items()
    }


def _is_path(value: str, on_hub: Callable[[str], bool]) -> bool:
    return "/" in value and (Path(value).exists() or not on_hub(value))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return type(value) in (int, float)


def _number(value: Any) -> str:
    if not _is_number(value):
        return ""
    return f"{value:,}" if type(value) is int else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
