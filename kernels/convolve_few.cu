// Convolutions of few channels: all weights lie in shared memory, and a thread computes some output
// channels of a row by itself. There is no tile to fill, so nothing is wasted on narrow layers.

#include "convolution.cuh"

constexpr int FEW_THREADS = 256;

template <class Value, int WEIGHTS>
struct AllWeights {
    Sum<Value> taps[WEIGHTS];  // [offsets, in_channels, out_channels]
};

// A grid of any size: blocks go on until no rows are left. `COLUMNS_EACH` output channels a thread.
template <class Value, int WEIGHTS, int COLUMNS_EACH, bool TRANSPOSED>
__global__ void __launch_bounds__(FEW_THREADS) convolve_few(const Convolution p) {
    AllWeights<Value, WEIGHTS>& weights = shared<AllWeights<Value, WEIGHTS>>();
    const int matrix = p.in_channels * p.out_channels;
    for (int place = threadIdx.x; place < p.offsets * matrix; place += FEW_THREADS) {
        const Sum<Value> value = widen(static_cast<const Value*>(p.weight)[place]);
        if (TRANSPOSED) {
            const int offset = place / matrix;
            const int in = place % p.in_channels;
            const int out = place % matrix / p.in_channels;
            weights.taps[offset * matrix + in * p.out_channels + out] = value;
        } else {
            weights.taps[place] = value;
        }
    }
    __syncthreads();
    const int groups = (p.out_channels + COLUMNS_EACH - 1) / COLUMNS_EACH;
    const long long work = p.rows * groups;
    const long long step = static_cast<long long>(gridDim.x) * FEW_THREADS;
    for (long long item = static_cast<long long>(blockIdx.x) * FEW_THREADS + threadIdx.x; item < work; item += step) {
        const long long row = item / groups;
        const int first_column = static_cast<int>(item % groups) * COLUMNS_EACH;
        Sum<Value> sums[COLUMNS_EACH] = {};
        int active = 0;
        for (int offset = 0; offset < p.offsets; ++offset) {
            const int seen = p.seen(offset)[row];
            if (seen < 0) {
                continue;
            }
            ++active;
            for (int channel = 0; channel < p.in_channels; ++channel) {
                const Sum<Value> value = feature<Value>(p, seen, channel);
                const int first = offset * matrix + channel * p.out_channels + first_column;
#pragma unroll
                for (int column = 0; column < COLUMNS_EACH; ++column) {
                    if (first_column + column < p.out_channels) {
                        sums[column] += value * weights.taps[first + column];
                    }
                }
            }
        }
        const Destination<Value> to = destination<Value>(p, row, active, false, first_column == 0);
#pragma unroll
        for (int column = 0; column < COLUMNS_EACH; ++column) {
            if (first_column + column < p.out_channels) {
                const Sum<Value> sum[1] = {sums[column]};
                const Sum<Value> bias[1] = {bias_of<Value>(p, first_column + column)};
                to.put(first_column + column, sum, bias);
            }
        }
    }
}
