// What the kernels of the gradient at the weights are given, how they share the pairs, and how they find them.
#pragma once

#include "values.cuh"

constexpr int LANES = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

constexpr int CHUNK_ROWS = 1024;  // of a row of the table, whose pairs are counted together
constexpr int LOOK_PAIRS = 32;    // pairs that are as much work as looking a chunk's rows up

// The work is all pairs and what looking them up costs, in pairs: offset by offset, in the order of the rows.
// Blocks take equal parts of it, each for one offset after the other.
struct WeightGradient {
    const void* features;           // Value [N, in_channels]
    const void* upstream;           // Value [rows, out_channels]
    const void* scale;              // Sum [rows] that upstream rows are multiplied by, or null
    const int* table;               // [offsets, rows]: the feature row seen, negative for none
    const long long* pairs_before;  // [offsets * chunks + 1]: before each offset's chunks, and in all
    void* shares;                   // Sum [blocks + offsets - 1, in_channels, out_channels]
    void* gradient;                 // Value [offsets, in_channels, out_channels]
    long long rows;
    int offsets;
    int in_channels;
    int out_channels;
    int blocks;                     // that share the work

    // Of an offset. Where all offsets' are meant, they are numbered through.
    __device__ long long chunks() const { return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS; }

    __device__ long long work_before(long long chunk) const {
        return pairs_before[chunk] + chunk * LOOK_PAIRS;
    }
    __device__ long long work() const { return work_before(offsets * chunks()); }

    // That a block takes; the last ones may be left with less, or nothing.
    __device__ long long part() const { return (work() + blocks - 1) / blocks; }

    // Where a block's part begins; that of the next is its end.
    __device__ long long begin(int block) const {
        const long long place = block * part();
        return place < work() ? place : work();
    }

    // Pairs before a place that lies in a chunk.
    __device__ long long pairs_until(long long chunk, long long place) const {
        const long long taken = place - work_before(chunk) - LOOK_PAIRS;
        return pairs_before[chunk] + (taken > 0 ? taken : 0);
    }

    // The last chunk that begins at or before a place: a warp's lanes try some at a time.
    __device__ long long chunk_at(long long place) const {
        long long first = 0;
        long long count = offsets * chunks();
        while (count > 1) {
            const long long step = (count + LANES - 1) / LANES;
            const long long tried = threadIdx.x % LANES * step;
            const bool begins = tried < count && work_before(first + tried) <= place;
            const long long skipped = (__popc(__ballot_sync(ALL_LANES, begins)) - 1) * step;
            first += skipped;
            count = count - skipped < step ? count - skipped : step;
        }
        return first;
    }

    // Where a block keeps its sum for an offset and two channels. From one of its offsets to the next, and
    // from its last to the next block's first, one of the two numbers grows: no two sums lie in one place.
    template <class Kept>
    __device__ Kept& share(int block, int offset, int in, int out) const {
        const long long matrix = static_cast<long long>(block) + offset;
        return static_cast<Kept*>(shares)[(matrix * in_channels + in) * out_channels + out];
    }
};

// Pairs found and not yet multiplied. LOOKS rows a thread are looked up at a time; fewer than DEPTH pairs may
// be left from before.
template <int THREADS, int LOOKS_EACH, int STEP>
struct Pairs {
    static constexpr int LOOKS = LOOKS_EACH;
    static constexpr int DEPTH = STEP;  // pairs that are multiplied at a time
    static constexpr int WARPS = THREADS / LANES;
    static constexpr int ROWS = LOOKS * THREADS;  // at a time
    static_assert(CHUNK_ROWS % ROWS == 0, "a chunk begins where rows do that are looked up at a time");
    int features[ROWS + DEPTH];
    int upstream[ROWS + DEPTH];
    int found[LOOKS][WARPS];

    // Look up rows: what is found may arrive while pairs are multiplied.
    __device__ static void look_up(const int* seen_by, unsigned first, unsigned end, int (&seen)[LOOKS]) {
        const unsigned row = first + threadIdx.x;
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            seen[look] = row + look * THREADS < end ? (seen_by + row)[look * THREADS] : -1;
        }
    }

    // Append the pairs of rows that were looked up, in their order; return how many wait then. Where fewer
    // than none wait, as many pairs are left out first.
    __device__ int append(const int (&seen)[LOOKS], unsigned first, int waiting) {
        const int lane = threadIdx.x % LANES;
        const int warp = threadIdx.x / LANES;
        unsigned ballots[LOOKS];
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            ballots[look] = __ballot_sync(ALL_LANES, seen[look] >= 0);
            if (lane == 0) {
                found[look][warp] = __popc(ballots[look]);
            }
        }
        __syncthreads();
#pragma unroll
        for (int look = 0; look < LOOKS; ++look) {
            int place = waiting + __popc(ballots[look] & ((1u << lane) - 1u));
#pragma unroll
            for (int other = 0; other < WARPS; ++other) {
                const int count = found[look][other];
                place += other < warp ? count : 0;
                waiting += count;
            }
            if (seen[look] >= 0 && place >= 0) {
                features[place] = seen[look];
                upstream[place] = static_cast<int>(first + look * THREADS + threadIdx.x);
            }
        }
        __syncthreads();
        return waiting;
    }

    // Drop the first `done` of them; fewer than THREADS may be left. Return how many.
    __device__ int drop(int done, int waiting) {
        const int thread = threadIdx.x;
        const int rest = waiting - done;
        int feature_row = 0;
        int upstream_row = 0;
        if (thread < rest) {
            feature_row = features[done + thread];
            upstream_row = upstream[done + thread];
        }
        __syncthreads();
        if (thread < rest) {
            features[thread] = feature_row;
            upstream[thread] = upstream_row;
        }
        __syncthreads();
        return rest;
    }
};

// Add up a block's part of the work. Grid: tiles of the channels x blocks that share the work. `Sums` adds the
// first pairs that wait, and keeps what came out for an offset.
template <class Found, class Sums>
__device__ __forceinline__ void add_up_pairs(const WeightGradient& p, Found& found, Sums& sums) {
    const int block = blockIdx.y;
    const long long begin = p.begin(block);
    if (begin == p.work()) {
        return;
    }
    long long chunk = p.chunk_at(begin);
    int waiting = static_cast<int>(p.pairs_before[chunk] - p.pairs_until(chunk, begin));
    for (int offset = static_cast<int>(chunk / p.chunks());; ++offset) {
        const long long end = p.begin(block + 1);
        const long long next = (offset + 1) * p.chunks();
        const bool is_last = p.work_before(next) >= end;
        const long long stop = is_last ? p.pairs_until(p.chunk_at(end), end) : p.pairs_before[next];
        // Rows and pairs of one offset are numbered in 32 bits.
        const unsigned rows = static_cast<unsigned>(p.rows);
        int left = static_cast<int>(stop - p.pairs_before[chunk]) + waiting;
        unsigned row = static_cast<unsigned>(chunk - offset * p.chunks()) * CHUNK_ROWS;
        const int* seen_by = p.table + offset * p.rows;
        int seen[Found::LOOKS];
        found.look_up(seen_by, row, rows, seen);
        while (left > 0) {
            waiting = found.append(seen, row, waiting);
            const bool is_rest = waiting >= left;
            const int whole = waiting > 0 ? waiting / Found::DEPTH * Found::DEPTH : 0;
            const int ready = is_rest ? left : whole;
            row += Found::ROWS;
            if (!is_rest) {
                found.look_up(seen_by, row, rows, seen);
            }
            sums.add(ready);
            if (!is_rest) {
                waiting = found.drop(ready, waiting);
            }
            left -= ready;
        }
        sums.keep(block, offset);
        if (is_last) {
            return;
        }
        chunk = next;
        waiting = 0;
    }
}
