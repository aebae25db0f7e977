"""What the processor offers: how wide its vectors are, and how many of them its registers hold.

One instruction works on all lanes of a vector: 16 float32 numbers in the 512 bits of AVX-512, 8 in the 256 bits of
AVX2, 4 in the 128 bits of ARM's NEON. MINIFCN_VECTOR=128|256|512 forces a narrower one, so that the kernels of other
processors can be tested on this one.
"""

import os
import platform
from pathlib import Path

import llvmlite.binding

WIDTHS = (128, 256, 512)


def _features() -> dict[str, bool]:
    return dict(llvmlite.binding.get_host_cpu_features())


def widest_vector(features: dict[str, bool]) -> int:
    """Bits of the widest vector that a processor with these features multiplies and adds in one instruction."""
    if features.get("avx512f"):
        return 512
    if features.get("avx2") and features.get("fma"):
        return 256
    return 128  # NEON, SSE and everything else: LLVM takes a vector apart where the machine has none


def chosen_vector(widest: int, wish: str | None) -> int:
    """`widest`, or what MINIFCN_VECTOR asks for. Raises ValueError for a width that this processor has not."""
    if not wish:
        return widest
    if wish not in map(str, WIDTHS) or int(wish) > widest:
        raise ValueError(f"MINIFCN_VECTOR: expected one of {', '.join(str(w) for w in WIDTHS if w <= widest)} bits, "
                         f"which this processor has, got {wish!r}. Choose one of these, or unset it.")
    return int(wish)


def second_level_cache(sizes: Path = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")) -> int:
    """Bytes of a core's own second-level cache; 1 MiB, which is common, where the system does not say.

    Between 512 KiB and 2 MiB: what says more is shared by several cores.
    """
    try:
        text = sizes.read_text().strip()
    except OSError:
        return 1 << 20
    kibibytes = int(text[:-1]) if text.endswith("K") and text[:-1].isdecimal() else 1024
    return min(max(kibibytes, 512), 2048) << 10


FEATURES = _features()
SECOND_LEVEL = second_level_cache()
VECTOR_BITS = chosen_vector(widest_vector(FEATURES), os.environ.get("MINIFCN_VECTOR"))
LANES = VECTOR_BITS // 32  # float32 numbers in one vector
HAS_FMA = bool(FEATURES.get("fma")) or platform.machine() in ("arm64", "aarch64")  # multiply and add, rounded once
REGISTERS = 32 if VECTOR_BITS == 512 or platform.machine() in ("arm64", "aarch64") else 16
