/* Plays a golden script of bursts through onwrist_watch.h - gaps, late and repeated packets, an overrun of the ring,
 * restarts - and counts what differs: reasons, sequence numbers, answers, counters, telemetry, beats. 0 on a sound board.
 * It needs onwrist_golden.h and onwrist_golden_watch.h in flash. With ONWRIST_SELFTEST_WATCH_MAIN defined it is a program
 * that exits with 0 or 1. */
#include "onwrist_golden.h"
#include "onwrist_golden_watch.h"
#include "onwrist_telemetry.h"
#include "onwrist_watch.h"

int32_t onwrist_selftest_watch(void);

static onwrist_watch watch;
static onwrist_telemetry telemetry;
static _Alignas(8) int8_t arena[ONWRIST_ARENA_BYTES];

static int32_t differing(const onwrist_watch_output *out, int32_t hop) {
    if (hop >= ONWRIST_GOLDEN_OUTPUTS) return 1;
    const int8_t *answers = onwrist_golden_shown_answers + hop * ONWRIST_ANSWERS;
    int32_t wrong = (out->reasons != onwrist_golden_reasons[hop]) + (out->sequence != onwrist_golden_number[hop]);
    for (int32_t i = 0; i < ONWRIST_ANSWERS; i++) wrong += out->answers[i] != answers[i];
    return wrong;
}

#ifdef ONWRIST_WITH_BEATS
/* Beats of an output against those from number `at` on. */
static int32_t differing_beats(const onwrist_watch_output *out, int32_t hop, int32_t at) {
    if (hop >= ONWRIST_GOLDEN_OUTPUTS || out->beat_count != onwrist_golden_beat_count[hop]) return 1;
    int32_t wrong = 0;
    for (int32_t i = 0; i < out->beat_count; i++) {
        const onwrist_beat *b = out->beats + i;
        const uint32_t found[] = {b->time, b->found, b->interval, b->confidence};
        for (int32_t k = 0; k < 4; k++) wrong += found[k] != onwrist_golden_beats[4 * (at + i) + k];
    }
    return wrong;
}
#endif

int32_t onwrist_selftest_watch(void) {
    int32_t wrong = 0, hops = 0;
#ifdef ONWRIST_WITH_BEATS
    int32_t beats = 0;
#endif
    onwrist_watch_output out;
    onwrist_watch_counters b;
    wrong += onwrist_watch_init(&watch, arena, ONWRIST_GAP_INTERPOLATE) != 0;
    wrong += onwrist_telemetry_init(&telemetry) != 0;
    for (int32_t i = 0; i < ONWRIST_GOLDEN_STEPS; i++) {
        const int32_t length = onwrist_golden_length[i], takes = onwrist_golden_takes[i];
#ifdef ONWRIST_WITH_ACCELERATION
        if (length < -1) {
            const int16_t *counts = onwrist_golden_acc_counts + 3 * onwrist_golden_offset[i];
            wrong += onwrist_watch_push_acceleration(&watch, onwrist_golden_sequence[i], counts, -2 - length) != 0;
        } else
#endif
        if (length < 0) {
            wrong += onwrist_watch_restart(&watch) != 0;
        } else {
            const int32_t *counts = onwrist_golden_counts + onwrist_golden_offset[i];
            wrong += onwrist_watch_push(&watch, onwrist_golden_sequence[i], counts, length) != 0;
        }
        for (int32_t done = 0; takes < 0 || done < takes;) {
            const int32_t status = onwrist_watch_run(&watch, &out);
            if (status <= ONWRIST_IDLE) break;
            if (status == ONWRIST_OUTPUT) {
#ifdef ONWRIST_WITH_BEATS
                wrong += differing_beats(&out, hops, beats);
                beats += out.beat_count;
#endif
#ifdef ONWRIST_WITH_ACCELERATION
                wrong += hops < ONWRIST_GOLDEN_OUTPUTS && out.unmoved != onwrist_golden_unmoved[hops];
#endif
                wrong += differing(&out, hops++);
                wrong += onwrist_telemetry_add(&telemetry, &watch, &out) != 0;
            } else {
                done++;
            }
        }
    }
    wrong += onwrist_watch_books(&watch, &b) != 0;
    const uint32_t found[] = {b.received, b.dropped, b.discarded, b.used, b.gated,
                              b.pending,  b.bridged, b.resets,    b.hops, b.shown};
    for (uint32_t i = 0; i < sizeof found / sizeof found[0]; i++) wrong += found[i] != onwrist_golden_books[i];
#ifdef ONWRIST_WITH_ACCELERATION
    onwrist_acceleration_counters more;
    wrong += onwrist_watch_acceleration_books(&watch, &more) != 0;
    const uint32_t moved[] = {more.received, more.dropped, more.discarded, more.used,
                              more.lost,     more.clipped, more.missing,   more.slips};
    for (uint32_t i = 0; i < sizeof moved / sizeof moved[0]; i++) wrong += moved[i] != onwrist_golden_acc_books[i];
#endif
    for (uint32_t i = 0; i < sizeof telemetry.bytes; i++) wrong += telemetry.bytes[i] != onwrist_golden_telemetry[i];
    return wrong + (hops != ONWRIST_GOLDEN_OUTPUTS);
}

#ifdef ONWRIST_SELFTEST_WATCH_MAIN
int main(void) {
    return onwrist_selftest_watch() != 0;
}
#endif
