"""Updates: has no loop of its own yet, so the pass of `array` runs."""

from ..array.updates import adam_update, sgd_update

__all__ = ["adam_update", "sgd_update"]
