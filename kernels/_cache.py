"""Where compiled kernels are kept on disk: below MINIFCN_CACHE_DIR, else the user's cache folder, else a temporary one.

    folder = cache_folder("kernels-0123456789abcdef")

A folder's name holds a hash of all that its files were made from, so what is there never goes stale.
"""

import functools
import os
import tempfile
from pathlib import Path


@functools.cache
def cache_folder(name: str) -> Path:
    """The folder of that name, made and seen to be writable."""
    for home in _homes():
        folder = home / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue  # read-only: try the next
    return Path(tempfile.mkdtemp(prefix="minifcn-"))


def _homes() -> list[Path]:
    own, user = os.environ.get("MINIFCN_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    return [Path(own)] if own else [(Path(user) if user else Path.home() / ".cache") / "minifcn"]
