"""Classifiers, FCN-AlexNet and FCN-GoogLeNet against PyTorch twins, written here from their published descriptions:
scores and gradients."""

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
    return head(p, alexnet_trunk(p, x, padded).flatten(1))


def alexnet_trunk(p, x, padded, first=0):
    x = lrn(pool(conv(p, "conv1", x, stride=4, padding=first)))
    x = lrn(pool(conv(p, "conv2", x, padding=2 * padded, groups=2)))
    x = conv(p, "conv3", x, padding=padded)
    x = conv(p, "conv4", x, padding=padded, groups=2)
    return pool(conv(p, "conv5", x, padding=padded, groups=2))


def vgg16(p, x, padded):
    for block, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, convs + 1):
            x = conv(p, f"conv{block}_{index}", x, padding=padded)
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    return head(p, x.flatten(1))


def googlenet(p, x, padded):
    x = F.avg_pool2d(googlenet_trunk(p, x, padded), 7, 1).flatten(1)
    return F.linear(x, p["loss3/classifier.weight"], p["loss3/classifier.bias"])


def googlenet_trunk(p, x, padded):
    x = lrn(pool(conv(p, "conv1/7x7_s2", x, stride=2, padding=3 * padded)))
    x = conv(p, "conv2/3x3", conv(p, "conv2/3x3_reduce", x), padding=padded)
    x = pool(lrn(x))
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        x = inception(p, f"inception_{name}", pool(x) if name in ("4a", "5a") else x, padded)
    return x


def inception(p, name, x, padded):
    ways = [conv(p, f"{name}/1x1", x),
            conv(p, f"{name}/3x3", conv(p, f"{name}/3x3_reduce", x), padding=padded),
            conv(p, f"{name}/5x5", conv(p, f"{name}/5x5_reduce", x), padding=2 * padded),
            conv(p, f"{name}/pool_proj", F.max_pool2d(x, 3, 1, padded))]
    h, w = ways[2].shape[2:]
    cut = [(way.shape[2] - h) // 2 for way in ways]  # without padding, all are centred on what the 5x5 sees
    return torch.cat([way[:, :, c : c + h, c : c + w] for way, c in zip(ways, cut, strict=True)], 1)


def fcn_alexnet(p, x, padding):
    first, fc6, offset = {"paper": (100, 0, 18), "same": (5, 3, 19)}[padding]
    y = conv(p, "fc7", conv(p, "fc6", alexnet_trunk(p, x, 1, first), padding=fc6))
    return upsampled(p, y, offset, x.shape[2:])


def fcn_googlenet(p, x, padding):
    return upsampled(p, googlenet_trunk(p, x, 1), 1, x.shape[2:])


def upsampled(p, x, offset, size):
    """Scores, 32 times as many by a kernel of 63, cut to the image: the offsets are typed here on purpose."""
    x = F.conv2d(x, p["score_fr.weight"], p["score_fr.bias"])
    x = F.conv_transpose2d(x, p["upscore.weight"], stride=32)
    return x[:, :, offset : offset + size[0], offset : offset + size[1]]


@pytest.mark.parametrize("padding", ["paper", "valid"])
@pytest.mark.parametrize("twin", [alexnet, vgg16, googlenet])
def test_classifiers(twin, padding):
    name = twin.__name__
    size = models.MODELS[name].crops[padding]
    compare(name, lambda p, x: twin(p, x, int(padding == "paper")), (1, 3, size, size), padding)


@pytest.mark.parametrize(("name", "twin", "padding"), [
    ("fcn-alexnet", fcn_alexnet, "paper"), ("fcn-alexnet", fcn_alexnet, "same"),
    ("fcn-googlenet", fcn_googlenet, "paper")])
def test_fully_convolutional_networks(name, twin, padding):
    compare(name, lambda p, x: twin(p, x, padding), (2, 3, 65, 102), padding)


def compare(name, twin, shape, padding):
    """Scores, and the gradients of all weights that train, in float64."""
    width = 1 / 32 if "googlenet" in name else 1 / 64
    net = models.build(name, num_classes=5, width=width, padding=padding, rng=1, dtype=np.float64).eval()
    rng = np.random.default_rng(2)
    for key, parameter in net.parameters().items():
        if key.endswith("bias"):
            parameter.data[...] = rng.normal(0.1, 0.05, parameter.data.shape)
        elif key == "score_fr.weight":
            parameter.data[...] = rng.normal(0, 0.1, parameter.data.shape)
    x = rng.standard_normal(shape)
    tensors = {key: torch.tensor(p.data.copy(), requires_grad=p.trains) for key, p in net.parameters().items()}
    expected = twin(tensors, torch.tensor(x))
    gy = rng.standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(gy))
    y = net.forward(x, record=True)
    net.backward(gy, needs=(False,))
    pairs = {"scores": (y, expected.detach().numpy())}
    pairs |= {key: (p.grad, tensors[key].grad.numpy()) for key, p in net.parameters().items() if p.trains}
    floor = 1e-6 * max(abs(right).max() for _, right in pairs.values())
    for key, (found, right) in pairs.items():
        assert found.shape == right.shape
        assert abs(found - right).max() <= 1e-10 * max(abs(right).max(), floor), key
    assert sum(abs(right).max() > 10 * floor for _, right in pairs.values()) > 0.8 * len(pairs)
