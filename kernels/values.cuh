// Element types: what is stored, and what sums are taken in.
#pragma once

#include <ptx.cuh>

template <class Value>
struct SumOf {
    using type = float;
};

template <>
struct SumOf<double> {
    using type = double;
};

template <class Value>
using Sum = typename SumOf<Value>::type;

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ float widen(Half value) { return to_float(value); }
__device__ __forceinline__ float widen(BFloat value) { return to_float(value); }

template <class Value>
__device__ __forceinline__ Value narrow(Sum<Value> value) {
    return value;
}

template <>
__device__ __forceinline__ Half narrow<Half>(float value) {
    return to_half(value);
}

template <>
__device__ __forceinline__ BFloat narrow<BFloat>(float value) {
    return to_bfloat(value);
}

// Elements side by side, read or written at once.
template <class Value, int COUNT>
struct alignas(COUNT * sizeof(Value)) Packed {
    Value values[COUNT];
};
