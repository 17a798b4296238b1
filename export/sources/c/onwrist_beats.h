/* Beats from the front end's signal: pulse upslopes with time, interval and confidence, and the variability of the last
 * one and five minutes. onwrist_watch.c feeds it where ONWRIST_WITH_BEATS is defined, and hands the beats of a hop out in
 * `out.beats`. By itself:
 *
 *     static onwrist_beats beats;
 *
 *     onwrist_beats_reset(&beats);                          once, and after a gap that was not bridged
 *     onwrist_beats_spoil(&beats);                          before a count that was made up or is at a rail is pushed
 *     if (onwrist_beats_push(&beats, y, magnitude)) {       with every output of the front end, at 25 Hz
 *         use(&beats.beat);
 *     }
 *
 * Times are in 1/6400 s since the first sample after the reset, without the front end's delay; they wrap after a week. A
 * beat is known about a third of a second after its upslope (`found` says when), never before. */
#ifndef ONWRIST_BEATS_H
#define ONWRIST_BEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "onwrist_beats_config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t time;      /* of the upslope, 1/6400 s */
    uint32_t found;     /* number of the 25 Hz sample with which it was found */
    uint16_t interval;  /* to the upslope before, 1/6400 s; 0: there is none to give */
    uint8_t confidence; /* per cent, that the interval is right; see ONWRIST_BEATS_TRUSTED */
} onwrist_beat;

typedef struct {
    uint16_t intervals; /* that are trusted */
    uint16_t cover;     /* thousandths of the time that they fill */
    uint16_t mean;      /* tenths of a ms, as sdnn and rmssd */
    uint16_t sdnn;
    uint16_t rmssd; /* less what a pulse's own timing adds to it */
    uint16_t pnn50; /* thousandths of the successive differences */
} onwrist_variability;

/* Sums over a minute. */
typedef struct {
    int64_t squares, steps, spans;
    int32_t total;
    uint16_t intervals, pairs, beyond;
} onwrist_minute;

typedef struct {
    onwrist_beat beat;      /* the last one found */
    uint32_t count, spoilt; /* samples; those before this one are not to be trusted */
    int32_t z[4], slopes[2];
    int32_t low, high, left, right;
    uint32_t low_at, high_at, best_at;
    int32_t best, best_left, best_right;
    int32_t lag, span, stray, even, alike;
    int32_t interval[ONWRIST_BEATS_MEMORY], height[ONWRIST_BEATS_MEMORY]; /* rings */
    uint32_t intervals, heights;                                          /* that were put in, and where the next goes */
    uint32_t interval_at, height_at;
    uint32_t last, last_peak;
    int32_t last_height;
    bool rising, has_last;
    onwrist_minute now, whole[ONWRIST_BEATS_MINUTES]; /* a ring */
    uint32_t minutes, minute_at, samples;
    int32_t before, spans[2];
} onwrist_beats;

void onwrist_beats_reset(onwrist_beats *beats);
void onwrist_beats_spoil(onwrist_beats *beats);
/* An output of the front end after its high-pass, and its running magnitude; true if a beat was found with it. */
bool onwrist_beats_push(onwrist_beats *beats, int32_t y, int64_t magnitude);
/* Over the last `minutes` whole ones, 1 ... ONWRIST_BEATS_MINUTES; false, and zeros, before there are as many or where too
 * little of them is known. */
bool onwrist_beats_variability(const onwrist_beats *beats, int32_t minutes, onwrist_variability *out);

#ifdef __cplusplus
}
#endif

#endif
