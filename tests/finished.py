"""A finished run with curves, a report and a model."""

from rlhf_demo.files import write_json
from rlhf_demo.runs.run import Run


def finished(folder, kind, save, **options):
    """A finished run with the model that `save` writes, curves and a report."""
    run = Run.create(folder, kind, options)
    with run.recording():
        save(run.model_folder)
        rows = [
            {"step": step, "objective/score": step / 10, "objective/kl": step / 5}
            for step in range(1, 21)
        ]
        run.append("metrics", rows)
        report = {"score": 1.2, "score_se": 0.05, "prompts": 256, "held_out": True}
        report["most_wrong"] = [{"prompt": "what a person wrote"}]
        write_json(run.folder / "report.json", report)
    return run
