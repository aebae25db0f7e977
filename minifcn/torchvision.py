"""Weights that torchvision published for ImageNet classifiers, under the names that Caffe gave the same layers.

VGG-16 is the same network in both: thirteen convolutions and three fully connected layers, flattened in the same order
(channel, row, column). Its input is not: red first, 0..1, mean and deviation of ImageNet.

The other two are other networks under the same names, and no weights of theirs fit:

    AlexNet     "One weird trick" (arXiv 1404.5997): 64, 192, 384, 256, 256 channels, no groups and no local response
                normalisation; Caffe's has 96, 256, 384, 384, 256 in two groups, normalised
    GoogLeNet   from TensorFlow: batch normalisation behind every convolution, 3x3 where the paper has 5x5

A .pth file is a pickle, which could run anything when read; PyTorch reads it here with weights_only=True.
Source: torchvision/models/{vgg,alexnet,googlenet}.py.
"""

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray

# PyTorch subtracts these from pixels of 0..1 and divides; here they are for pixels of 0..255.
MEAN = tuple(255 * number for number in (0.485, 0.456, 0.406))  # red first
SCALE = tuple(1 / (255 * number) for number in (0.229, 0.224, 0.225))

_VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_NAMES = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
          "conv5_1", "conv5_2", "conv5_3")
_VGG16 = {
    **{f"features.{number}": name for number, name in zip(_VGG16_CONVOLUTIONS, _NAMES, strict=True)},
    "classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8",
}
_OTHERS = {
    "features.3.weight": (
        "AlexNet, which is another network than Caffe's: 64, 192, 384, 256, 256 channels instead of 96, 256, 384, 384, "
        "256, no groups, no local response normalisation. Use bvlc_reference_caffenet.caffemodel"
    ),
    "inception3a.branch1.conv.weight": (
        "GoogLeNet, which is another network than the paper's: batch normalisation behind every convolution, and 3x3 "
        "in place of 5x5. Use bvlc_googlenet.caffemodel"
    ),
}


def read_torchvision(path: str | Path) -> tuple[dict[str, Array], tuple[float, ...], tuple[float, ...]]:
    """The arrays of torchvision's VGG-16 by Caffe's dotted names ("conv1_1.weight"), and its mean and scale.

    Mean and scale are (3,), red first, for pixels of 0..255: x = (pixel - mean) * scale.
    Raises FileNotFoundError; ImportError for a .pth without PyTorch; ValueError for a damaged file and for another
    network, saying what the difference is.
    """
    tensors = _read_safetensors(path) if Path(path).suffix == ".safetensors" else _read_pickle(path)
    layers = {name.rpartition(".")[0] for name in tensors}
    if layers == set(_VGG16):
        arrays = {f"{_VGG16[layer]}.{kind}": array for name, array in tensors.items()
                  for layer, _, kind in [name.rpartition(".")]}
        return arrays, MEAN, SCALE
    for name, what in _OTHERS.items():
        if name in tensors:
            raise ValueError(f"torchvision: expected the weights of VGG-16 in {path}, got {what}.")
    missing = [f"{layer} ({_VGG16[layer]})" for layer in _VGG16 if layer not in layers]
    more = [layer for layer in layers if layer not in _VGG16]
    told = f"no {', '.join(missing[:3])}" if missing else f"also {', '.join(sorted(more)[:3])}"
    raise ValueError(f"torchvision: expected the layers of VGG-16 without batch normalisation in {path}, got {told}. "
                     f"Use torchvision's vgg16 weights, or a .caffemodel.")


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
