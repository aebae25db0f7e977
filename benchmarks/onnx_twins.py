"""A Graph's twin in ONNX Runtime, for inference: the model file is written node by node.

Written here rather than exported from PyTorch, whose exporter needs further packages. ONNX Runtime then optimises it as
it does every model: it fuses bias, batch norm and ReLU into convolutions and reorders the weights once.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from minifcn import Graph, layers

OPSET = 17


def installed() -> bool:
    return find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def session(graph: Graph, shape: tuple[int, ...], threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images of `shape` to scores, on so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    content = model(graph, shape).SerializeToString()
    running = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: running.run(None, {graph.inputs[0]: x})[0]


def model(graph: Graph, shape: tuple[int, ...]) -> Any:
    """The graph in evaluation mode as an ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    writer = _Writer()
    for node in graph.needed_nodes():
        WRITERS[type(node.layer)](writer, node.name, node.layer, node.inputs)
    data = helper.make_tensor_value_info(graph.inputs[0], TensorProto.FLOAT, shape)
    score = helper.make_tensor_value_info(graph.outputs[0], TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(array, name) for name, array in writer.arrays.items()]
    nodes = [helper.make_node(kind, inputs, outputs, **options) for kind, inputs, outputs, options in writer.nodes]
    whole = helper.make_graph(nodes, "twin", [data], [score], weights)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


class _Writer:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.arrays: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any) -> str:
        self.arrays[name] = np.ascontiguousarray(value)
        return name

    def add(self, kind: str, inputs: Any, *outputs: str, **options: Any) -> None:
        self.nodes.append((kind, list(inputs), list(outputs), options))


def _convolution(kind: str) -> Callable:
    def write(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
        top, bottom, left, right = layer.padding
        arrays = [writer.constant(f"{name}.{key}", p.data) for key, p in layer.parameters().items()]
        writer.add(kind, [*inputs, *arrays], name, strides=layer.stride, pads=[top, left, bottom, right],
                   dilations=layer.dilation, group=layer.groups)

    return write


def _max_pool(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
    outputs = [name, f"{name}.record"] if layer.return_indices else [name]
    writer.add("MaxPool", inputs, *outputs, kernel_shape=layer.kernel_size, strides=layer.stride,
               ceil_mode=int(layer.ceil_mode))
    writer.add("Shape", inputs, f"{name}.record.size")  # constants, as soon as the input's shape is known


def _max_unpool(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
    """Not ONNX's MaxUnpool, for which 45 rows pooled to 23 can only become 46 again. Its indices count through the
    whole array, not through one plane, so a scatter into a flat array of zeros does the same."""
    x, record = inputs
    all_of_it = writer.constant(f"{name}.flat", np.array([-1], np.int64))
    writer.add("Reshape", [x, all_of_it], f"{name}.values")
    writer.add("Reshape", [record, all_of_it], f"{name}.places")
    writer.add("ConstantOfShape", [f"{record}.size"], f"{name}.zeros")
    writer.add("Reshape", [f"{name}.zeros", all_of_it], f"{name}.flat_zeros")
    writer.add("ScatterElements", [f"{name}.flat_zeros", f"{name}.places", f"{name}.values"], f"{name}.scattered")
    writer.add("Reshape", [f"{name}.scattered", f"{record}.size"], name)


def _batch_norm(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
    arrays = [writer.constant(f"{name}.{key}", getattr(layer, key).data if key in ("weight", "bias")
                              else getattr(layer, key)) for key in ("weight", "bias", "running_mean", "running_var")]
    writer.add("BatchNormalization", [*inputs, *arrays], name, epsilon=layer.eps)


def _crop(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
    """x[:, :, top : top + h, left : left + w], with h and w those of the second input."""
    x, like = inputs
    start = writer.constant(f"{name}.start", np.array(layer.offset, np.int64))
    axes = writer.constant(f"{name}.axes", np.array([2, 3], np.int64))
    writer.add("Shape", [like], f"{name}.size", start=2, end=4)
    writer.add("Add", [f"{name}.size", start], f"{name}.end")
    writer.add("Slice", [x, start, f"{name}.end", axes], name)


def _named(kind: str, options: Callable[[Any], dict] = lambda layer: {}) -> Callable:
    def write(writer: _Writer, name: str, layer: Any, inputs: tuple[str, ...]) -> None:
        writer.add(kind, inputs, name, **options(layer))

    return write


WRITERS: dict[type, Callable] = {
    layers.Conv2d: _convolution("Conv"),
    layers.ConvTranspose2d: _convolution("ConvTranspose"),
    layers.MaxPool2d: _max_pool,
    layers.MaxUnpool2d: _max_unpool,
    layers.BatchNorm2d: _batch_norm,
    layers.LocalResponseNorm: _named(
        "LRN", lambda layer: {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}),
    layers.ReLU: _named("Relu"),
    layers.Dropout: _named("Identity"),
    layers.Add: _named("Add"),
    layers.Concat: _named("Concat", lambda layer: {"axis": layer.axis}),
    layers.Crop: _crop,
}
