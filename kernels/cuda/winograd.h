// Winograd's five transforms, one line of numbers each: those of kernels/cpu/_winograd.py, where the idea is told, with
// the same points 0, +-HALF, +-ROOT and infinity. A tile is transformed line by line, along one axis and then along the
// other. Lines are given by where they begin and by the step to the next number; out may be where in is, as a line is
// read before it is written. Even and odd parts of a pair of points are shared: 12 operations, where a plain matrix
// would take 22.
#pragma once

constexpr REAL HALF = REAL(0.70710678118654752440), ROOT = REAL(1.41421356237309504880);

__device__ __forceinline__ void put(REAL* out, int step, REAL a, REAL b, REAL c) {
    out[0] = a, out[step] = b, out[2 * step] = c;
}
// The values at +-p of a polynomial whose even and odd parts are known there.
__device__ __forceinline__ void put_points(REAL* out, int step, REAL zero, REAL even_half, REAL odd_half,
                                           REAL even_root, REAL odd_root, REAL infinity) {
    put(out, step, zero, even_half + odd_half, even_half - odd_half);
    put(out + 3 * step, step, even_root + odd_root, even_root - odd_root, infinity);
}

// B^T d: six inputs to the six points.
__device__ __forceinline__ void input_line(const REAL* in, int from, REAL* out, int to) {
    REAL d0 = in[0], d1 = in[from], d2 = in[2 * from], d3 = in[3 * from], d4 = in[4 * from], d5 = in[5 * from];
    put_points(out, to, d4 - d2 * REAL(2.5) + d0,
               d4 - d2 * 2, (d3 - d1 * 2) * HALF,
               d4 - d2 * REAL(0.5), (d3 - d1 * REAL(0.5)) * ROOT,
               d5 - d3 * REAL(2.5) + d1);
}

// G g: the values of a filter of three taps at the six points.
__device__ __forceinline__ void filter_line(const REAL* in, int from, REAL* out, int to) {
    REAL g0 = in[0], g1 = in[from], g2 = in[2 * from];
    put_points(out, to, g0,
               g0 * REAL(-2. / 3) - g2 * REAL(1. / 3), g1 * (REAL(-2. / 3) * HALF),
               g0 * REAL(1. / 6) + g2 * REAL(1. / 3), g1 * (REAL(1. / 6) * ROOT),
               g2);
}

// A^T m: six products to four outputs.
__device__ __forceinline__ void output_line(const REAL* in, int from, REAL* out, int to) {
    REAL m0 = in[0], m1 = in[from], m2 = in[2 * from], m3 = in[3 * from], m4 = in[4 * from], m5 = in[5 * from];
    REAL even_half = m1 + m2, odd_half = (m1 - m2) * HALF, even_root = m3 + m4, odd_root = (m3 - m4) * ROOT;
    put(out, to, m0 + even_half + even_root, odd_half + odd_root, even_half * REAL(0.5) + even_root * 2);
    out[3 * to] = odd_half * REAL(0.5) + odd_root * 2 + m5;
}

// A y: what output_line read, it writes. Four gradients of outputs to the six points.
__device__ __forceinline__ void output_line_adjoint(const REAL* in, int from, REAL* out, int to) {
    REAL y0 = in[0], y1 = in[from], y2 = in[2 * from], y3 = in[3 * from];
    put_points(out, to, y0,
               y0 + y2 * REAL(0.5), (y1 + y3 * REAL(0.5)) * HALF,
               y0 + y2 * 2, (y1 + y3 * 2) * ROOT,
               y3);
}

// G^T u: six points to the gradients of three taps.
__device__ __forceinline__ void filter_line_adjoint(const REAL* in, int from, REAL* out, int to) {
    REAL u0 = in[0], u1 = in[from], u2 = in[2 * from], u3 = in[3 * from], u4 = in[4 * from], u5 = in[5 * from];
    REAL half = u1 + u2, root = u3 + u4;
    put(out, to, u0 - half * REAL(2. / 3) + root * REAL(1. / 6),
        (u1 - u2) * (REAL(-2. / 3) * HALF) + (u3 - u4) * (REAL(1. / 6) * ROOT),
        (root - half) * REAL(1. / 3) + u5);
}
