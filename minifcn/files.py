"""Writing files whole or not at all."""

import os
import tempfile
from pathlib import Path


def append_line(path: str | os.PathLike, line: str) -> None:
    """Add a line to a text file. Raises OSError, naming `path`, where the disk refuses: the line may be cut short."""
    try:
        with Path(path).open("a") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file so that it is either complete or what it was before, even if the disk fills up half-way.

    Raises OSError, naming `path`, where the disk refuses.
    """
    path = Path(path)
    try:
        _write_and_move(path, content)
    except OSError as error:  # of its own accord a full disk names no file, a missing folder the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_and_move(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
