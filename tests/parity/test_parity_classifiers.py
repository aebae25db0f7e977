"""The classifiers against PyTorch twins written here from their published descriptions: scores and gradients."""

import numpy as np
import pytest

from minifcn import models

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional


def conv(p, name, x, **options):
    return F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **options))


def pool(x):
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def lrn(x):
    return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)


def head(p, x):
    for name in ("fc6", "fc7"):
        x = F.relu(F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"]))
    return F.linear(x, p["fc8.weight"], p["fc8.bias"])


def alexnet(p, x, padded):
    x = lrn(pool(conv(p, "conv1", x, stride=4)))
    x = lrn(pool(conv(p, "conv2", x, padding=2 * padded, groups=2)))
    x = conv(p, "conv3", x, padding=padded)
    x = conv(p, "conv4", x, padding=padded, groups=2)
    x = pool(conv(p, "conv5", x, padding=padded, groups=2))
    return head(p, x.flatten(1))


def vgg16(p, x, padded):
    for block, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, convs + 1):
            x = conv(p, f"conv{block}_{index}", x, padding=padded)
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    return head(p, x.flatten(1))


def googlenet(p, x, padded):
    x = lrn(pool(conv(p, "conv1/7x7_s2", x, stride=2, padding=3 * padded)))
    x = conv(p, "conv2/3x3", conv(p, "conv2/3x3_reduce", x), padding=padded)
    x = pool(lrn(x))
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        x = inception(p, f"inception_{name}", pool(x) if name in ("4a", "5a") else x, padded)
    x = F.avg_pool2d(x, 7, 1).flatten(1)
    return F.linear(x, p["loss3/classifier.weight"], p["loss3/classifier.bias"])


def inception(p, name, x, padded):
    ways = [conv(p, f"{name}/1x1", x),
            conv(p, f"{name}/3x3", conv(p, f"{name}/3x3_reduce", x), padding=padded),
            conv(p, f"{name}/5x5", conv(p, f"{name}/5x5_reduce", x), padding=2 * padded),
            conv(p, f"{name}/pool_proj", F.max_pool2d(x, 3, 1, padded))]
    h = ways[2].shape[2]
    cut = [(way.shape[2] - h) // 2 for way in ways]  # without padding, all are centred on what the 5x5 sees
    return torch.cat([way[:, :, c : c + h, c : c + h] for way, c in zip(ways, cut, strict=True)], 1)


@pytest.mark.parametrize("padding", ["paper", "valid"])
@pytest.mark.parametrize("twin", [alexnet, vgg16, googlenet])
def test_scores_and_gradients(twin, padding):
    name = twin.__name__
    width = 1 / 32 if name == "googlenet" else 1 / 64
    net = models.build(name, num_classes=5, width=width, padding=padding, rng=1, dtype=np.float64).eval()
    rng = np.random.default_rng(2)
    for key, parameter in net.parameters().items():
        if key.endswith("bias"):
            parameter.data[...] = rng.normal(0.1, 0.05, parameter.data.shape)
    size = models.MODELS[name].crops[padding]
    x, gy = rng.standard_normal((1, 3, size, size)), rng.standard_normal((1, 5))
    tensors = {key: torch.tensor(parameter.data.copy(), requires_grad=True) for key, parameter in
               net.parameters().items()}
    expected = twin(tensors, torch.tensor(x), int(padding == "paper"))
    expected.backward(torch.tensor(gy))
    y = net.forward(x, record=True)
    net.backward(gy, needs=(False,))
    pairs = {"scores": (y, expected.detach().numpy())}
    pairs |= {key: (parameter.grad, tensors[key].grad.numpy()) for key, parameter in net.parameters().items()}
    floor = 1e-6 * max(abs(right).max() for _, right in pairs.values())
    for key, (found, right) in pairs.items():
        assert abs(found - right).max() <= 1e-10 * max(abs(right).max(), floor), key
    assert sum(abs(right).max() > 10 * floor for _, right in pairs.values()) > 0.8 * len(pairs)
