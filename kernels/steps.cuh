// Implicit GEMM in steps that asynchronous copies bring some ahead of the products: a step is 64 bytes of each
// row that a tile sees through an offset, and as much of the weight. Channels are multiples of 16 bytes.
#pragma once

#include "convolution.cuh"
#include "matrix.cuh"

constexpr int LANES = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;

// ROWS x COLUMNS sums of a block, of which a thread has ROWS_EACH x COLUMNS_EACH, and its warp eight times four
// as many; STAGES steps in shared memory: one is multiplied, the others arrive.
template <class Element, int TILE_ROWS, int TILE_COLUMNS, int ROWS_EACH, int COLUMNS_EACH, int TILE_STAGES,
          bool IS_TRANSPOSED, int COPIED_BYTES>
struct Steps {
    using Value = Element;
    static constexpr int ROWS = TILE_ROWS;
    static constexpr int COLUMNS = TILE_COLUMNS;
    static constexpr int WARP_ROWS = 8 * ROWS_EACH;
    static constexpr int WARP_COLUMNS = 4 * COLUMNS_EACH;
    static constexpr int WARPS_ABREAST = COLUMNS / WARP_COLUMNS;
    static constexpr int WARPS = ROWS / WARP_ROWS * WARPS_ABREAST;
    static constexpr int STAGES = TILE_STAGES;
    static constexpr bool TRANSPOSED = IS_TRANSPOSED;
    static constexpr int BYTES = COPIED_BYTES;  // that a copy brings: rows of channels are multiples of it
    static constexpr int THREADS = WARPS * LANES;
    static_assert(THREADS >= ROWS, "a thread counts the sites of a row");
    static constexpr int OFFSETS = LANES;  // looked up at a time, a bit each
    static constexpr int DEPTH = 4 * CHUNK<Value>;  // input channels of a step
    using Left = Matrix<Value, ROWS, DEPTH>;
    using Right = Matrix<Value, TRANSPOSED ? COLUMNS : DEPTH, TRANSPOSED ? DEPTH : COLUMNS>;
    alignas(16) Left left[STAGES];
    alignas(16) Right right[STAGES];  // as the weight lies
    int seen[OFFSETS][ROWS];
    unsigned parts[OFFSETS];  // of LANES rows, a bit each: whether one of them sees something
    int active[ROWS];

    __device__ static int warp_row() {
        return static_cast<int>(threadIdx.x) / LANES / WARPS_ABREAST * WARP_ROWS;
    }
    __device__ static int warp_column() {
        return static_cast<int>(threadIdx.x) / LANES % WARPS_ABREAST * WARP_COLUMNS;
    }
    // Whether a warp multiplies an offset that the tile sees: one of its own rows must see it, too. Of 64 rows
    // that lie together, half lack hardly more offsets than all, and asking costs more than it saves.
    __device__ bool is_for_warp(int number) const {
        static_assert(WARP_ROWS % LANES == 0, "a warp has whole parts");
        constexpr unsigned OWN = (1u << WARP_ROWS / LANES) - 1;
        return ROWS <= 64 || (parts[number] >> warp_row() / LANES & OWN) != 0;
    }
};

// Look up what the tile's rows see through the next offsets: all loads begin before the first is used.
template <class Step>
__device__ __forceinline__ void look_up(
    const Convolution& p, Step& steps, int first_offset, int end, long long first_row) {
    constexpr int EACH = Step::OFFSETS / Step::WARPS;
    constexpr int PARTS = Step::ROWS / LANES;
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
        unsigned parts = 0;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            steps.seen[number][lane + part * LANES] = seen[turn][part];
            parts |= __any_sync(EVERY_LANE, seen[turn][part] >= 0) ? 1u << part : 0u;
        }
        if (lane == 0) {
            steps.parts[number] = parts;
        }
    }
}

// Begin the copies of one step: input rows and the offset's share of the weight.
template <class Step>
__device__ __forceinline__ void begin_step(
    const Convolution& p, Step& steps, int stage, int first_offset, int number, int channel) {
    using Value = typename Step::Value;
    constexpr bool TRANSPOSED = Step::TRANSPOSED;
    constexpr int THREADS = Step::THREADS;
    const int thread = threadIdx.x;
    constexpr int PIECE = Step::BYTES / static_cast<int>(sizeof(Value));  // elements of a copy
    constexpr int EACH_CHUNK = CHUNK<Value> / PIECE;
    {
        constexpr int PIECES = Step::Left::CHUNKS * EACH_CHUNK;  // of a row
        const int piece = thread % PIECES;
        const int in = channel + piece * PIECE;
        const int row_bytes = p.in_channels * static_cast<int>(sizeof(Value));
        const Value* features = static_cast<const Value*>(p.features) + in;
        constexpr int EACH = Step::ROWS * PIECES / THREADS;
        constexpr int APART = THREADS / PIECES;
        const int first_row = thread / PIECES;
        constexpr int TOGETHER = EACH < 8 ? EACH : 8;  // as many as registers hold beside the sums
#pragma unroll 1
        for (int first = first_row; first < first_row + EACH * APART; first += TOGETHER * APART) {
            int seen[TOGETHER];  // before the first copy: what is read after one waits for it to have begun
#pragma unroll
            for (int part = 0; part < TOGETHER; ++part) {
                seen[part] = steps.seen[number][first + part * APART];
            }
#pragma unroll
            for (int part = 0; part < TOGETHER; ++part) {
                copy_bytes<Step::BYTES>(
                    steps.left[stage].chunk(first + part * APART, piece / EACH_CHUNK) + piece % EACH_CHUNK * PIECE,
                    row_of(features, seen[part], row_bytes), seen[part] >= 0 && in < p.in_channels);
            }
        }
    }
    constexpr int PIECES = Step::Right::CHUNKS * EACH_CHUNK;
    const int width = TRANSPOSED ? p.in_channels : p.out_channels;
    const int first_column = blockIdx.y * Step::COLUMNS;
    const int piece = thread % PIECES;
    const int row = thread / PIECES;
    const int in = channel + (TRANSPOSED ? piece * PIECE : row);
    const int out = first_column + (TRANSPOSED ? row : piece * PIECE);
    const int width_bytes = width * static_cast<int>(sizeof(Value));
    const long long matrix = static_cast<long long>(p.in_channels) * p.out_channels;
    const Value* weight = static_cast<const Value*>(p.weight) + (first_offset + number) * matrix;
    const void* first = row_of(weight + (TRANSPOSED ? in : out), TRANSPOSED ? out : in, width_bytes);
#pragma unroll
    for (int part = 0; part < Step::COLUMNS * Step::DEPTH / PIECE / THREADS; ++part) {
        const int further = part * (THREADS / PIECES);
        const bool present = in + (TRANSPOSED ? 0 : further) < p.in_channels &&
                             out + (TRANSPOSED ? further : 0) < p.out_channels;
        copy_bytes<Step::BYTES>(
            steps.right[stage].chunk(row + further, piece / EACH_CHUNK) + piece % EACH_CHUNK * PIECE,
            row_of(first, further, width_bytes), present);
    }
}

// Add up a block's share of the offsets. Grid: tiles of rows x tiles of columns x splits of the offsets.
// `Sums` multiplies a step, and writes what came out.
template <class Step, class Sums>
__device__ __forceinline__ void convolve_by_steps(const Convolution& p, Step& steps, Sums& sums) {
    const int lane = threadIdx.x % LANES;
    const long long first_row = static_cast<long long>(blockIdx.x) * Step::ROWS;
    const int slices = (p.in_channels + Step::DEPTH - 1) / Step::DEPTH;
    if (threadIdx.x < Step::ROWS) {
        steps.active[threadIdx.x] = 0;
    }
    const int end = p.begin(blockIdx.z + 1);
    for (int first_offset = p.begin(blockIdx.z); first_offset < end; first_offset += Step::OFFSETS) {
        __syncthreads();  // the offsets before are done with
        look_up(p, steps, first_offset, end, first_row);
        __syncthreads();
        const unsigned offsets =
            __ballot_sync(EVERY_LANE, steps.parts[lane] != 0);
        if (p.normalisation != nullptr && threadIdx.x < Step::ROWS) {
            for (int number = 0; number < Step::OFFSETS; ++number) {
                steps.active[threadIdx.x] += steps.seen[number][threadIdx.x] >= 0;
            }
        }
        const int count = __popc(offsets) * slices;
        unsigned left = offsets;     // whose copies have not begun
        unsigned waiting = offsets;  // that are not multiplied
        int channel = 0;
        int waiting_channel = 0;
        int arriving = 0;    // stage
        int multiplied = 0;  // stage
        for (int step = 0; step < count + Step::STAGES - 1; ++step) {
            const bool is_full = step >= Step::STAGES - 1;
            if (is_full) {
                wait_for_groups<Step::STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                begin_step(p, steps, arriving, first_offset, __ffs(static_cast<int>(left)) - 1, channel);
                channel += Step::DEPTH;
                if (channel >= p.in_channels) {
                    channel = 0;
                    left &= left - 1;
                }
                arriving = arriving + 1 == Step::STAGES ? 0 : arriving + 1;
            }
            close_group();
            if (is_full) {
                if (steps.is_for_warp(__ffs(static_cast<int>(waiting)) - 1)) {
                    sums.add(steps.left[multiplied], steps.right[multiplied]);
                }
                waiting_channel += Step::DEPTH;
                if (waiting_channel >= p.in_channels) {
                    waiting_channel = 0;
                    waiting &= waiting - 1;
                }
                multiplied = multiplied + 1 == Step::STAGES ? 0 : multiplied + 1;
            }
        }
    }
    __syncthreads();
    sums.write(p, steps.active, first_row);
}
