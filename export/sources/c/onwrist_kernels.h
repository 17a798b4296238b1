/* INT8 kernels with the arithmetic of TensorFlow Lite Micro's reference kernels, to the byte.
 *
 * Plain C11: no heap, nothing of libc but memcpy and memset. Layout is NHWC with a batch of one. Right shifts of
 * negative numbers have to be arithmetic (every compiler for every Cortex-M does so). */
#ifndef ONWRIST_KERNELS_H
#define ONWRIST_KERNELS_H

#include <stdint.h>

/* M-profile vectors (MVE): weights are packed otherwise for them, see below. */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && !defined(__ARM_BIG_ENDIAN)
#define OW_HELIUM 1
#else
#define OW_HELIUM 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What turns a channel's sum into a byte: a Q31 multiplier, then right + 1 places to the right. */
typedef struct {
    int32_t multiplier, right;
} ow_scale;

/* A convolution. The bias has the input's zero point folded in: bias - in_zero * sum(weights), so that the inner
 * loops multiply plain bytes; a tap outside the input counts as in_zero. */
typedef struct {
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t k_h, k_w, stride_h, stride_w, dil_h, dil_w, pad_h, pad_w;
    int32_t in_zero, out_zero, low, high;
    const uint32_t *packed; /* see below */
    const int32_t *bias;
    const ow_scale *scale; /* per output channel */
    int32_t plain;         /* every shift is to the right, low and high are those of int8 */
} ow_conv;

/* Packed weights: four output channels at a time, filled up with zeros to a multiple of 4, as all tables are. A word
 * holds four bytes, lowest first.
 *   convolution: of the taps (k_h * k_w * in_c bytes, zeros up to a multiple of 4) four bytes of the first channel, four
 *     of the second, third, fourth, then the next four of the first. With vectors 16 bytes instead of four.
 *   depthwise: of each tap one byte of each of the four channels.
 * Input may be read up to 3 bytes (with vectors 15) beyond its end, which the arena allows for. */

typedef struct {
    int32_t in_h, in_w, c, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_h, pad_w, low, high;
} ow_pool;

/* Mean over all places of each channel; the count is folded into the multiplier. */
typedef struct {
    int32_t places, c, in_zero, out_zero, multiplier, shift;
} ow_mean_t;

/* a has n values; b has `period` of them, again and again. */
typedef struct {
    int32_t n, period, zero_a, zero_b, zero_out, low, high;
    int32_t mul_a, shift_a, mul_b, shift_b, mul_out, shift_out;
} ow_add_t;

typedef struct {
    int32_t n, period, zero_a, zero_b, zero_out, low, high, multiplier, shift;
} ow_mul_t;

typedef struct {
    int32_t rows, n, multiplier, left_shift, diff_min;
} ow_softmax_t;

/* A piece of a tensor: of each axis, how many and how many bytes apart; the last runs fastest. */
#define OW_AXES 6
typedef struct {
    int32_t n, size[OW_AXES], step[OW_AXES];
} ow_pick_t;

/* scratch: 8-aligned; the exporter knows how much */
void ow_conv2d(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch);
void ow_depthwise(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch);
/* Several outputs of each input channel: out_c is a multiple of in_c. The tables have the first output of every channel,
 * filled up to a multiple of 4, then the second of every channel. */
void ow_depthwise_each(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch);
void ow_average_pool(const ow_pool *op, const int8_t *in, int8_t *out);
void ow_max_pool(const ow_pool *op, const int8_t *in, int8_t *out);
void ow_mean(const ow_mean_t *op, const int8_t *in, int8_t *out);
void ow_add(const ow_add_t *op, const int8_t *a, const int8_t *b, int8_t *out);
void ow_mul(const ow_mul_t *op, const int8_t *a, const int8_t *b, int8_t *out);
/* n values; b again and again every `period` */
void ow_minimum(const int8_t *a, const int8_t *b, int8_t *out, int32_t n, int32_t period);
void ow_maximum(const int8_t *a, const int8_t *b, int8_t *out, int32_t n, int32_t period);
/* n values through a table of 256, that of -128 first */
void ow_lookup(const int8_t *table, const int8_t *in, int8_t *out, int32_t n);
void ow_fill(int8_t *out, int32_t value, int32_t n);
void ow_softmax(const ow_softmax_t *op, const int8_t *in, int8_t *out);
/* rows blocks of n bytes, `from` bytes apart in the source and `to` bytes apart in the target */
void ow_copy(const int8_t *in, int8_t *out, int32_t rows, int32_t n, int32_t from, int32_t to);

void ow_pick(const ow_pick_t *op, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
