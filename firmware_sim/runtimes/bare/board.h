/* A program on an emulated board: it says bytes and numbers through the debugger's channel (semihosting). */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The program; what it returns is the exit status. */
int32_t board_main(void);
/* A line of output: bytes in hexadecimal, or a number. */
void board_bytes(const void *values, uint32_t n);
void board_number(uint32_t value);
/* A character. */
void board_char(char c);
/* Ticks of the system timer since the start, modulo 2^24, 0.512 of an instruction each where QEMU counts instructions. */
uint32_t board_ticks(void);

#ifdef __cplusplus
}
#endif

#endif
