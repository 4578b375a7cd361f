/* The step's memory: grown when a larger step comes, never shrunk. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static void *zeros(size_t bytes) {
    size_t size = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size ? size : 64);
    if (memory) memset(memory, 0, size);
    return memory;
}

static int number_bytes(const chorus_runner *r) { return r->model.weights == CHORUS_INT8 ? 1 : 2; }

void free_room(chorus_runner *r) {
    free(r->position), free(r->span_of), free(r->wanted_token), free(r->order), free(r->tile), free(r->x);
    free(r->product), free(r->attended), free(r->gated), free(r->converted), free(r->converted_scale);
    r->position = r->span_of = r->wanted_token = r->order = NULL;
    r->tile = NULL;
    r->x = r->product = r->attended = r->gated = r->converted_scale = NULL;
    r->converted = NULL;
    r->capacity = 0;
}

int make_room(chorus_runner *r, int tokens, int spans) {
    if (tokens <= r->capacity && spans <= r->span_capacity) return 0;
    const chorus_model *m = &r->model;
    const chorus_layer *l = &m->layer[0];
    size_t t = (size_t)padded(greatest(tokens, r->capacity), 64) + ROW_SLACK;
    int capacity = (int)t - ROW_SLACK, most_spans = greatest(spans, r->span_capacity);
    int share = m->heads / m->kv_heads;
    int out = greatest(greatest(l->qkv.out, l->gate_up.out), r->width);
    free_room(r);
    r->position = zeros(sizeof(int) * (t + (size_t)most_spans));
    r->span_of = zeros(sizeof(int) * t);
    r->wanted_token = zeros(sizeof(int) * t);
    r->order = zeros(sizeof(int) * (size_t)most_spans);
    r->tile = zeros(sizeof(tile) * (t * (size_t)share / TILE + (size_t)most_spans + t));
    r->x = zeros(sizeof(float) * t * (size_t)stride_of(r->width));
    r->product = zeros(sizeof(float) * t * (size_t)stride_of(out));
    r->attended = zeros(sizeof(float) * t * (size_t)stride_of(l->output.in));
    r->gated = zeros(sizeof(float) * t * (size_t)stride_of(l->down.in));
    r->converted = zeros((size_t)number_bytes(r) * t * (size_t)r->widest);
    r->converted_scale = zeros(sizeof(float) * t);
    if (!r->position || !r->span_of || !r->wanted_token || !r->order || !r->tile || !r->x || !r->product ||
        !r->attended || !r->gated || !r->converted || !r->converted_scale) {
        free_room(r);
        return 1;
    }
    r->capacity = capacity;
    r->span_capacity = most_spans;
    return 0;
}

int make_scratch(chorus_runner *r) {
    r->scratch = zeros(sizeof(scratch) * (size_t)team_size(r->team));
    if (!r->scratch) return 1;
    for (int i = 0; i < team_size(r->team); i++) {
        scratch *s = &r->scratch[i];
        s->prepared = -1;
        s->converted = zeros((size_t)number_bytes(r) * (FEW + ROW_SLACK) * (size_t)r->widest);
        s->converted_scale = zeros(sizeof(float) * (FEW + ROW_SLACK));
        s->normed = zeros(sizeof(float) * (size_t)r->widest);
        s->query = zeros(sizeof(uint16_t) * 2 * TILE * (size_t)r->dims);
        s->mixed = zeros(sizeof(float) * 2 * TILE * (size_t)r->dims);
        s->unpacked = zeros(sizeof(uint16_t) * 2 * SEGMENT * TILE * (size_t)r->dims);
        if (!s->converted || !s->converted_scale || !s->normed || !s->query || !s->mixed || !s->unpacked)
            return 1;
    }
    return 0;
}

void free_scratch(chorus_runner *r) {
    int members = r->scratch ? team_size(r->team) : 0;
    for (int i = 0; i < members; i++) {
        scratch *s = &r->scratch[i];
        free(s->converted), free(s->converted_scale), free(s->normed);
        free(s->query), free(s->mixed), free(s->unpacked);
    }
    free(r->scratch);
    r->scratch = NULL;
}
