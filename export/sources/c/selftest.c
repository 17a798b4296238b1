/* Runs the golden vectors through the five calls and counts the bytes that differ: 0 on a sound board. Give it to a
 * debugger, or print its result; it needs nothing but the arena below and onwrist_golden.h in flash. With
 * ONWRIST_SELFTEST_MAIN defined it is a program that exits with 0 or 1. */
#include "onwrist.h"
#include "onwrist_golden.h"

int32_t onwrist_selftest(void);

static onwrist watch;
static _Alignas(8) int8_t arena[ONWRIST_ARENA_BYTES];

static int32_t differing(const int8_t *a, const int8_t *b, int32_t n) {
    int32_t wrong = 0;
    for (int32_t i = 0; i < n; i++) wrong += a[i] != b[i];
    return wrong;
}

#ifdef ONWRIST_WITH_ACCELERATION
/* Rows of x, y, z beside the light of a hop. */
static void put_acceleration(int32_t hop) {
    if (watch.filled < ONWRIST_HOP || hop >= ONWRIST_GOLDEN_HOPS) return;
    const int8_t *rows = onwrist_golden_acc_input + hop * ONWRIST_HOP * 3;
    for (int32_t i = 0; i < ONWRIST_HOP * 3; i++) arena[ONWRIST_ACC_OFFSET + i] = rows[i];
}

#endif
int32_t onwrist_selftest(void) {
    int32_t wrong = 0, hops = 0, at = 0;
    onwrist_output out;
    onwrist_init(&watch, arena);
    while (at < ONWRIST_GOLDEN_COUNTS) {
        at += onwrist_push(&watch, onwrist_golden_counts + at, ONWRIST_GOLDEN_COUNTS - at);
        wrong += differing(arena + ONWRIST_INPUT_OFFSET, onwrist_golden_input + hops * ONWRIST_HOP,
                           watch.filled == ONWRIST_HOP ? ONWRIST_HOP : 0);
#ifdef ONWRIST_WITH_ACCELERATION
        put_acceleration(hops);
#endif
        if (!onwrist_step(&watch)) break;
        onwrist_get(&watch, &out);
        wrong += differing(out.embedding, onwrist_golden_embedding + hops * ONWRIST_EMBEDDING, ONWRIST_EMBEDDING);
        wrong += differing(out.answers, onwrist_golden_answers + hops * ONWRIST_ANSWERS, ONWRIST_ANSWERS);
        hops++;
    }
    return wrong + (hops != ONWRIST_GOLDEN_HOPS);
}

#ifdef ONWRIST_SELFTEST_MAIN
int main(void) {
    return onwrist_selftest() != 0;
}
#endif
