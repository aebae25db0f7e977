"""Checkpoints: a network and all that prediction needs, in one safetensors file, never pickle.

The arrays are stored under their dotted names ("conv1_1.weight"); architecture, class names, palette, mean and scale go
as JSON into the file's header. Arrays under "optimizer/" belong to a training that can be resumed and are left alone
when the network is loaded. A file is written beside its place and moved there in one step: it is whole or not there.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import to_numpy
from .files import write_whole
from .graph import Graph
from .models import build
from .ops.check import Array

FORMAT = "minifcn-1"
OPTIMIZER = "optimizer/"


def save(path: str | os.PathLike, net: Graph, **meta: Any) -> None:
    """Write a network made by `minifcn.models.build`, with anything that JSON can say about it, to `path`.

    Raises ValueError for a Graph without an architecture, which could not be built again; OSError if the disk is full
    or the folder missing, and then what was at `path` before is still there.
    """
    write_checkpoint(path, net, meta)


def load(path: str | os.PathLike) -> tuple[Graph, dict[str, Any]]:
    """The network in evaluation mode, and what was saved with it.

    Raises FileNotFoundError, or ValueError for a file that is truncated, not a checkpoint, or of another architecture.
    """
    tensors, meta = read_checkpoint(path)
    state = {name: array for name, array in tensors.items() if not name.startswith(OPTIMIZER)}
    architecture = dict(meta.pop("architecture"))
    dtype = next((array.dtype for array in state.values()), np.float32)
    try:
        net = build(architecture.pop("model"), **architecture, dtype=dtype)
        net.load(state)
    except (ValueError, TypeError) as error:
        raise ValueError(f"load: expected {path} to hold a network that can be built here, got: {error}") from error
    net.eval()
    return net, meta


def write_checkpoint(
    path: str | os.PathLike, net: Graph, meta: dict[str, Any], optimizer: dict[str, Array] | None = None
) -> None:
    """`save`, with the arrays of an optimiser beside the network's."""
    from safetensors.numpy import save as to_bytes

    if net.architecture is None:
        raise ValueError("save: expected a network made by minifcn.models.build, got a Graph without an architecture. "
                         "Store net.state() with safetensors yourself, or add the network to the registry.")
    header = {"format": FORMAT, "meta": json.dumps(meta | {"architecture": net.architecture})}
    tensors = net.state() | {OPTIMIZER + name: array for name, array in (optimizer or {}).items()}
    contiguous = {name: np.ascontiguousarray(to_numpy(array)) for name, array in tensors.items()}
    write_whole(path, to_bytes(contiguous, header))


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Whether a file says that this package wrote it. False for other files, damaged ones, and where there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def read_checkpoint(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of a checkpoint, and its meta data."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"load: expected a checkpoint at {path}, got no such file. Give a .safetensors file.")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is not a dict
    except (SafetensorError, OSError) as error:
        raise ValueError(f"load: expected {path} to be a whole safetensors file, got: {error}. "
                         f"It may be cut short; use an earlier checkpoint.") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"load: expected {path} to be a checkpoint of minifcn ({FORMAT}), got format "
                         f"{header.get('format')!r}. Use a file that minifcn.save or `minifcn train` wrote.")
    meta = json.loads(header.get("meta", "{}"))
    if "model" not in meta.get("architecture", {}):
        raise ValueError(f"load: expected {path} to say which network it holds, got a header without an architecture. "
                         f"Use a file that minifcn.save or `minifcn train` wrote.")
    return tensors, meta
