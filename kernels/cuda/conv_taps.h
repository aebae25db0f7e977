// Which taps of a filter reach a pixel of the input: the sum that a gradient gathers, without looking at taps in vain.
//
// Pixel `at` (counted from the padding's edge) is read by output p through tap i where p*stride + i*dilation = at. So i
// goes in steps of stride/gcd(stride, dilation), from one that the first few numbers must hold if any does; with each
// step p goes down by dilation/gcd. Two divisions find the start, none is needed on the way.
#pragma once

struct Taps { int first, step, p, down; };  // tap, from one tap to the next; its output, and how far down to the next

__device__ __forceinline__ Taps taps_that_reach(int at, int taps, int stride, int dilation, int step) {
    int i = 0;
    while (i < step && (at - i * dilation) % stride != 0) ++i;
    if (i == step) i = taps;  // none does
    return {i, step, (at - i * dilation) / stride, step * dilation / stride};
}
