"""For layers that bring a map to a size: their own, or that of a second input."""

from typing import Any

from ..ops.check import Array, check_array


def chosen_size(who: str, name: str, size: Any, like: Array | None) -> Any:
    """`size`, or the (H, W) of `like` (N, C, H, W). Raises ValueError unless there is exactly one of them."""
    if (size is None) == (like is None):
        raise ValueError(f"{who}: expected either {name} or a second input of the size that is wanted, "
                         f"got {'neither' if size is None else 'both'}. Give one of the two.")
    if like is None:
        return size
    check_array(who, "like", like, "N C H W")
    return like.shape[2:]
