#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { LOG_GATHER_BYTES = 32768, LOG_MAX_BYTES = 1 << 20, LOG_FIELD_BYTES = 256 };

static struct {
	int fd;
	const char *role;
	enum log_level least;
	bool in_line;
	struct buf lines;
} lg = {.fd = STDERR_FILENO, .role = "mailroom", .least = LOG_LEVEL_INFO, .lines = {.max_bytes = LOG_MAX_BYTES}};

void log_open(int fd, const char *role, enum log_level least)
{
	lg.fd = fd;
	lg.role = role;
	lg.least = least;
}

bool log_begin(enum log_level level, const char *event)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	int64_t now = clock_wall_ms();
	time_t sec = (time_t)(now / 1000);
	struct tm tm;
	char stamp[40];

	lg.in_line = level >= lg.least;
	if (!lg.in_line)
		return false;
	(void)gmtime_r(&sec, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(&lg.lines, "%s.%03dZ level=%s role=%s event=%s", stamp, (int)(now % 1000), names[level], lg.role, event);
	return true;
}

void log_span(const char *field, struct span value)
{
	bool quote = false, cut = value.len > LOG_FIELD_BYTES;

	if (!lg.in_line || value.len == 0)
		return;
	value = span_head(value, LOG_FIELD_BYTES);
	for (size_t i = 0; i < value.len && !quote; i++)
		quote = value.ptr[i] == ' ' || value.ptr[i] == '=' || value.ptr[i] == '"';
	buf_printf(&lg.lines, quote ? " %s=\"" : " %s=", field);
	while (value.len > 0) {
		struct span part = span_cut(&value, '"');

		buf_add_safe(&lg.lines, part, LOG_FIELD_BYTES);
		if (value.ptr)
			buf_add_str(&lg.lines, "\\x22");
	}
	if (cut)
		buf_add_str(&lg.lines, "...");
	if (quote)
		buf_add_byte(&lg.lines, '"');
}

void log_str(const char *field, const char *value)
{
	log_span(field, span_str(value));
}

void log_num(const char *field, uint64_t value)
{
	if (lg.in_line)
		buf_printf(&lg.lines, " %s=%llu", field, (unsigned long long)value);
}

void log_end(void)
{
	if (!lg.in_line)
		return;
	buf_add_byte(&lg.lines, '\n');
	lg.in_line = false;
	if (lg.lines.len >= LOG_GATHER_BYTES || lg.lines.overflow)
		log_flush();
}

void log_flush(void)
{
	struct span left = buf_span(&lg.lines);

	while (left.len > 0) {
		ssize_t n = write(lg.fd, left.ptr, left.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nowhere to say it; a full log must not stop mail */
		left = span_from(left, (size_t)n);
	}
	buf_reset(&lg.lines);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	char words[1024];
	va_list ap;

	if (!log_begin(level, event))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	log_str("msg", words);
	log_end();
}
