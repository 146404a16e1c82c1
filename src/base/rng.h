/* rng - unpredictable bytes from the kernel; ends the process when there are none. */
#ifndef MAILROOM_BASE_RNG_H
#define MAILROOM_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

void rng_fill(void *to, size_t bytes);
uint64_t rng_u64(void);

#endif
