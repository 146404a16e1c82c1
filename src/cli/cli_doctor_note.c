/* What went wrong at a port, as evidence that may be shown. */
#include "answer/explain.h"
#include "base/b64.h"
#include "base/limits.h"
#include "cli/cli_doctor_probe.h"

enum { NOTE_SECRET_BYTES = 4 }; /* what is shorter stands in any text by chance */
#define NOTE_CONFIDENCE 0.5	/* below it a code that says one thing only is believed before the words */

static void note_mask(struct buf *text, struct span secret)
{
	if (secret.len < NOTE_SECRET_BYTES)
		return;
	for (size_t at = 0; at < text->len;) {
		size_t found = span_find_span(span_of(text->ptr + at, text->len - at), secret);

		if (found == text->len - at)
			return;
		memset(text->ptr + at + found, '*', secret.len);
		at += found + secret.len;
	}
}

void probe_mask_password(const struct probe *p, struct buf *text)
{
	struct buf coded, both;

	if (!p->d->password.len || !text->len)
		return;
	buf_init_secret(&coded, PROBE_COMMAND_BYTES);
	buf_init_secret(&both, PROBE_COMMAND_BYTES);
	note_mask(text, buf_span(&p->d->password));
	b64_encode(&coded, buf_span(&p->d->password));
	note_mask(text, buf_span(&coded));
	buf_reset(&coded);
	buf_add_byte(&both, '\0');
	buf_add_str(&both, p->d->facts.login);
	buf_add_byte(&both, '\0');
	buf_add(&both, buf_span(&p->d->password));
	b64_encode(&coded, buf_span(&both));
	note_mask(text, buf_span(&coded));
	buf_clear(&coded);
	buf_clear(&both);
}

void probe_fail(struct probe *p, const char *slug, enum doctor_stage stage, const char *what, struct span said)
{
	struct buf words, masked;

	if (p->port->slug[0])
		return;
	buf_init(&words, DOCTOR_TEXT_BYTES * 4);
	buf_init(&masked, DOCTOR_PEER_BYTES);
	buf_add(&masked, said);
	probe_mask_password(p, &masked);
	buf_add_str(&words, what);
	if (masked.len) {
		buf_add_str(&words, ": ");
		for (struct span rest = buf_span(&masked), line = span_cut(&rest, '\n'); line.ptr; line = span_cut(&rest, '\n')) {
			buf_add_safe(&words, line, PROBE_SHOWN_BYTES);
			if (!rest.ptr || words.len > DOCTOR_TEXT_BYTES)
				break;
			buf_add_byte(&words, ' ');
		}
	}
	words.overflow = false; /* the beginning will do */
	p->port->evidence = doctor_keep(p->d, buf_cstr(&words));
	p->port->slug = doctor_keep(p->d, slug);
	p->port->stage = stage;
	buf_clear(&masked);
	buf_clear(&words);
}

void probe_fail_cause(struct probe *p, enum cause_id cause, enum doctor_stage stage, const char *what, struct span said)
{
	probe_fail(p, cause_slug(cause), stage, what, said);
}

/* when it was said, which the words alone do not tell */
static unsigned note_stage(const struct probe *p, enum doctor_stage stage)
{
	static const unsigned stages[] = {[DOCTOR_AT_CONNECT] = REPLY_AT_CONNECT,
					  [DOCTOR_AT_GREETING] = REPLY_AT_CONNECT | REPLY_AT_BANNER,
					  [DOCTOR_AT_TLS] = REPLY_AT_STARTTLS,
					  [DOCTOR_AT_OFFER] = REPLY_AT_HELO,
					  [DOCTOR_AT_SIGN_IN] = REPLY_AT_AUTH,
					  [DOCTOR_AT_SENDER] = REPLY_AT_MAIL,
					  [DOCTOR_AT_RECIPIENT] = REPLY_AT_RCPT,
					  [DOCTOR_AT_MESSAGE] = REPLY_AT_DATA | REPLY_AT_END,
					  [DOCTOR_AT_END] = 0};

	if (p->port->protocol == DOCTOR_POP3)
		return REPLY_AT_POP3;
	return p->port->protocol == DOCTOR_IMAP ? REPLY_AT_IMAP : stages[stage];
}

void probe_refused(struct probe *p, enum doctor_stage stage, const char *what, enum cause_id sure)
{
	struct explain_context context = {.stage = note_stage(p, stage)};
	enum cause_id cause = CAUSE_INSUFFICIENT_TEXT;
	struct explanation e;

	explain_text(span_str(p->port->banner), &e);
	context.emitter = e.emitter;
	explain_text_in(buf_span(&p->reply), &context, &e);
	if (e.count && !e.undecided)
		cause = e.found[0].cause;
	if (sure && (cause == CAUSE_INSUFFICIENT_TEXT || e.found[0].confidence < NOTE_CONFIDENCE))
		cause = sure;
	p->refused_code = p->code;
	buf_reset(&p->refusal);
	buf_add(&p->refusal, buf_span(&p->reply));
	probe_fail_cause(p, cause, stage, what, buf_span(&p->reply));
}

void probe_broken(struct probe *p, enum doctor_wire_rc rc, enum doctor_stage stage, const char *what)
{
	struct buf words;

	buf_init(&words, DOCTOR_TEXT_BYTES);
	buf_printf(&words, "%s: ", what);
	if (rc == DOCTOR_WIRE_SILENT) {
		buf_printf(&words, "no whole answer within %u s", p->d->wait_ms / 1000);
		probe_fail_cause(p, CAUSE_TIMEOUT, stage, buf_cstr(&words), SPAN_NONE);
	} else if (rc == DOCTOR_WIRE_FLOOD) {
		buf_add_str(&words, "the server sends without end, and no mail server's answer");
		probe_fail_cause(p, CAUSE_FOREIGN_PROTOCOL, stage, buf_cstr(&words), span_head(buf_span(&p->wire.in), PROBE_SHOWN_BYTES));
	} else {
		buf_add_str(&words, "the connection was closed without a word");
		/* in the middle of a conversation it says nothing about the port */
		probe_fail_cause(p, stage <= DOCTOR_AT_GREETING ? CAUSE_PORT_BLOCKED_OR_WRONG_HOST : CAUSE_INSUFFICIENT_TEXT, stage,
				 buf_cstr(&words), SPAN_NONE);
	}
	buf_clear(&words);
}
