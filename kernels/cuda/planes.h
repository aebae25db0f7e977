// Work that is the same in every plane, an image of one channel. A thread keeps its pixel and goes from plane to plane:
// what takes divisions (which row, which windows, which weights) is worked out once, and small planes leave no thread
// idle, since a block has pixels of several. `at_once` planes are worked on at a time; _planes.py says how many.
#pragma once
#include "common.h"

struct Place { int pixel, plane; };

// Where this thread begins. It has nothing to do if that is plane `at_once` or a later one.
__device__ __forceinline__ Place place_in(int pixels) {
    long long at = first_of_all();
    return {int(at % pixels), int(at / pixels)};
}
