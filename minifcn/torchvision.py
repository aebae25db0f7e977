"""Weights that torchvision published for ImageNet classifiers, under the names that the layers have here.

    file                       model here              x = (pixel / 255 - mean) / deviation, red first
    vgg16-397923af.pth         vgg16, and FCNs on it   mean and deviation of ImageNet
    alexnet-owt-7be5be79.pth   alexnet-torchvision     the same
    googlenet-1378be20.pth     googlenet-torchvision   0.5 and 0.5

VGG-16 is the same network in Caffe and in torchvision: thirteen convolutions and three fully connected layers,
flattened in the same order (channel, row, column). The other two are other networks than Caffe's under the same names,
so they are models of their own here; in what they differ is said in `models/alexnet_torchvision.py` and
`models/googlenet_torchvision.py`. torchvision's GoogLeNet is given pictures in ImageNet's mean and deviation like the
others, but first of all brings them back to 0.5 and 0.5 (transform_input), which is what counts here.

The auxiliary heads of GoogLeNet (aux1, aux2) are left out, and so is num_batches_tracked, a counter that batch norm has
no use for here. A .pth file is a pickle, which could run anything when read; PyTorch reads it with weights_only=True.

Source: torchvision/models/{vgg,alexnet,googlenet}.py.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Numbers = tuple[float, ...]


class Network(NamedTuple):
    """One of torchvision's networks, as it is found in a file, and what becomes of it here.

    Attributes:
        name: what torchvision calls it.
        model: what it is called here, one of `minifcn.models.MODELS`.
        layers: torchvision's name of a layer -> the name here.
        mean, scale: (3,), red first, for pixels of 0..255: x = (pixel - mean) * scale.
        unlike: in what it differs from Caffe's network of that name; "" if in nothing.
        caffes: the published file of that one.
    """

    name: str
    model: str
    layers: dict[str, str]
    mean: Numbers
    scale: Numbers
    unlike: str = ""
    caffes: str = ""


# Mean and scale of pixels of 0..255, from the numbers that PyTorch uses with pixels of 0..1.
IMAGENET = (tuple(255 * number for number in (0.485, 0.456, 0.406)),
            tuple(1 / (255 * number) for number in (0.229, 0.224, 0.225)))
HALVES = ((127.5,) * 3, (1 / 127.5,) * 3)

_VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_VGG16_NAMES = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2",
                "conv4_3", "conv5_1", "conv5_2", "conv5_3")
_VGG16 = {
    **{f"features.{number}": name for number, name in zip(_VGG16_CONVOLUTIONS, _VGG16_NAMES, strict=True)},
    "classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8",
}
_ALEXNET = {
    **{f"features.{number}": f"conv{index}" for index, number in enumerate((0, 3, 6, 8, 10), start=1)},
    "classifier.1": "fc6", "classifier.4": "fc7", "classifier.6": "fc8",
}
_WAYS = {"branch1": "1x1", "branch2.0": "3x3_reduce", "branch2.1": "3x3", "branch3.0": "5x5_reduce",
         "branch3.1": "5x5", "branch4.1": "pool_proj"}
_GOOGLENET_CONVOLUTIONS = {
    "conv1": "conv1/7x7_s2", "conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3",
    **{f"inception{block}.{branch}": f"inception_{block}/{way}"
       for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b") for branch, way in _WAYS.items()},
}
_GOOGLENET = {
    **{f"{theirs}.{part}": f"{ours}{end}" for theirs, ours in _GOOGLENET_CONVOLUTIONS.items()
       for part, end in (("conv", ""), ("bn", "/bn"))},
    "fc": "loss3/classifier",
}

NETWORKS = (
    Network("VGG-16", "vgg16", _VGG16, *IMAGENET),
    Network("AlexNet", "alexnet-torchvision", _ALEXNET, *IMAGENET,
            unlike="64, 192, 384, 256, 256 channels instead of 96, 256, 384, 384, 256, no groups, no local response "
                   "normalisation", caffes="bvlc_reference_caffenet.caffemodel"),
    Network("GoogLeNet", "googlenet-torchvision", _GOOGLENET, *HALVES,
            unlike="batch normalisation behind every convolution, and 3x3 in place of 5x5",
            caffes="bvlc_googlenet.caffemodel"),
)
_LEFT_OUT = ("aux1.", "aux2.")  # layers
_COUNTER = ".num_batches_tracked"


def read_torchvision(path: str | Path) -> tuple[dict[str, Array], Network]:
    """The arrays of torchvision's VGG-16, AlexNet or GoogLeNet by dotted names ("conv1_1.weight"), and which it is.

    Raises FileNotFoundError; ImportError for a .pth without PyTorch; ValueError for a damaged file and for another
    network, saying what the difference is.
    """
    tensors = _read_safetensors(path) if Path(path).suffix == ".safetensors" else _read_pickle(path)
    tensors = {name: array for name, array in tensors.items()
               if not name.startswith(_LEFT_OUT) and not name.endswith(_COUNTER)}
    network = _recognised({name.rpartition(".")[0] for name in tensors}, path)
    arrays = {f"{network.layers[layer]}.{kind}": array for name, array in tensors.items()
              for layer, _, kind in [name.rpartition(".")]}
    return arrays, network


def _recognised(layers: set[str], path: str | Path) -> Network:
    """The network that has these layers, all of them and no others. Raises ValueError, naming some, if none has."""
    nearest = max(NETWORKS, key=lambda network: len(layers & network.layers.keys()))  # the first of equals
    missing = [f"{layer} ({name})" for layer, name in nearest.layers.items() if layer not in layers]
    more = sorted(layers - nearest.layers.keys())
    if not missing and not more:
        return nearest
    if len(missing) == len(nearest.layers):
        told = ", ".join(more[:3]) or "none"
    else:
        told = f"those of {nearest.name} {'without' if missing else 'and'} {', '.join((missing or more)[:3])}"
    raise ValueError(f"torchvision: expected the layers of VGG-16 (the one without batch normalisation), AlexNet or "
                     f"GoogLeNet in {path}, got {told}. Use torchvision's vgg16, alexnet or googlenet weights, or a "
                     f".caffemodel.")


def _read_safetensors(path: str | Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    _check_there(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"torchvision: expected a whole .safetensors file in {path}, got: {error}. "
                         f"It may be cut short; fetch it anew.") from error


def _read_pickle(path: str | Path) -> dict[str, Array]:
    _check_there(path)
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"torchvision: expected PyTorch to read {path}, got none. Install torch, or convert the file "
                          f"to .safetensors on a machine that has it.") from error
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged file, or one that holds more than tensors, PyTorch raises many kinds
        raise ValueError(f"torchvision: expected a whole file of tensors in {path}, got one that is cut short, or "
                         f"holds something else, which is not loaded ({str(error).splitlines()[0]}). "
                         f"Fetch torchvision's file anew.") from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"torchvision: expected a dictionary of tensors in {path}, got {type(found).__name__}. "
                         f"Save model.state_dict().")
    return {name: _to_numpy(value) for name, value in found.items()}


def _to_numpy(tensor: Any) -> Array:
    """float16 and bfloat16 become float32; NumPy does not know the latter."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()


def _check_there(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"torchvision: expected a file at {path}, got none. Check the path.")
