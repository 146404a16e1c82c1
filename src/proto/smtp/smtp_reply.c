#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "proto/smtp/smtp_internal.h"

void smtp_reply(struct smtp_in *s, const char *line)
{
	buf_add_str(&s->out, line);
}

/* one record: cause, code, lengths, command, recipient */
static void smtp_event_add(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts)
{
	struct span command = span_head(facts->command, 16), rcpt = span_head(facts->rcpt, SMTP_SHOWN_BYTES);

	if (s->events.len + 8 + command.len + rcpt.len > s->events.max_bytes)
		return;
	buf_add_le16(&s->events, (uint16_t)cause);
	buf_add_le16(&s->events, (uint16_t)cause_code(cause, form));
	buf_add_le16(&s->events, (uint16_t)command.len);
	buf_add_le16(&s->events, (uint16_t)rcpt.len);
	buf_add(&s->events, command);
	buf_add(&s->events, rcpt);
}

bool smtp_in_event(struct smtp_in *s, struct smtp_event *out)
{
	const uint8_t *at;
	size_t command_len, rcpt_len;

	if (s->events_read >= s->events.len) {
		if (s->events.size)
			buf_clear(&s->events);
		s->events_read = 0;
		return false;
	}
	at = s->events.ptr + s->events_read;
	command_len = (size_t)num_le(at + 4, 2);
	rcpt_len = (size_t)num_le(at + 6, 2);
	*out = (struct smtp_event){.cause = (enum cause_id)num_le(at, 2), .code = (unsigned)num_le(at + 2, 2)};
	out->command = span_of(at + 8, command_len);
	out->rcpt = span_of(at + 8 + command_len, rcpt_len);
	s->events_read += 8 + command_len + rcpt_len;
	return true;
}

static void smtp_refuse_with(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts,
	const struct span *middle, size_t count)
{
	struct cause_facts filled = facts ? *facts : (struct cause_facts){0};

	if (filled.command.len == 0)
		filled.command = s->verb;
	filled.utf8 = s->mail.smtputf8;
	cause_write_smtp(&s->out, cause, form, &filled, span_str(s->ref), middle, count);
	smtp_event_add(s, cause, form, &filled);
}

void smtp_refuse(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts)
{
	smtp_refuse_with(s, cause, form, facts, NULL, 0);
}

void smtp_refuse_lines(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts, const struct span *middle, size_t count)
{
	smtp_refuse_with(s, cause, CAUSE_SMTP, facts, middle, count);
}

void smtp_refuse_bad(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	struct cause_facts last = {.detail = span_str(cause_slug(cause))};

	if (++s->bad_commands < s->rules->bad_command_max)
		smtp_refuse(s, cause, CAUSE_SMTP, facts);
	else if (cause == CAUSE_MESSAGE_SENT_AS_COMMANDS)
		smtp_close(s, cause, facts);
	else
		smtp_close(s, CAUSE_TOO_MANY_BAD_COMMANDS, &last);
}

void smtp_close(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	smtp_refuse(s, cause, CAUSE_SMTP_CLOSING, facts);
	smtp_end(s);
}

void smtp_end(struct smtp_in *s)
{
	if (s->state == SMTP_STATE_CLOSED)
		return;
	smtp_auth_forget(s);
	s->wait = SMTP_WAIT_NONE;
	smtp_transaction_clear(s);
	s->state = SMTP_STATE_CLOSED;
	s->due_tls = false;
	s->due_close = true;
	buf_clear(&s->line);
}

struct span smtp_write_bytes(char text[32], uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
	size_t unit = 0;
	int n;

	while (unit < 3 && bytes >= 1024 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	n = snprintf(text, 32, "%" PRIu64 " %s", bytes, units[unit]);
	return span_of(text, n > 0 ? (size_t)n : 0);
}

struct span smtp_write_count(char text[32], uint64_t count, const char *unit)
{
	int n = snprintf(text, 32, "%" PRIu64 " %s", count, unit);

	return span_of(text, n > 0 && n < 32 ? (size_t)n : 0);
}
