// Windows along one axis, as poolings lay them: window p looks at the pixels p*stride - pad + i*dilation, i < kernel.
#pragma once

struct Span { int first, last; };  // first, ..., last - 1

// The pixels under a window without dilation, as far as they are inside.
__device__ __forceinline__ Span pixels_under(int window, int kernel, int stride, int pad, int size) {
    int first = window * stride - pad;
    return {max(first, 0), min(first + kernel, size)};
}

// The windows over a pixel. With dilation some of them look past it; `extent` is dilation*(kernel - 1) + 1.
__device__ __forceinline__ Span windows_over(int pixel, int extent, int stride, int pad, int count) {
    int at = pixel + pad;  // window p is over it if p*stride <= at < p*stride + extent
    return {at < extent ? 0 : (at - extent) / stride + 1, min(at / stride + 1, count)};
}
