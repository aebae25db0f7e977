"""im2col, the trick that turns a convolution into one matrix product, and its adjoint col2im.

    columns[c, i, j, p, q] = x[c, p*sh + i*dh - ph, q*sw + j*dw - pw]

Every input pixel is copied once for each tap that reads it: nine times for a 3x3 filter. For a whole image that is more
memory than the network itself, so the callers go through the output in tiles of a few rows and keep only one tile's
columns at a time. That is also faster, since a tile's columns stay in the processor's cache until they are multiplied.
"""

from collections.abc import Iterator

TILE = 1 << 19  # numbers in the columns of one tile: 2 MiB in float32, about the size of a core's second-level cache


def pad_input(xp, x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W) with zeros around it, cut to the pixels that some window reads: (N, C, reach_h, reach_w)."""
    images, channels, h, w = x.shape
    reach_h, reach_w = (oh - 1) * sh + dh * (kh - 1) + 1, (ow - 1) * sw + dw * (kw - 1) + 1
    if ph == pw == 0 and reach_h <= h and reach_w <= w:
        return x[:, :, :reach_h, :reach_w]
    padded = xp.zeros((images, channels, reach_h, reach_w), x.dtype)
    rows, cols = min(h, reach_h - ph), min(w, reach_w - pw)
    if rows > 0 and cols > 0:
        padded[:, :, ph : ph + rows, pw : pw + cols] = x[:, :, :rows, :cols]
    return padded


def tiles(images, oh, ow, depth, most=None) -> Iterator[tuple[slice, slice]]:
    """Slices (images, output rows) that cover the output, each with at most `most` numbers of columns if possible.

    `depth` is the height of the columns, C*KH*KW; `most` is TILE if it is None. Small maps go several images at a time,
    large ones a few rows.
    """
    most = most or TILE
    rows = max(1, min(oh, most // max(1, depth * ow)))
    together = max(1, most // max(1, depth * oh * ow)) if rows == oh else 1
    for n in range(0, images, together):
        for p in range(0, oh, rows):
            yield slice(n, min(n + together, images)), slice(p, min(p + rows, oh))


def tap_windows(padded, images, rows, ow, kh, kw, sh, sw, dh, dw):
    """For each tap (i, j): the view of `padded` that it reads for one tile's outputs, (m, C, rows, ow)."""
    for i in range(kh):
        for j in range(kw):
            top, left = rows.start * sh + i * dh, j * dw
            bottom, right = top + (rows.stop - rows.start - 1) * sh + 1, left + (ow - 1) * sw + 1
            yield i, j, padded[images, :, top:bottom:sh, left:right:sw]


def im2col(xp, padded, images, rows, ow, kh, kw, sh, sw, dh, dw, groups):
    """The columns of one tile: (groups, C/groups*KH*KW, m*rows*ow), ready to be multiplied by the filters."""
    channels, m, height = padded.shape[1], images.stop - images.start, rows.stop - rows.start
    columns = xp.empty((channels, kh, kw, m, height, ow), padded.dtype)
    for i, j, window in tap_windows(padded, images, rows, ow, kh, kw, sh, sw, dh, dw):
        columns[:, i, j] = window.swapaxes(0, 1)  # (C, m, rows, ow)
    return columns.reshape(groups, channels // groups * kh * kw, m * height * ow)


def col2im_add(columns, padded, images, rows, ow, kh, kw, sh, sw, dh, dw):
    """The adjoint of im2col: every number goes back to the pixel it was copied from and is added there."""
    channels, m, height = padded.shape[1], images.stop - images.start, rows.stop - rows.start
    columns = columns.reshape(channels, kh, kw, m, height, ow)
    for i, j, window in tap_windows(padded, images, rows, ow, kh, kw, sh, sw, dh, dw):
        window += columns[:, i, j].swapaxes(0, 1)
