// Convolutions of few channels: all weights lie in shared memory, and a thread computes some output
// channels of a row by itself. There is no tile to fill, so nothing is wasted on narrow layers.

#include "convolution.cuh"

constexpr int FEW_THREADS = 256;
constexpr int TOGETHER = 4;  // offsets whose rows are looked up at a time, and channels that are read so

template <class Value, int WEIGHTS>
struct AllWeights {
    alignas(16) Sum<Value> taps[WEIGHTS];  // [offsets, in_channels, groups of output channels]
};

// A grid of any size: blocks go on until no rows are left. `COLUMNS_EACH` output channels a thread.
template <class Value, int WEIGHTS, int COLUMNS_EACH, bool TRANSPOSED>
__global__ void __launch_bounds__(FEW_THREADS) convolve_few(const Convolution p) {
    AllWeights<Value, WEIGHTS>& weights = shared<AllWeights<Value, WEIGHTS>>();
    const int groups = (p.out_channels + COLUMNS_EACH - 1) / COLUMNS_EACH;
    const int width = groups * COLUMNS_EACH;  // zeros beyond the last channel: a thread reads a group's taps at once
    const int matrix = p.in_channels * width;
    for (int place = threadIdx.x; place < p.offsets * matrix; place += FEW_THREADS) {
        const int out = place % width;
        const int in = place / width % p.in_channels;
        weights.taps[place] =
            out < p.out_channels ? tap<Value, TRANSPOSED>(p, place / matrix, in, out) : Sum<Value>(0);
    }
    __syncthreads();
    const long long work = p.rows * groups;
    const long long step = static_cast<long long>(gridDim.x) * FEW_THREADS;
    for (long long item = static_cast<long long>(blockIdx.x) * FEW_THREADS + threadIdx.x; item < work; item += step) {
        const long long row = item / groups;
        const int first_column = static_cast<int>(item % groups) * COLUMNS_EACH;
        Sum<Value> sums[COLUMNS_EACH] = {};
        int active = 0;
        for (int start = 0; start < p.offsets; start += TOGETHER) {
            int seen[TOGETHER];
#pragma unroll
            for (int number = 0; number < TOGETHER; ++number) {
                seen[number] = start + number < p.offsets ? p.seen(start + number)[row] : -1;
            }
#pragma unroll
            for (int number = 0; number < TOGETHER; ++number) {
                if (seen[number] < 0) {
                    continue;
                }
                ++active;
                const Sum<Value>* taps = weights.taps + (start + number) * matrix + first_column;
                for (int channel = 0; channel < p.in_channels; channel += TOGETHER) {
                    Sum<Value> values[TOGETHER];
#pragma unroll
                    for (int place = 0; place < TOGETHER; ++place) {
                        values[place] = channel + place < p.in_channels
                                            ? feature<Value>(p, seen[number], channel + place)
                                            : Sum<Value>(0);
                    }
#pragma unroll
                    for (int place = 0; place < TOGETHER; ++place, taps += width) {
                        if (channel + place < p.in_channels) {
                            const auto group = *reinterpret_cast<const Packed<Sum<Value>, COLUMNS_EACH>*>(taps);
#pragma unroll
                            for (int column = 0; column < COLUMNS_EACH; ++column) {
                                sums[column] += values[place] * group.values[column];
                            }
                        }
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
