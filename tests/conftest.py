"""What every test may rely on: a seeded generator; thorough tests kept apart; what cannot run here skipped visibly."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # draw to files: a test machine has no screen


@pytest.fixture
def rng():
    """The same random numbers in every run, whatever ran before."""
    return np.random.default_rng(0)


@pytest.fixture
def cupy(monkeypatch):
    """A machine with a GPU that CuPy sees: the module of `stand_in_cupy.py`, its passes those of kernels/array."""
    from minifcn import arrays
    path = Path(__file__).with_name("stand_in_cupy.py")
    spec = importlib.util.spec_from_file_location("stand_in_cupy", path)
    stand_in = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    module = stand_in.make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setenv("MINIFCN_KERNELS", "array")
    arrays.gpu_status.cache_clear()
    yield module
    arrays.gpu_status.cache_clear()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A folder data set that trains in no time: 6 and 3 pictures of 32x48, a ground, a sky and a wall, some void."""
    from minifcn.data import save_image, save_label, voc_palette
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    colours = np.array([(60, 60, 200), (60, 200, 60), (200, 60, 60)])
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            label = np.zeros((32, 48), np.uint8)
            label[rng.integers(8, 24):] = 1
            label[:, : rng.integers(4, 20)] = 2
            image = np.clip(rng.normal(colours[label], 20), 0, 255).astype(np.uint8)  # (32, 48, 3)
            label[:2] = 255
            save_image(root / split / "images" / f"{number}.png", image)
            save_label(root / split / "masks" / f"{number}.png", label, voc_palette(3))
    return root


@pytest.fixture(scope="session")
def caffe_messages():
    """Caffe's own declaration of NetParameter, as far as its files go: floats as floats. Makes files to be read."""
    pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory
    fields = {
        "BlobShape": "dim=1 int64*",
        "BlobProto": "num=1 int32, channels=2 int32, height=3 int32, width=4 int32, data=5 float*, diff=6 float*, "
                     "shape=7 BlobShape, double_data=8 double*, double_diff=9 double*",
        "ConvolutionParameter": "num_output=1 uint32, bias_term=2 bool, pad=3 uint32",
        "V1LayerParameter": "bottom=2 string*, top=3 string*, name=4 string, type=5 int32, blobs=6 BlobProto*, "
                            "blobs_lr=7 float*, convolution_param=10 ConvolutionParameter",
        "LayerParameter": "name=1 string, type=2 string, bottom=3 string*, top=4 string*, blobs=7 BlobProto*, "
                          "phase=10 int32, convolution_param=106 ConvolutionParameter",
        "NetParameter": "name=1 string, layers=2 V1LayerParameter*, input=3 string*, input_dim=4 int32*, "
                        "layer=100 LayerParameter*",
    }
    file = pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for message, declared in fields.items():
        added = file.message_type.add(name=message)
        for declaration in declared.split(", "):
            name, number, kind = declaration.replace("=", " ").split()
            field = added.field.add(name=name, number=int(number), label=3 if kind.endswith("*") else 1)
            kind = kind.rstrip("*")
            if kind in fields:
                field.type, field.type_name = 11, f".caffe.{kind}"
            else:
                field.type = getattr(pb2.FieldDescriptorProto, f"TYPE_{kind.upper()}")
                field.options.packed = field.label == 3 and kind in ("float", "double", "int64")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


@pytest.fixture(scope="session")
def write_caffemodel(caffe_messages):
    """write(path, {layer: [arrays]}, layout="layers" or "layer", double=False): a file as Caffe writes it."""
    def write(path, layers, layout="layer", double=False):
        net = caffe_messages(name="net")
        net.input.append("data")
        net.input_dim.extend((1, 3, 224, 224))
        for name, arrays in layers.items():
            layer = getattr(net, layout).add(name=name, bottom=["data"], top=[name])
            layer.convolution_param.num_output = 64
            for array in arrays:
                blob = layer.blobs.add()
                (blob.double_data if double else blob.data).extend(array.ravel().tolist())
                if layout == "layers":  # four sizes, with ones in front of what has fewer
                    sizes = (1,) * (4 - array.ndim) + array.shape
                    blob.num, blob.channels, blob.height, blob.width = sizes
                else:
                    blob.shape.dim.extend(array.shape)
        path.write_bytes(net.SerializeToString())
        return path
    return write


def pytest_collection_modifyitems(config, items):
    _leave_out_full(config, items)
    _skip(items, "gpu", _no_gpu)
    _skip(items, "emulator", _no_compiler)
    _skip(items, "races", _no_sanitizer)


def _leave_out_full(config, items):
    """Tests marked `full` run only if -m names the mark (`make test-full`), so that a plain `pytest` stays quick."""
    if re.search(r"\bfull\b", config.option.markexpr or ""):
        return
    thorough = [item for item in items if item.get_closest_marker("full")]
    if thorough:
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def _skip(items, mark, reason):
    """Tests with this mark are skipped, visibly and with the reason, if there is one."""
    waiting = [item for item in items if item.get_closest_marker(mark)]
    why = reason() if waiting else ""  # asked only if need be: importing CuPy is slow
    for item in waiting:
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


def _no_gpu():
    from minifcn import gpu_status
    ok, reason = gpu_status()
    return "" if ok else f"needs a GPU: {reason}"


def _no_compiler():
    from minifcn.kernels.cuda import _emulator
    try:
        _emulator.compiler()
    except RuntimeError as error:
        return str(error)
    return ""


def _no_sanitizer():
    """Some systems lay memory out where ThreadSanitizer cannot work."""
    if _no_compiler():
        return ""  # said already
    from minifcn.kernels.cuda import races
    try:
        environment = os.environ | {"LD_PRELOAD": str(races.sanitizer())}
    except RuntimeError as error:
        return str(error)
    done = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, text=True, check=False)
    return f"ThreadSanitizer does not start: {done.stderr.strip()}" if done.returncode else ""
