// Sums over all offsets from sums over some: the shares are added in their order, so that the result
// has the same bits at every run.

#include "convolution.cuh"

// One thread a value of the output.
template <class Value>
__global__ void finish_shares(const Convolution p) {
    const long long item = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long size = p.rows * p.out_channels;
    if (item >= size) {
        return;
    }
    const long long place = item / p.out_channels;
    const int column = static_cast<int>(item % p.out_channels);
    Sum<Value> sum = 0;
    for (int split = 0; split < p.splits; ++split) {
        sum += static_cast<const Sum<Value>*>(p.shares)[split * size + item];
    }
    int active = 0;
    if (p.normalisation != nullptr) {
        for (int offset = 0; offset < p.offsets; ++offset) {
            active += p.seen(offset)[place] >= 0;
        }
    }
    const Sum<Value> sums[1] = {sum};
    const Sum<Value> bias[1] = {bias_of<Value>(p, column)};
    destination<Value>(p, place, active, false, column == 0).put(column, sums, bias);
}
