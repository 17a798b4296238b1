#include "board.h"

/* Of Armv7-M and Armv8-M: system timer and coprocessor access. */
#define TIMER ((volatile uint32_t *)0xE000E010)
#define ACCESS (*(volatile uint32_t *)0xE000ED88)

extern uint32_t board_stack[];
void board_reset(void);
void board_fault(void);

enum { WRITEC = 0x03, WRITE0 = 0x04, EXIT = 0x20 };

static void call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void leave(uint32_t status) {
    const uint32_t words[2] = {0x20026, status}; /* the application ended by itself */
    call(EXIT, words);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    (const void *)board_stack, (const void *)board_reset, (const void *)board_fault, (const void *)board_fault,
    (const void *)board_fault, (const void *)board_fault, (const void *)board_fault, (const void *)board_fault,
};

void board_fault(void) {
    call(WRITE0, "fault\n");
    leave(99);
}

void board_reset(void) {
    ACCESS |= 0xFu << 20; /* floating point and vectors */
    __asm__ volatile("dsb\n isb" ::: "memory");
    TIMER[1] = 0xFFFFFF, TIMER[2] = 0, TIMER[0] = 5;
    leave((uint32_t)board_main());
}

uint32_t board_ticks(void) {
    return 0xFFFFFF - TIMER[2];
}

void board_bytes(const void *values, uint32_t n) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = (const uint8_t *)values;
    char line[66];
    uint32_t at = 0;
    for (; n; n--, p++) {
        line[at++] = digits[*p >> 4], line[at++] = digits[*p & 15];
        if (at == 64) line[at] = 0, call(WRITE0, line), at = 0;
    }
    line[at] = '\n', line[at + 1] = 0;
    call(WRITE0, line);
}

void board_char(char c) {
    call(WRITEC, &c);
}

void board_number(uint32_t value) {
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    board_bytes(bytes, 4);
}
