"""Fixes of Gradio's behaviour where it has no setting."""

import os
import secrets
from typing import Any

from gradio import Blocks, UploadButton, processing_utils, route_utils, routes, state_holder
from gradio.data_classes import FileData
from gradio.route_utils import (
    GradioMultiPartParser,
    GradioUploadFile,
    delete_files_created_by_app,
)
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from rlhf_demo.errors import DemoError
from rlhf_demo.web.cache import noted_file
from rlhf_demo.web.sessions import Session


def apply_fixes() -> None:
    """Fix, for all pages of this process, how files arrive and what sessions keep."""
    processing_utils.async_ssrf_protected_download = refuse_to_fetch
    routes.secure_url_stream_response = refuse_to_pass_on  # pyright: ignore[reportPrivateImportUsage]
    # Gradio has no setting for these two, so pyright does not expect them to be replaced.
    UploadButton._process_single_file = path_of  # pyright: ignore[reportAttributeAccessIssue]
    route_utils.NamedTemporaryFile = noted_file  # pyright: ignore[reportPrivateImportUsage]
    route_utils.GradioMultiPartParser = FilesOnly
    route_utils.GradioUploadFile = Upload
    route_utils.delete_files_created_by_app = forget_files
    state_holder.SessionState = Session


async def refuse_to_fetch(url: str, cache_dir: str) -> str:
    """Replace Gradio's download of a file from an address that a client sends instead of a file.

    Raises:
        DemoError: always. Gradio would fetch it whole, however long, into memory.
    """
    raise DemoError(
        "this page does not fetch files from web addresses: choose a file on your computer"
    )


async def refuse_to_pass_on(url: str, request: Request) -> None:
    """Replace Gradio's function that answers with any address of the web, however long it takes.

    Raises:
        HTTPException: always.
    """
    raise HTTPException(404, "this page has nothing at this address")


def path_of(button: UploadButton, file: FileData) -> str:
    """Replace Gradio's function, which leaves an empty file behind for each upload."""
    return file.path


class FilesOnly(GradioMultiPartParser):
    """Reads uploads without their other fields, which Gradio keeps in memory, however long."""

    def on_headers_finished(self) -> None:
        """Begin a part.

        Raises:
            MultiPartException: it is no file.
        """
        super().on_headers_finished()
        if self._current_part.file is None:
            raise MultiPartException("send files only, each with its name (filename)")


class Upload(GradioUploadFile):
    """An uploaded file in its own folder, whose name no one can guess.

    Gradio names the folder by what the file holds, so a class that uploads the same file would
    share one path, and the first request removes the file (cache.py: received).
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sha.update(secrets.token_bytes(32))


def forget_files(blocks: Blocks, age: int | None) -> None:
    """Delete files as Gradio does, and forget the names of those that are gone already."""
    delete_files_created_by_app(blocks, age)
    for paths in blocks.temp_file_sets:
        paths -= {path for path in list(paths) if not os.path.lexists(path)}
