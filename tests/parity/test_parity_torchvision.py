"""A network with torchvision's weights computes what torchvision's does: on the same picture, prepared its way."""

import numpy as np
import pytest

from minifcn.data import Sample, to_batch
from minifcn.models import build
from minifcn.published import load_published

torch = pytest.importorskip("torch")
nn = torch.nn

CHANNELS = (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M")  # VGG-16's, a 64th of them


class Vgg(nn.Module):
    """torchvision's VGG-16, with its names and its order."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for count in CHANNELS:
            if count == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU(True)]
                channels = count
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(nn.Linear(8 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64),
                                        nn.ReLU(True), nn.Dropout(), nn.Linear(64, 10))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def test_vgg16(tmp_path, rng):
    torch.manual_seed(0)
    theirs = Vgg().eval()
    for name, parameter in theirs.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)  # so that what comes in is seen in what comes out
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    ours = build("vgg16", num_classes=10, width=1 / 64)
    seen = load_published(ours, tmp_path / "vgg16.pth").preprocessing
    image = rng.integers(0, 256, (224, 224, 3)).astype(np.uint8)
    blank = np.full(image.shape[:2], 255, np.uint8)
    x, _ = to_batch([Sample(image, blank, "image")], seen.mean, seen.scale,
                    channel_order=seen.channel_order)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        seen = ((torch.from_numpy(image) / 255 - mean) / std).permute(2, 0, 1)[None]
        expected, blue_first = theirs(seen).numpy(), theirs(seen.flip(1)).numpy()
    found = ours.eval().forward(x)
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()
    assert abs(blue_first - expected).max() > 1e-2 * abs(expected).max()
