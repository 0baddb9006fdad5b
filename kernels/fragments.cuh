// Operands of tensor-core products: which elements of a matrix in shared memory a lane holds (PTX,
// mma.m16n8k16 for 16-bit elements, mma.m16n8k8 for float32, rounded to tf32).
#pragma once

#include "matrix.cuh"

template <class Value>
struct Fragment {
    static constexpr int DEPTH = 2 * CHUNK<Value>;  // of one product
};

template <class Value>
__device__ __forceinline__ void round_all(unsigned (&)[4], Value) {}

__device__ __forceinline__ void round_all(unsigned (&values)[4], float) {
#pragma unroll
    for (unsigned& value : values) {
        value = to_tf32(__uint_as_float(value));
    }
}

// Left operand from matrix[row][depth], rounded.
template <class Value, int ROWS, int COLUMNS>
__device__ __forceinline__ void load_left(
    unsigned (&values)[4], const Matrix<Value, ROWS, COLUMNS>& matrix, int row, int depth) {
    const int lane = threadIdx.x % 32;
    load_matrices(values, matrix.chunk(row + lane % 16, depth / CHUNK<Value> + lane / 16));
    round_all(values, Value());
}

// Left operand from matrix[depth][row], rounded.
template <class Value, int ROWS, int COLUMNS>
__device__ __forceinline__ void load_left_across(
    unsigned (&values)[4], const Matrix<Value, ROWS, COLUMNS>& matrix, int row, int depth) {
    const int lane = threadIdx.x % 32;
    load_transposed_matrices(values, matrix.chunk(depth + lane % 8 + lane / 16 * 8,
                                                  row / CHUNK<Value> + lane / 8 % 2));
}

template <int ROWS, int COLUMNS>
__device__ __forceinline__ void load_left_across(
    unsigned (&values)[4], const Matrix<float, ROWS, COLUMNS>& matrix, int row, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int number = 0; number < 4; ++number) {
        values[number] = to_tf32(matrix.element(depth + lane % 4 + number / 2 * 4,
                                                row + lane / 4 + number % 2 * 8));
    }
}

// Right operands of two products, 16 columns, from matrix[column][depth], which was rounded before.
template <class Value, int ROWS, int COLUMNS>
__device__ __forceinline__ void load_right(
    unsigned (&values)[4], const Matrix<Value, ROWS, COLUMNS>& matrix, int column, int depth) {
    const int lane = threadIdx.x % 32;
    load_matrices(values, matrix.chunk(column + lane % 8 + lane / 16 * 8,
                                       depth / CHUNK<Value> + lane / 8 % 2));
}

// Right operands of two products from matrix[depth][column], rounded.
template <class Value, int ROWS, int COLUMNS>
__device__ __forceinline__ void load_right_across(
    unsigned (&values)[4], const Matrix<Value, ROWS, COLUMNS>& matrix, int column, int depth) {
    const int lane = threadIdx.x % 32;
    load_transposed_matrices(values,
                             matrix.chunk(depth + lane % 16, column / CHUNK<Value> + lane / 16));
}

template <int ROWS, int COLUMNS>
__device__ __forceinline__ void load_right_across(
    unsigned (&values)[4], const Matrix<float, ROWS, COLUMNS>& matrix, int column, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int number = 0; number < 4; ++number) {
        values[number] = to_tf32(matrix.element(depth + lane % 4 + number % 2 * 4,
                                                column + lane / 4 + number / 2 * 8));
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
