/* Counters of what the model sees, for whoever looks after a fleet: 256 bytes that say whether the watches in the field
 * still see what the model was made for. No sample, no heart rate of a moment and no embedding leaves the watch.
 *
 *     static onwrist_telemetry day;
 *
 *     onwrist_telemetry_init(&day);                          every midnight, after the 256 bytes were stored or sent
 *     while ((status = onwrist_watch_run(&watch, &out)) > 0) {
 *         if (status == ONWRIST_OUTPUT) onwrist_telemetry_add(&day, &watch, &out);
 *     }
 *
 * The struct is its own wire format, the same on every core:
 *
 *     bytes 0 ... 3     "OWT1"
 *     bytes 4 ... 15    whose counters these are: student, sensor, hop, edges
 *     bytes 16 ... 255  80 counters of 24 bits, little-endian; each stops at 16,777,215
 *
 *     outputs    8   outputs; starts anew; WARMING, BRIDGED, CLIPPED, FLAT, POOR; shown
 *     level      7   newest count, equal parts of the converter's range
 *     swing     12   running magnitude of the pulse, half octaves
 *     wave       8   newest filtered sample against that magnitude
 *     slope      6   its step from the one before
 *     answers    6   of each answer, equal parts of int8
 *     directions 7   of each: the embedding along a pattern of signs, between edges
 *
 * All but the first three counters are of outputs whose window is whole. Counters of days or of devices are added (_merge, or by
 * hand): what they say is then of all of them. */
#ifndef ONWRIST_TELEMETRY_H
#define ONWRIST_TELEMETRY_H

#include "onwrist_watch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint8_t bytes[256];
} onwrist_telemetry;

/* Each returns 0, or ONWRIST_NULL; the other two ONWRIST_NOT_READY before _init, or for an output that is set to 0. */
int32_t onwrist_telemetry_init(onwrist_telemetry *telemetry);
/* After onwrist_watch_run returned ONWRIST_OUTPUT and before it is called again. */
int32_t onwrist_telemetry_add(onwrist_telemetry *telemetry, const onwrist_watch *watch, const onwrist_watch_output *out);
/* Add another's counters; ONWRIST_BAD_ARGUMENT, and nothing added, if they are of another student, sensor, hop or edges. */
int32_t onwrist_telemetry_merge(onwrist_telemetry *telemetry, const onwrist_telemetry *other);

#ifdef __cplusplus
}
#endif

#endif
