// Operands of tensor-core products: which elements of a matrix in shared memory a lane holds (PTX,
// mma.m16n8k16 for 16-bit elements, mma.m16n8k8 for float32, rounded to tf32 as it is loaded).
#pragma once

#include <ptx.cuh>

template <class Value>
struct Fragment {
    static constexpr int CHUNK = 16 / static_cast<int>(sizeof(Value));  // elements of 16 bytes
    static constexpr int DEPTH = 2 * CHUNK;                             // of one product
    // Added to a row so that eight rows, or the eight elements that four rows hold, lie in all banks.
    static constexpr int SKEW_DEEP = CHUNK;  // of matrices whose rows run along the depth
    static constexpr int SKEW_WIDE = 8;      // of those whose rows run across it
};

template <class Value>
__device__ __forceinline__ void round_all(unsigned (&)[4], Value) {}

__device__ __forceinline__ void round_all(unsigned (&values)[4], float) {
#pragma unroll
    for (unsigned& value : values) {
        value = to_tf32(__uint_as_float(value));
    }
}

// Left operand from matrix[row][depth].
template <class Value, int WIDTH>
__device__ __forceinline__ void load_left(
    unsigned (&values)[4], const Value (*matrix)[WIDTH], int row, int depth) {
    const int lane = threadIdx.x % 32;
    load_matrices(values, &matrix[row + lane % 16][depth + lane / 16 * Fragment<Value>::CHUNK]);
    round_all(values, Value());
}

// Left operand from matrix[depth][row].
template <class Value, int WIDTH>
__device__ __forceinline__ void load_left_across(
    unsigned (&values)[4], const Value (*matrix)[WIDTH], int row, int depth) {
    const int lane = threadIdx.x % 32;
    load_transposed_matrices(
        values, &matrix[depth + lane % 8 + lane / 16 * 8][row + lane / 8 % 2 * 8]);
}

template <int WIDTH>
__device__ __forceinline__ void load_left_across(
    unsigned (&values)[4], const float (*matrix)[WIDTH], int row, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int number = 0; number < 4; ++number) {
        values[number] = to_tf32(
            matrix[depth + lane % 4 + number / 2 * 4][row + lane / 4 + number % 2 * 8]);
    }
}

// Right operands of two products, 16 columns, from matrix[column][depth].
template <class Value, int WIDTH>
__device__ __forceinline__ void load_right(
    unsigned (&values)[4], const Value (*matrix)[WIDTH], int column, int depth) {
    const int lane = threadIdx.x % 32;
    load_matrices(values, &matrix[column + lane % 8 + lane / 16 * 8]
                                 [depth + lane / 8 % 2 * Fragment<Value>::CHUNK]);
    round_all(values, Value());
}

// The same from matrix[depth][column].
template <class Value, int WIDTH>
__device__ __forceinline__ void load_right_across(
    unsigned (&values)[4], const Value (*matrix)[WIDTH], int column, int depth) {
    const int lane = threadIdx.x % 32;
    load_transposed_matrices(values, &matrix[depth + lane % 16][column + lane / 16 * 8]);
}

template <int WIDTH>
__device__ __forceinline__ void load_right_across(
    unsigned (&values)[4], const float (*matrix)[WIDTH], int column, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int number = 0; number < 4; ++number) {
        values[number] = to_tf32(
            matrix[depth + lane % 4 + number % 2 * 4][column + lane / 4 + number / 2 * 8]);
    }
}

// Multiply: a warp's sums of PARTS x 16 rows and PAIRS x 16 columns.
template <class Value, int PARTS, int PAIRS>
__device__ __forceinline__ void multiply_fragments(float (&sums)[PARTS][2 * PAIRS][4],
                                                   const unsigned (&left)[PARTS][4],
                                                   const unsigned (&right)[PAIRS][4]) {
#pragma unroll
    for (int pair = 0; pair < PAIRS; ++pair) {
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            multiply_add(sums[part][pair * 2], left[part], right[pair][0], right[pair][1], Value());
            multiply_add(sums[part][pair * 2 + 1], left[part], right[pair][2], right[pair][3], Value());
        }
    }
}

// Row and column of a warp's sum, of the 16 x 8 that four registers of all lanes hold.
__device__ __forceinline__ int row_of_sum(int value) {
    return static_cast<int>(threadIdx.x) % 32 / 4 + value / 2 * 8;
}

__device__ __forceinline__ int column_of_sum(int value) {
    return static_cast<int>(threadIdx.x) % 4 * 2 + value % 2;
}
