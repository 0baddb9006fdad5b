// Implicit GEMM on tensor cores: float16, bfloat16, and float32 rounded to tf32, with float32 sums, fed by
// asynchronous copies that run some steps ahead. Channels are multiples of 16 bytes; everything else goes
// to convolve_tiles.

#include "convolution.cuh"
#include "fragments.cuh"

constexpr int LANES = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;

// ROWS x COLUMNS sums of a block; STAGES steps in shared memory: one is multiplied, the others arrive.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
struct Steps {
    static constexpr int WARPS = ROWS / 16;  // two abreast, each 32 rows
    static constexpr int THREADS = WARPS * LANES;
    // Looked up at a time, a bit each: fewer where the sums' operands leave no room for more.
    static constexpr int OFFSETS = ROWS * COLUMNS > 8192 ? 8 : LANES;
    static constexpr int DEPTH = 2 * Fragment<Value>::DEPTH;  // input channels of a step
    static constexpr int RIGHT_ROWS = TRANSPOSED ? COLUMNS : DEPTH;
    static constexpr int RIGHT_COLUMNS = TRANSPOSED ? DEPTH : COLUMNS;
    static constexpr int RIGHT_SKEW =
        TRANSPOSED ? Fragment<Value>::SKEW_DEEP : Fragment<Value>::SKEW_WIDE;
    alignas(16) Value left[STAGES][ROWS][DEPTH + Fragment<Value>::SKEW_DEEP];
    alignas(16) Value right[STAGES][RIGHT_ROWS][RIGHT_COLUMNS + RIGHT_SKEW];  // as the weight lies
    int seen[OFFSETS][ROWS];
    unsigned present[OFFSETS];
    int active[ROWS];
};

// Begin the copies of one step: input rows and the offset's share of the weight.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__device__ __forceinline__ void begin_step(const Convolution& p,
                                           Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>& steps,
                                           int stage, int first_offset, int number, int channel) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>;
    constexpr int CHUNK = Fragment<Value>::CHUNK;
    constexpr int DEPTH = Step::DEPTH;
    constexpr int THREADS = Step::THREADS;
    const int first_column = blockIdx.y * COLUMNS;
    for (int place = threadIdx.x; place < ROWS * (DEPTH / CHUNK); place += THREADS) {
        const int row = place / (DEPTH / CHUNK);
        const int from = place % (DEPTH / CHUNK) * CHUNK;
        const int seen = steps.seen[number][row];
        const bool present = seen >= 0 && channel + from < p.in_channels;
        const Value* features = static_cast<const Value*>(p.features);
        if (present) {
            features += static_cast<long long>(seen) * p.in_channels + channel + from;
        }
        copy_16_bytes(&steps.left[stage][row][from], features, present);
    }
    constexpr int CHUNKS = Step::RIGHT_COLUMNS / CHUNK;
    const long long matrix = static_cast<long long>(first_offset + number) * p.in_channels * p.out_channels;
    for (int place = threadIdx.x; place < Step::RIGHT_ROWS * CHUNKS; place += THREADS) {
        const int row = place / CHUNKS;
        const int from = place % CHUNKS * CHUNK;
        const int in = channel + (TRANSPOSED ? from : row);
        const int out = first_column + (TRANSPOSED ? row : from);
        const bool present = in < p.in_channels && out < p.out_channels;
        const Value* weight = static_cast<const Value*>(p.weight);
        if (present) {
            weight += matrix + (TRANSPOSED ? static_cast<long long>(out) * p.in_channels + in
                                           : static_cast<long long>(in) * p.out_channels + out);
        }
        copy_16_bytes(&steps.right[stage][row][from], weight, present);
    }
}

// Multiply one step: a warp's 32 rows and COLUMNS / 2 columns.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__device__ __forceinline__ void multiply_step(
    const Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>& steps, int stage, int warp_row,
    int warp_column, float (&sums)[2][COLUMNS / 16][4]) {
    constexpr int PAIRS = COLUMNS / 32;
#pragma unroll
    for (int depth = 0; depth < steps.DEPTH; depth += Fragment<Value>::DEPTH) {
        unsigned left[2][4];
        unsigned right[PAIRS][4];
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            load_left(left[part], steps.left[stage], warp_row + part * 16, depth);
        }
#pragma unroll
        for (int pair = 0; pair < PAIRS; ++pair) {
            const int column = warp_column + pair * 16;
            if (TRANSPOSED) {
                load_right(right[pair], steps.right[stage], column, depth);
            } else {
                load_right_across(right[pair], steps.right[stage], column, depth);
            }
        }
        multiply_fragments<Value>(sums, left, right);
    }
}

// Grid: tiles of rows x tiles of columns x splits of the offsets.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__global__ void __launch_bounds__(ROWS / 16 * LANES) convolve_tensor_cores(const Convolution p) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>;
    constexpr int DEPTH = Step::DEPTH;
    constexpr int OFFSETS = Step::OFFSETS;
    Step& steps = shared<Step>();
    const int lane = threadIdx.x % LANES;
    const int warp = threadIdx.x / LANES;
    const int warp_row = warp / 2 * 32;
    const int warp_column = warp % 2 * (COLUMNS / 2);
    const long long first_row = static_cast<long long>(blockIdx.x) * ROWS;
    const int slices = (p.in_channels + DEPTH - 1) / DEPTH;

    float sums[2][COLUMNS / 16][4] = {};
    int active = 0;  // of row `threadIdx.x`
    const int end = p.begin(blockIdx.z + 1);
    for (int first_offset = p.begin(blockIdx.z); first_offset < end; first_offset += OFFSETS) {
        __syncthreads();  // the offsets before are done with
        for (int number = warp; number < OFFSETS; number += Step::WARPS) {
            const int offset = first_offset + number;
            bool any = false;
#pragma unroll
            for (int row = lane; row < ROWS; row += LANES) {
                const bool inside = offset < end && first_row + row < p.rows;
                const int seen = inside ? p.seen(offset)[first_row + row] : -1;
                steps.seen[number][row] = seen;
                any = any || seen >= 0;
            }
            const unsigned votes = __ballot_sync(EVERY_LANE, any);
            if (lane == 0) {
                steps.present[number] = votes;
            }
        }
        __syncthreads();
        const unsigned offsets =
            __ballot_sync(EVERY_LANE, lane < OFFSETS && steps.present[lane] != 0);
        if (p.normalisation != nullptr && threadIdx.x < ROWS) {
            for (int number = 0; number < OFFSETS; ++number) {
                active += steps.seen[number][threadIdx.x] >= 0;
            }
        }
        const int count = __popc(offsets) * slices;
        unsigned left = offsets;  // whose copies have not begun
        int slice = 0;
        for (int step = 0; step < count + STAGES - 1; ++step) {
            const int done = step - (STAGES - 1);
            if (done >= 0) {
                wait_for_groups<STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                begin_step(p, steps, step % STAGES, first_offset,
                           __ffs(static_cast<int>(left)) - 1, slice * DEPTH);
                if (++slice == slices) {
                    slice = 0;
                    left &= left - 1;
                }
            }
            close_group();
            if (done >= 0) {
                multiply_step(steps, done % STAGES, warp_row, warp_column, sums);
            }
        }
    }
    if (threadIdx.x < ROWS) {
        steps.active[threadIdx.x] = active;
    }
    __syncthreads();
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
        for (int number = 0; number < COLUMNS / 16; ++number) {
#pragma unroll
            for (int value = 0; value < 4; ++value) {
                const int row = warp_row + part * 16 + row_of_sum(value);
                const int column =
                    blockIdx.y * COLUMNS + warp_column + number * 8 + column_of_sum(value);
                if (first_row + row < p.rows && column < p.out_channels) {
                    store<Value>(p, first_row + row, column, sums[part][number][value],
                                 steps.active[row]);
                }
            }
        }
    }
}
