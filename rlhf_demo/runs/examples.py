"""Keep a finished run's record as an example, for visitors who have not trained anything yet.

An example is the record as the trainer wrote it, without its model.
"""

import shutil
from pathlib import Path

from rlhf_demo.errors import JobError
from rlhf_demo.files import replacing_folder, write_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Run, Status

RECORD = (
    "config.json", "status.json", "metrics.jsonl", "samples.jsonl", "distributions.jsonl",
    "reward_scale.json", "report.json",
)  # fmt: skip
"""The files of a run that an example keeps."""


def ship_example(run: str, name: str, title: str) -> Path:
    """Write checkpoints/examples/NAME from the record of a finished run.

    Raises:
        JobError: the run is not finished.
    """
    source = Run(run)
    if source.status["status"] != Status.FINISHED:
        raise JobError(f"{run} is {source.status['status']}: only a finished run can be an example")
    target = CHECKPOINTS / "examples" / name
    with replacing_folder(target) as folder:
        for file in RECORD:
            if (source.folder / file).is_file():
                shutil.copy(source.folder / file, folder / file)
        # It has no owner and never waited.
        record = {"title": title, "owner": None, "queued_at": 0.0, "after": None}
        write_json(folder / "job.json", record)
    return target
