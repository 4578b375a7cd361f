/* Kernels for x86-64 with AVX-512, VNNI and BF16. */
#include "avx512.h"

static inline __attribute__((always_inline)) void rows_scores(const int rows, const queries *q, int row,
                                                              const uint16_t *keys, float *score) {
    __m512 sums[4][2];
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    const uint16_t *query = q->query + row * q->dims;
    for (int d = 0; d < q->dims; d += 4)
        for (int half = 0; half < 2; half++) {
            __m512bh k = (__m512bh)_mm512_loadu_si512(keys + (d + 2 * half) * TILE);
            for (int r = 0; r < rows; r++)
                sums[r][half] =
                    _mm512_dpbf16_ps(sums[r][half], k, two_halves(query + r * q->dims + d + 2 * half));
        }
    for (int r = 0; r < rows; r++)
        _mm512_storeu_ps(score + (row + r) * SEGMENT_TOKENS, _mm512_add_ps(sums[r][0], sums[r][1]));
}

static void scores(const queries *q, const uint16_t *const *keys, int blocks, float *score) {
    for (int b = 0; b < blocks; b++) {
        int row = 0;
        for (; row + 4 <= q->rows; row += 4) rows_scores(4, q, row, keys[b], score + b * TILE);
        if (q->rows - row == 3) rows_scores(3, q, row, keys[b], score + b * TILE);
        if (q->rows - row == 2) rows_scores(2, q, row, keys[b], score + b * TILE);
        if (q->rows - row == 1) rows_scores(1, q, row, keys[b], score + b * TILE);
    }
}

static inline __attribute__((always_inline)) void rows_mix(const int rows, const queries *q, int row, int d,
                                                           const uint16_t *const *values, int blocks,
                                                           const uint16_t *weight) {
    __m512 sums[4][2];
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++)
            sums[r][half] = _mm512_loadu_ps(q->mixed + (row + r) * q->dims + d + TILE * half);
    for (int b = 0; b < blocks; b++)
        for (int t = 0; t < TILE; t += 2) {
            const uint16_t *pair = values[b] + d * TILE + t * TILE;
            __m512bh v[2] = {(__m512bh)_mm512_loadu_si512(pair),
                             (__m512bh)_mm512_loadu_si512(pair + TILE * TILE)};
            for (int r = 0; r < rows; r++) {
                __m512bh w = two_halves(weight + (row + r) * SEGMENT_TOKENS + b * TILE + t);
                for (int half = 0; half < 2; half++)
                    sums[r][half] = _mm512_dpbf16_ps(sums[r][half], v[half], w);
            }
        }
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++)
            _mm512_storeu_ps(q->mixed + (row + r) * q->dims + d + TILE * half, sums[r][half]);
}

static void mix(const queries *q, const uint16_t *const *values, int blocks, const uint16_t *weight) {
    for (int d = 0; d < q->dims; d += 2 * TILE) {
        int row = 0;
        for (; row + 4 <= q->rows; row += 4) rows_mix(4, q, row, d, values, blocks, weight);
        if (q->rows - row == 3) rows_mix(3, q, row, d, values, blocks, weight);
        if (q->rows - row == 2) rows_mix(2, q, row, d, values, blocks, weight);
        if (q->rows - row == 1) rows_mix(1, q, row, d, values, blocks, weight);
    }
}

const kernels kernels_avx512 = {
    .name = "avx512",
    .linear_int8 = linear_int8,
    .linear_bf16 = linear_bf16,
    COMPILED_KERNELS,
};
