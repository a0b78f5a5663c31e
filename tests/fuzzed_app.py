"""The app, with trainings that end at once: a fuzz test starts hundreds of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import app
from rlhf_demo.jobs import processes

# Before the app imports the rest, which keeps the command as a default.
processes.training_command = lambda kind, folder: ["true", str(folder)]

if __name__ == "__main__":
    sys.exit(app.main())
