/* log - one line per event in logfmt: time, role, event, then fields. Lines are gathered and written by log_flush (roles call
 * it once a loop turn); what comes from outside is escaped. Never give it a password, a key or a body. Only roles and the
 * command line log: engines, mail, policy and store return facts. */
#ifndef MAILROOM_BASE_LOG_H
#define MAILROOM_BASE_LOG_H

#include "base/span.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* fd stays the caller's; role is a literal such as "mx/1" kept by the caller */
void log_open(int fd, const char *role, enum log_level least);
/* Begins a line; false when the level is not wanted (then the field calls below do nothing). End with log_end. */
bool log_begin(enum log_level level, const char *event);
void log_str(const char *field, const char *value); /* NULL: the field is left out */
void log_span(const char *field, struct span value); /* empty: left out; cut at 256 bytes */
void log_num(const char *field, uint64_t value);
void log_end(void);
void log_flush(void);
/* one whole line with a printf'ed msg= field */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
