// How many pairs there are in each chunk of a kernel map's table, for who shares them out.

#include "weight_gradient.cuh"

struct PairCounts {
    const int* table;  // [offsets, rows], negative where there is no pair
    int* counts;       // [offsets, chunks]
    long long rows;
    int offsets;
};

// One warp a chunk of an offset.
__global__ void count_pairs(const PairCounts p) {
    const long long chunks = (p.rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    const long long number =
        (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
    if (number >= p.offsets * chunks) {
        return;
    }
    const int lane = threadIdx.x % LANES;
    const int* seen_by = p.table + number / chunks * p.rows;
    const long long first = number % chunks * CHUNK_ROWS + lane;
    int count = 0;
#pragma unroll 8
    for (int part = 0; part < CHUNK_ROWS; part += LANES) {
        const bool seen = first + part < p.rows && seen_by[first + part] >= 0;
        count += __popc(__ballot_sync(ALL_LANES, seen));
    }
    if (lane == 0) {
        p.counts[number] = count;
    }
}
