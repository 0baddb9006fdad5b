// Matrices in shared memory, which asynchronous copies fill in chunks of 16 bytes.
#pragma once

#include <ptx.cuh>

template <class Value>
constexpr int CHUNK = 16 / static_cast<int>(sizeof(Value));  // elements

// A matrix in shared memory. Each row's chunks of 16 bytes change places in a way of their own, so that
// eight neighbouring chunks of rows that are written, eight rows' chunks that are loaded as a matrix, and
// the eight elements that each of four rows of float32 holds across the depth all lie in different banks.
template <class Value, int ROWS, int COLUMNS>
struct Matrix {
    static constexpr int CHUNKS = COLUMNS / CHUNK<Value>;  // of a row
    static_assert(CHUNKS == 4 || CHUNKS % 8 == 0, "rows of 64 bytes, or of multiples of 128");
    Value values[ROWS][COLUMNS];

    __device__ static int turn(int row) {
        return CHUNKS == 4 ? row / 2 % 4 : sizeof(Value) == 4 ? row % 4 * 2 : row % 8;
    }
    __device__ Value* chunk(int row, int number) { return &values[row][(number ^ turn(row)) * CHUNK<Value>]; }
    __device__ const Value* chunk(int row, int number) const {
        return &values[row][(number ^ turn(row)) * CHUNK<Value>];
    }
    // Of a row that is `further` rows on, a number of other bits than the row's. Where that is a constant,
    // many rows share an address in a register, and what lies between them stands in the instructions.
    __device__ const Value* chunk(int row, int further, int number) const {
        return chunk(row, number ^ turn(further)) + further * COLUMNS;
    }
    __device__ Value element(int row, int column) const {
        return chunk(row, column / CHUNK<Value>)[column % CHUNK<Value>];
    }
};
