/* The kernels' parts that are written once, on vectors of 16 numbers that each compiler cuts to what its
 * processor has. Included by each instruction set's file, and compiled for it.
 */
#ifndef CHORUS_COMMON_H
#define CHORUS_COMMON_H

#include <math.h>
#include <string.h>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "kernels.h"

typedef float f16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint32_t u16 __attribute__((vector_size(64)));

static inline f16 load(const float *p) {
    f16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, f16 v) { memcpy(p, &v, sizeof v); }

static inline f16 all(float x) { return x - (f16){0}; }

static inline f16 select_(i16 mask, f16 yes, f16 no) { return (f16)((mask & (i16)yes) | (~mask & (i16)no)); }

static inline f16 greater(f16 a, f16 b) {
#ifdef __AVX512BF16__
    return (f16)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return select_(a > b, a, b);
#endif
}

static inline f16 absolute(f16 a) { return (f16)((i16)a & 0x7fffffff); }

/* The lanes' sum and their largest, always in the same order: halves are folded onto each other. */
#ifdef __AVX512BF16__
static inline float sum_of(f16 v) { return _mm512_reduce_add_ps((__m512)v); }
static inline float most_of(f16 v) { return _mm512_reduce_max_ps((__m512)v); }
#else
static inline float sum_of(f16 v) {
    float s[16];
    memcpy(s, &v, sizeof s);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
}

static inline float most_of(f16 v) {
    float s[16];
    memcpy(s, &v, sizeof s);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++) s[i] = s[i] > s[i + width] ? s[i] : s[i + width];
    return s[0];
}
#endif

/* The nearest whole numbers, for |v| < 2^22: adding 1.5 * 2^23 leaves no bits for the rest. */
static inline f16 rounded(f16 v) { return (v + 12582912.0f) - 12582912.0f; }

/* 2^y, n being the whole number nearest to y; relative error under 4e-7, by the first
 * seven terms of Taylor's series. */
static inline f16 power_of_two(f16 y, f16 n) {
    f16 f = y - n;
    f16 p = all(1.54035304e-4f);
    p = p * f + 1.33335581e-3f;
    p = p * f + 9.61812911e-3f;
    p = p * f + 5.55041087e-2f;
    p = p * f + 2.40226507e-1f;
    p = p * f + 6.93147181e-1f;
    p = p * f + 1.0f;
#ifdef __AVX512BF16__
    return (f16)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    i16 exponent = (__builtin_convertvector(n, i16) + 127) << 23;
    return p * (f16)exponent;
#endif
}

/* e^x for x <= 88; what is below e^-87 may be 0. */
static inline f16 exponential(f16 x) {
#ifdef __AVX512BF16__
    f16 y = x * 1.44269504f;
    return power_of_two(y, (f16)_mm512_roundscale_ps((__m512)y, 0));
#else
    f16 y = greater(x, all(-87.0f)) * 1.44269504f;
    return power_of_two(y, rounded(y));
#endif
}

/* To bf16, to the nearest, ties to even; the numbers are finite. */
static inline void store_bf16(uint16_t *p, f16 v) {
#ifdef __AVX512BF16__
    __m256bh halves = _mm512_cvtneps_pbh((__m512)v);
#else
    typedef uint16_t h16 __attribute__((vector_size(32)));
    u16 bits = (u16)v;
    h16 halves = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, h16);
#endif
    memcpy(p, &halves, sizeof halves);
}

static inline float of_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void to_int8(const float *x, int in, uint8_t *q, float *scale) {
    f16 most = all(0);
    for (int k = 0; k < in; k += 16) most = greater(most, absolute(load(x + k)));
    float largest = most_of(most);
    if (!(largest > 1e-12f)) largest = 1e-12f;
    *scale = largest / 127;
    f16 factor = all(127 / largest);
    for (int k = 0; k < in; k += 16) {
        i16 whole = __builtin_convertvector(rounded(load(x + k) * factor), i16) + 128;
        typedef uint8_t b16 __attribute__((vector_size(16)));
        b16 bytes = __builtin_convertvector(whole, b16);
        memcpy(q + k, &bytes, sizeof bytes);
    }
}

/* Rotary position embedding in place (arXiv:2104.09864, section 3.4.2; a head's two halves are the pairs). */
static void rotate(float *head, int half, const float *cosines, const float *sines) {
    int i = 0;
    for (; i + 16 <= half; i += 16) {
        f16 a = load(head + i), b = load(head + half + i), c = load(cosines + i), s = load(sines + i);
        store(head + i, a * c - b * s);
        store(head + half + i, b * c + a * s);
    }
    for (; i < half; i++) {
        float a = head[i], b = head[i + half];
        head[i] = a * cosines[i] - b * sines[i];
        head[i + half] = b * cosines[i] + a * sines[i];
    }
}

static void to_bf16(const float *x, int in, uint16_t *q) {
    for (int k = 0; k < in; k += 16) store_bf16(q + k, load(x + k));
}

/* `size` need not be a multiple of 16: a head's dimensions may be few. */
static void norm(const float *x, const float *weight, int size, float epsilon, float *out) {
    f16 squares = all(0);
    int k = 0;
    for (; k + 16 <= size; k += 16) {
        f16 v = load(x + k);
        squares += v * v;
    }
    float total = sum_of(squares);
    for (int i = k; i < size; i++) total += x[i] * x[i];
    float factor = 1 / sqrtf(total / (float)size + epsilon);
    for (k = 0; k + 16 <= size; k += 16) store(out + k, load(x + k) * factor * load(weight + k));
    for (; k < size; k++) out[k] = x[k] * factor * weight[k];
}

/* silu(x) = x / (1 + e^-x); gelu by its tanh form (arXiv:1606.08415, section 2): x / (1 + e^-2u) with
 * u = sqrt(2 / pi) (x + 0.044715 x^3). */
static void gate(const float *gate_up, int pairs, int activation, float *out) {
    for (int p = 0; p < pairs; p++) {
        f16 x = load(gate_up + 2 * p * TILE);
        f16 u = activation == CHORUS_SILU ? x : 1.59576912f * (x + 0.044715f * x * x * x);
        f16 limited = select_(u < all(-80.0f), all(-80.0f), u);
        store(out + p * TILE, x / (1.0f + exponential(-limited)) * load(gate_up + (2 * p + 1) * TILE));
    }
}

/* ---- an int8 cache ---- */

static inline f16 load_bytes(const int8_t *p) {
    typedef int8_t b16 __attribute__((vector_size(16)));
    b16 bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, f16);
}

/* Lines of 16 tokens times 2 dims: each scale serves two neighbours. */
static void unpack_keys(const int8_t *from, const float *scales, int dims, uint16_t *to) {
    f16 low, high;
    for (int i = 0; i < TILE; i++) low[i] = scales[i / 2], high[i] = scales[TILE / 2 + i / 2];
    for (int i = 0; i < dims * TILE; i += 2 * TILE) {
        store_bf16(to + i, load_bytes(from + i) * low);
        store_bf16(to + i + TILE, load_bytes(from + i + TILE) * high);
    }
}

/* Lines of 16 dims times a pair of tokens, eight pairs in turn: a pair's scales alternate. */
static void unpack_values(const int8_t *from, const float *scales, int dims, uint16_t *to) {
    f16 pairs[TILE / 2];
    for (int p = 0; p < TILE / 2; p++)
        for (int i = 0; i < TILE; i++) pairs[p][i] = scales[2 * p + i % 2];
    for (int i = 0; i < dims * TILE; i += 2 * TILE) {
        f16 scale = pairs[i / (2 * TILE) % (TILE / 2)];
        store_bf16(to + i, load_bytes(from + i) * scale);
        store_bf16(to + i + TILE, load_bytes(from + i + TILE) * scale);
    }
}

/* ---- attention: an instruction set gives scores and mix, the softmax between them is written once ---- */

/* score[r * SEGMENT_TOKENS + t] = query row r times the key of the segment's token t. */
static void scores(const queries *q, const uint16_t *const *keys, int blocks, float *score);

/* mixed[r] += the segment's values, weighted by weight (TILE, SEGMENT_TOKENS) in bf16. */
static void mix(const queries *q, const uint16_t *const *values, int blocks, const uint16_t *weight);

static const i16 LANES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* One row's softmax goes on over a segment: scores become weights, `mixed` is rescaled to the new maximum.
 * Tokens out of sight weigh exactly 0 and change nothing, so it does not matter which segments a row meets.
 * `whole`: all tokens are in sight, and nothing has to be hidden. */
static inline __attribute__((always_inline)) void soften_row(const int whole, const queries *q, int row,
                                                             int blocks, int position, const float *score,
                                                             uint16_t *weight) {
    i16 in_sight[SEGMENT];
    f16 scaled[SEGMENT];
    f16 most = all(q->most[row]);
    for (int b = 0; b < blocks; b++) {
        scaled[b] = load(score + b * TILE) * q->scaling;
        if (!whole) {
            i16 at = LANES + (position + b * TILE);
            in_sight[b] = (at >= q->begin[row]) & (at < q->end[row]);
            scaled[b] = select_(in_sight[b], scaled[b], all(-1e30f));
        }
        most = greater(most, scaled[b]);
    }
    float largest = most_of(most);
    f16 sum = all(0);
    for (int b = 0; b < blocks; b++) {
        f16 weights = exponential(scaled[b] - largest);
        if (!whole) weights = select_(in_sight[b], weights, all(0));
        sum += weights;
        store_bf16(weight + b * TILE, weights);
    }
    if (largest != q->most[row]) {
        float shrink = exponential(all(q->most[row] - largest))[0];
        q->sum[row] *= shrink;
        float *mixed = q->mixed + row * q->dims;
        for (int d = 0; d < q->dims; d += 16) store(mixed + d, load(mixed + d) * shrink);
        q->most[row] = largest;
    }
    q->sum[row] += sum_of(sum);
}

static void soften(const queries *q, int row, int blocks, int position, const float *score,
                   uint16_t *weight) {
    if (q->begin[row] <= position && q->end[row] >= position + blocks * TILE) {
        if (blocks == SEGMENT)
            soften_row(1, q, row, SEGMENT, position, score, weight);
        else
            soften_row(1, q, row, blocks, position, score, weight);
    } else {
        soften_row(0, q, row, blocks, position, score, weight);
    }
}

static void attend(const queries *q, const uint16_t *const *keys, const uint16_t *const *values, int blocks,
                   int position) {
    _Alignas(64) float score[TILE * SEGMENT_TOKENS];
    _Alignas(64) uint16_t weight[TILE * SEGMENT_TOKENS];
    memset(weight, 0, sizeof weight);
    scores(q, keys, blocks, score);
    for (int row = 0; row < q->rows; row++)
        soften(q, row, blocks, position, score + row * SEGMENT_TOKENS, weight + row * SEGMENT_TOKENS);
    mix(q, values, blocks, weight);
}

/* What every instruction set's table has, as it is compiled for each. */
#define COMPILED_KERNELS                                                                                     \
    .to_int8 = to_int8, .to_bf16 = to_bf16, .norm = norm, .rotate = rotate, .gate = gate,                    \
    .unpack_keys = unpack_keys, .unpack_values = unpack_values, .attend = attend

#endif
