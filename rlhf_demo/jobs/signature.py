"""Which runs this page put in line: a folder that says it waits may have been copied here.

Whatever decides what is started is signed with a key that lies beside the runs.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from rlhf_demo.files import kept_key

KEY_FILE = ".key"

OF_A_START = {"signature", "started_at", "started_pid", "handle", "oom_kills"}
"""What job.json says of the signature itself, and of a process that was started."""


class Signer:
    """Signs the runs under one root folder."""

    def __init__(self, root: Path) -> None:
        """Read the key, or make it.

        Raises:
            DataError: it cannot be read or created.
        """
        self._key = kept_key(root / KEY_FILE)

    def signed(self, run_id: str, config: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:
        """Return what job.json is to say, with the signature.

        Args:
            run_id: name of the run's folder.
            config: what config.json says; kind and options count.
            note: what job.json is to say.
        """
        asked = {key: value for key, value in note.items() if key not in OF_A_START}
        text = json.dumps([run_id, config["kind"], config["options"], asked], sort_keys=True)
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return note | {"signature": signature}

    def has_signed(self, run_id: str, config: dict[str, Any], note: dict[str, Any]) -> bool:
        """Say whether all this is as it was signed."""
        right = self.signed(run_id, config, note)["signature"]
        return hmac.compare_digest(str(note.get("signature")).encode(), right.encode())
