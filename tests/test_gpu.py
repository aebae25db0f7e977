"""On a GPU: every CUDA pass against `reference`, and networks and trainings against the CPU's. `make gpu` runs them.

Sums are made in another order there, so results are near and not equal: to 1e-4 of the largest in float32, which is
what Winograd's convolution may lose, and to 1e-10 in float64.
"""

import numpy as np
import pytest

import minifcn
from minifcn.arrays import to_device, to_numpy
from minifcn.enlarging import size_taken
from minifcn.fusion import fuse
from minifcn.gradcheck.network import randomise
from minifcn.kernels import cuda, reference
from minifcn.kernels.cuda import _examples
from minifcn.models import MODELS, build, same_padding
from minifcn.settings import Settings

pytestmark = pytest.mark.gpu
NEAR = {np.float32: 1e-4, np.float64: 1e-10}


def there(array):
    return to_device(array, "cuda")


def near(found, expected, dtype, of=""):
    found, expected = to_numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=NEAR[dtype] * max(1, np.abs(expected).max(initial=0)),
                               err_msg=of)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("name", [name for name in _examples.EXAMPLES if not name.startswith("prepare_")])
def test_a_pass_is_reference(name, dtype):
    for one, other in zip(_examples.run(name, cuda, dtype, there), _examples.run(name, reference, dtype), strict=True):
        near(one, other, dtype)


def computed(name, device, dtype, fused):
    """Scores, gradients and buffers of a network, fused or not."""
    def move(array):
        return to_device(array, device)

    net = build(name, num_classes=3, width=1 / 16, rng=0, dtype=dtype, **same_padding(name))
    randomise(net, np.random.default_rng(1))
    net.to(device=device)
    size = (min(MODELS[name].crops.values()),) * 2 if MODELS[name].crops else size_taken(net, (65, 77))
    rng = np.random.default_rng(2)
    xs = [move(rng.normal(size=(2, channels, *size)).astype(dtype)) for channels in MODELS[name].channels]
    net.reseed(np.random.SeedSequence(3))
    runner = fuse(net) if fused else net
    y = runner.forward(*xs, record=True)
    ys = y if isinstance(y, tuple) else (y,)
    gys = [move(rng.normal(size=one.shape).astype(dtype)) for one in ys]
    runner.backward(*gys, needs=(False,) * len(net.inputs))
    gradients = {key: parameter.grad for key, parameter in net.parameters().items() if parameter.grad is not None}
    return {f"score {k}": one for k, one in enumerate(ys)} | gradients | net.buffers()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_network_computes_what_it_does_on_the_cpu(name, fused):
    """In float64: in float32 rounding may turn a maximum or a ReLU over, and then nothing is near."""
    expected, found = (computed(name, device, np.float64, fused) for device in ("cpu", "cuda"))
    for key, array in expected.items():
        near(found[key], array, np.float64, key)


@pytest.mark.parametrize("given", [
    {"model": "fcn8s", "width": 1 / 16}, {"model": "segnet", "width": 1 / 16}, {"model": "unet-bn", "width": 1 / 16},
    {"model": "fcn8s", "width": 1 / 16, "optimizer": "sgd", "lr": 0.01, "weight_map": "unet", "reduction": "valid"},
], ids=["fcn8s", "segnet", "unet-bn", "weight map"])
def test_training_begins_as_on_the_cpu(given, scenes, tmp_path):
    """The first losses, before rounding has led the two apart; and the run goes on, is scored and predicts."""
    runs = {}
    for device in ("cpu", "cuda"):
        settings = Settings(data=f"folder:{scenes}", batch_size=2, iterations=6, evaluations=2, device=device, **given)
        runs[device] = minifcn.train(settings, tmp_path / device)
    losses = {device: [record["loss"] for record in run.folder.records()][:3] for device, run in runs.items()}
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)
    assert runs["cuda"].scores.pixel_accuracy > 0
    labels = minifcn.predict(tmp_path / "cuda", scenes / "val" / "images" / "0.png")
    assert labels.shape == (32, 48)
