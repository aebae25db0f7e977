"""A network with torchvision's weights computes what torchvision's does: on the same picture, prepared its way.

The twins have torchvision's names and order, so their state_dict is what it publishes; they are narrower.
"""

from collections import OrderedDict

import numpy as np
import pytest
from safetensors.numpy import save_file

from minifcn.models import build
from minifcn.published import load_published

torch = pytest.importorskip("torch")
nn = torch.nn

CLASSES = 10
VGG16 = (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M")  # channels, a 64th of the published ones
ALEXNET = ((4, 11, 4, 2, "M"), (12, 5, 1, 2, "M"), (24, 3, 1, 1), (16, 3, 1, 1), (16, 3, 1, 1, "M"))  # a 16th
INCEPTION = {  # an 8th; 1x1, 3x3 reduced, 3x3, "5x5" reduced, "5x5", behind the pooling
    "3a": (8, 12, 16, 2, 4, 4), "3b": (16, 16, 24, 4, 12, 8), "4a": (24, 12, 26, 2, 6, 8), "4b": (20, 14, 28, 3, 8, 8),
    "4c": (16, 16, 32, 3, 8, 8), "4d": (14, 18, 36, 4, 8, 8), "4e": (32, 20, 40, 4, 16, 16),
    "5a": (32, 20, 40, 4, 16, 16), "5b": (48, 24, 48, 6, 16, 16),
}


class FeaturesAndClassifier(nn.Module):
    """What the two have in common."""

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Vgg(FeaturesAndClassifier):
    """torchvision's VGG-16."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for count in VGG16:
            if count == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU(True)]
                channels = count
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(nn.Linear(8 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64),
                                        nn.ReLU(True), nn.Dropout(), nn.Linear(64, CLASSES))


class AlexNet(FeaturesAndClassifier):
    """torchvision's AlexNet."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for count, kernel_size, stride, padding, *pool in ALEXNET:
            layers += [nn.Conv2d(channels, count, kernel_size, stride, padding), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if pool else []
            channels = count
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(16 * 36, 256), nn.ReLU(), nn.Dropout(),
                                        nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def unit(channels, count, kernel_size, stride=1):
    conv = nn.Conv2d(channels, count, kernel_size, stride, kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(count, eps=0.001), relu=nn.ReLU()))


class Inception(nn.Module):
    """Four ways; the third, which the paper has of 5x5, is of 3x3 here."""

    def __init__(self, channels, one, three_reduced, three, five_reduced, five, pooled):
        super().__init__()
        self.branch1 = unit(channels, one, 1)
        self.branch2 = nn.Sequential(unit(channels, three_reduced, 1), unit(three_reduced, three, 3))
        self.branch3 = nn.Sequential(unit(channels, five_reduced, 1), unit(five_reduced, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(channels, pooled, 1))

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children()], 1)


class GoogLeNet(nn.Module):
    """torchvision's GoogLeNet with what it does to its input first, and its auxiliary heads, which nobody asks."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = unit(3, 8, 7, 2), unit(8, 8, 1), unit(8, 24, 3)
        channels = 24
        for name, counts in INCEPTION.items():
            setattr(self, f"inception{name}", Inception(channels, *counts))
            channels = counts[0] + counts[2] + counts[4] + counts[5]
        for name, count in (("aux1", 64), ("aux2", 66)):
            head = {"conv": unit(count, 16, 1), "fc1": nn.Linear(256, 128), "fc2": nn.Linear(128, CLASSES)}
            setattr(self, name, nn.ModuleDict(head))
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(channels, CLASSES)

    def forward(self, x):
        x = torch.stack([x[:, 0] * (0.229 / 0.5) + (0.485 - 0.5) / 0.5, x[:, 1] * (0.224 / 0.5) + (0.456 - 0.5) / 0.5,
                         x[:, 2] * (0.225 / 0.5) + (0.406 - 0.5) / 0.5], 1)
        return self.scores(x)

    def scores(self, x):
        pools = {"3a": 3, "4a": 3, "5a": 2}
        x = self.conv3(self.conv2(nn.functional.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)))
        for name in INCEPTION:
            if name in pools:
                x = nn.functional.max_pool2d(x, pools[name], 2, ceil_mode=True)
            x = getattr(self, f"inception{name}")(x)
        x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        return self.fc(self.dropout(x))


TWINS = {"vgg16": (Vgg, 1 / 64), "alexnet-torchvision": (AlexNet, 1 / 16), "googlenet-torchvision": (GoogLeNet, 1 / 8)}


def trained(model):
    """A twin in float64 whose numbers are all random, but such that what comes in is seen in what comes out."""
    torch.manual_seed(0)
    theirs = TWINS[model][0]().double().eval()
    for name, array in theirs.state_dict().items():
        if array.ndim > 1:
            nn.init.kaiming_normal_(array)
        elif name.endswith(("running_var", "bn.weight")):
            array.uniform_(0.5, 1.5)
        elif array.is_floating_point():
            array.normal_(0, 0.1)
        else:
            array.fill_(7)  # batches counted
    return theirs


def ours_from(path, model):
    net = build(model, num_classes=CLASSES, width=TWINS[model][1], dtype=np.float64, rng=0)
    return net, load_published(net, path)


@pytest.fixture(params=TWINS)
def model(request):
    return request.param


def test_scores(tmp_path, rng, model):
    theirs = trained(model)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours, done = ours_from(tmp_path / "weights.pth", model)
    assert done.untouched == done.dropped == ()
    image = rng.integers(0, 256, (224, 224, 3)).astype(np.uint8)
    x = done.preprocessing(image, np.float64)
    mean, std = torch.tensor([(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)], dtype=torch.float64)
    with torch.no_grad():
        seen = ((torch.from_numpy(image).double() / 255 - mean) / std).permute(2, 0, 1)[None]
        expected, blue_first = theirs(seen).numpy(), theirs(seen.flip(1)).numpy()
    found = ours.eval().forward(x)
    assert abs(found - expected).max() < 1e-10 * abs(expected).max()
    assert abs(blue_first - expected).max() > 1e-2 * abs(expected).max()


def test_every_kind_of_file(tmp_path, model):
    """As PyTorch writes now, as it wrote when GoogLeNet was published, and converted: the same numbers."""
    state = trained(model).state_dict()
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file({name: array.numpy() for name, array in state.items()}, tmp_path / "converted.safetensors")
    first, second, third = (ours_from(tmp_path / name, model)[0].state()
                            for name in ("new.pth", "old.pth", "converted.safetensors"))
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
        np.testing.assert_array_equal(third[name], array)


def test_training_step(tmp_path, rng):
    """GoogLeNet with the statistics of its batch: scores, gradients, running statistics (dropout left out)."""
    theirs = trained("googlenet-torchvision")
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours, _ = ours_from(tmp_path / "weights.pth", "googlenet-torchvision")
    theirs.train().dropout.eval()
    ours.train()["pool5/drop_7x7_s1"].eval()
    x, gy = rng.standard_normal((2, 3, 224, 224)), rng.standard_normal((2, CLASSES))
    expected = theirs.scores(torch.from_numpy(x))
    expected.backward(torch.from_numpy(gy))
    found = ours.forward(x)
    ours.backward(gy, needs=(False,))
    assert abs(found - expected.detach().numpy()).max() < 1e-10 * abs(found).max()
    torch.save({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None} |
               dict(theirs.named_buffers()), tmp_path / "gradients.pth")
    gradients, _ = ours_from(tmp_path / "gradients.pth", "googlenet-torchvision")  # by our names
    floor = 1e-6 * max(abs(p.data).max() for p in gradients.parameters().values())
    for name, p in ours.parameters().items():
        right = gradients.parameters()[name].data
        assert abs(p.grad - right).max() <= 1e-8 * max(abs(right).max(), floor), name
    for name, array in ours.buffers().items():
        np.testing.assert_allclose(array, gradients.buffers()[name], rtol=1e-10, atol=1e-12)
