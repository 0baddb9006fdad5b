// Gradient at the weights: for every kernel offset the sum over its pairs of feature row x upstream row.
// Pairs are split over blocks, each adds up its part in a fixed order, and so are the shares: the result is the
// same at every run.

#include "weight_gradient.cuh"

constexpr int PAIR_DEPTH = 16;  // pairs at a time
constexpr int PAIR_SKEW = 4;

template <class Value, int INS, int OUTS, int THREADS>
struct PairTiles {
    Sum<Value> left[PAIR_DEPTH][INS + PAIR_SKEW];
    Sum<Value> right[PAIR_DEPTH][OUTS + PAIR_SKEW];
    Pairs<THREADS, 1, PAIR_DEPTH> pairs;
};

// A thread's sums of INS_EACH x OUTS_EACH channels.
template <class Value, int INS, int OUTS, int INS_EACH, int OUTS_EACH>
struct TileSums {
    static constexpr int THREADS = INS / INS_EACH * (OUTS / OUTS_EACH);
    using Tiles = PairTiles<Value, INS, OUTS, THREADS>;
    const WeightGradient& p;
    Tiles& tiles;
    int first_in;
    int first_out;
    Sum<Value> sums[INS_EACH][OUTS_EACH] = {};

    __device__ TileSums(const WeightGradient& parameters, Tiles& memory) : p(parameters), tiles(memory) {
        const int tiles_out = (p.out_channels + OUTS - 1) / OUTS;
        first_in = blockIdx.x / tiles_out * INS;
        first_out = blockIdx.x % tiles_out * OUTS;
    }

    __device__ static int my_in() {
        return static_cast<int>(threadIdx.x) / (OUTS / OUTS_EACH) * INS_EACH;
    }
    __device__ static int my_out() {
        return static_cast<int>(threadIdx.x) % (OUTS / OUTS_EACH) * OUTS_EACH;
    }

    __device__ __forceinline__ void load(int start, int ready) {
        const int thread = threadIdx.x;
        for (int place = thread; place < INS * PAIR_DEPTH; place += THREADS) {
            const int channel = place % INS;
            const int depth = place / INS;
            Sum<Value> value = 0;
            if (start + depth < ready && first_in + channel < p.in_channels) {
                const long long row = tiles.pairs.features[start + depth];
                value = widen(
                    static_cast<const Value*>(p.features)[row * p.in_channels + first_in + channel]);
            }
            tiles.left[depth][channel] = value;
        }
        for (int place = thread; place < OUTS * PAIR_DEPTH; place += THREADS) {
            const int channel = place % OUTS;
            const int depth = place / OUTS;
            Sum<Value> value = 0;
            if (start + depth < ready && first_out + channel < p.out_channels) {
                const long long row = tiles.pairs.upstream[start + depth];
                value = widen(
                    static_cast<const Value*>(p.upstream)[row * p.out_channels + first_out + channel]);
                if (p.scale != nullptr) {
                    value *= static_cast<const Sum<Value>*>(p.scale)[row];
                }
            }
            tiles.right[depth][channel] = value;
        }
    }

    __device__ __forceinline__ void add(int ready) {
        for (int start = 0; start < ready; start += PAIR_DEPTH) {
            load(start, ready);
            __syncthreads();
#pragma unroll
            for (int depth = 0; depth < PAIR_DEPTH; ++depth) {
                Sum<Value> right[OUTS_EACH];
#pragma unroll
                for (int out = 0; out < OUTS_EACH; ++out) {
                    right[out] = tiles.right[depth][my_out() + out];
                }
#pragma unroll
                for (int in = 0; in < INS_EACH; ++in) {
                    const Sum<Value> left = tiles.left[depth][my_in() + in];
#pragma unroll
                    for (int out = 0; out < OUTS_EACH; ++out) {
                        sums[in][out] += left * right[out];
                    }
                }
            }
            __syncthreads();
        }
    }

    __device__ __forceinline__ void keep(int block, int offset) {
#pragma unroll
        for (int in = 0; in < INS_EACH; ++in) {
#pragma unroll
            for (int out = 0; out < OUTS_EACH; ++out) {
                const int row = first_in + my_in() + in;
                const int column = first_out + my_out() + out;
                if (row < p.in_channels && column < p.out_channels) {
                    p.share<Sum<Value>>(block, offset, row, column) = sums[in][out];
                }
                sums[in][out] = 0;
            }
        }
    }
};

template <class Value, int INS, int OUTS, int INS_EACH, int OUTS_EACH>
__global__ void __launch_bounds__(INS / INS_EACH * (OUTS / OUTS_EACH))
    weight_gradient(const WeightGradient p) {
    using Sums = TileSums<Value, INS, OUTS, INS_EACH, OUTS_EACH>;
    typename Sums::Tiles& tiles = shared<typename Sums::Tiles>();
    Sums sums(p, tiles);
    add_up_pairs(p, tiles.pairs, sums);
}

// One thread an element of the weight, offsets along the grid's y axis: add the shares in their order, round
// once.
template <class Value>
__global__ void add_shares(const WeightGradient p) {
    const long long size = static_cast<long long>(p.in_channels) * p.out_channels;
    const long long place = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (place >= size) {
        return;
    }
    const int offset = blockIdx.y;
    const long long begin = p.work_before(offset * p.chunks());
    const long long end = p.work_before((offset + 1) * p.chunks());
    Sum<Value> sum = 0;
    if (begin < end) {
        const int last = static_cast<int>((end - 1) / p.part());
        for (int block = static_cast<int>(begin / p.part()); block <= last; ++block) {
            sum += (&p.share<const Sum<Value>>(block, offset, 0, 0))[place];
        }
    }
    static_cast<Value*>(p.gradient)[offset * size + place] = narrow<Value>(sum);
}
