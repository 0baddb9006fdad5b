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
    using Left = Matrix<Value, ROWS, DEPTH>;
    using Right = Matrix<Value, TRANSPOSED ? COLUMNS : DEPTH, TRANSPOSED ? DEPTH : COLUMNS>;
    alignas(16) Left left[STAGES];
    alignas(16) Right right[STAGES];  // as the weight lies
    int seen[OFFSETS][ROWS];
    unsigned present[OFFSETS];
    int active[ROWS];
};

// Look up what the tile's rows see through the next offsets: all loads begin before the first is used.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__device__ __forceinline__ void look_up(const Convolution& p,
                                        Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>& steps,
                                        int first_offset, int end, long long first_row) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>;
    constexpr int EACH = Step::OFFSETS / Step::WARPS;
    constexpr int PARTS = ROWS / LANES;
    const int lane = threadIdx.x % LANES;
    const int warp = threadIdx.x / LANES;
    int seen[EACH][PARTS];
#pragma unroll
    for (int turn = 0; turn < EACH; ++turn) {
        const int offset = first_offset + warp + turn * Step::WARPS;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            const long long row = first_row + lane + part * LANES;
            seen[turn][part] = offset < end && row < p.rows ? p.seen(offset)[row] : -1;
        }
    }
#pragma unroll
    for (int turn = 0; turn < EACH; ++turn) {
        const int number = warp + turn * Step::WARPS;
        bool any = false;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            steps.seen[number][lane + part * LANES] = seen[turn][part];
            any = any || seen[turn][part] >= 0;
        }
        const unsigned votes = __ballot_sync(EVERY_LANE, any);
        if (lane == 0) {
            steps.present[number] = votes;
        }
    }
}

// Begin the copies of one step: input rows and the offset's share of the weight.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__device__ __forceinline__ void begin_step(const Convolution& p,
                                           Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>& steps,
                                           int stage, int first_offset, int number, int channel) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>;
    constexpr int CHUNK = Fragment<Value>::CHUNK;
    constexpr int THREADS = Step::THREADS;
    const int thread = threadIdx.x;
    {
        constexpr int CHUNKS = Step::Left::CHUNKS;
        const int chunk = thread % CHUNKS;
        const int in = channel + chunk * CHUNK;
        const int row_bytes = p.in_channels * static_cast<int>(sizeof(Value));
        const Value* features = static_cast<const Value*>(p.features) + in;
#pragma unroll
        for (int part = 0; part < ROWS * CHUNKS / THREADS; ++part) {
            const int row = thread / CHUNKS + part * (THREADS / CHUNKS);
            const int seen = steps.seen[number][row];
            copy_16_bytes(steps.left[stage].chunk(row, chunk), row_of(features, seen, row_bytes),
                          seen >= 0 && in < p.in_channels);
        }
    }
    constexpr int CHUNKS = Step::Right::CHUNKS;
    const int width = TRANSPOSED ? p.in_channels : p.out_channels;
    const int first_column = blockIdx.y * COLUMNS;
    const int chunk = thread % CHUNKS;
    const int row = thread / CHUNKS;
    const int in = channel + (TRANSPOSED ? chunk * CHUNK : row);
    const int out = first_column + (TRANSPOSED ? row : chunk * CHUNK);
    const int width_bytes = width * static_cast<int>(sizeof(Value));
    const long long matrix = static_cast<long long>(p.in_channels) * p.out_channels;
    const Value* weight = static_cast<const Value*>(p.weight) + (first_offset + number) * matrix;
    const void* first = row_of(weight + (TRANSPOSED ? in : out), TRANSPOSED ? out : in, width_bytes);
#pragma unroll
    for (int part = 0; part < COLUMNS * Step::DEPTH / CHUNK / THREADS; ++part) {
        const int further = part * (THREADS / CHUNKS);
        const bool present = in + (TRANSPOSED ? 0 : further) < p.in_channels &&
                             out + (TRANSPOSED ? further : 0) < p.out_channels;
        copy_16_bytes(steps.right[stage].chunk(row + further, chunk), row_of(first, further, width_bytes),
                      present);
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
            if constexpr (TRANSPOSED) {
                load_right(right[pair], steps.right[stage], column, depth);
            } else {
                load_right_across(right[pair], steps.right[stage], column, depth);
            }
        }
        multiply_fragments<Value>(sums, left, right);
    }
}

// Write a warp's sums, two columns at a time: channels are multiples of more.
template <class Value, int COLUMNS>
__device__ __forceinline__ void write_sums(const Convolution& p, const int* active, long long first_row,
                                           int warp_row, int warp_column,
                                           const float (&sums)[2][COLUMNS / 16][4]) {
    const int first_column = blockIdx.y * COLUMNS + warp_column;
#pragma unroll
    for (int half = 0; half < 4; ++half) {  // eight rows
        const int part = half / 2;
        const int value = half % 2 * 2;
        const int row = warp_row + part * 16 + row_of_sum(value);
        if (first_row + row >= p.rows) {
            continue;
        }
        const Destination<Value> to =
            destination<Value>(p, first_row + row, active[row], p.shares != nullptr,
                               first_column + column_of_sum(0) == 0);
#pragma unroll
        for (int number = 0; number < COLUMNS / 16; ++number) {
            const int column = first_column + number * 8 + column_of_sum(0);
            if (column < p.out_channels) {
                const float pair[2] = {sums[part][number][value], sums[part][number][value + 1]};
                const float bias[2] = {bias_of<Value>(p, column), bias_of<Value>(p, column + 1)};
                to.put(column, pair, bias);
            }
        }
    }
}

// Grid: tiles of rows x tiles of columns x splits of the offsets.
template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__global__ void __launch_bounds__(ROWS / 16 * LANES) convolve_tensor_cores(const Convolution p) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, TRANSPOSED>;
    constexpr int OFFSETS = Step::OFFSETS;
    Step& steps = shared<Step>();
    const int lane = threadIdx.x % LANES;
    const int warp = threadIdx.x / LANES;
    const int warp_row = warp / 2 * 32;
    const int warp_column = warp % 2 * (COLUMNS / 2);
    const long long first_row = static_cast<long long>(blockIdx.x) * ROWS;
    const int slices = (p.in_channels + Step::DEPTH - 1) / Step::DEPTH;

    float sums[2][COLUMNS / 16][4] = {};
    int active = 0;  // of row `threadIdx.x`
    const int end = p.begin(blockIdx.z + 1);
    for (int first_offset = p.begin(blockIdx.z); first_offset < end; first_offset += OFFSETS) {
        __syncthreads();  // the offsets before are done with
        look_up(p, steps, first_offset, end, first_row);
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
        int channel = 0;
        int arriving = 0;    // stage
        int multiplied = 0;  // stage
        for (int step = 0; step < count + STAGES - 1; ++step) {
            const bool is_full = step >= STAGES - 1;
            if (is_full) {
                wait_for_groups<STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                begin_step(p, steps, arriving, first_offset, __ffs(static_cast<int>(left)) - 1, channel);
                channel += Step::DEPTH;
                if (channel >= p.in_channels) {
                    channel = 0;
                    left &= left - 1;
                }
                arriving = arriving + 1 == STAGES ? 0 : arriving + 1;
            }
            close_group();
            if (is_full) {
                multiply_step(steps, multiplied, warp_row, warp_column, sums);
                multiplied = multiplied + 1 == STAGES ? 0 : multiplied + 1;
            }
        }
    }
    if (threadIdx.x < ROWS) {
        steps.active[threadIdx.x] = active;
    }
    __syncthreads();
    write_sums<Value, COLUMNS>(p, steps.active, first_row, warp_row, warp_column, sums);
}
