/* The watch of onwrist_watch.h behind calls that a page can make: numbers go in and out, everything else is read from
 * memory where `*_at` says. For simulation only, it does not ship.
 *
 * onwrist.c is compiled as a part of this file, as it is: only its call of the model is met on the way, to keep what
 * the front end made, since the model works in the same memory. */
#include "onwrist_watch.h"

#include "onwrist_tables.h"

static void keep_input(const int8_t *memory);

#undef ONWRIST_MODEL_RUN
#define ONWRIST_MODEL_RUN(a) (keep_input(a), onwrist_model_run(a))
#include "onwrist.c"

#define CALL(name) __attribute__((export_name(#name)))

static onwrist_watch watch;
static _Alignas(8) int8_t arena[ONWRIST_ARENA_BYTES];
static int32_t counts[ONWRIST_BURST];
static int8_t input[ONWRIST_HOP];
static onwrist_watch_output output;
static onwrist_watch_counters books;

static void keep_input(const int8_t *memory) {
    for (int32_t i = 0; i < ONWRIST_HOP; i++) input[i] = memory[ONWRIST_INPUT_OFFSET + i];
}

CALL(init) int32_t init(int32_t gap) { return onwrist_watch_init(&watch, arena, gap); }
CALL(push) int32_t push(uint32_t sequence, int32_t n) {
    return n > ONWRIST_BURST ? ONWRIST_BAD_ARGUMENT : onwrist_watch_push(&watch, sequence, counts, n);
}
CALL(run) int32_t run(void) { return onwrist_watch_run(&watch, &output); }
CALL(take_books) int32_t take_books(void) { return onwrist_watch_books(&watch, &books); }
CALL(reasons) uint32_t reasons(void) { return output.reasons; }
CALL(sequence) uint32_t sequence(void) { return output.sequence; }
CALL(write_slot) uint32_t write_slot(void) { return watch.write_at; }
CALL(read_slot) uint32_t read_slot(void) { return watch.read_at; }

CALL(counts_at) const int32_t *counts_at(void) { return counts; }
CALL(input_at) const int8_t *input_at(void) { return input; }
CALL(embedding_at) const int8_t *embedding_at(void) { return output.embedding; }
CALL(answers_at) const int8_t *answers_at(void) { return output.answers; }
CALL(books_at) const onwrist_watch_counters *books_at(void) { return &books; }
