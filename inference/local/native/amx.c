/* Kernels for x86-64 with AMX, the matrix tiles of newer servers, beside AVX-512.
 *
 * A tile multiplication takes 16 rows whatever they hold, so a row's sum has one order in every batch.
 */
#include "avx512.h"

/* What each of the eight tiles is shaped for: rows, and bytes a row. */
enum { ACCUMULATE = 0, ROWS = 4, COLUMNS = 6 };

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} shapes;

static const shapes FOR_LINEAR = {
    .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* Tiles 6 and 7 multiply weights (16 rows, 16 tokens) by values (8 pairs of tokens, 16 dims). */
static const shapes FOR_ATTENTION = {
    .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 32, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 8}};

static _Thread_local const shapes *shaped;

static inline void shape(const shapes *wanted) {
    if (shaped == wanted) return;
    _tile_loadconfig(wanted);
    shaped = wanted;
}

static void leave(void) {
    if (shaped != NULL) _tile_release();
    shaped = NULL;
}

/* ---- linear layers: acc 0-3, rows of x in 4 and 5, packed columns in 6 and 7 ---- */

static inline void write_int8(const int32_t *sums, int rows, const float *scale, const int32_t *shift,
                              const float *x_scale, float *out, int stride) {
    __m512 scales = _mm512_loadu_ps(scale);
    __m512i shifts = _mm512_loadu_si512(shift);
    for (int m = 0; m < rows; m++) {
        __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(sums + m * TILE), shifts));
        _mm512_storeu_ps(out + (size_t)m * stride,
                         _mm512_mul_ps(sum, _mm512_mul_ps(scales, _mm512_set1_ps(x_scale[m]))));
    }
}

static inline void write_f32(const float *sums, int rows, float *out, int stride) {
    for (int m = 0; m < rows; m++)
        _mm512_storeu_ps(out + (size_t)m * stride, _mm512_load_ps(sums + m * TILE));
}

/* The loops over the inputs of 16 or 32 rows and 1, 2 or 4 columns; DOT is the multiplication, `step` bytes
 * of x a tile, column `c` begins `size` bytes after the one before. */
#define ONE_BY_FOUR(DOT)                                                                                     \
    _tile_zero(0);                                                                                           \
    _tile_zero(1);                                                                                           \
    _tile_zero(2);                                                                                           \
    _tile_zero(3);                                                                                           \
    for (size_t k = 0; k < bytes; k += 64) {                                                                 \
        const char *w = weight + k * TILE;                                                                   \
        for (int line = 0; line < 1024; line += 64)                                                          \
            for (int c = 0; c < 4; c++) _mm_prefetch(w + c * size + AHEAD + line, _MM_HINT_T0);              \
        _tile_loadd(4, x + k, bytes);                                                                        \
        _tile_loadd(6, w, 64);                                                                               \
        DOT(0, 4, 6);                                                                                        \
        _tile_loadd(7, w + size, 64);                                                                        \
        DOT(1, 4, 7);                                                                                        \
        _tile_loadd(6, w + 2 * size, 64);                                                                    \
        DOT(2, 4, 6);                                                                                        \
        _tile_loadd(7, w + 3 * size, 64);                                                                    \
        DOT(3, 4, 7);                                                                                        \
    }

#define TWO_BY_TWO(DOT)                                                                                      \
    _tile_zero(0);                                                                                           \
    _tile_zero(1);                                                                                           \
    _tile_zero(2);                                                                                           \
    _tile_zero(3);                                                                                           \
    for (size_t k = 0; k < bytes; k += 64) {                                                                 \
        const char *w = weight + k * TILE;                                                                   \
        _tile_loadd(4, x + k, bytes);                                                                        \
        _tile_loadd(6, w, 64);                                                                               \
        _tile_loadd(5, x + TILE * bytes + k, bytes);                                                         \
        DOT(0, 4, 6);                                                                                        \
        _tile_loadd(7, w + size, 64);                                                                        \
        DOT(1, 5, 6);                                                                                        \
        DOT(2, 4, 7);                                                                                        \
        DOT(3, 5, 7);                                                                                        \
    }

#define ONE_BY_ONE(DOT)                                                                                      \
    _tile_zero(0);                                                                                           \
    for (size_t k = 0; k < bytes; k += 64) {                                                                 \
        _tile_loadd(4, x + k, bytes);                                                                        \
        _tile_loadd(6, weight + k * TILE, 64);                                                               \
        DOT(0, 4, 6);                                                                                        \
    }

/* All rows and packed columns in tiles: up to 16 rows go with four columns at once, more go by two and two.
 * DOT multiplies; WRITE(T, M, C) writes tile T, the M-th 16 rows from m on by the C-th column from c on. */
#define IN_TILES(DOT, WRITE)                                                                                 \
    int c = 0;                                                                                               \
    const int wide = rows <= TILE ? 4 : 2;                                                                   \
    for (; c + wide <= columns; c += wide) {                                                                 \
        const char *weight = (const char *)weights + (size_t)c * size;                                       \
        for (int m = 0; m < rows; m += 2 * TILE) {                                                           \
            const char *x = (const char *)inputs + (size_t)m * bytes;                                        \
            if (rows <= TILE) {                                                                              \
                ONE_BY_FOUR(DOT)                                                                             \
            } else {                                                                                         \
                TWO_BY_TWO(DOT)                                                                              \
            }                                                                                                \
            _tile_stored(0, sums[0], 64);                                                                    \
            _tile_stored(1, sums[1], 64);                                                                    \
            _tile_stored(2, sums[2], 64);                                                                    \
            _tile_stored(3, sums[3], 64);                                                                    \
            if (rows <= TILE) {                                                                              \
                for (int t = 0; t < 4; t++) WRITE(t, 0, t);                                                  \
            } else {                                                                                         \
                for (int t = 0; t < 4; t++) WRITE(t, t & 1, t >> 1);                                         \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    for (; c < columns; c++) {                                                                               \
        const char *weight = (const char *)weights + (size_t)c * size;                                       \
        for (int m = 0; m < rows; m += TILE) {                                                               \
            const char *x = (const char *)inputs + (size_t)m * bytes;                                        \
            ONE_BY_ONE(DOT)                                                                                  \
            _tile_stored(0, sums[0], 64);                                                                    \
            WRITE(0, 0, 0);                                                                                  \
        }                                                                                                    \
    }

static inline int least(int a, int b) { return a < b ? a : b; }

enum { FEW_ROWS = 4 }; /* up to so many AVX-512 reads the weights as fast, and starts quicker */

static void tiles_int8(const int8_t *weights, const float *scale, const int32_t *shift, int columns, int in,
                       const uint8_t *inputs, const float *x_scale, int rows, float *out, int stride) {
    if (rows <= FEW_ROWS) { /* whole numbers: the same sums */
        linear_int8(weights, scale, shift, columns, in, inputs, x_scale, rows, out, stride);
        return;
    }
    shape(&FOR_LINEAR);
    _Alignas(64) int32_t sums[4][TILE * TILE];
    const size_t bytes = (size_t)in, size = bytes * TILE;
#define WRITE(T, M, C)                                                                                       \
    write_int8(sums[T], least(rows - m - (M) * TILE, TILE), scale + (c + (C)) * TILE,                        \
               shift + (c + (C)) * TILE, x_scale + m + (M) * TILE,                                           \
               out + (size_t)(m + (M) * TILE) * stride + (c + (C)) * TILE, stride)
    IN_TILES(_tile_dpbusd, WRITE)
#undef WRITE
}

static void tiles_bf16(const uint16_t *weights, int columns, int in, const uint16_t *inputs, int rows,
                       float *out, int stride) {
    shape(&FOR_LINEAR);
    _Alignas(64) float sums[4][TILE * TILE];
    const size_t bytes = 2 * (size_t)in, size = bytes * TILE;
#define WRITE(T, M, C)                                                                                       \
    write_f32(sums[T], least(rows - m - (M) * TILE, TILE),                                                   \
              out + (size_t)(m + (M) * TILE) * stride + (c + (C)) * TILE, stride)
    IN_TILES(_tile_dpbf16ps, WRITE)
#undef WRITE
}

/* ---- attention: 4 blocks of context at once in tiles 0-3 ---- */

static void scores(const queries *q, const uint16_t *const *keys, int blocks, float *score) {
    shape(&FOR_ATTENTION);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int d = 0; d < q->dims; d += 32) {
        _tile_loadd(4, q->query + d, 2 * q->dims);
#define BLOCK(B)                                                                                             \
    if (blocks > B) {                                                                                        \
        _tile_loadd(5, keys[B] + d * TILE, 64);                                                              \
        _tile_dpbf16ps(B, 4, 5);                                                                             \
    }
        BLOCK(0) BLOCK(1) BLOCK(2) BLOCK(3)
#undef BLOCK
    }
    _tile_stored(0, score, 4 * SEGMENT_TOKENS);
    _tile_stored(1, score + TILE, 4 * SEGMENT_TOKENS);
    _tile_stored(2, score + 2 * TILE, 4 * SEGMENT_TOKENS);
    _tile_stored(3, score + 3 * TILE, 4 * SEGMENT_TOKENS);
}

static void mix(const queries *q, const uint16_t *const *values, int blocks, const uint16_t *weight) {
    shape(&FOR_ATTENTION);
    const int stride = 4 * q->dims;
    for (int d = 0; d < q->dims; d += 2 * TILE) {
        _tile_loadd(0, q->mixed + d, stride);
        _tile_loadd(1, q->mixed + d + TILE, stride);
        for (int b = 0; b < blocks; b++) {
            _tile_loadd(6, weight + b * TILE, 2 * SEGMENT_TOKENS);
            _tile_loadd(7, values[b] + d * TILE, 64);
            _tile_dpbf16ps(0, 6, 7);
            _tile_loadd(7, values[b] + (d + TILE) * TILE, 64);
            _tile_dpbf16ps(1, 6, 7);
        }
        _tile_stored(0, q->mixed + d, stride);
        _tile_stored(1, q->mixed + d + TILE, stride);
    }
}

const kernels kernels_amx = {
    .name = "amx",
    .leave = leave,
    .linear_int8 = tiles_int8,
    .linear_bf16 = tiles_bf16,
    COMPILED_KERNELS,
};
