/* Which kernels this processor can run, of those that were built: CHORUS_AVX2 and the like say which. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>

#include "kernels.h"

#ifdef CHORUS_AVX2
static int has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#if defined(CHORUS_AVX512) || defined(CHORUS_AMX)
static int has_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}
#endif

#ifdef CHORUS_AMX
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* CPUID leaf 7, EDX bits 22 (bf16), 24 (tiles) and 25 (int8). Linux gives the tiles' 8 kB of state only to a
 * process that asks (arch_prctl ARCH_REQ_XCOMP_PERM, 0x1023, for feature 18). */
static int has_amx(void) {
#ifdef __linux__
    unsigned a, b, c, d;
    const unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return 0;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
    return 0;
#endif
}
#endif

const kernels *const *kernels_available(void) {
    static const kernels *found[5];
    int count = 0;
    found[count++] = &kernels_portable;
#ifdef CHORUS_AVX2
    if (has_avx2()) found[count++] = &kernels_avx2;
#endif
#ifdef CHORUS_AVX512
    if (has_avx512()) found[count++] = &kernels_avx512;
#endif
#ifdef CHORUS_AMX
    if (has_amx()) found[count++] = &kernels_amx;
#endif
    found[count] = NULL;
    return found;
}
