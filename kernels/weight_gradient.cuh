// What the kernels of the gradient at the weights are given, and how they find the pairs of an offset.
#pragma once

#include "values.cuh"

constexpr int LANES = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

struct WeightGradient {
    const void* features;   // Value [N, in_channels]
    const void* upstream;   // Value [rows, out_channels]
    const void* scale;      // Sum [rows] that upstream rows are multiplied by, or null
    const int* table;       // [offsets, rows]: the feature row seen, negative for none
    void* shares;           // Sum [splits, offsets, in_channels, out_channels]
    void* gradient;         // Value [offsets, in_channels, out_channels]
    long long rows;
    int offsets;
    int in_channels;
    int out_channels;
    int splits;

    // First row of a split; that of the next is its end.
    __device__ long long begin(int split) const { return rows * split / splits; }

    // Where a split keeps its sum for an offset and two channels.
    template <class Kept>
    __device__ Kept& share(int split, int offset, int in, int out) const {
        const long long matrix = static_cast<long long>(split) * offsets + offset;
        return static_cast<Kept*>(shares)[(matrix * in_channels + in) * out_channels + out];
    }
};

// Pairs found and not yet multiplied.
template <int THREADS, int CAPACITY>
struct Pairs {
    int features[CAPACITY];
    int upstream[CAPACITY];
    int found[THREADS / LANES];

    // Append those of the next rows, one a thread, in their order; return how many wait then.
    __device__ int append(const int* seen_by, long long row, long long end, int waiting) {
        const int lane = threadIdx.x % LANES;
        const int warp = threadIdx.x / LANES;
        const int seen = row < end ? seen_by[row] : -1;
        const unsigned ballot = __ballot_sync(ALL_LANES, seen >= 0);
        if (lane == 0) {
            found[warp] = __popc(ballot);
        }
        __syncthreads();
        int place = waiting + __popc(ballot & ((1u << lane) - 1u));
        for (int other = 0; other < THREADS / LANES; ++other) {
            place += other < warp ? found[other] : 0;
            waiting += found[other];
        }
        if (seen >= 0) {
            features[place] = seen;
            upstream[place] = static_cast<int>(row);
        }
        __syncthreads();
        return waiting;
    }

    // Drop the first `done` of them; fewer than THREADS may be left. Return how many.
    __device__ int drop(int done, int waiting) {
        const int thread = threadIdx.x;
        const int rest = waiting - done;
        int feature_row = 0;
        int upstream_row = 0;
        if (thread < rest) {
            feature_row = features[done + thread];
            upstream_row = upstream[done + thread];
        }
        __syncthreads();
        if (thread < rest) {
            features[thread] = feature_row;
            upstream[thread] = upstream_row;
        }
        __syncthreads();
        return rest;
    }
};
