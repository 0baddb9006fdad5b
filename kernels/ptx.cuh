// What has no CUDA C++ of its own without the toolkit's headers: the only file that speaks PTX.
// The host build puts a file of the same name before it (tests/cuda_on_host/ptx.cuh).
#pragma once

struct Half {
    unsigned short bits;
};

struct BFloat {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(Half value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}

__device__ __forceinline__ float to_float(BFloat value) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

__device__ __forceinline__ Half to_half(float value) {
    Half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}

__device__ __forceinline__ BFloat to_bfloat(float value) {
    BFloat result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}

// To the nearest of 10 fraction bits, ties away from 0; in the bits of a float.
__device__ __forceinline__ unsigned to_tf32(float value) {
    unsigned result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
    return result;
}

// A row so many bytes wide, of those that begin at `first`. The product takes one instruction, where one of 64
// bits takes three; the assembler may add `first` by two more.
__device__ __forceinline__ const void* row_of(const void* first, int row, int bytes) {
    const void* result;
    asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(result) : "r"(row), "r"(bytes), "l"(first));
    return result;
}

// The one block of shared memory that a kernel uses. A kernel asks for one type only.
template <class Memory>
__device__ __forceinline__ Memory& shared() {
    __shared__ __align__(16) unsigned char bytes[sizeof(Memory)];
    return *reinterpret_cast<Memory*>(bytes);
}

// The same where it may be more than 48 KiB: a launch gives as many bytes as the type has.
template <class Memory>
__device__ __forceinline__ Memory& dynamic_shared() {
    extern __shared__ __align__(16) unsigned char given_bytes[];
    return *reinterpret_cast<Memory*>(given_bytes);
}

// --- Asynchronous copies and tensor cores -------------------------------------------------------

// Begin to copy from global to shared memory, both addresses aligned to as many bytes; zeros where not
// present. Sixteen bytes pass L1 by, four and eight cannot.
template <int BYTES>
__device__ __forceinline__ void copy_bytes(void* to, const void* from, bool present) {
    const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const auto global = __cvta_generic_to_global(from);
    const int bytes = present ? BYTES : 0;  // of which the rest is zeros
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared), "l"(global), "r"(bytes),
                     "n"(BYTES)
                     : "memory");
    }
}

// Close a group of copies: those begun since the last one.
__device__ __forceinline__ void close_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait for this thread's copies, except those of the last PENDING groups.
template <int PENDING>
__device__ __forceinline__ void wait_for_groups() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane i gives the address of row i % 8 of
// matrix i / 8, and gets elements 2 (i % 4) and 2 (i % 4) + 1 of row i / 4 of each.
__device__ __forceinline__ void load_matrices(unsigned (&values)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// The same, each matrix transposed.
__device__ __forceinline__ void load_transposed_matrices(unsigned (&values)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// sums += left x right, 16 x 8 += 16 x 16 times 16 x 8, over the warp's fragments (PTX, mma.m16n8k16).
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&left)[4],
                                             unsigned right_first, unsigned right_second, Half) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_first),
          "r"(right_second));
}

__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&left)[4],
                                             unsigned right_first, unsigned right_second, BFloat) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_first),
          "r"(right_second));
}

// 16 x 8 += 16 x 8 times 8 x 8, of elements that `to_tf32` rounded (PTX, mma.m16n8k8).
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&left)[4],
                                             unsigned right_first, unsigned right_second, float) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_first),
          "r"(right_second));
}
