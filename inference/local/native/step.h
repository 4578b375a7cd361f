/* One step of a Llama-shaped model on the CPU: a ragged batch of tokens in, logits out.
 *
 * The only header that the outside sees. All arrays belong to the caller and stay where they are while the
 * model is open. Sizes are in elements unless they say bytes. "Padded" sizes are rounded up so that every
 * kernel works on whole vectors and tiles; what is beyond the real size is zero.
 */
#ifndef CHORUS_STEP_H
#define CHORUS_STEP_H

#include <stdint.h>

#define CHORUS_VERSION 1
#define CHORUS_BLOCK 16 /* tokens a cache block */

enum chorus_numbers { CHORUS_INT8 = 0, CHORUS_BF16 = 1 };
enum chorus_activation { CHORUS_SILU = 0, CHORUS_GELU_TANH = 1 };

/* y = x W^T + bias. The weight is packed in columns of 16 outputs:
 *   int8  [out / 16][in / 4][16][4], y = (sum - shift) * scale, where x is stored as x + 128 in 8 bits and
 *         shift[n] = 128 * sum of the output's weights
 *   bf16  [out / 16][in / 2][16][2]
 * `in` is padded to 64, `out` to 16. */
typedef struct {
    const void *weight;
    const float *scale;   /* (out), int8 only */
    const int32_t *shift; /* (out), int8 only */
    const float *bias;    /* (out), or NULL */
    int32_t in, out;
} chorus_linear;

/* A decoder layer. gate_up holds columns of gate and up in turn: 16 outputs of gate, the same 16 of up. */
typedef struct {
    const float *attention_norm, *mlp_norm; /* (hidden, padded to 64) */
    const float *query_norm, *key_norm;     /* (head_dim), or NULL */
    chorus_linear qkv, output, gate_up, down;
    int32_t window; /* tokens that one attends to, itself included; 0 for all */
} chorus_layer;

typedef struct {
    int32_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary;
    int32_t weights;    /* enum chorus_numbers */
    int32_t cache;      /* enum chorus_numbers */
    int32_t activation; /* enum chorus_activation */
    int32_t context;    /* rows of the rotary tables */
    float epsilon;      /* of the norms */
    float scaling;      /* of the attention scores */
    float embedding_scale;
    const uint16_t *embedding; /* bf16 (vocabulary, hidden) */
    const float *cosines;      /* (context, head_dim / 2) */
    const float *sines;        /* (context, head_dim / 2) */
    const float *norm;         /* (hidden, padded to 64), the last */
    chorus_linear head;
    const chorus_layer *layer;
} chorus_model;

/* The cache, (blocks, layers, kv_heads): what a block holds of a KV head at a layer is, with D = head_dim
 * padded to 32, keys    [D / 2][16 tokens][2 dims] values  [D / 16][8 pairs of tokens][16 dims][2 tokens] in
 * bf16, or in int8 with a scale for each token's key and value. */
typedef struct {
    int32_t blocks;
    void *numbers; /* (blocks, layers, kv_heads, 2, D * 16): keys, then values */
    float *scales; /* (blocks, layers, kv_heads, 2, 16), or NULL for bf16 */
} chorus_cache;

/* `spans` sequences with `tokens` tokens in all. Span i has count[i] tokens, which stand at start[i],
 * start[i] + 1, ...; its blocks are table[first_block[i]], ...; logits are wanted for its last wanted[i]. */
typedef struct {
    int32_t spans, tokens;
    const int32_t *token; /* (tokens) */
    const int32_t *start, *count, *wanted, *first_block;
    const int32_t *table;
} chorus_batch;

#pragma GCC visibility push(default)

typedef struct chorus_runner chorus_runner;

/* The version of this interface. */
int32_t chorus_version(void);

/* Names of the instruction sets that were built and that this processor has, best last, divided by spaces. */
const char *chorus_instruction_sets(void);

/* Makes a runner on `threads` threads, the caller's included, with the kernels of that instruction set. NULL
 * if it is not to be had, or memory is short. */
chorus_runner *chorus_open(const chorus_model *model, const chorus_cache *cache, int32_t threads,
                           const char *instruction_set);

/* Computes a step; logits (sum of wanted, head.out) in the order of the spans. Returns 0, or 1 if memory is
 * short; then nothing was computed. One call at a time. */
int32_t chorus_step(chorus_runner *runner, const chorus_batch *batch, float *logits);

void chorus_close(chorus_runner *runner);

/* Measures the machine with a runner's own threads: reads `bytes` of `memory` once, a cache line at a time,
 * and gives a checksum, so that nothing is left out. */
uint64_t chorus_read_memory(chorus_runner *runner, const void *memory, uint64_t bytes);

#pragma GCC visibility pop

#endif
