/* What the step is made of, for one instruction set. Every row's result depends on that row alone, bit for
 * bit: how many rows come with it changes nothing. Knows nothing of layers or of the cache's bookkeeping.
 */
#ifndef CHORUS_KERNELS_H
#define CHORUS_KERNELS_H

#include <stdint.h>

#include "step.h"

enum {
    TILE = 16,   /* outputs a packed column, rows a tile, tokens a block */
    SEGMENT = 4, /* blocks of context that are attended to at once: the softmax goes from one to the next */
    SEGMENT_TOKENS = SEGMENT * TILE,
    PAD = 64, /* inputs of linear layers come in multiples of this */
};

/* Queries of one KV head that attend together, at most TILE, with their running softmax (arXiv:1805.02867,
 * section 3). Each sees the tokens from begin[i] up to, not including, end[i]. */
typedef struct {
    int rows, dims; /* dims is padded to 32 */
    float scaling;
    const int32_t *begin, *end;
    const uint16_t *query; /* bf16 (TILE, dims) */
    float *most, *sum;     /* (TILE) */
    float *mixed;          /* (TILE, dims): values, weighted, not yet divided by sum */
} queries;

typedef struct {
    const char *name;
    /* At the end of a thread's part in a job: gives back what the kernels have set on its processor. Or NULL.
     */
    void (*leave)(void);
    /* out[m * stride + n] = x W^T, for n of `columns` packed columns of 16, without bias. x is (rows, in) as
     * made by the converters below; memory behind it up to a multiple of 32 rows may be read. */
    void (*linear_int8)(const int8_t *weight, const float *scale, const int32_t *shift, int columns, int in,
                        const uint8_t *x, const float *x_scale, int rows, float *out, int stride);
    void (*linear_bf16)(const uint16_t *weight, int columns, int in, const uint16_t *x, int rows, float *out,
                        int stride);
    /* x (in) to 8 bits around 128 and its scale; and to bf16. `in` is a multiple of 64. */
    void (*to_int8)(const float *x, int in, uint8_t *q, float *scale);
    void (*to_bf16)(const float *x, int in, uint16_t *q);
    /* x / sqrt(mean(x^2) + epsilon) * weight over `size` values (arXiv:1910.07467); works in place. */
    void (*norm)(const float *x, const float *weight, int size, float epsilon, float *out);
    void (*rotate)(float *head, int half, const float *cosines, const float *sines);
    /* activation(gate) * up, where 16 outputs of gate and the same 16 of up lie in turn, `pairs` times. */
    void (*gate)(const float *gate_up, int pairs, int activation, float *out);
    /* A block's keys, or values, of an int8 cache as bf16; scales (TILE) are its tokens'. */
    void (*unpack_keys)(const int8_t *from, const float *scales, int dims, uint16_t *to);
    void (*unpack_values)(const int8_t *from, const float *scales, int dims, uint16_t *to);
    /* Attend to a segment: up to SEGMENT blocks, the first of whose tokens stands at `position`. */
    void (*attend)(const queries *q, const uint16_t *const *keys, const uint16_t *const *values, int blocks,
                   int position);
} kernels;

/* The kernels that were built and can run here, best last; NULL ends the list. */
const kernels *const *kernels_available(void);

extern const kernels kernels_portable, kernels_avx2, kernels_avx512, kernels_amx;

#endif
