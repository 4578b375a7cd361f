/* What the parts of the step share: the runner with its batch, and what one file wants of another. Nothing
 * outside this folder includes it.
 */
#ifndef CHORUS_RUNNER_H
#define CHORUS_RUNNER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"
#include "step.h"
#include "team.h"

enum {
    FEW = 16,             /* rows that each member converts for itself */
    CHUNKS_A_MEMBER = 6,  /* of a phase, so that a member that is slow for a while holds up little */
    COLUMNS_A_CHUNK = 4,  /* packed columns that kernels like to take together */
    LARGEST_HEAD = 1024,  /* dimensions, padded */
    ROW_SLACK = 2 * TILE, /* rows behind the last that kernels may read */
};

enum {
    CONVERT_IN,
    QKV,
    STORE,
    ATTEND,
    CONVERT_ATTENDED,
    OUTPUT,
    CONVERT_MLP,
    GATE_UP,
    CONVERT_GATED,
    DOWN,
    PHASES
};

static inline int padded(int size, int to) { return (size + to - 1) / to * to; }

static inline int least(int a, int b) { return a < b ? a : b; }

static inline int greatest(int a, int b) { return a > b ? a : b; }

/* A share of attention's work for one KV head: query rows that go through the same code at once. Either rows
 * `first_row` to `first_row + rows` of one span (a row is a token and one of the KV head's query heads), or
 * all rows of several spans of one token, whose first `shared` segments lie in the same blocks. */
typedef struct {
    int first, spans; /* among the batch's spans, by `order` */
    int first_row, rows;
    int shared;
} tile;

/* What one member needs for itself. */
typedef struct {
    long prepared;      /* the phase for which `converted` was made */
    uint8_t *converted; /* (FEW + ROW_SLACK, widest) int8 or bf16 */
    float *converted_scale;
    float *normed;      /* (widest) */
    uint16_t *query;    /* bf16 (2 TILE, D) */
    float *mixed;       /* (2 TILE, D) */
    uint16_t *unpacked; /* bf16 (2, SEGMENT, D * TILE): blocks of an int8 cache */
    float most[2 * TILE], sum[2 * TILE];
    int32_t begin[2 * TILE], end[2 * TILE];
    int token[2 * TILE], head[2 * TILE];
} scratch;

struct chorus_runner {
    chorus_model model;
    chorus_cache cache;
    const kernels *kernel;
    team *team;
    scratch *scratch; /* one a member */
    int width;        /* hidden, padded */
    int dims;         /* head_dim, padded to 32 */
    int widest;       /* inputs that a linear layer has at most */
    long step;        /* steps so far */

    /* The step's batch, and room for its tokens. */
    const chorus_batch *batch;
    float *logits;
    int capacity, span_capacity, tile_capacity;
    int wanted, tiles, all_single;
    int *position, *span_of, *wanted_token, *order;
    tile *tile;
    float *x;           /* (T, width) the residual stream */
    float *product;     /* (T, widest output): what the last linear layer gave */
    float *attended;    /* (T, output.in) */
    float *gated;       /* (T, down.in) */
    uint8_t *converted; /* (T + ROW_SLACK, widest) int8 or bf16 */
    float *converted_scale;
};

/* How far apart rows of `size` numbers stand: a cache line more than they need, so that the rows of a tile do
 * not all fall into the same few places of the cache. */
static inline int stride_of(int size) { return size + TILE; }

/* Where share `number` of a whole begins that is cut into `shares`. */
static inline int share_of(int whole, int number, int shares) { return (int)((long)whole * number / shares); }

static inline const chorus_layer *layer_of(const chorus_runner *r, int number) {
    return &r->model.layer[number];
}

/* ---- linear.c ---- */

/* Rows that go into a linear layer: `row[i]`, or i, of `from`, normalised first if there is a norm. */
typedef struct {
    const float *from;
    int stride, size, in; /* a row's distance, its real size for the norm, its padded size */
    const float *norm;
    const int *row;
    int rows;
} inputs;

/* Chunks of the phase that converts so many rows together; 0 if each member does it for itself. */
int conversion_chunks(const chorus_runner *r, int rows);

/* A chunk of that phase. */
void convert_chunk(chorus_runner *r, const inputs *i, int chunk, int chunks, int member);

/* Chunks of a linear layer's phase. */
int linear_chunks(const chorus_runner *r, const chorus_linear *l);

/* A chunk's outputs go to `out` (rows, stride); `phase` is a number that no other phase has. `from` and `to`
 * tell which packed columns they were. */
void linear_chunk(chorus_runner *r, const chorus_linear *l, const inputs *i, long phase, int chunk,
                  int member, float *out, int stride, int *from, int *to);

/* ---- cache.c ---- */

/* Which of all blocks' pieces, one a layer and KV head, this is; its keys begin at the number keys_at(place),
 * its values at values_at(place). */
size_t place_of(const chorus_runner *r, int layer, int block, int kv_head);
size_t keys_at(const chorus_runner *r, size_t place);
size_t values_at(const chorus_runner *r, size_t place);

/* A head's numbers with zeros behind them up to dims; rotated for a position. */
void padded_head(const chorus_runner *r, const float *head, float *out);
void rotate_head(const chorus_runner *r, float *head, int position);

/* Normalise and rotate a token's key, and put it and the value into the cache. */
void store(chorus_runner *r, int layer, int token, int kv_head);

/* ---- attention.c ---- */

/* A tile's queries for one KV head, from what the layer's first linear gave to `attended`. */
void attend_tile(chorus_runner *r, int layer, const tile *t, int kv_head, int member);

/* ---- plan.c ---- */

/* Work out which of the batch's tokens stand where, and which attend together. */
void plan(chorus_runner *r);

/* ---- room.c ---- */

/* Room for a step of so many tokens and spans, and what each member needs. 0, or 1 if memory is short. */
int make_room(chorus_runner *r, int tokens, int spans);
int make_scratch(chorus_runner *r);
void free_room(chorus_runner *r);
void free_scratch(chorus_runner *r);

/* ---- step.c ---- */

int phases_of(const chorus_runner *r);

#endif
