"""`python -m rlhf_demo` is the command line (cli/main.py)."""

import sys

from rlhf_demo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
