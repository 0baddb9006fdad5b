// Shares of the gradient at the weights in steps that asynchronous copies bring some ahead of the products: a
// step is some pairs' rows of features and upstream. Channels are multiples of 16 bytes.
#pragma once

#include "matrix.cuh"
#include "weight_gradient.cuh"

// STAGES steps in shared memory: one is multiplied, the others arrive.
template <class Element, int TILE_SIDE, int TILE_STAGES, int WARPS, int COPIED_BYTES>
struct PairSteps {
    using Value = Element;
    static constexpr int SIDE = TILE_SIDE;
    static constexpr int STAGES = TILE_STAGES;
    static constexpr int BYTES = COPIED_BYTES;  // that a copy brings: channels are multiples of it
    static constexpr int THREADS = WARPS * LANES;
    static constexpr int DEPTH = 4 * CHUNK<Value>;           // pairs of a step
    static constexpr int LOOKS = THREADS > 128 ? 4 : 8;  // rows that a thread looks up at a time
    using Rows = Matrix<Value, DEPTH, SIDE>;
    alignas(16) Rows left[STAGES];
    alignas(16) Rows right[STAGES];
    Pairs<THREADS, LOOKS, DEPTH> pairs;
};

// Begin the copies of SIDE channels of one step's rows; zeros for channels and pairs that are not there.
template <class Steps>
__device__ __forceinline__ void begin_rows(typename Steps::Rows& to, const void* from, const int* rows,
                                           int count, int channels, int first_channel) {
    using Value = typename Steps::Value;
    constexpr int PIECE = Steps::BYTES / static_cast<int>(sizeof(Value));  // elements of a copy
    constexpr int EACH_CHUNK = CHUNK<Value> / PIECE;
    constexpr int PIECES = Steps::Rows::CHUNKS * EACH_CHUNK;  // of a row
    constexpr int THREADS = Steps::THREADS;
    const int thread = threadIdx.x;
    const int piece = thread % PIECES;
    const int channel = first_channel + piece * PIECE;
    const int row_bytes = channels * static_cast<int>(sizeof(Value));
    const Value* source = static_cast<const Value*>(from) + channel;
#pragma unroll
    for (int part = 0; part < Steps::DEPTH * PIECES / THREADS; ++part) {
        const int number = thread / PIECES + part * (THREADS / PIECES);
        const bool present = number < count && channel < channels;
        const int row = present ? rows[number] : 0;
        copy_bytes<Steps::BYTES>(to.chunk(number, piece / EACH_CHUNK) + piece % EACH_CHUNK * PIECE,
                                 row_of(source, row, row_bytes), present);
    }
}

// Sums of SIDE x SIDE channels. `Held` is what a thread holds of them: it adds a step's products, and writes.
template <class Steps, class Held>
struct SteppedSums {
    const WeightGradient& p;
    Steps& steps;
    int first_in;
    int first_out;
    Held sums;

    __device__ SteppedSums(const WeightGradient& parameters, Steps& memory) : p(parameters), steps(memory) {
        const int tiles_out = (p.out_channels + Steps::SIDE - 1) / Steps::SIDE;
        first_in = blockIdx.x / tiles_out * Steps::SIDE;
        first_out = blockIdx.x % tiles_out * Steps::SIDE;
    }

    __device__ __forceinline__ void add(int ready) {
        constexpr int STAGES = Steps::STAGES;
        const int count = (ready + Steps::DEPTH - 1) / Steps::DEPTH;
        int arriving = 0;    // stage
        int multiplied = 0;  // stage
        for (int step = 0; step < count + STAGES - 1; ++step) {
            const bool is_full = step >= STAGES - 1;
            if (is_full) {
                wait_for_groups<STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                const int from = step * Steps::DEPTH;
                begin_rows<Steps>(steps.left[arriving], p.features, steps.pairs.features + from,
                                  ready - from, p.in_channels, first_in);
                begin_rows<Steps>(steps.right[arriving], p.upstream, steps.pairs.upstream + from,
                                  ready - from, p.out_channels, first_out);
                arriving = arriving + 1 == STAGES ? 0 : arriving + 1;
            }
            close_group();
            if (is_full) {
                sums.add(steps.left[multiplied], steps.right[multiplied]);
                multiplied = multiplied + 1 == STAGES ? 0 : multiplied + 1;
            }
        }
    }

    __device__ __forceinline__ void keep(int block, int offset) {
        sums.write(p, block, offset, first_in, first_out);
        sums = Held();
    }
};

// Add up a block's part of the work.
template <class Held, class Steps>
__device__ __forceinline__ void add_up_by_steps(const WeightGradient& p, Steps& steps) {
    SteppedSums<Steps, Held> sums(p, steps);
    add_up_pairs(p, steps.pairs, sums);
}
