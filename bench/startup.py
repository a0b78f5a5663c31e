"""How long it takes from `python app.py` until the page answers.

python -m bench.startup [--times 5]
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from bench.serving import PageProcess


def main() -> None:
    """Start the app several times, each with an empty folder of runs, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    taken = []
    for _ in range(parser.parse_args().times):
        with tempfile.TemporaryDirectory() as folder:
            page = PageProcess(Path(folder) / "runs")
            taken.append(page.start())
            page.stop()
    print(f"load average: {os.getloadavg()[0]:.1f}")
    print("seconds: " + ", ".join(f"{seconds:.1f}" for seconds in taken))
    print(f"fastest {min(taken):.1f} s, median {statistics.median(taken):.1f} s")


if __name__ == "__main__":
    main()
