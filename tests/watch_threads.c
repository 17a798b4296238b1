/* The watch layer between two threads. The model is replaced by a check: count number s is s itself, also where it was
 * interpolated, so that every sample that reaches the front end has to be one more than the one before, or the first
 * after a restart. Exits with 0 if all is well. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The loop is interrupted where it hurts: now and then between any two of its looks at what the other thread writes. */
static _Thread_local int is_loop;
static void interrupt(void) {
    const struct timespec rest = {0, 300000};
    if (is_loop && rand() % 1000 == 0) nanosleep(&rest, NULL);
}
#define ONWRIST_LOAD(p) (interrupt(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define ONWRIST_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#include "onwrist_watch.c"

static onwrist_watch watch;
static _Alignas(8) int8_t arena[ONWRIST_ARENA_BYTES];
static int32_t last, wrong;
static uint32_t samples;
static int done;

void onwrist_reset(onwrist *w) {
    w->filled = w->seen = 0;
    last = -1;
}

void onwrist_init(onwrist *w, int8_t *a) {
    w->arena = a;
    onwrist_reset(w);
}

int32_t onwrist_push(onwrist *w, const int32_t *counts, int32_t n) {
    wrong += n != 1 || (last >= 0 && counts[0] != last + 1);
    last = counts[0];
    w->filled++;
    return n;
}

bool onwrist_step(onwrist *w) {
    if (w->filled < ONWRIST_HOP) return false;
    w->filled = 0;
    w->seen += w->seen < ONWRIST_WINDOW ? ONWRIST_HOP : 0;
    return true;
}

void onwrist_get(const onwrist *w, onwrist_output *out) {
    out->embedding = out->answers = w->arena;
    out->valid = out->flat = false;
}

#ifdef ONWRIST_WITH_ACCELERATION
/* Its front end is replaced too: each sample's counts follow from its number, whatever happens to the ring. */
static const onwrist_acceleration_counters none;
static int acceleration_done;

void onwrist_acceleration_init(onwrist_acceleration *a) {
    a->books = none;
}

void onwrist_acceleration_unpair(onwrist_acceleration *a) {
    (void)a;
}

void onwrist_acceleration_receive(onwrist_acceleration *a, uint32_t sequence, const int16_t *counts) {
    wrong += counts[0] != (int16_t)sequence || counts[1] != (int16_t)(sequence * 3) || counts[2] != (int16_t)(sequence * 7);
    a->books.used++;
}

bool onwrist_acceleration_ready(const onwrist_acceleration *a, const onwrist_light *light, uint32_t waiting) {
    (void)a, (void)light;
    wrong += waiting > ONWRIST_ACC_RING;
    return true;
}

void onwrist_acceleration_meet(onwrist_acceleration *a, const onwrist_light *light, bool came) {
    (void)a, (void)came;
    wrong += light->waiting > ONWRIST_RING;
}

int32_t onwrist_acceleration_hop(onwrist_acceleration *a, int8_t *rows) {
    (void)a, (void)rows;
    return 0;
}

static void *accelerometer(void *given) {
    int16_t counts[9 * ONWRIST_ACC_RING];
    unsigned seed = 2;
    const struct timespec rest = {0, 20000};
    const uint32_t total = *(const uint32_t *)given;
    for (uint32_t at = 0; at < total;) {
        const int kind = rand_r(&seed) % 100;
        uint32_t n = (uint32_t)(rand_r(&seed) % (kind == 0 ? 3 * ONWRIST_ACC_RING : 2 * ONWRIST_ACC_BURST)) + 1;
        n = n < total - at ? n : total - at;
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < 3; k++) counts[3 * i + k] = (int16_t)((at + i) * (k == 0 ? 1 : k == 1 ? 3 : 7));
        }
        onwrist_watch_push_acceleration(&watch, at, counts, (int32_t)n);
        at += n;
        if (kind > 10) nanosleep(&rest, NULL);
    }
    __atomic_store_n(&acceleration_done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static int acceleration_is_right(void) {
    onwrist_acceleration_counters b;
    onwrist_watch_acceleration_books(&watch, &b);
    return b.received == b.dropped + b.discarded + b.used + b.waiting && b.high_water <= ONWRIST_ACC_RING;
}
#endif

static void *sensor(void *given) {
    int32_t counts[3 * ONWRIST_RING];
    unsigned seed = 1;
    const struct timespec rest = {0, 20000};
    const uint32_t total = *(const uint32_t *)given;
    for (uint32_t at = 0; at < total;) {
        const int kind = rand_r(&seed) % 100;
        uint32_t n = (uint32_t)(rand_r(&seed) % (kind == 0 ? 3 * ONWRIST_RING : 2 * ONWRIST_BURST)) + 1;
        n = n < total - at ? n : total - at;
        for (uint32_t i = 0; i < n; i++) counts[i] = (int32_t)(at + i);
        if (kind != 1) onwrist_watch_push(&watch, at, counts, (int32_t)n); /* 1: lost on the way */
        if (kind == 2) onwrist_watch_push(&watch, at, counts, (int32_t)n); /* 2: comes twice */
        at += n;
        if (kind > 10) nanosleep(&rest, NULL); /* else one burst chases the next */
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    return NULL;
}

int main(int argc, char **argv) {
    uint32_t total = argc > 1 ? (uint32_t)atoi(argv[1]) : 100000;
    pthread_t thread;
    onwrist_watch_output out;
    onwrist_watch_counters books;
    is_loop = 1;
    onwrist_watch_init(&watch, arena, ONWRIST_GAP_INTERPOLATE);
    if (total >= ONWRIST_FULL || pthread_create(&thread, NULL, sensor, &total) != 0) return 2;
#ifdef ONWRIST_WITH_ACCELERATION
    pthread_t other;
    if (pthread_create(&other, NULL, accelerometer, &total) != 0) return 2;
#endif
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        const int32_t status = onwrist_watch_run(&watch, &out);
        onwrist_watch_books(&watch, &books);
        wrong += status < 0 || books.high_water > ONWRIST_RING;
        samples = books.dropped + books.discarded + books.used + books.gated + books.pending + books.waiting;
        wrong += samples != books.received;
#ifdef ONWRIST_WITH_ACCELERATION
        wrong += !acceleration_is_right();
#endif
    }
    pthread_join(thread, NULL);
#ifdef ONWRIST_WITH_ACCELERATION
    pthread_join(other, NULL);
    wrong += !acceleration_is_right() || watch.motion.books.used == 0 || !acceleration_done;
#endif
    while (onwrist_watch_run(&watch, &out) != ONWRIST_IDLE) continue;
    onwrist_watch_books(&watch, &books);
    samples = books.dropped + books.discarded + books.used + books.gated + books.pending + books.waiting;
    printf("%u received, %u dropped, %u bridged, %u resets, %d wrong\n", books.received, books.dropped, books.bridged,
           books.resets, wrong);
    return wrong != 0 || samples != books.received || books.dropped == 0 || books.hops == 0;
}
