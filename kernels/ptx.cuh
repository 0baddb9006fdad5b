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

// The one block of shared memory that a kernel uses. A kernel asks for one type only.
template <class Memory>
__device__ __forceinline__ Memory& shared() {
    __shared__ __align__(16) unsigned char bytes[sizeof(Memory)];
    return *reinterpret_cast<Memory*>(bytes);
}
