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

// Pairs found and not yet multiplied. LOOKS rows a thread are looked up at a time; fewer than MOST_LEFT
// pairs may be left from before.
template <int THREADS, int LOOKS, int MOST_LEFT>
struct Pairs {
    static constexpr int WARPS = THREADS / LANES;
    static constexpr int ROWS = LOOKS * THREADS;  // at a time
    int features[ROWS + MOST_LEFT];
    int upstream[ROWS + MOST_LEFT];
    int found[LOOKS][WARPS];

    // Look up rows: what is found may arrive while pairs are multiplied.
    __device__ static void look_up(const int* seen_by, long long first, long long end, int (&seen)[LOOKS]) {
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            const long long row = first + look * THREADS + threadIdx.x;
            seen[look] = row < end ? seen_by[row] : -1;
        }
    }

    // Append the pairs of rows that were looked up, in their order; return how many wait then.
    __device__ int append(const int (&seen)[LOOKS], long long first, int waiting) {
        const int lane = threadIdx.x % LANES;
        const int warp = threadIdx.x / LANES;
        unsigned ballots[LOOKS];
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            ballots[look] = __ballot_sync(ALL_LANES, seen[look] >= 0);
            if (lane == 0) {
                found[look][warp] = __popc(ballots[look]);
            }
        }
        __syncthreads();
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            int place = waiting + __popc(ballots[look] & ((1u << lane) - 1u));
#pragma unroll
            for (int other = 0; other < WARPS; ++other) {
                const int count = found[look][other];
                place += other < warp ? count : 0;
                waiting += count;
            }
            if (seen[look] >= 0) {
                features[place] = seen[look];
                upstream[place] = static_cast<int>(first) + look * THREADS + static_cast<int>(threadIdx.x);
            }
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
