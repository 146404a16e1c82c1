#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "proto/smtp/smtp_internal.h"

enum { EVENT_HEAD_BYTES = 4, EVENT_SPANS = 7, EVENT_CLOSING = 0x8000 /* in the code */ };

void smtp_reply(struct smtp_in *s, const char *line)
{
	buf_add_str(&s->out, line);
}

/* one record: cause, code, then each text behind its length */
static void smtp_event_add(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts)
{
	const struct span texts[EVENT_SPANS] = {span_head(facts->command, 16), span_head(facts->rcpt, SMTP_SHOWN_BYTES), span_head(facts->sender, SMTP_SHOWN_BYTES),
		span_head(facts->detail, SMTP_SENTENCE_BYTES), span_head(facts->limit, SMTP_RULE_BYTES), span_head(facts->retry, SMTP_RULE_BYTES),
		span_head(facts->rule, SMTP_RULE_BYTES)};
	unsigned code = cause_code(cause, form);
	size_t bytes = EVENT_HEAD_BYTES;

	for (size_t i = 0; i < EVENT_SPANS; i++)
		bytes += 2 + texts[i].len;
	if (s->events.len + bytes > s->events.max_bytes)
		return;
	buf_add_le16(&s->events, (uint16_t)cause);
	buf_add_le16(&s->events, (uint16_t)(form == CAUSE_SMTP_CLOSING ? code | EVENT_CLOSING : code));
	for (size_t i = 0; i < EVENT_SPANS; i++) {
		buf_add_le16(&s->events, (uint16_t)texts[i].len);
		buf_add(&s->events, texts[i]);
	}
}

bool smtp_in_event(struct smtp_in *s, struct smtp_event *out)
{
	struct span *const texts[EVENT_SPANS] = {&out->command, &out->rcpt, &out->sender, &out->detail, &out->limit, &out->retry, &out->rule};
	const uint8_t *at;

	if (s->events_read >= s->events.len) {
		if (s->events.size)
			buf_clear(&s->events);
		s->events_read = 0;
		return false;
	}
	at = s->events.ptr + s->events_read;
	*out = (struct smtp_event){.cause = (enum cause_id)num_le(at, 2), .code = (unsigned)num_le(at + 2, 2) & ~(unsigned)EVENT_CLOSING,
		.closing = num_le(at + 2, 2) & EVENT_CLOSING};
	at += EVENT_HEAD_BYTES;
	for (size_t i = 0; i < EVENT_SPANS; i++) {
		*texts[i] = span_of(at + 2, (size_t)num_le(at, 2));
		at += 2 + texts[i]->len;
	}
	s->events_read = (size_t)(at - s->events.ptr);
	return true;
}

static void smtp_refuse_with(struct smtp_in *s, enum cause_id cause, enum cause_form form, const struct cause_facts *facts,
	const struct span *middle, size_t count)
{
	struct cause_facts filled = facts ? *facts : (struct cause_facts){0};
	struct buf sender;

	if (filled.command.len == 0)
		filled.command = s->verb;
	filled.utf8 = s->mail.smtputf8;
	cause_write_smtp(&s->out, cause, form, &filled, span_str(s->ref), middle, count);
	buf_init(&sender, LIMIT_PATH_BYTES * 4);
	if (filled.sender.len == 0 && s->in_mail) { /* whose it was is for the event, not for the reply */
		address_write(&sender, &s->mail.from);
		filled.sender = buf_span(&sender);
	}
	smtp_event_add(s, cause, form, &filled);
	buf_clear(&sender);
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
	else if (cause == CAUSE_COMMAND_UNKNOWN || cause == CAUSE_COMMAND_NOT_ENABLED)
		smtp_close(s, CAUSE_TOO_MANY_UNKNOWN_COMMANDS, &last);
	else
		smtp_close(s, CAUSE_TOO_MANY_BAD_COMMANDS, &last);
}

void smtp_refuse_verdict(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts)
{
	if (cause_code(cause, CAUSE_SMTP) == 421) /* RFC 5321 4.2.2: the channel closes */
		smtp_close(s, cause, facts);
	else
		smtp_refuse(s, cause, CAUSE_SMTP, facts);
}

void smtp_must_read(struct smtp_in *s)
{
	s->must_read = s->rules->early_refused && s->state != SMTP_STATE_CLOSED;
}

bool smtp_talks_early(struct smtp_in *s, struct span rest)
{
	const size_t go_ahead = sizeof(SMTP_GO_AHEAD) - 1;

	if (!s->must_read || rest.len == 0 || s->state == SMTP_STATE_CLOSED)
		return false;
	if (s->state == SMTP_STATE_DATA && s->out.len - s->out_sent >= go_ahead) /* 354 has not begun to leave: this is the answer instead */
		s->out.len -= go_ahead;
	smtp_close(s, CAUSE_PROTOCOL_VIOLATION, NULL);
	return true;
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
