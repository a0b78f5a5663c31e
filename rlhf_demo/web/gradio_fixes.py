"""What this page mends in Gradio where it has no setting for it."""

from gradio import UploadButton, processing_utils, route_utils, state_holder
from gradio.data_classes import FileData

from rlhf_demo.errors import DemoError
from rlhf_demo.web.cache import noted_file
from rlhf_demo.web.sessions import Session


def mend() -> None:
    """Mend, for all pages of this process, how files come in and what is kept of sessions."""
    processing_utils.async_ssrf_protected_download = refuse_to_fetch
    UploadButton._process_single_file = path_of
    route_utils.NamedTemporaryFile = noted_file
    state_holder.SessionState = Session


async def refuse_to_fetch(url: str, cache_dir: str) -> str:
    """Stand in the place of what downloads a file whose address somebody sends instead of a file.

    Raises:
        DemoError: always. Gradio would fetch it whole, however long, into memory.
    """
    raise DemoError("this page fetches no files from addresses: choose a file of your own")


def path_of(button: UploadButton, file: FileData) -> str:
    """Stand in the place of what leaves an empty file behind for each that it hands on."""
    return file.path
