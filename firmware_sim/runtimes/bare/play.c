/* Plays a script of bursts through the watch and records what comes out: for simulation only, it does not ship. */
#include "onwrist_watch.h"

#include <stddef.h>

#ifdef ONWRIST_PLAY_TELEMETRY
#include "onwrist_telemetry.h"
#define COUNT(s, watch, out) (void)onwrist_telemetry_add((s)->telemetry, (watch), (out))
#else
typedef void onwrist_telemetry;
#define COUNT(s, watch, out) (void)(s)->telemetry
#endif

#ifdef ONWRIST_WITH_BEATS
/* Beats of an output: how many, then time, found, interval, confidence of each, in a row of fixed length. */
#define BEAT_WORDS (1 + 4 * ONWRIST_BEATS_ROOM)
static uint32_t *keep_beats(uint32_t *at, const onwrist_watch_output *out) {
    for (int32_t i = 0; i < BEAT_WORDS; i++) at[i] = 0;
    at[0] = (uint32_t)out->beat_count;
    for (int32_t i = 0; i < out->beat_count; i++) {
        const onwrist_beat *b = out->beats + i;
        at[1 + 4 * i] = b->time, at[2 + 4 * i] = b->found, at[3 + 4 * i] = b->interval, at[4 + 4 * i] = b->confidence;
    }
    return at + BEAT_WORDS;
}
#else
static uint32_t *keep_beats(uint32_t *at, const onwrist_watch_output *out) {
    (void)out;
    return at;
}
#endif

#ifdef ONWRIST_FRAME_ANSWERS_OFFSET
/* Answers of the hop's frames, as firmware reads them: where they lie in its arena. */
#define FRAME_BYTES (ONWRIST_FRAME_ANSWERS_FRAMES * ONWRIST_FRAME_ANSWERS_CHANNELS)
static int8_t *keep_frames(int8_t *at, const onwrist_watch *watch) {
    for (int32_t i = 0; i < FRAME_BYTES; i++) at[i] = watch->core.arena[ONWRIST_FRAME_ANSWERS_OFFSET + i];
    return at + FRAME_BYTES;
}
#else
static int8_t *keep_frames(int8_t *at, const onwrist_watch *watch) {
    (void)watch;
    return at;
}
#endif

/* A burst is `length` counts, the first with this sequence number; -1 restarts the watch instead; -2 - n is n samples of
 * acceleration, of three 16-bit counts, from the next whole word on. After it the loop
 * runs `takes` bursts out of the ring, -1: until nothing waits. `at` is where the last call stopped. */
typedef struct {
    const uint32_t *sequence;
    const int32_t *length, *takes, *counts;
    int8_t *embedding, *answers;
    uint32_t *facts;               /* reasons, sequence, first of each output */
    onwrist_watch_counters *books; /* at each output; may be NULL */
    onwrist_telemetry *telemetry;  /* where the firmware has it */
    uint32_t *beats;               /* likewise */
    int8_t *frames;                /* likewise */
    int32_t bursts, room;
    struct {
        int32_t burst, pushed, counts, takes;
    } at;
} onwrist_script;

#ifdef ONWRIST_WITH_ACCELERATION
#define FACTS_MORE(s, out) *(s)->facts++ = (uint32_t)(out).unmoved
#define ACCELERATION_WORDS(length) ((length) < -1 ? (3 * (-2 - (length)) + 1) / 2 : 0)
static int32_t push(onwrist_watch *watch, uint32_t sequence, const int32_t *counts, int32_t length) {
    if (length >= 0) return onwrist_watch_push(watch, sequence, counts, length);
    return onwrist_watch_push_acceleration(watch, sequence, (const int16_t *)(const void *)counts, -2 - length);
}
#else
#define FACTS_MORE(s, out) (void)(s)
#define ACCELERATION_WORDS(length) 0
static int32_t push(onwrist_watch *watch, uint32_t sequence, const int32_t *counts, int32_t length) {
    return onwrist_watch_push(watch, sequence, counts, length);
}
#endif

uint32_t onwrist_watch_size(void);
int32_t onwrist_play(onwrist_watch *watch, onwrist_script *s);

uint32_t onwrist_watch_size(void) {
    return (uint32_t)sizeof(onwrist_watch);
}

/* Returns the outputs made, `room` where it has to be called again, or an error. */
int32_t onwrist_play(onwrist_watch *watch, onwrist_script *s) {
    onwrist_watch_output out;
    int32_t made = 0;
    while (s->at.burst < s->bursts) {
        const int32_t length = s->length[s->at.burst], takes = s->takes[s->at.burst];
        if (!s->at.pushed) {
            const int32_t *counts = s->counts + s->at.counts;
            const int32_t status = length == -1 ? onwrist_watch_restart(watch)
                                                : push(watch, s->sequence[s->at.burst], counts, length);
            if (status < 0) return status;
            s->at.counts += length > 0 ? length : ACCELERATION_WORDS(length);
            s->at.pushed = 1;
            s->at.takes = 0;
        }
        while (takes < 0 || s->at.takes < takes) {
            const int32_t status = onwrist_watch_run(watch, &out);
            if (status < 0) return status;
            if (status == ONWRIST_OUTPUT) {
                COUNT(s, watch, &out);
                for (int32_t i = 0; i < ONWRIST_EMBEDDING; i++) *s->embedding++ = out.embedding[i];
                for (int32_t i = 0; i < ONWRIST_ANSWERS; i++) *s->answers++ = out.answers[i];
                *s->facts++ = out.reasons;
                *s->facts++ = out.sequence;
                *s->facts++ = out.first ? 1u : 0u;
                FACTS_MORE(s, out);
                s->beats = keep_beats(s->beats, &out);
                s->frames = keep_frames(s->frames, watch);
                if (s->books != NULL) (void)onwrist_watch_books(watch, s->books++);
                if (++made == s->room) return made;
                continue;
            }
            s->at.takes++;
            if (status == ONWRIST_IDLE) break;
        }
        s->at.burst++;
        s->at.pushed = 0;
    }
    return made;
}
