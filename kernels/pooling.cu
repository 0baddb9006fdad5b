// Max pooling of the densified input: an inactive site counts as 0, padding is never the largest.

#include "sites.cuh"
#include "values.cuh"

struct Pooling {
    const void* features;  // Value [N, channels]
    const int* table;      // [offsets, rows]: feature row, INACTIVE or OFF_GRID
    void* output;          // Value [rows, channels]
    int* chosen;           // [rows, channels]: feature row of the largest, INACTIVE for a 0; or null
    long long rows;
    int offsets;
    int channels;
};

// One thread a value of the output. The first of several equal values wins, and the last NaN over all
// others, as in torch.
template <class Value>
__global__ void pool(const Pooling p) {
    const long long item = thread_number();
    if (item >= p.rows * p.channels) {
        return;
    }
    const long long row = item / p.channels;
    const int channel = static_cast<int>(item % p.channels);
    bool started = false;
    Sum<Value> best = 0;
    int chosen = INACTIVE;
    for (int offset = 0; offset < p.offsets; ++offset) {
        const int seen = p.table[offset * p.rows + row];
        if (seen == OFF_GRID) {
            continue;
        }
        const Sum<Value> value =
            seen == INACTIVE
                ? Sum<Value>(0)
                : widen(static_cast<const Value*>(
                      p.features)[static_cast<long long>(seen) * p.channels + channel]);
        if (!started || value > best || value != value) {
            best = value;
            chosen = seen;
            started = true;
        }
    }
    static_cast<Value*>(p.output)[item] = narrow<Value>(best);
    if (p.chosen != nullptr) {
        p.chosen[item] = chosen;
    }
}

struct PoolingGradient {
    const void* upstream;  // Value [rows, channels]
    const int* table;      // [offsets, N]: the output row that sees each input row, negative for none
    const int* chosen;     // [rows, channels]
    void* gradient;        // Value [N, channels]
    long long inputs;
    int offsets;
    int channels;
};

// One thread a value of the input: add what comes from the windows that chose it, in a fixed order.
template <class Value>
__global__ void pool_gradient(const PoolingGradient p) {
    const long long item = thread_number();
    if (item >= p.inputs * p.channels) {
        return;
    }
    const long long input = item / p.channels;
    const int channel = static_cast<int>(item % p.channels);
    Sum<Value> sum = 0;
    for (int offset = 0; offset < p.offsets; ++offset) {
        const int row = p.table[offset * p.inputs + input];
        if (row < 0) {
            continue;
        }
        const long long place = static_cast<long long>(row) * p.channels + channel;
        if (p.chosen[place] == input) {
            sum += widen(static_cast<const Value*>(p.upstream)[place]);
        }
    }
    static_cast<Value*>(p.gradient)[item] = narrow<Value>(sum);
}
