"""Local response normalisation: a thread moves the window along a run of channels of one pixel."""

from ._program import Program, contiguous, empty

RUN = 16  # channels of a thread
WINDOWS = (5, 0)  # sizes that are compiled: AlexNet's and GoogLeNet's, and any
_CU = Program("local_response_norm", *({"WINDOW": window, "RUN": RUN} for window in WINDOWS))


def local_response_norm(x, size, alpha, beta, k):
    """x (N, C, H, W) -> y, scale, both (N, C, H, W)."""
    y, scale = empty(x, x.shape), empty(x, x.shape)
    _run("local_response_norm", (contiguous(x),), size, alpha / size, float(beta), float(k), y, scale)
    return y, scale


def local_response_norm_grad(gy, x, scale, size, alpha, beta):
    """gy, x, scale (N, C, H, W) -> gx (N, C, H, W)."""
    gx = empty(x, x.shape)
    rows = contiguous(gy), contiguous(x), contiguous(scale)
    _run("local_response_norm_grad", rows, size, 2 * alpha * beta / size, float(beta), gx)
    return gx


def _run(kernel, rows, size, *arguments):
    """Launch a kernel on the pixels, and the runs of all images."""
    images, channels, h, w = rows[0].shape
    parts = images * -(-channels // RUN)
    _CU.run(kernel, (h * w, parts), *rows, int(size), *arguments, parts, channels, h * w,
            WINDOW=size if size in WINDOWS else 0, RUN=RUN)
