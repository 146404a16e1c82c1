#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rng_fill(void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes > 0) {
		ssize_t n = getrandom(at, bytes, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		at += n;
		bytes -= (size_t)n;
	}
}

uint64_t rng_u64(void)
{
	uint64_t n;

	rng_fill(&n, sizeof(n));
	return n;
}
