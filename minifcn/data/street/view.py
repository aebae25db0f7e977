"""The camera and the light of a street scene.

One-point perspective: the camera looks along the street. World coordinates are metres: X to the right, Y up from the
ground, z ahead. A point appears at

    x = vanish_x + focal * X / z
    y = horizon  + focal * (height - Y) / z

so that everything shrinks as 1 / z towards the vanishing point (vanish_x, horizon).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CLASSES = ("sky", "building", "road", "pavement", "tree", "car", "pole")
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR, POLE = range(7)


class Mood(NamedTuple):
    """A time of day: colours of the sky above and at the horizon, and of the light on things; are lamps lit?"""

    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    light: tuple[float, float, float]
    sunny: bool
    lit: bool


MOODS = (
    Mood((70, 130, 214), (190, 220, 244), (1.04, 1.02, 0.98), True, False),  # noon
    Mood((96, 152, 224), (232, 232, 226), (1.05, 1.00, 0.94), True, False),  # morning
    Mood((150, 162, 178), (212, 216, 218), (0.90, 0.92, 0.95), False, False),  # overcast
    Mood((84, 100, 172), (252, 192, 140), (1.00, 0.87, 0.76), True, True),  # evening
)


@dataclass(frozen=True)
class View:
    """What a scene is seen through, drawn once per scene. Lengths in metres, pixels where said."""

    h: int  # pixels
    w: int
    unit: float  # pixels here per pixel of the default scene
    vanish_x: float  # pixels
    horizon: float
    focal: float
    height: float  # of the camera above the road
    road: tuple[float, float]  # X of the left and the right kerb
    walls: tuple[float, float]  # X of the house fronts
    mood: Mood
    sun: int  # -1: light comes from the left, +1: from the right

    def project(self, X: float, Y: float, z: float) -> tuple[float, float]:
        """World point -> (x, y) in pixels."""
        return self.vanish_x + self.focal * X / z, self.horizon + self.focal * (self.height - Y) / z


def choose_view(h: int, w: int, rng: np.random.Generator) -> View:
    """A random view for a picture of h x w pixels; the default scene, 96 x 128, has unit 1."""
    unit = min(h / 96, w / 128)
    left, right = rng.uniform(2.9, 4.3, size=2)
    pavement = rng.uniform(2.4, 4.2, size=2)
    return View(
        h=h,
        w=w,
        unit=unit,
        vanish_x=w / 2 + unit * rng.uniform(-16, 16),
        horizon=h * rng.uniform(0.38, 0.50),
        focal=110 * unit,
        height=rng.uniform(2.3, 2.9),
        road=(-left, right),
        walls=(-left - pavement[0], right + pavement[1]),
        mood=MOODS[rng.integers(len(MOODS))],
        sun=int(rng.choice((-1, 1))),
    )
