"""Which runs this page queued: a folder that says that it waits may have been copied here.

A key in the folder of the runs signs everything that decides what is started, and what the models
of a run were when its training ended: somebody may send a run back with another model.
"""

import hashlib
import hmac
import json
import os
from pathlib import Path

from rlhf_demo.config.stages import Task
from rlhf_demo.files import folders_under, kept_key
from rlhf_demo.jobs.shapes import JobRecord

KEY_FILE = ".key"

OF_A_START = {"signature", "started_at", "started_pid", "handle", "oom_kills"}
"""Keys of job.json that are not signed: the signature itself, and the started process."""


OF_MODELS = "model", "steps", "proxy"
"""Folders of a run with models in them."""

MOST_FILES = 2000
"""Files of models that are looked at; our runs have up to a few hundred."""


def made_of(folder: Path) -> str | None:
    """Return a hash of the names, sizes and times of a run's model files.

    A file that was replaced has another time of its last change of status, which no archive brings
    with it and nobody can set.

    Returns:
        None if there are more files than a run of ours has, or they vanish meanwhile.
    """
    found: list[tuple[str, int, int, int]] = []
    try:
        for name in OF_MODELS:
            for path in folders_under(folder / name) if (folder / name).is_dir() else ():
                with os.scandir(path) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        times = status.st_mtime_ns, status.st_ctime_ns
                        if not entry.is_dir(follow_symlinks=False):
                            found.append((os.path.relpath(entry, folder), status.st_size, *times))
                        if len(found) > MOST_FILES:
                            return None
    except OSError:
        return None
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()


class Signer:
    """Signs the runs under one root folder."""

    def __init__(self, root: Path) -> None:
        """Read the key, or create it.

        Raises:
            DataError: it cannot be read or created.
        """
        self._key = kept_key(root / KEY_FILE)

    def signed(self, run_id: str, task: Task, record: JobRecord) -> JobRecord:
        """Return a job record with its signature.

        Args:
            run_id: name of the run's folder.
            task: its kind and options, as in config.json.
            record: contents of job.json.
        """
        asked = {key: value for key, value in record.items() if key not in OF_A_START}
        text = json.dumps([run_id, task["kind"], task["options"], asked], sort_keys=True)
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return {**record, "signature": signature}

    def has_signed(self, run_id: str, task: Task, record: JobRecord) -> bool:
        """Say whether the signature of a job record is valid."""
        right = self.signed(run_id, task, record).get("signature", "")
        return hmac.compare_digest(str(record.get("signature")).encode(), right.encode())
