"""Reads .caffemodel files: the numbers of a network trained with Caffe, layer by layer.

    layers = read_caffemodel("VGG_ILSVRC_16_layers.caffemodel")
    layers["conv1_1"]                 # [weight (64, 3, 3, 3), bias (64,)], float32, for BGR images

A .caffemodel is one Protocol Buffers message, NetParameter. Only a few of its hundreds of fields hold numbers, and what
is not declared is passed over, so the declaration below is all that is needed, and no file made by protoc. Two layouts
are about: files up to 2014 (VGG-16, CaffeNet, GoogLeNet) have `layers`, later ones (the FCNs) `layer`; and a blob has
four sizes in the old one, a shape of any length in the new one.

The numbers are declared as bytes. On disk a packed list of floats and a string of bytes are the same: a length, then so
many bytes. Protobuf would make a Python number of each of VGG-16's 138 million floats; NumPy takes the bytes as they
are.

Source: BVLC/caffe, src/caffe/proto/caffe.proto (numbers and types of the fields).
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray

# message -> field -> (its number, its type, whether there may be many)
_FIELDS: dict[str, dict[str, tuple[int, str, bool]]] = {
    "BlobShape": {"dim": (1, "int64", True)},
    "BlobProto": {
        "num": (1, "int64", False), "channels": (2, "int64", False), "height": (3, "int64", False),
        "width": (4, "int64", False), "data": (5, "bytes", True), "shape": (7, "BlobShape", False),
        "double_data": (8, "bytes", True),
    },
    "V1LayerParameter": {"name": (4, "string", False), "blobs": (6, "BlobProto", True)},
    "LayerParameter": {"name": (1, "string", False), "blobs": (7, "BlobProto", True)},
    "NetParameter": {"layers": (2, "V1LayerParameter", True), "layer": (100, "LayerParameter", True)},
}


def read_caffemodel(path: str | Path) -> dict[str, list[Array]]:
    """The blobs of every layer that has any, by layer name, in Caffe's order: weight, then bias.

    Arrays are float32 or float64, read-only, of the shape in the file; in old files a bias is (1, 1, 1, O) and a fully
    connected weight (1, 1, O, I).
    Raises FileNotFoundError, ValueError for a file that is damaged, cut short or something else, and ImportError
    without protobuf.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"caffe: expected a .caffemodel at {path}, got no such file. Check the path.")
    net_parameter, decode_error = _message_class()
    try:
        net = net_parameter.FromString(Path(path).read_bytes())
    except decode_error as error:
        raise ValueError(f"caffe: expected a whole .caffemodel in {path}, got a damaged one, one cut short, or another "
                         f"kind of file ({error}). Compare its size and checksum, and fetch it anew.") from None
    layers: dict[str, list[Array]] = {}
    for layer in (*net.layers, *net.layer):
        if not layer.blobs:
            continue
        if layer.name in layers:
            raise ValueError(f"caffe: expected each layer once in {path}, got {layer.name!r} twice. "
                             f"Is it the file that the authors published?")
        layers[layer.name] = [_array(blob, f"blob {number} of layer {layer.name!r} in {path}")
                              for number, blob in enumerate(layer.blobs)]
    if not layers:
        raise ValueError(f"caffe: expected layers with numbers in {path}, got none. A .prototxt or .solverstate holds "
                         f"none, and files from before 2014 must go through Caffe's upgrade_net_proto_binary.")
    return layers


def _array(blob: Any, where: str) -> Array:
    """One blob as an array of its shape."""
    raw, dtype = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    content = raw[0] if len(raw) == 1 else b"".join(raw)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    count, size = math.prod(shape), np.dtype(dtype).itemsize
    if len(content) != count * size:
        raise ValueError(f"caffe: expected {count} numbers ({' x '.join(map(str, shape))}) in {where}, got "
                         f"{len(content) / size:g}. The file is damaged; fetch it anew.")
    return np.frombuffer(content, dtype).reshape(shape)


@functools.cache
def _message_class() -> tuple[Any, type[Exception]]:
    """The class NetParameter, made from _FIELDS, and what it raises for bytes that are no such message."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise ImportError('caffe: expected protobuf to read a .caffemodel, got none. pip install "minifcn[caffe]" '
                          'brings it.') from error
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="minifcn/caffe.proto", package="minifcn.caffe", syntax="proto2")
    for name, fields in _FIELDS.items():
        declared = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            one = declared.field.add(name=field, number=number)
            one.label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            if kind in _FIELDS:
                one.type, one.type_name = kinds.TYPE_MESSAGE, f".minifcn.caffe.{kind}"
            else:
                one.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net_parameter = pool.FindMessageTypeByName("minifcn.caffe.NetParameter")
    return message_factory.GetMessageClass(net_parameter), message.DecodeError
