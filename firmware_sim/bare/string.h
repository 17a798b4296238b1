/* The two functions of libc that the kernels use, where there is no libc: the compiler knows them. */
#ifndef STRING_H
#define STRING_H
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#endif
