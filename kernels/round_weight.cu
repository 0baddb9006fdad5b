// The weight of a product in tf32, rounded once for all tiles of rows, and in the order in which a chunk of 16
// bytes lies along the input channels: matrices of 32-bit elements cannot be transposed as they are loaded.

#include <ptx.cuh>

struct WeightRounding {
    const float* weight;  // [matrices, rows, columns]
    float* rounded;       // the same, or [matrices, columns, rows]
    int rows;
    int columns;
};

constexpr int SIDE = 32;      // of a block's share of a matrix
constexpr int AT_A_TIME = 8;  // rows

struct Square {
    float values[SIDE][SIDE + 1];  // columns lie in different banks, too
};

// Grid: tiles of columns x tiles of rows x matrices.
template <bool TRANSPOSED>
__global__ void __launch_bounds__(SIDE* AT_A_TIME) round_weight(const WeightRounding p) {
    const long long first = static_cast<long long>(blockIdx.z) * p.rows * p.columns;
    const float* weight = p.weight + first;
    float* rounded = p.rounded + first;
    const int first_row = blockIdx.y * SIDE;
    const int first_column = blockIdx.x * SIDE;
    const int lane = threadIdx.x % SIDE;
    const int warp = threadIdx.x / SIDE;
    Square& square = shared<Square>();
#pragma unroll
    for (int number = warp; number < SIDE; number += AT_A_TIME) {
        const int row = first_row + number;
        const int column = first_column + lane;
        if (row < p.rows && column < p.columns) {
            const float value = __uint_as_float(to_tf32(weight[row * p.columns + column]));
            if (TRANSPOSED) {
                square.values[number][lane] = value;
            } else {
                rounded[row * p.columns + column] = value;
            }
        }
    }
    if (!TRANSPOSED) {
        return;
    }
    __syncthreads();
#pragma unroll
    for (int number = warp; number < SIDE; number += AT_A_TIME) {
        const int row = first_row + lane;
        const int column = first_column + number;
        if (row < p.rows && column < p.columns) {
            rounded[column * p.rows + row] = square.values[lane][number];
        }
    }
}
