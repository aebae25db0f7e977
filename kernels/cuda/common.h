// Where a thread stands in a launch. REAL is float or double: a .cu file is compiled once for each.
#pragma once

// Of work that lies in a row, thread after thread: the first piece of this thread, and how many threads there are.
__device__ __forceinline__ long long first_of_all() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long all_threads() { return (long long)gridDim.x * blockDim.x; }
