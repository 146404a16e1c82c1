#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rc err_set(struct err *err, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	(void)vsnprintf(err->words, sizeof(err->words), fmt, ap);
	va_end(ap);
	return rc;
}

enum rc err_errno(struct err *err, enum rc rc, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	int n;

	if (!err)
		return rc;
	va_start(ap, fmt);
	n = vsnprintf(err->words, sizeof(err->words), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->words))
		(void)snprintf(err->words + n, sizeof(err->words) - (size_t)n, ": %s", strerror(saved));
	errno = saved;
	return rc;
}

const char *rc_name(enum rc rc)
{
	static const char *const names[] = {"ok", "again", "limit", "bad", "none", "exists", "busy", "full", "io", "denied"};

	return (size_t)rc < sizeof(names) / sizeof(names[0]) ? names[rc] : "?";
}
