/* the groups of the pop3 unit test */
#ifndef MAILROOM_TEST_POP3_H
#define MAILROOM_TEST_POP3_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owner.h"

int test_pop3_dialog(void);
int test_pop3_auth(void);
int test_pop3_retr(void);
int test_pop3_limits(void);

/* the reply is "-ERR ... (slug; ref R3F)" */
static inline void assert_refused(const char *reply, const char *slug)
{
	if (strncmp(reply, "-ERR ", 5) || !strstr(reply, "; ref R3F)\r\n") || !strstr(reply, slug))
		fail_msg("expected a refusal with %s, got: %s", slug, reply);
}

static inline void assert_starts(const char *reply, const char *prefix)
{
	if (strncmp(reply, prefix, strlen(prefix)))
		fail_msg("expected %s..., got: %s", prefix, reply);
}

#endif
