// Small kernels that need what the stand-ins promise, some of them wrong on purpose.

#include <ptx.cuh>

struct Numbers {
    int* values;
    int count;
};

struct Line {
    int values[64];
};

__global__ void reverse(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    __syncthreads();
    p.values[threadIdx.x] = line.values[p.count - 1 - threadIdx.x];
}

__global__ void reverse_without_barrier(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    p.values[threadIdx.x] = line.values[p.count - 1 - threadIdx.x];
}

// Every block adds its warps' sums to the first number, its ballots' bits to the second, and to the
// third whether any thread holds a negative number.
__global__ void add_up(const Numbers p) {
    const int place = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int value = place < p.count ? p.values[3 + place] : 0;
    int sum = value;
    for (unsigned pattern = 16; pattern != 0; pattern /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, pattern);
    }
    const unsigned odd = __ballot_sync(0xffffffffu, value % 2 != 0);
    const int negative = __syncthreads_or(value < 0);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(p.values, sum);
        atomicAdd(p.values + 1, __popc(odd));
    }
    if (threadIdx.x == 0) {
        atomicAdd(p.values + 2, negative);
    }
}

// Half of a warp waits for the block, the other half for the warp.
__global__ void stuck(const Numbers p) {
    if (static_cast<int>(threadIdx.x) < p.count / 2) {
        __syncthreads();
    } else {
        __syncwarp();
    }
}

// Some threads leave; the others' barrier opens all the same, as on a GPU.
__global__ void leave(const Numbers p) {
    if (static_cast<int>(threadIdx.x) >= p.count) {
        return;
    }
    __syncthreads();
    p.values[threadIdx.x] = 1;
}

// Threads leave as soon as they have voted: their votes count all the same.
__global__ void vote_and_leave(const Numbers p) {
    p.values[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, p.values[threadIdx.x] > 0));
}

// Shared memory is read that nothing wrote.
__global__ void read_unwritten(const Numbers p) {
    p.values[threadIdx.x] = shared<Line>().values[threadIdx.x];
}
