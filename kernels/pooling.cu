// Max pooling of the densified input: an inactive site counts as 0, padding is never the largest.

#include "sites.cuh"
#include "values.cuh"

constexpr int TOGETHER = 4;  // offsets whose loads are in flight at a time

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
    for (int first = 0; first < p.offsets; first += TOGETHER) {
        int seen[TOGETHER];
        Sum<Value> values[TOGETHER];
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            const int offset = first + number;
            seen[number] = offset < p.offsets ? p.table[offset * p.rows + row] : OFF_GRID;
        }
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            values[number] = 0;
            if (seen[number] >= 0) {
                const long long place = static_cast<long long>(seen[number]) * p.channels + channel;
                values[number] = widen(static_cast<const Value*>(p.features)[place]);
            }
        }
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            const Sum<Value> value = values[number];
            if (seen[number] != OFF_GRID && (!started || value > best || value != value)) {
                best = value;
                chosen = seen[number];
                started = true;
            }
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
    for (int first = 0; first < p.offsets; first += TOGETHER) {
        long long places[TOGETHER];  // of the output, negative for none
        bool is_chosen[TOGETHER];
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            const int offset = first + number;
            const int row = offset < p.offsets ? p.table[offset * p.inputs + input] : INACTIVE;
            places[number] = row < 0 ? -1 : static_cast<long long>(row) * p.channels + channel;
        }
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            is_chosen[number] = places[number] >= 0 && p.chosen[places[number]] == input;
        }
#pragma unroll
        for (int number = 0; number < TOGETHER; ++number) {
            if (is_chosen[number]) {
                sum += widen(static_cast<const Value*>(p.upstream)[places[number]]);
            }
        }
    }
    static_cast<Value*>(p.gradient)[item] = narrow<Value>(sum);
}
