/* sandbox_inside - the two kernel filters, used by sandbox.c only. */
#ifndef MAILROOM_LOOP_SANDBOX_INSIDE_H
#define MAILROOM_LOOP_SANDBOX_INSIDE_H

#include "loop/sandbox.h"

/* Running under a sanitizer: its runtime has needs of its own */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZER 1
#endif
#endif
#ifndef SANDBOX_SANITIZER
#define SANDBOX_SANITIZER 0
#endif

/* Makes the ruleset while paths can still be named: *fd_out -1 and abi 0 where the kernel has no Landlock. */
enum rc sandbox_landlock_open(const struct sandbox_plan *plan, int *fd_out, unsigned *abi_out, struct err *err) RC_WARN;
/* needs no_new_privs; closes fd */
enum rc sandbox_landlock_enter(int fd, struct err *err) RC_WARN;

bool sandbox_seccomp_knows(const char *role);
/* the last wall: afterwards only the calls of sandbox_calls.def are left */
enum rc sandbox_seccomp_enter(const struct sandbox_plan *plan, struct err *err) RC_WARN;

#endif
