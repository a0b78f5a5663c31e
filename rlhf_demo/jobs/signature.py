"""Which runs this page queued: a folder that says that it waits may have been copied here.

A key in the folder of the runs signs everything that decides what is started.
"""

import hashlib
import hmac
import json
from pathlib import Path

from rlhf_demo.config.stages import Task
from rlhf_demo.files import kept_key
from rlhf_demo.jobs.shapes import JobRecord

KEY_FILE = ".key"

OF_A_START = {"signature", "started_at", "started_pid", "handle", "oom_kills"}
"""Keys of job.json that are not signed: the signature itself, and the started process."""


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
