#include "onwrist.h"

#include "onwrist_tables.h"

void onwrist_init(onwrist *watch, int8_t *arena) {
    watch->arena = arena;
    onwrist_reset(watch);
}

void onwrist_reset(onwrist *watch) {
    watch->newest = watch->phase = 0;
    watch->x1 = watch->x2 = watch->y1 = watch->y2 = watch->remainder = 0;
    watch->weight = 0;
    watch->magnitude = 0;
    watch->filled = watch->seen = 0;
    watch->primed = watch->started = false;
    ONWRIST_MODEL_RESET(watch->arena);
}

/* A count into the ring; true if an output of the rate conversion is due, which is then in *out. */
static bool convert(onwrist *w, int32_t count, int32_t *out) {
    if (!w->primed) { /* as if the first value had been there for ever */
        for (int32_t i = 0; i < ONWRIST_TAPS; i++) w->history[i] = count;
        w->primed = true;
    }
    w->newest = w->newest + 1 < ONWRIST_TAPS ? w->newest + 1 : 0;
    w->history[w->newest] = count;
    const bool due = w->phase < ONWRIST_UP;
    if (due) {
        const int32_t *taps = onwrist_taps + w->phase * ONWRIST_TAPS; /* oldest first */
        int64_t total = INT64_C(1) << (ONWRIST_TAP_SHIFT - 1);
        int32_t k = 0;
        for (int32_t i = w->newest + 1; i < ONWRIST_TAPS; i++) total += (int64_t)taps[k++] * w->history[i];
        for (int32_t i = 0; i <= w->newest; i++) total += (int64_t)taps[k++] * w->history[i];
        *out = (int32_t)(total >> ONWRIST_TAP_SHIFT);
        w->phase += ONWRIST_DOWN;
    }
    w->phase -= ONWRIST_UP;
    return due;
}

/* High-pass, running magnitude, and their quotient in int8 steps. */
static int8_t scale(onwrist *w, int32_t x) {
    if (!w->started) {
        w->x1 = w->x2 = x;
        w->started = true;
    }
    const int64_t bend = (int64_t)x - 2 * (int64_t)w->x1 + w->x2;
    const int64_t total =
        ONWRIST_B0 * bend - (int64_t)ONWRIST_A1 * w->y1 - (int64_t)ONWRIST_A2 * w->y2 + w->remainder;
    const int32_t y = (int32_t)(total >> ONWRIST_POLE_BITS);
    w->remainder = (int32_t)(total & ((INT64_C(1) << ONWRIST_POLE_BITS) - 1));
    w->x2 = w->x1, w->x1 = x, w->y2 = w->y1, w->y1 = y;
    const int64_t size = y < 0 ? -(int64_t)y : y;
    w->weight = (1 << ONWRIST_WEIGHT_BITS) + (int32_t)((int64_t)w->weight * ONWRIST_KEEP >> ONWRIST_KEEP_BITS);
    const int64_t one = INT64_C(1) << (ONWRIST_ALPHA_BITS + ONWRIST_WEIGHT_BITS);
    const int64_t alpha = (one + (w->weight >> 1)) / w->weight;
    w->magnitude += (size * (1 << ONWRIST_MAGNITUDE_BITS) - w->magnitude) * alpha >> ONWRIST_ALPHA_BITS;
    const int64_t unit = w->magnitude > ONWRIST_FLOOR ? w->magnitude : ONWRIST_FLOOR;
    const int64_t steps = (size * (1 << (ONWRIST_MAGNITUDE_BITS + ONWRIST_STEPS)) + (unit >> 1)) / unit;
    if (y < 0) return (int8_t)(steps > 128 ? -128 : -steps);
    return (int8_t)(steps > 127 ? 127 : steps);
}

int32_t onwrist_push(onwrist *watch, const int32_t *counts, int32_t n) {
    int32_t used = 0, filtered = 0;
    while (used < n && watch->filled < ONWRIST_HOP) {
        if (convert(watch, counts[used++], &filtered)) {
            watch->arena[ONWRIST_INPUT_OFFSET + watch->filled++] = scale(watch, filtered);
        }
    }
    return used;
}

bool onwrist_step(onwrist *watch) {
    if (watch->filled < ONWRIST_HOP) return false;
    ONWRIST_MODEL_RUN(watch->arena);
    watch->filled = 0;
    watch->seen += watch->seen < ONWRIST_WINDOW ? ONWRIST_HOP : 0;
    return true;
}

void onwrist_get(const onwrist *watch, onwrist_output *out) {
    out->embedding = watch->arena + ONWRIST_EMBEDDING_OFFSET;
    out->answers = watch->arena + ONWRIST_ANSWERS_OFFSET;
    out->valid = watch->seen >= ONWRIST_WINDOW;
    out->flat = watch->magnitude <= ONWRIST_FLOOR;
}
