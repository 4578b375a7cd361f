/* The step: the layers' parts as phases of a team's job. Knows nothing of instruction sets or of threads'
 * waiting.
 *
 * Activations are f32 rows, one a token. A layer is
 *   [convert] qkv [store] attend [convert] output [convert] gate_up [convert] down
 * where the conversions to the weights' numbers are phases of their own only for many rows: for few, each
 * member converts all rows for itself, which takes less time than waiting for one another.
 */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

/* A number that no other phase of any step has. */
static long phase_number(const chorus_runner *r, int layer, int phase) {
    return (r->step * (r->model.layers + 1) + layer) * PHASES + phase;
}

static inputs into_qkv(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->x, stride_of(r->width), r->model.hidden, l->qkv.in, l->attention_norm,
                    NULL, r->batch->tokens};
}

static inputs into_output(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->attended, stride_of(l->output.in), l->output.in, l->output.in, NULL,
                    NULL,        r->batch->tokens};
}

static inputs into_mlp(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->x, stride_of(r->width), r->model.hidden, l->gate_up.in, l->mlp_norm,
                    NULL, r->batch->tokens};
}

static inputs into_down(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->gated, stride_of(l->down.in), l->down.in, l->down.in, NULL, NULL, r->batch->tokens};
}

static inputs into_head(const chorus_runner *r) {
    return (inputs){r->x,          stride_of(r->width), r->model.hidden, r->model.head.in,
                    r->model.norm, r->wanted_token,     r->wanted};
}

static void embed_chunk(void *job, int argument, int chunk, int member) {
    (void)argument, (void)member;
    chorus_runner *r = job;
    const chorus_model *m = &r->model;
    int chunks = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int from = share_of(r->batch->tokens, chunk, chunks), to = share_of(r->batch->tokens, chunk + 1, chunks);
    for (int t = from; t < to; t++) {
        float *row = r->x + (size_t)t * stride_of(r->width);
        const uint16_t *known = m->embedding + (size_t)r->batch->token[t] * m->hidden;
        for (int i = 0; i < m->hidden; i++) {
            uint32_t bits = (uint32_t)known[i] << 16;
            memcpy(row + i, &bits, 4);
            row[i] *= m->embedding_scale;
        }
        memset(row + m->hidden, 0, sizeof(float) * (size_t)(r->width - m->hidden));
    }
}

static void convert_in_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_qkv(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void qkv_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    const chorus_linear *l = &layer_of(r, layer)->qkv;
    inputs i = into_qkv(r, layer_of(r, layer));
    int from, to;
    linear_chunk(r, l, &i, phase_number(r, layer, QKV), chunk, member, r->product, stride_of(l->out), &from,
                 &to);
}

static void store_chunk(void *job, int layer, int chunk, int member) {
    (void)member;
    chorus_runner *r = job;
    int chunks = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int from = share_of(r->batch->tokens, chunk, chunks), to = share_of(r->batch->tokens, chunk + 1, chunks);
    for (int t = from; t < to; t++)
        for (int h = 0; h < r->model.kv_heads; h++) store(r, layer, t, h);
}

static void attend_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    attend_tile(r, layer, &r->tile[chunk / r->model.kv_heads], chunk % r->model.kv_heads, member);
}

/* x += what a layer gives, for a chunk of its outputs. */
static void add_linear(chorus_runner *r, const chorus_linear *l, const inputs *i, long phase, int chunk,
                       int member) {
    int from, to;
    linear_chunk(r, l, i, phase, chunk, member, r->product, stride_of(l->out), &from, &to);
    for (int m = 0; m < i->rows; m++) {
        float *row = r->x + (size_t)m * stride_of(r->width);
        const float *more = r->product + (size_t)m * stride_of(l->out);
        for (int n = from * TILE; n < to * TILE; n++) row[n] += more[n];
    }
}

static void convert_attended_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_output(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void output_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_output(r, layer_of(r, layer));
    add_linear(r, &layer_of(r, layer)->output, &i, phase_number(r, layer, OUTPUT), chunk, member);
}

static void convert_mlp_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_mlp(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void gate_up_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    const chorus_layer *l = layer_of(r, layer);
    inputs i = into_mlp(r, l);
    int from, to;
    linear_chunk(r, &l->gate_up, &i, phase_number(r, layer, GATE_UP), chunk, member, r->product,
                 stride_of(l->gate_up.out), &from, &to);
    for (int m = 0; m < i.rows; m++) { /* columns of gate and up in turn */
        const float *row = r->product + (size_t)m * stride_of(l->gate_up.out);
        r->kernel->gate(row + from * TILE, (to - from) / 2, r->model.activation,
                        r->gated + (size_t)m * stride_of(l->down.in) + from / 2 * TILE);
    }
}

static void convert_gated_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_down(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void down_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_down(r, layer_of(r, layer));
    add_linear(r, &layer_of(r, layer)->down, &i, phase_number(r, layer, DOWN), chunk, member);
}

static void convert_last_chunk(void *job, int argument, int chunk, int member) {
    (void)argument;
    chorus_runner *r = job;
    inputs i = into_head(r);
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void head_chunk(void *job, int argument, int chunk, int member) {
    (void)argument;
    chorus_runner *r = job;
    const chorus_linear *l = &r->model.head;
    inputs i = into_head(r);
    int from, to;
    linear_chunk(r, l, &i, phase_number(r, r->model.layers, 0), chunk, member, r->logits, l->out, &from, &to);
}

/* ---- the job ---- */

static int first_phase(int layer) { return 1 + layer * PHASES; }

int phases_of(const chorus_runner *r) { return first_phase(r->model.layers) + 2; }

static void prepare(chorus_runner *r) {
    const chorus_model *m = &r->model;
    int few = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int conversion = conversion_chunks(r, r->batch->tokens);
    team_prepare(r->team, 0, few);
    for (int i = 0; i < m->layers; i++) {
        const chorus_layer *l = layer_of(r, i);
        int chunks[PHASES] = {
            [CONVERT_IN] = conversion,         [QKV] = linear_chunks(r, &l->qkv),
            [STORE] = r->all_single ? 0 : few, [ATTEND] = r->tiles * m->kv_heads,
            [CONVERT_ATTENDED] = conversion,   [OUTPUT] = linear_chunks(r, &l->output),
            [CONVERT_MLP] = conversion,        [GATE_UP] = linear_chunks(r, &l->gate_up),
            [CONVERT_GATED] = conversion,      [DOWN] = linear_chunks(r, &l->down),
        };
        for (int p = 0; p < PHASES; p++) team_prepare(r->team, first_phase(i) + p, chunks[p]);
    }
    team_prepare(r->team, first_phase(m->layers), conversion_chunks(r, r->wanted));
    team_prepare(r->team, first_phase(m->layers) + 1, r->wanted ? linear_chunks(r, &m->head) : 0);
}

static void work(void *job, const team_turn *turn) {
    static team_chunk *const parts[PHASES] = {
        [CONVERT_IN] = convert_in_chunk,
        [QKV] = qkv_chunk,
        [STORE] = store_chunk,
        [ATTEND] = attend_chunk,
        [CONVERT_ATTENDED] = convert_attended_chunk,
        [OUTPUT] = output_chunk,
        [CONVERT_MLP] = convert_mlp_chunk,
        [GATE_UP] = gate_up_chunk,
        [CONVERT_GATED] = convert_gated_chunk,
        [DOWN] = down_chunk,
    };
    chorus_runner *r = job;
    const int layers = r->model.layers; /* what the model is never changes: late members may read it */
    bool going = team_phase(turn, 0, embed_chunk, r, 0);
    for (int i = 0; going && i < layers; i++)
        for (int p = 0; going && p < PHASES; p++)
            going = team_phase(turn, first_phase(i) + p, parts[p], r, i);
    if (going && team_phase(turn, first_phase(layers), convert_last_chunk, r, 0))
        team_phase(turn, first_phase(layers) + 1, head_chunk, r, 0);
    if (r->kernel->leave) r->kernel->leave();
}

/* ---- the interface ---- */

int32_t chorus_version(void) { return CHORUS_VERSION; }

const char *chorus_instruction_sets(void) {
    static char names[64];
    const kernels *const *found = kernels_available();
    names[0] = 0;
    for (int i = 0; found[i]; i++) {
        if (i) strcat(names, " ");
        strcat(names, found[i]->name);
    }
    return names;
}

static const kernels *kernels_named(const char *name) {
    const kernels *const *found = kernels_available();
    for (int i = 0; found[i]; i++)
        if (strcmp(found[i]->name, name) == 0) return found[i];
    return NULL;
}

chorus_runner *chorus_open(const chorus_model *model, const chorus_cache *cache, int32_t threads,
                           const char *instruction_set) {
    const kernels *found = kernels_named(instruction_set);
    chorus_runner *r = found ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    r->model = *model;
    r->cache = *cache;
    r->kernel = found;
    r->width = padded(model->hidden, PAD);
    r->dims = padded(model->head_dim, 32);
    const chorus_layer *l = &model->layer[0];
    r->widest = greatest(greatest(l->qkv.in, l->output.in), greatest(l->gate_up.in, l->down.in));
    r->team = team_open(threads, phases_of(r));
    if (!r->team || make_scratch(r) || make_room(r, 64, 16)) {
        chorus_close(r);
        return NULL;
    }
    return r;
}

int32_t chorus_step(chorus_runner *r, const chorus_batch *batch, float *logits) {
    if (make_room(r, batch->tokens, batch->spans)) return 1;
    r->batch = batch;
    r->logits = logits;
    r->step++;
    plan(r);
    prepare(r);
    team_run(r->team, work, r);
    return 0;
}

void chorus_close(chorus_runner *r) {
    if (!r) return;
    free_scratch(r);
    team_close(r->team);
    free_room(r);
    free(r);
}
