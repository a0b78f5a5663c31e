"""What a download's link leads to."""

from pathlib import Path

from gradio.utils import get_upload_folder


def file_of(answer):
    """Return the file of the cache that a server function's answer links to."""
    return Path(get_upload_folder()).resolve() / answer["link"].removeprefix("served/")
