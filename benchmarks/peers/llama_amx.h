/* Included before all of llama.cpp's C++. Older versions of GCC believe that loading a tile configuration reads
   8 of its 64 bytes, and leave the others unwritten: on processors with AMX, int8 would crash. */

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64])(config)))
#endif
