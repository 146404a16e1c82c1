#include "base/clock.h"

#include <time.h>

mono_ms clock_mono_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mono_ms)ts.tv_sec * 1000 + (mono_ms)ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec < 0) /* a clock that far off is wrong anyway, and no reason to stop working */
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
