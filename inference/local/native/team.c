#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

enum {
    SPINS_IN_A_JOB = 400, /* looks at a phase before the core is offered to others: tens of microseconds */
    SPINS_BETWEEN = 1500, /* looks for the next job before sleeping: some steps follow at once */
    LINE = 64,            /* bytes a cache line */
};

/* Counters carry their job's number in the upper half, so that a member that comes late can neither claim a
 * chunk of a later job nor wait for it. The lower half counts down. */
typedef struct {
    _Alignas(LINE) _Atomic uint64_t unclaimed;
    _Alignas(LINE) _Atomic uint64_t unfinished;
} phase;

typedef struct {
    team *team;
    int number;
} member;

struct team {
    int size, phases;
    phase *phase;
    int *chunks;               /* of the job that is being prepared */
    _Atomic(team_work *) work; /* of the newest job; a late member that gets it with an older number */
    _Atomic(void *) job;       /* is sent away by its first phase */
    _Alignas(LINE) _Atomic uint32_t epoch; /* the newest job's number; 0 ends the team */
    pthread_mutex_t mutex;
    pthread_cond_t news;
    pthread_t *threads;
    member *members;
};

static uint64_t counter(uint32_t epoch, uint32_t count) { return ((uint64_t)epoch << 32) | count; }

/* Wait for a job other than `seen`. */
static uint32_t next_job(team *t, uint32_t seen) {
    for (int i = 0; i < SPINS_BETWEEN; i++) {
        uint32_t epoch = atomic_load_explicit(&t->epoch, memory_order_acquire);
        if (epoch != seen) return epoch;
        relax();
    }
    pthread_mutex_lock(&t->mutex);
    while (atomic_load_explicit(&t->epoch, memory_order_acquire) == seen)
        pthread_cond_wait(&t->news, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
    return atomic_load_explicit(&t->epoch, memory_order_acquire);
}

static void *serve(void *argument) {
    member *self = argument;
    team *t = self->team;
    uint32_t seen = 1;
    while ((seen = next_job(t, seen)) != 0) {
        team_turn turn = {t, self->number, seen};
        team_work *work = atomic_load(&t->work);
        work(atomic_load(&t->job), &turn);
    }
    return NULL;
}

team *team_open(int size, int phases) {
    team *t = aligned_alloc(LINE, (sizeof(team) + LINE - 1) / LINE * LINE);
    if (t == NULL) return NULL;
    *t = (team){.size = 1, .phases = phases};
    atomic_init(&t->epoch, 1);
    t->phase = aligned_alloc(LINE, sizeof(phase) * (size_t)phases);
    t->chunks = calloc((size_t)phases, sizeof(int));
    t->threads = calloc((size_t)size, sizeof(pthread_t));
    t->members = calloc((size_t)size, sizeof(member));
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->news, NULL);
    if (t->phase == NULL || t->chunks == NULL || t->threads == NULL || t->members == NULL) {
        team_close(t);
        return NULL;
    }
    for (int i = 0; i < phases; i++) {
        atomic_init(&t->phase[i].unclaimed, 0);
        atomic_init(&t->phase[i].unfinished, 0);
    }
    for (; t->size < size; t->size++) { /* with fewer threads than asked for it is only slower */
        t->members[t->size] = (member){t, t->size};
        if (pthread_create(&t->threads[t->size], NULL, serve, &t->members[t->size]) != 0) break;
    }
    return t;
}

static void announce(team *t, uint32_t epoch) {
    pthread_mutex_lock(&t->mutex);
    atomic_store(&t->epoch, epoch);
    pthread_cond_broadcast(&t->news);
    pthread_mutex_unlock(&t->mutex);
}

void team_close(team *t) {
    if (t == NULL) return;
    announce(t, 0);
    for (int i = 1; i < t->size; i++) pthread_join(t->threads[i], NULL);
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->news);
    free(t->members);
    free(t->threads);
    free(t->chunks);
    free(t->phase);
    free(t);
}

int team_size(const team *t) { return t->size; }

void team_prepare(team *t, int number, int chunks) { t->chunks[number] = chunks; }

void team_run(team *t, team_work *work, void *job) {
    uint32_t epoch = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;
    if (epoch == 0) epoch = 1; /* after four thousand million jobs */
    for (int i = 0; i < t->phases; i++) {
        atomic_store_explicit(&t->phase[i].unfinished, counter(epoch, (uint32_t)t->chunks[i]),
                              memory_order_relaxed);
        atomic_store_explicit(&t->phase[i].unclaimed, counter(epoch, (uint32_t)t->chunks[i]),
                              memory_order_release);
    }
    atomic_store(&t->work, work);
    atomic_store(&t->job, job);
    announce(t, epoch);
    team_turn turn = {t, 0, epoch};
    work(job, &turn);
}

enum { NONE_LEFT = -1, JOB_OVER = -2 };

/* The number of a chunk for this member to do, or why there is none. */
static int claim(phase *p, uint32_t epoch) {
    uint64_t seen = atomic_load_explicit(&p->unclaimed, memory_order_acquire);
    for (;;) {
        if (seen >> 32 != epoch) return JOB_OVER;
        if ((uint32_t)seen == 0) return NONE_LEFT;
        if (atomic_compare_exchange_weak_explicit(&p->unclaimed, &seen, seen - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return (int)(uint32_t)seen - 1;
        relax();
    }
}

bool team_phase(const team_turn *turn, int number, team_chunk *chunk, void *job, int argument) {
    phase *p = &turn->team->phase[number];
    int mine;
    while ((mine = claim(p, turn->epoch)) >= 0) {
        chunk(job, argument, mine, turn->member);
        atomic_fetch_sub_explicit(&p->unfinished, 1, memory_order_acq_rel);
    }
    if (mine == JOB_OVER) return false;
    for (int spins = 0;; spins++) {
        uint64_t unfinished = atomic_load_explicit(&p->unfinished, memory_order_acquire);
        if (unfinished >> 32 != turn->epoch) return false;
        if ((uint32_t)unfinished == 0) return true;
        if (spins < SPINS_IN_A_JOB)
            relax();
        else
            sched_yield();
    }
}
