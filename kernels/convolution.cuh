// What every convolution kernel is given.
#pragma once

#include "values.cuh"

constexpr double SPARSITY_INVARIANT_EPSILON = 1e-8;  // Uhrig et al. 2017, equation 4

struct Convolution {
    const void* features;     // Value [N, in_channels]
    const void* weight;       // Value [offsets, in, out], or [offsets, out, in] where transposed
    const void* bias;         // Value [out_channels], or null
    const int* table;         // [offsets, rows]: the feature row seen, negative for none
    const int* order;         // [rows]: the row that each column of the table is of; null for its own
    const void* scale;        // Sum [N] that feature rows are multiplied by, or null
    void* normalisation;      // Sum [rows] for 1 / (active sites + epsilon): sparsity invariant; or null
    void* output;             // Value [rows, out_channels]
    void* shares;             // Sum [splits, rows, out_channels], or null where there is one split
    long long rows;
    int offsets;
    int in_channels;
    int out_channels;
    int turned_round;         // offset k reads row offsets - 1 - k of the table
    int splits;               // blocks along z, each of which adds up its share of the offsets

    // First offset of a split; that of the next is its end.
    __device__ int begin(int split) const {
        return static_cast<int>(static_cast<long long>(offsets) * split / splits);
    }

    __device__ const int* seen(int offset) const {
        return table + (turned_round ? offsets - 1 - offset : offset) * rows;
    }
};

// One element of the weight, as a tap from `in` to `out`.
template <class Value, bool TRANSPOSED>
__device__ __forceinline__ Sum<Value> tap(const Convolution& p, int offset, int in, int out) {
    const long long first = static_cast<long long>(offset) * p.in_channels * p.out_channels;
    const long long place = TRANSPOSED ? static_cast<long long>(out) * p.in_channels + in
                                       : static_cast<long long>(in) * p.out_channels + out;
    return widen(static_cast<const Value*>(p.weight)[first + place]);
}

template <class Value>
__device__ __forceinline__ Sum<Value> feature(const Convolution& p, long long row, int channel) {
    const Sum<Value> value =
        widen(static_cast<const Value*>(p.features)[row * p.in_channels + channel]);
    return p.scale == nullptr ? value : value * static_cast<const Sum<Value>*>(p.scale)[row];
}

// Where the sums of a row go: to the output, finished, or to the shares where they are over some offsets.
template <class Value>
struct Destination {
    Value* output;      // of the row
    Sum<Value>* share;  // of the place
    Sum<Value> factor;  // that finished sums are multiplied by
    bool is_share;

    // Multiply, add the bias, round once, write, for columns that lie side by side; of several, the first
    // is a multiple of their number, and so is the number of channels.
    template <int COUNT>
    __device__ __forceinline__ void put(
        int column, const Sum<Value> (&sums)[COUNT], const Sum<Value> (&bias)[COUNT]) const {
        if (is_share) {
            Packed<Sum<Value>, COUNT> kept;
#pragma unroll
            for (int number = 0; number < COUNT; ++number) {
                kept.values[number] = sums[number];
            }
            *reinterpret_cast<Packed<Sum<Value>, COUNT>*>(share + column) = kept;
            return;
        }
        Packed<Value, COUNT> finished;
#pragma unroll
        for (int number = 0; number < COUNT; ++number) {
            finished.values[number] = narrow<Value>(sums[number] * factor + bias[number]);
        }
        *reinterpret_cast<Packed<Value, COUNT>*>(output + column) = finished;
    }
};

// Of the sums at a place of the table, whose row sees so many active sites. Its first column writes what the
// row's sums are divided by, where the convolution is sparsity invariant.
template <class Value>
__device__ __forceinline__ Destination<Value> destination(
    const Convolution& p, long long place, int active, bool is_share, bool is_first) {
    const long long row = p.order == nullptr || is_share ? place : p.order[place];
    Sum<Value> factor = 1;
    if (p.normalisation != nullptr && !is_share) {
        factor /= static_cast<Sum<Value>>(active) + static_cast<Sum<Value>>(SPARSITY_INVARIANT_EPSILON);
        if (is_first) {
            static_cast<Sum<Value>*>(p.normalisation)[row] = factor;
        }
    }
    return {static_cast<Value*>(p.output) + row * p.out_channels,
            static_cast<Sum<Value>*>(p.shares) + (blockIdx.z * p.rows + place) * p.out_channels, factor,
            is_share};
}

// 0 where there is none, and beyond the last column.
template <class Value>
__device__ __forceinline__ Sum<Value> bias_of(const Convolution& p, int column) {
    return p.bias == nullptr || column >= p.out_channels ? Sum<Value>(0)
                                                         : widen(static_cast<const Value*>(p.bias)[column]);
}
