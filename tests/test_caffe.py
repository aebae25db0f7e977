"""Reading .caffemodel files, written here with Caffe's own declaration of their fields."""

import sys

import numpy as np
import pytest

from minifcn import caffe
from minifcn.caffe import read_caffemodel


@pytest.fixture
def layers(rng):
    """A convolution, one without bias, and a fully connected layer; float32 numbers."""
    shapes = {"conv1/7x7_s2": [(4, 3, 7, 7), (4,)], "upscore": [(2, 2, 4, 4)], "fc6": [(5, 12), (5,)]}
    return {name: [rng.standard_normal(shape).astype(np.float32) for shape in found] for name, found in shapes.items()}


@pytest.mark.parametrize("layout", ["layers", "layer"])
@pytest.mark.parametrize("double", [False, True])
def test_both_layouts_and_both_precisions(tmp_path, layers, write_caffemodel, layout, double):
    found = read_caffemodel(write_caffemodel(tmp_path / "net.caffemodel", layers, layout, double))
    assert list(found) == list(layers)
    for name, arrays in layers.items():
        assert len(found[name]) == len(arrays)
        for array, expected in zip(found[name], arrays, strict=True):
            assert array.dtype == (np.float64 if double else np.float32)
            np.testing.assert_array_equal(array.reshape(expected.shape), expected)
            four = (1,) * (4 - expected.ndim) + expected.shape
            assert array.shape == (four if layout == "layers" else expected.shape)


def test_layers_without_numbers_and_the_gradients_are_passed_over(tmp_path, caffe_messages):
    net = caffe_messages()
    for name in ("data", "pool1"):
        net.layer.add(name=name, type="Python", phase=0)
    blob = net.layer.add(name="conv", type="Convolution").blobs.add(data=[1, 2, 3], diff=[4, 5, 6])
    blob.shape.dim.append(3)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    found = read_caffemodel(tmp_path / "net.caffemodel")
    assert {name: [array.tolist() for array in arrays] for name, arrays in found.items()} == {"conv": [[1, 2, 3]]}


def test_cut_short_anywhere(tmp_path, layers, write_caffemodel):
    """Inside a layer it is noticed here; between two, layers are missing, which `load_published` notices."""
    path = write_caffemodel(tmp_path / "net.caffemodel", layers)
    whole, outcomes = path.read_bytes(), []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        outcomes.append(outcome(path))
    assert set(outcomes) == {"none", "cut", 1, 2}
    assert outcomes.count(1) == outcomes.count(2) == 1  # behind the first and behind the second layer


def outcome(path):
    """How many layers were read, or which error came."""
    try:
        return len(read_caffemodel(path))
    except ValueError as error:
        return "cut" if f"whole .caffemodel in {path}" in str(error) else "none" if "got none" in str(error) else error


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>404</html>", b"name: 'net'\nlayer { name: 'conv1' }\n"])
def test_other_files(tmp_path, content):
    (tmp_path / "net.caffemodel").write_bytes(content)
    with pytest.raises(ValueError, match=r"caffe: expected a whole .caffemodel in .*net.caffemodel, got a damaged one"):
        read_caffemodel(tmp_path / "net.caffemodel")


def test_no_numbers_no_file_and_numbers_that_do_not_fill_the_shape(tmp_path, caffe_messages):
    path = tmp_path / "net.caffemodel"
    with pytest.raises(FileNotFoundError, match=r"caffe: expected a .caffemodel at .*, got no such file"):
        read_caffemodel(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"caffe: expected layers with numbers in .*net.caffemodel, got none"):
        read_caffemodel(path)
    net = caffe_messages()
    for name in ("conv1", "conv2"):
        blob = net.layer.add(name=name).blobs.add(data=[1.0] * 6)
        blob.shape.dim.extend((2, 3))
    blob.shape.dim.append(2)
    path.write_bytes(net.SerializeToString())
    with pytest.raises(ValueError, match=r"expected 12 numbers \(2 x 3 x 2\) in blob 0 of layer 'conv2' in .*, got 6"):
        read_caffemodel(path)
    net.layer[1].CopyFrom(net.layer[0])
    path.write_bytes(net.SerializeToString())
    with pytest.raises(ValueError, match=r"caffe: expected each layer once in .*net.caffemodel, got 'conv1' twice"):
        read_caffemodel(path)


def test_without_protobuf(tmp_path, monkeypatch):
    (tmp_path / "net.caffemodel").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    caffe._message_class.cache_clear()
    try:
        with pytest.raises(ImportError, match=r'expected protobuf .* pip install "minifcn\[caffe\]" brings it'):
            read_caffemodel(tmp_path / "net.caffemodel")
    finally:
        caffe._message_class.cache_clear()
