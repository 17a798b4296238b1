/* ADC counts in, embedding and answers out: front end, stream of the INT8 model, validity. Five calls:
 *
 *     static onwrist watch;
 *     _Alignas(8) static int8_t arena[ONWRIST_ARENA_BYTES];
 *
 *     onwrist_init(&watch, arena);                          once
 *     used = onwrist_push(&watch, counts, n);               as samples come; stops where a hop is complete
 *     if (onwrist_step(&watch)) {                           the work of a hop, if one is complete
 *         onwrist_get(&watch, &out);                        embedding, answers, valid
 *     }
 *     onwrist_reset(&watch);                                after a gap that was not bridged
 *
 * One instance is used from one place at a time; nothing is global, nothing is allocated. Rates, shapes and scales are
 * the constants of onwrist_config.h.
 *
 * These five check nothing: no pointer may be NULL, the arena is aligned to 8 and as large as said, and onwrist_init comes first.
 * The calls of onwrist_watch.h and onwrist_telemetry.h return an error instead, where an instance was set to 0 before (static
 * ones are). */
#ifndef ONWRIST_H
#define ONWRIST_H

#include <stdbool.h>
#include <stdint.h>

#include "onwrist_config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int8_t *arena;
    int32_t history[ONWRIST_TAPS]; /* counts, a ring */
    int32_t newest, phase;
    int32_t x1, x2, y1, y2, remainder; /* high-pass */
    int32_t weight;
    int64_t magnitude;
    int32_t filled; /* samples of the hop that is being filled */
    int32_t seen;   /* samples since the start, up to a window */
    bool primed, started;
} onwrist;

typedef struct {
    const int8_t *embedding; /* ONWRIST_EMBEDDING values, unit ONWRIST_EMBEDDING_SCALE; good until the next step */
    const int8_t *answers;   /* ONWRIST_ANSWERS values, unit ONWRIST_ANSWERS_SCALE */
    bool valid;              /* a whole window of samples since the start */
    bool flat;               /* nothing moves: the running magnitude is below half a count */
} onwrist_output;

void onwrist_init(onwrist *watch, int8_t *arena);
/* Forget everything: the next samples are the first. */
void onwrist_reset(onwrist *watch);
/* Take up to n counts (0 ... 2^ONWRIST_BITS - 1); returns how many, fewer than n where a hop became complete. */
int32_t onwrist_push(onwrist *watch, const int32_t *counts, int32_t n);
/* Run the model on a complete hop; false where there is none. */
bool onwrist_step(onwrist *watch);
void onwrist_get(const onwrist *watch, onwrist_output *out);

#ifdef __cplusplus
}
#endif

#endif
