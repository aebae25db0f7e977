"""Weights that others published, loaded into a network here by layer name.

    net = build("fcn8s")
    load_published(net, "fcn8s-heavy-pascal.caffemodel")         # all layers: the authors' network
    load_published(net, "VGG_ILSVRC_16_layers.caffemodel")       # the trunk, fc6 and fc7; scores stay at zero
    load_published(net, "vgg16-397923af.pth")                    # the same of torchvision's
    load_published(build("googlenet-torchvision"), "googlenet-1378be20.pth")

Files: .caffemodel (see `caffe.py`), torchvision's VGG-16, AlexNet and GoogLeNet as .safetensors or .pth (see
`torchvision.py`), checkpoints of this package, whose weights go from FCN-32s to FCN-16s to FCN-8s in this way. Where
published files are found is written in docs/published.md.

How pictures must be prepared for these weights comes with them (see `preprocessing.py`); training goes by it and writes
it into its checkpoints.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import init
from .caffe import read_caffemodel
from .data import DESCRIPTIONS, VOID
from .graph import Graph
from .models import MODELS, build
from .models.fcn_nyud import with_depth
from .ops.check import Array
from .prediction import checkpoint_of
from .preprocessing import Preprocessing
from .surgery import transplant
from .torchvision import Network, read_torchvision
from .weights import OPTIMIZER, is_checkpoint, read_checkpoint, save


class Loaded(NamedTuple):
    """What `load_published` did, by dotted names, and how pictures must be prepared from now on."""

    preprocessing: Preprocessing
    copied: tuple[str, ...]  # of the network: now the file's numbers
    dropped: tuple[str, ...]  # of the file: the network has no such layer, or is to start anew there
    untouched: tuple[str, ...]  # of the network: as they were, which for new score layers is zero


def load_published(
    net: Graph, path: str | os.PathLike, *, new: Iterable[str] = (), suffix: str = "",
) -> Loaded:
    """Give the layers of `net` the numbers of the file's layers of the same names.

    A fully connected layer's (O, C*H*W) becomes a convolution's (O, C, H, W), the numbers in the order they have. What
    the file does not have, the network must be ready to do without: layers that start at zero (scores of new
    classes), frozen ones (bilinear upsampling), and ENet's whole decoder where the file is a trained encoder.

    Args:
        net: a network by the names of the papers' own files, such as `minifcn.models.build` makes.
        path: .caffemodel, .safetensors, .pth, or the folder of a run.
        new: layers of `net` that keep what they have, whatever the file holds: scores of other classes.
        suffix: what a layer is called in `net` behind its name, in a network of several streams ("color").

    Nothing is changed if anything does not fit. Raises FileNotFoundError; ImportError without protobuf or PyTorch where
    the file needs them; ValueError for a file that is damaged, of another kind or of another network, and where a layer
    is missing or has another shape: which, expected, found.
    Source: the FCN authors' surgery.py and solve.py.
    """
    arrays, preprocessing, network = read_published(path)
    _check_network(net, network, path)
    if "conv1_1_bgrd.weight" in net.state() and "conv1_1.weight" in arrays:
        arrays = with_depth(arrays)  # colour's weights for a network of colour and depth
    new = set(new)
    _check_names(new, net)
    given = list(dict.fromkeys(_layer(name) for name in arrays))  # in the file's order
    _check_missing(net, given, new | _second_stage(net, given), suffix, path)
    try:
        done = transplant(arrays, net, suffix=suffix, skip=[layer for layer in given if f"{layer}{suffix}" in new])
    except ValueError as error:
        width = (net.architecture or {}).get("width", 1.0)
        hint = "" if width == 1 else f" The network has width {width:g}; published weights fit width 1."
        raise ValueError(f"load_published: expected layers of {Path(path).name} to fit, got: {error}{hint}") from error
    return Loaded(preprocessing, done.copied, done.dropped, done.untouched)


def load_streams(net: Graph, paths: Sequence[str | os.PathLike], *, new: Iterable[str] = ()) -> Loaded:
    """`load_published` from one file, or from one for each input of a network with several streams, in their order.

    Late fusion starts from a network for colour and one for HHA: layers "conv1_1color" ... and "conv1_1hha" ...
    Raises as `load_published`, and ValueError for another number of files.
    """
    if len(paths) == 1:
        return load_published(net, paths[0], new=new)
    if len(paths) != len(net.inputs):
        raise ValueError(f"load_published: expected one file, or {len(net.inputs)} for the inputs "
                         f"{', '.join(net.inputs)}, got {len(paths)}. Give one for each stream.")
    before = {name: array.copy() for name, array in net.state().items()}
    try:
        done = [load_published(net, path, new=new, suffix=stream)
                for stream, path in zip(net.inputs, paths, strict=True)]
    except Exception:
        net.load(before)  # all or nothing
        raise
    copied = tuple(name for part in done for name in part.copied)
    return Loaded(_joined([part.preprocessing for part in done]), copied,
                  tuple(name for part in done for name in part.dropped),
                  tuple(name for name in before if name not in copied))


def convert(
    path: str | os.PathLike, out: str | os.PathLike, model: str, *, data: str | None = None, new: Iterable[str] = (),
    **options: Any,
) -> Loaded:
    """Make a checkpoint of published weights, with all that prediction needs, at `out`.

    Args:
        path, new: as for `load_published`.
        out: where the checkpoint goes, .safetensors.
        model: the network, one of `minifcn.models.MODELS`; `options` are its builder's.
        data: what it was trained for, one of `minifcn.data.DESCRIPTIONS`: names, colours, number of classes and mean.

    Returns what was loaded; its preprocessing has a mean in any case. Raises as `load_published`, and ValueError for an
    unknown model or data set.
    """
    if data is not None and data not in DESCRIPTIONS:
        raise ValueError(f"convert: expected one of {', '.join(DESCRIPTIONS)}, got {data!r}. "
                         f"Leave it out for a network without class names.")
    known = DESCRIPTIONS[data] if data else None
    two_heads = model in MODELS and MODELS[model].heads > 1  # whose numbers of classes are the model's own
    net = build(model, **options, **({"num_classes": len(known.classes)} if known and not two_heads else {}))
    loaded = load_published(net, path, new=new)
    preprocessing = loaded.preprocessing.completed(*(known.mean, known.has_colors) if known else ())
    meta = preprocessing.meta() | {"ignore_index": VOID, "source": Path(path).name}
    if known:
        meta |= {"classes": list(known.classes), "palette": known.palette.tolist()}
        meta |= {"output": net.outputs[known.head]} if two_heads else {}
    save(out, net, **meta)
    return loaded._replace(preprocessing=preprocessing)


def read_published(path: str | os.PathLike) -> tuple[dict[str, Array], Preprocessing, Network | None]:
    """The arrays in a file by dotted name ("conv1_1.weight"), how its pictures are prepared, whose network it is.

    The last is None unless the file is torchvision's.

    Raises as `load_published`.
    """
    path = checkpoint_of(path)
    if path.suffix == ".caffemodel":
        layers = read_caffemodel(path)
        kinds = ("weight", "bias")
        arrays = {f"{layer}.{kinds[k] if k < 2 else f'blob{k}'}": blob
                  for layer, blobs in layers.items() for k, blob in enumerate(blobs)}
        return arrays, Preprocessing(mean=(), channel_order="BGR"), None
    if path.suffix in (".pth", ".pt") or (path.suffix == ".safetensors" and not is_checkpoint(path)):
        arrays, network = read_torchvision(path)
        return arrays, Preprocessing(network.mean, network.scale), network
    if path.suffix != ".safetensors" and path.is_file() and not is_checkpoint(path):
        raise ValueError(f"load_published: expected a .caffemodel, .safetensors or .pth file, got {path}. "
                         f"Give one of these.")
    tensors, meta = read_checkpoint(path)
    arrays = {name: array for name, array in tensors.items() if not name.startswith(OPTIMIZER)}
    return arrays, Preprocessing.from_meta(meta), None


def told(loaded: Loaded, path: str | os.PathLike) -> str:
    """Which layers took the file's numbers, which did not, and what of the file was not wanted."""
    taken, before, left = (dict.fromkeys(map(_layer, names)) for names in (loaded.copied, loaded.untouched,
                                                                         loaded.dropped))
    parts = [f"weights from {path}: {_named(list(taken))}", f"as initialised: {_named(list(before))}",
             f"not wanted: {_named(list(left))}"]
    return "; ".join(part for part, layers in zip(parts, (taken, before, left), strict=True) if layers)


def _named(layers: list[str]) -> str:
    """All names of a few layers; of many, the ends."""
    return ", ".join(layers) if len(layers) <= 6 else f"{len(layers)} layers, {layers[0]} to {layers[-1]}"


def _check_network(net: Graph, network: Network | None, path: str | os.PathLike) -> None:
    """Raises ValueError for weights of a network that torchvision has under the name of another one.

    A Graph that does not say what it is has its shapes compared like any other.
    """
    model = (net.architecture or {}).get("model")
    if network is not None and network.unlike and model not in (None, network.model):
        raise ValueError(f"load_published: expected weights that fit {model}, got torchvision's {network.name} in "
                         f"{path}, which is another network: {network.unlike}. Build {network.model} for it; for "
                         f"Caffe's {network.name} use {network.caffes}.")


def _check_names(new: set[str], net: Graph) -> None:
    own = {_layer(name) for name in net.state()}
    if not new <= own:
        raise ValueError(f"load_published: expected layers of the network to start anew ({', '.join(sorted(own))}), "
                         f"got {', '.join(sorted(new - own))}. Correct the name.")


def _joined(parts: list[Preprocessing]) -> Preprocessing:
    """Of streams whose images come as one, three channels after three. Only the first is one of colours."""
    mean = tuple(number for part in parts for number in part.mean) if all(len(part.mean) == 3 for part in parts) else ()
    scale = tuple(number for part in parts for number in (part.scale * 3 if len(part.scale) == 1 else part.scale))
    return Preprocessing(mean, scale, parts[0].size, parts[0].channel_order)


def _second_stage(net: Graph, given: list[str]) -> set[str]:
    """What a network has beyond the one that is trained before it, if the file holds nothing of that."""
    model = MODELS.get((net.architecture or {}).get("model", ""))
    if model is None or not model.starts_from:
        return set()
    with init.shapes_only():
        first = build(model.starts_from)
    added = {_layer(name) for name in net.state()} - {_layer(name) for name in first.state()}
    return added if added.isdisjoint(given) else set()


def _check_missing(net: Graph, given: list[str], new: set[str], suffix: str, path: str | os.PathLike) -> None:
    """Raises ValueError, naming them, if layers are missing in the file that the network cannot do without."""
    parameters, found = net.parameters(), {f"{layer}{suffix}" for layer in given} | new
    ready = {_layer(name) for name, p in parameters.items() if not p.trains or not p.data.any()}
    started = {_layer(name) for name, p in parameters.items() if p.trains and p.data.any()}
    missing = [layer for layer in dict.fromkeys(_layer(name) for name in net.state())
               if layer.endswith(suffix) and layer not in found and layer not in ready - started]
    if missing:
        shapes = ", ".join(f"{layer} {parameters[f'{layer}.weight'].data.shape}" if f"{layer}.weight" in parameters
                           else layer for layer in missing[:4])
        raise ValueError(f"load_published: expected the layers {shapes}{', ...' if len(missing) > 4 else ''} in "
                         f"{path}, got {', '.join(given[:4])}, ... ({len(missing)} of the network's layers are "
                         f"missing; nothing was loaded). Is the file whole, and of this network? Layers that shall "
                         f"start anew are named by --new-layers (in Python: new).")


def _layer(name: str) -> str:
    """"fc6.weight" -> "fc6"."""
    return name.rpartition(".")[0]
