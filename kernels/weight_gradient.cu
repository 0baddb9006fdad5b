// Gradient at the weights: for every kernel offset the sum over its pairs of feature row x upstream row.
// Rows are split over blocks, each adds up its share in a fixed order, and so are the shares: the result
// is the same at every run.

#include "weight_gradient.cuh"

constexpr int PAIR_DEPTH = 16;  // pairs at a time
constexpr int PAIR_SKEW = 4;

template <class Value, int INS, int OUTS, int THREADS>
struct PairTiles {
    Sum<Value> left[PAIR_DEPTH][INS + PAIR_SKEW];
    Sum<Value> right[PAIR_DEPTH][OUTS + PAIR_SKEW];
    Pairs<THREADS, 1, PAIR_DEPTH> pairs;
};

// Grid: tiles of the channels x offsets x splits. A thread computes INS_EACH x OUTS_EACH sums.
template <class Value, int INS, int OUTS, int INS_EACH, int OUTS_EACH>
__global__ void __launch_bounds__(INS / INS_EACH * (OUTS / OUTS_EACH))
    weight_gradient(const WeightGradient p) {
    constexpr int THREADS = INS / INS_EACH * (OUTS / OUTS_EACH);
    PairTiles<Value, INS, OUTS, THREADS>& tiles = shared<PairTiles<Value, INS, OUTS, THREADS>>();
    const int thread = threadIdx.x;
    const int tiles_out = (p.out_channels + OUTS - 1) / OUTS;
    const int first_in = blockIdx.x / tiles_out * INS;
    const int first_out = blockIdx.x % tiles_out * OUTS;
    const int my_out = thread % (OUTS / OUTS_EACH) * OUTS_EACH;
    const int my_in = thread / (OUTS / OUTS_EACH) * INS_EACH;
    const int offset = blockIdx.y;
    const int split = blockIdx.z;
    const long long end = p.begin(split + 1);
    const int* seen_by = p.table + offset * p.rows;

    Sum<Value> sums[INS_EACH][OUTS_EACH] = {};
    int waiting = 0;
    int seen[1];
    tiles.pairs.look_up(seen_by, p.begin(split), end, seen);
    for (long long first = p.begin(split);; first += THREADS) {
        const bool more = first < end;
        if (more) {
            waiting = tiles.pairs.append(seen, first, waiting);
            tiles.pairs.look_up(seen_by, first + THREADS, end, seen);
        }
        const int ready = more ? waiting / PAIR_DEPTH * PAIR_DEPTH : waiting;
        for (int start = 0; start < ready; start += PAIR_DEPTH) {
            for (int place = thread; place < INS * PAIR_DEPTH; place += THREADS) {
                const int channel = place % INS;
                const int depth = place / INS;
                const bool present =
                    start + depth < waiting && first_in + channel < p.in_channels;
                tiles.left[depth][channel] =
                    present ? widen(static_cast<const Value*>(
                                  p.features)[static_cast<long long>(tiles.pairs.features[start + depth]) *
                                                  p.in_channels +
                                              first_in + channel])
                            : Sum<Value>(0);
            }
            for (int place = thread; place < OUTS * PAIR_DEPTH; place += THREADS) {
                const int channel = place % OUTS;
                const int depth = place / OUTS;
                Sum<Value> value = 0;
                if (start + depth < waiting && first_out + channel < p.out_channels) {
                    const long long row = tiles.pairs.upstream[start + depth];
                    value = widen(static_cast<const Value*>(
                        p.upstream)[row * p.out_channels + first_out + channel]);
                    if (p.scale != nullptr) {
                        value *= static_cast<const Sum<Value>*>(p.scale)[row];
                    }
                }
                tiles.right[depth][channel] = value;
            }
            __syncthreads();
#pragma unroll
            for (int depth = 0; depth < PAIR_DEPTH; ++depth) {
                Sum<Value> right[OUTS_EACH];
#pragma unroll
                for (int out = 0; out < OUTS_EACH; ++out) {
                    right[out] = tiles.right[depth][my_out + out];
                }
#pragma unroll
                for (int in = 0; in < INS_EACH; ++in) {
                    const Sum<Value> left = tiles.left[depth][my_in + in];
#pragma unroll
                    for (int out = 0; out < OUTS_EACH; ++out) {
                        sums[in][out] += left * right[out];
                    }
                }
            }
            __syncthreads();
        }
        if (!more) {
            break;
        }
        waiting = tiles.pairs.drop(ready, waiting);
    }
#pragma unroll
    for (int in = 0; in < INS_EACH; ++in) {
#pragma unroll
        for (int out = 0; out < OUTS_EACH; ++out) {
            const int row = first_in + my_in + in;
            const int column = first_out + my_out + out;
            if (row < p.in_channels && column < p.out_channels) {
                p.share<Sum<Value>>(split, offset, row, column) = sums[in][out];
            }
        }
    }
}

// One thread an element of the weight: add the shares in their order, round once.
template <class Value>
__global__ void add_shares(const WeightGradient p) {
    const long long size = static_cast<long long>(p.offsets) * p.in_channels * p.out_channels;
    const long long place = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (place >= size) {
        return;
    }
    Sum<Value> sum = 0;
    for (int split = 0; split < p.splits; ++split) {
        sum += static_cast<const Sum<Value>*>(p.shares)[split * size + place];
    }
    static_cast<Value*>(p.gradient)[place] = narrow<Value>(sum);
}
