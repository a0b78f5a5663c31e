"""Start the page: python app.py. What an owner can set stands in rlhf_demo/server/settings.py."""

from rlhf_demo.server import space  # before torch: on ZeroGPU, `spaces` must come first

import os
import sys
from argparse import ArgumentParser
from threading import Thread

from rlhf_demo.errors import DemoError
from rlhf_demo.garbage_collection import without_collections


def main() -> int:
    """Build the page and serve it; return the exit code."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # whom a proxy speaks for is settled in web/addresses.py
    os.umask(0o077)  # other accounts of this machine read neither votes nor keys
    with without_collections():
        from rlhf_demo.ui.app import build_app, launch_options
        from rlhf_demo.web.cache import own_cache
        from rlhf_demo.web.connections import bound_connections, check_port
        from rlhf_demo.server import backup
        from rlhf_demo.server.ending import end_in_order
        from rlhf_demo.server.settings import Settings

    space.hide_gpu()
    try:
        settings = Settings.from_environment()
        check_port(settings.server_name, settings.port)
        if settings.backup:
            backup.restore(settings.runs, settings.backup)
        os.environ["GRADIO_TEMP_DIR"] = str(own_cache(settings.runs))
        demo = build_app(settings)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    end_in_order(demo.shared.jobs)
    copies = backup.begin(settings)
    bound_connections(settings.proxies)
    # The page is there within seconds; the models' libraries need as long again.
    Thread(target=demo.shared.model_cache.warm, name="models", daemon=True).start()
    demo.launch(**launch_options(demo))
    demo.shared.store.close()
    if copies:
        copies.close(backup.CLOSE_SECONDS)
    return 0


if __name__ == "__main__":
    ArgumentParser(
        description="Start the page. It takes no arguments: its settings are environment variables "
        "such as RLHF_DEMO_PASSWORD, and docs/settings.md lists them."
    ).parse_args()
    sys.exit(main())
