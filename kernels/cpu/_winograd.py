"""Winograd's convolution F(4x4, 3x3): a 3x3 filter with 36 multiplications for every 16 outputs instead of 144.

The idea in one dimension. Four outputs of a filter of three taps are a product of polynomials in disguise, and such a
product of degree 5 is known as soon as its values at six points are known (Cook and Toom). So

    y = A^T [ (G g) * (B^T d) ]        d: 6 inputs,  g: 3 taps,  *: number by number,  y: 4 outputs

where G evaluates the filter at the six points, B^T prepares the inputs, and A^T puts the outputs together: 6
multiplications instead of 12. In two dimensions each transform is applied along columns and then along rows of a tile,
and 6*6 = 36 multiplications do the work of 12*12 = 144. Tiles of 6x6 inputs overlap by two, 4x4 outputs do not.

With many channels, the multiplication number by number becomes 36 matrix products, one for each position p in a tile:

    M[p] (tiles, O) = V[p] (tiles, C) @ U[p] (C, O)

The points are 0, +-1/sqrt(2), +-sqrt(2) and infinity. The usual 0, +-1, +-2 cost the same, but as powers up to 2^3 meet
in A^T, they lose about three times as many digits (Barabasz et al., "Error analysis and improving the accuracy of
Winograd convolution for deep neural networks", 2020). Winograd, "Arithmetic complexity of computations", 1980;
Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.

The transforms stand here as formulas on anything that adds and multiplies: NumPy arrays, or vectors of the processor.
Points come in pairs +-p, whose even and odd parts are shared: 12 operations instead of the 22 of the plain matrix.
"""

import numpy as np

TILE = 4  # outputs of a tile along one axis
TAPS = 3
POINTS = TILE + TAPS - 1  # 6 inputs of a tile, and as many points
POSITIONS = POINTS * POINTS
HALF, ROOT = float(np.sqrt(0.5)), float(np.sqrt(2.0))  # the points +-HALF and +-ROOT; HALF * ROOT = 1


def input_line(d0, d1, d2, d3, d4, d5):
    """B^T d: six inputs to the six points. Its rows are the polynomials that are zero at all other points."""
    even_half, odd_half = d4 - d2 * 2.0, (d3 - d1 * 2.0) * HALF
    even_root, odd_root = d4 - d2 * 0.5, (d3 - d1 * 0.5) * ROOT
    return (
        d4 - d2 * 2.5 + d0,
        even_half + odd_half, even_half - odd_half,
        even_root + odd_root, even_root - odd_root,
        d5 - d3 * 2.5 + d1,
    )


def filter_line(g0, g1, g2):
    """G g: the filter's values at the six points, each over the product of its point's distances to the others."""
    even_half, odd_half = g0 * (-2 / 3) - g2 * (1 / 3), g1 * (-2 / 3 * HALF)
    even_root, odd_root = g0 * (1 / 6) + g2 * (1 / 3), g1 * (1 / 6 * ROOT)
    return g0, even_half + odd_half, even_half - odd_half, even_root + odd_root, even_root - odd_root, g2


def output_line(m0, m1, m2, m3, m4, m5):
    """A^T m: six products to four outputs. Row i holds the i-th powers of the points."""
    even_half, odd_half = m1 + m2, (m1 - m2) * HALF
    even_root, odd_root = m3 + m4, (m3 - m4) * ROOT
    return (
        m0 + even_half + even_root,
        odd_half + odd_root,
        even_half * 0.5 + even_root * 2.0,
        odd_half * 0.5 + odd_root * 2.0 + m5,
    )


def output_line_adjoint(y0, y1, y2, y3):
    """A y: what output_line read, it writes. Four gradients of outputs to the six points."""
    even_half, odd_half = y0 + y2 * 0.5, (y1 + y3 * 0.5) * HALF
    even_root, odd_root = y0 + y2 * 2.0, (y1 + y3 * 2.0) * ROOT
    return y0, even_half + odd_half, even_half - odd_half, even_root + odd_root, even_root - odd_root, y3


def filter_line_adjoint(u0, u1, u2, u3, u4, u5):
    """G^T u: six points to the gradients of three taps."""
    half, root = u1 + u2, u3 + u4
    return (
        u0 - half * (2 / 3) + root * (1 / 6),
        (u1 - u2) * (-2 / 3 * HALF) + (u3 - u4) * (1 / 6 * ROOT),
        (root - half) * (1 / 3) + u5,
    )
