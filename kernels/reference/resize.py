"""Bilinear resizing and its gradient, pixel by pixel.

Output pixel (p, q) comes from a place (sy, sx) between four input pixels. With top and left the integer parts of that
place, and fy and fx the fractions, the four count with weights

    (1-fy)*(1-fx)   (1-fy)*fx
       fy *(1-fx)      fy *fx

which add up to 1. The gradient hands each gy to the same four pixels with the same four weights.
"""

import numpy as np


def resize_bilinear(x, oh, ow, align_corners):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = np.empty((images, channels, oh, ow), x.dtype)
    for p in range(oh):
        sy = p * (h - 1) / max(oh - 1, 1) if align_corners else max((p + 0.5) * h / oh - 0.5, 0.0)
        top = int(sy)
        bottom, fy = min(top + 1, h - 1), sy - top
        for q in range(ow):
            sx = q * (w - 1) / max(ow - 1, 1) if align_corners else max((q + 0.5) * w / ow - 0.5, 0.0)
            left = int(sx)
            right, fx = min(left + 1, w - 1), sx - left
            for n in range(images):
                for c in range(channels):
                    upper = (1 - fx) * x[n, c, top, left] + fx * x[n, c, top, right]
                    lower = (1 - fx) * x[n, c, bottom, left] + fx * x[n, c, bottom, right]
                    y[n, c, p, q] = (1 - fy) * upper + fy * lower
    return y


def resize_bilinear_grad(gy, h, w, align_corners):
    """gy (N, C, OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    gx = np.zeros((images, channels, h, w), gy.dtype)
    for p in range(oh):
        sy = p * (h - 1) / max(oh - 1, 1) if align_corners else max((p + 0.5) * h / oh - 0.5, 0.0)
        top = int(sy)
        bottom, fy = min(top + 1, h - 1), sy - top
        for q in range(ow):
            sx = q * (w - 1) / max(ow - 1, 1) if align_corners else max((q + 0.5) * w / ow - 0.5, 0.0)
            left = int(sx)
            right, fx = min(left + 1, w - 1), sx - left
            for n in range(images):
                for c in range(channels):
                    upper, lower = (1 - fy) * gy[n, c, p, q], fy * gy[n, c, p, q]
                    gx[n, c, top, left] += (1 - fx) * upper
                    gx[n, c, top, right] += fx * upper
                    gx[n, c, bottom, left] += (1 - fx) * lower
                    gx[n, c, bottom, right] += fx * lower
    return gx
