"""Start the page: python app.py. What an owner can set stands in rlhf_demo/ui/settings.py."""

from rlhf_demo.ui import space  # before torch: on ZeroGPU, `spaces` must come first

import os
import sys

from rlhf_demo.errors import DemoError


def main() -> int:
    """Build the page and serve it; return the exit code."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from starlette.middleware import Middleware

    from rlhf_demo.ui import parts
    from rlhf_demo.ui.app import build_app
    from rlhf_demo.ui.refusals import Refusals
    from rlhf_demo.ui.settings import Settings

    space.hide_gpu()
    # One prompt needs one thread; two would wait for those of a training, ten times as long.
    torch.set_num_threads(1)
    try:
        demo = build_app(Settings.from_environment())
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    demo.launch(
        theme=parts.theme(),
        css=parts.css(),
        head=parts.head(),
        ssr_mode=False,
        run_history=False,
        footer_links=["api"],
        max_file_size="20mb",
        show_error=True,
        app_kwargs={"middleware": [Middleware(Refusals)]},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
