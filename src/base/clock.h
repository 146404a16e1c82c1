/* clock - the two clocks, read only by roles and tools (engines get time as an argument). Monotonic milliseconds drive every
 * timer; wall time is for headers, windows and logs. */
#ifndef MAILROOM_BASE_CLOCK_H
#define MAILROOM_BASE_CLOCK_H

#include <stdint.h>

typedef uint64_t mono_ms;                 /* CLOCK_MONOTONIC, milliseconds */
#define MONO_NEVER ((mono_ms)UINT64_MAX)  /* a deadline that does not come */

mono_ms clock_mono_ms(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */

#endif
