"""Every layer passes its row of `gradcheck`; a spoiled one does not; a learner's own file is checked or explained."""

import itertools
import json
import math

import numpy as np
import pytest

from minifcn import gradcheck, layers

NAMES = [name for name, _ in gradcheck.rows()]
INTERFACE = [
    "Conv2d", "ConvTranspose2d", "MaxPool2d", "MaxUnpool2d", "AvgPool2d", "AdaptiveAvgPool2d", "ResizeBilinear",
    "Crop", "Pad", "PadChannels", "ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Softmax", "BatchNorm2d",
    "LocalResponseNorm", "Dropout", "SpatialDropout", "Concat", "Add", "Scale", "Flatten", "Linear",
    "SoftmaxCrossEntropy", "ConvReLU", "BatchNormReLU",
]


def test_every_public_layer_has_a_row():
    public = {name for name in layers.__all__
              if isinstance(getattr(layers, name), type) and issubclass(getattr(layers, name), layers.Layer)}
    assert set(NAMES) == public - {"Layer"}
    assert NAMES == INTERFACE  # and in the order of the documentation


@pytest.mark.parametrize("name", NAMES)
def test_row_passes(name):
    (result,) = gradcheck.run([name])
    assert result.failure is None
    assert result.passed
    assert result.name == name
    assert result.configurations >= 2
    assert result.worst_relative_error < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_row_is_of_its_layer_and_goes_red_when_that_is_spoiled(name, monkeypatch):
    layer_class = getattr(layers, name)
    right = layer_class._backward

    def spoiled(self, *args):
        gradients = right(self, *args)
        if isinstance(gradients, tuple):
            return tuple(None if gradient is None else 1.00001 * gradient for gradient in gradients)
        return 1.00001 * gradients

    monkeypatch.setattr(layer_class, "_backward", spoiled)
    first = list(itertools.islice(dict(gradcheck.rows())[name](), 1))
    assert type(first[0][0]) is layer_class
    result = gradcheck.check_cases(name, lambda: first)
    assert not result.passed
    assert result.worst_relative_error == pytest.approx(1e-5, rel=0.01)
    assert name in result.failure
    assert "Every element is 1.00001 times the right one" in result.failure


def test_results_come_in_the_order_asked_for_and_unknown_names_are_refused():
    assert [result.name for result in gradcheck.run(["Scale", "Add"])] == ["Scale", "Add"]
    with pytest.raises(ValueError, match=r"expected layers \(Conv2d, .*\), models \(.*fcn8s.*\) or .* got 'Conv3d'"):
        gradcheck.run(["ReLU", "Conv3d"])


def test_progress_and_json():
    class Listener:
        heard = ()

        def start(self, title, total):
            self.heard += ((title, total),)

        def update(self, done, **facts):
            self.heard += ((done, facts),)

    listener = Listener()
    results = gradcheck.run(["Scale", "Add"], listener)
    assert listener.heard == (("gradcheck", 2), (1, {"layer": "Scale"}), (2, {"layer": "Add"}))
    found = json.loads(json.dumps([gradcheck.as_dict(result) for result in results], allow_nan=False))
    assert found[1]["name"] == "Add"
    assert found[1]["configurations"] == 2
    assert 0 < found[1]["worst_relative_error"] < 1e-6
    assert found[1]["passed"] is True
    assert gradcheck.as_dict(gradcheck.Result("x", 1, math.inf, False, "why"))["worst_relative_error"] is None


# A learner's own file.

SQUARE = """
import numpy as np
from minifcn.layers import Layer, Parameter

class Square(Layer):
    def __init__(self, gain=2.0):
        super().__init__()
        self.gain = Parameter(np.full(1, gain, np.float32))

    def _forward(self, x):
        return self.gain.data * x**2, x

    def _backward(self, x, needs, gy):
        self.gain.accumulate((gy * x**2).sum(keepdims=True).reshape(1))
        return 2 * self.gain.data * x * gy

class Wrong(Square):
    def _backward(self, x, needs, gy):
        return 0.5 * super()._backward(x, needs, gy)

class Plain:
    example_inputs = ((4, 3), (4, 3))

    def forward(self, a, b):
        assert a.shape == b.shape == (4, 3)
        self.a, self.b = a, b
        return a * b

    def backward(self, gy):
        return gy * self.b, gy * self.a

class Picky(Plain):
    def __init__(self, size, *more, scale=1, **others):
        pass

class Single(Square):
    example_inputs = (3, 2)

    def _forward(self, x):
        assert x.shape == (3, 2)
        return super()._forward(x)

class WithLabels(Square):
    example_inputs = ((3, 2), np.arange(3))

    def _forward(self, x, labels):
        assert labels.dtype.kind == "i"
        return super()._forward(x)

class Raises(Square):
    def _backward(self, x, needs, gy):
        raise RuntimeError("not written yet")

class Half:
    def forward(self, x):
        return x

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_layer.py"
    path.write_text(SQUARE)
    return path


@pytest.mark.parametrize("name", ["Square", "Plain", "Single", "WithLabels"])
def test_right_layers_of_a_file_pass(file, name):
    result = gradcheck.check_file(f"{file}:{name}")
    assert result.failure is None
    assert result == gradcheck.Result(name, 1, result.worst_relative_error, True, None)
    assert result.worst_relative_error < 1e-6


def test_a_wrong_layer_of_a_file_is_explained(file):
    (result,) = gradcheck.run([f"{file}:Wrong"])
    assert not result.passed
    assert result.worst_relative_error == pytest.approx(0.5)
    assert "Every element is 0.5 times the right one" in result.failure
    assert "got" in result.failure


def test_what_a_layer_raises_is_reported_with_its_place(file):
    result = gradcheck.check_file(f"{file}:Raises")
    assert not result.passed
    assert result.worst_relative_error == math.inf
    line = 1 + SQUARE[: SQUARE.index("raise RuntimeError")].count("\n")
    assert f"raised RuntimeError: not written yet (in _backward, line {line} of my_layer.py)" in result.failure


def test_bad_files_and_classes(file, tmp_path):
    for spec in ("my_layer.py", "my_layer.py:", ":Square", "my_layer.py:not a name"):
        with pytest.raises(ValueError, match=r"expected path/to/file.py:ClassName, got .* Name the class after"):
            gradcheck.check_file(spec)
    with pytest.raises(ValueError, match=r"expected a Python file at .*nowhere\.py, got no such file"):
        gradcheck.check_file(f"{tmp_path / 'nowhere.py'}:Square")
    with pytest.raises(ValueError, match=r"expected a class Cube in .*It has Square, Wrong, Plain, .*Half\."):
        gradcheck.check_file(f"{file}:Cube")
    with pytest.raises(ValueError, match="expected a class number in"):
        gradcheck.check_file(f"{file}:number")
    with pytest.raises(TypeError, match=r"expected Half to have forward\(\*xs\) and backward.* got no backward"):
        gradcheck.check_file(f"{file}:Half")
    with pytest.raises(TypeError, match=r"expected a constructor of Picky that needs no arg.* size\. Give"):
        gradcheck.check_file(f"{file}:Picky")
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ValueError, match=r"to be importable, got ZeroDivisionError: .*line 2 of broken\.py\)\. Run it"):
        gradcheck.check_file(f"{broken}:Square")
    broken.write_text("def f(:\n")
    with pytest.raises(ValueError, match=r"to be importable, got SyntaxError: .*line 1\)\. Run it"):
        gradcheck.check_file(f"{broken}:Square")
    broken.write_text("")
    with pytest.raises(ValueError, match="It has no classes at all"):
        gradcheck.check_file(f"{broken}:Square")
    text = tmp_path / "layer.txt"
    text.write_text(SQUARE)
    with pytest.raises(ValueError, match=r"expected a file that ends in \.py, got .*layer\.txt"):
        gradcheck.check_file(f"{text}:Square")


def test_cases_are_in_float64_and_have_no_zero_gradients_to_hide_behind():
    for name, make_cases in gradcheck.rows():
        for layer, inputs in make_cases():
            assert all(x.dtype == np.float64 for x in inputs if getattr(x, "dtype", np.dtype(int)).kind == "f"), name
            assert all(p.data.dtype == np.float64 and p.data.any() for p in layer.parameters().values()), name
