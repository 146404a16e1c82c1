/* sandbox_probe - tries from inside what the walls are to forbid. For tests and for the role's hidden self-check only: harmless where a wall is
 * missing, and says so. Under kill_on_violation the first try that meets the filter ends the process. */
#ifndef MAILROOM_LOOP_SANDBOX_PROBE_H
#define MAILROOM_LOOP_SANDBOX_PROBE_H

#include <stddef.h>

#include "base/buf.h"

/* all tries, a line each: "open-read denied (Permission denied)" or "open-read ALLOWED" */
void sandbox_probe_run(struct buf *out);
size_t sandbox_probe_count(void);
const char *sandbox_probe_name(size_t i);
/* true: denied. *error_out: errno of the try, 0 where it went through */
bool sandbox_probe_try(size_t i, int *error_out);

#endif
