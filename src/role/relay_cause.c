#include "role/relay_cause.h"

#include "answer/explain.h"
#include "base/buf.h"

enum {
	RELAY_CAUSE_LEAST = 40, /* percent: what is less sure is only a guess, and is not said */
};

/* a reply as explain reads it: at which stage it was said decides between causes that share their words */
static unsigned relay_cause_stage(enum smtp_out_stage stage)
{
	static const unsigned stages[] = {
		[SMTP_OUT_AT_GREETING] = REPLY_AT_BANNER, [SMTP_OUT_AT_EHLO] = REPLY_AT_HELO, [SMTP_OUT_AT_STARTTLS] = REPLY_AT_STARTTLS, [SMTP_OUT_AT_AUTH] = REPLY_AT_AUTH,
		[SMTP_OUT_AT_MAIL] = REPLY_AT_MAIL, [SMTP_OUT_AT_RCPT] = REPLY_AT_RCPT, [SMTP_OUT_AT_DATA] = REPLY_AT_DATA, [SMTP_OUT_AT_BODY] = REPLY_AT_END,
		[SMTP_OUT_AT_END] = REPLY_AT_END, [SMTP_OUT_AT_RSET] = 0, [SMTP_OUT_AT_QUIT] = 0,
	};

	return stages[stage];
}

static void relay_cause_explain(const struct smtp_out_result *r, struct relay_verdict *out)
{
	struct explain_context context = {.stage = relay_cause_stage(r->stage), .emitter = EXPLAIN_NO_EMITTER};
	struct explanation e;
	struct buf text;

	buf_init(&text, SMTP_OUT_WORDS_BYTES + 64);
	buf_printf(&text, "%u ", r->code);
	buf_add(&text, r->enhanced);
	buf_add_str(&text, r->enhanced.len ? " " : "");
	buf_add(&text, r->words);
	explain_text_in(buf_span(&text), &context, &e);
	buf_clear(&text);
	out->cause = CAUSE_INSUFFICIENT_TEXT;
	out->sure = 0;
	if (e.count == 0)
		return;
	out->sure = (unsigned)(e.found[0].confidence * 100);
	if (out->sure >= RELAY_CAUSE_LEAST)
		out->cause = e.found[0].cause;
	else
		out->sure = 0;
}

/* does it complain of how much we send, or is it overloaded? */
static bool relay_cause_too_much(const struct smtp_out_result *r, enum cause_id cause)
{
	switch ((int)cause) {
	case CAUSE_TOO_MANY_CONNECTIONS:
	case CAUSE_TOO_MANY_CONNECTIONS_ADDRESS:
	case CAUSE_RATE_LIMIT_IP:
	case CAUSE_RATE_LIMIT_DOMAIN:
	case CAUSE_RATE_LIMIT_SENDER:
	case CAUSE_IP_CONNECTS_TOO_OFTEN:
	case CAUSE_IP_RATE_BLOCKED:
	case CAUSE_IP_REPUTATION_THROTTLE:
	case CAUSE_SERVER_OVERLOADED:
	case CAUSE_HELO_FLOOD:
		return true;
	default:
		break;
	}
	if (r->stage == SMTP_OUT_AT_AUTH || r->stage == SMTP_OUT_AT_STARTTLS || cause == CAUSE_GREYLISTED)
		return r->code == 421;
	return r->code == 421 || (r->code / 100 == 4 && r->stage < SMTP_OUT_AT_RCPT);
}

/* before the message is on its way the other hosts of the destination may do better: at the greeting, EHLO, STARTTLS */
static bool relay_cause_is_early(enum smtp_out_stage stage)
{
	return stage == SMTP_OUT_AT_GREETING || stage == SMTP_OUT_AT_EHLO || stage == SMTP_OUT_AT_STARTTLS;
}

static void relay_cause_said(const struct smtp_out_result *r, struct relay_verdict *out)
{
	relay_cause_explain(r, out);
	out->outcome = retry_judge(r->code, out->cause, out->sure / 100.0);
	out->pace = relay_cause_too_much(r, out->cause) ? PACE_TOO_MUCH : PACE_REFUSED;
	out->elsewhere = relay_cause_is_early(r->stage) || (r->closing && r->stage != SMTP_OUT_AT_END && r->code == 421);
	if (r->stage == SMTP_OUT_AT_AUTH) { /* our own password: what the server says of it is no fault of the mail */
		out->cause = CAUSE_SMARTHOST_AUTH_FAILED;
		out->sure = 90;
		out->outcome = DELIVERY_LATER;
	}
}

static void relay_cause_unable(enum smtp_out_need need, struct relay_verdict *out)
{
	*out = (struct relay_verdict){.outcome = DELIVERY_REFUSED, .cause = CAUSE_BINARYMIME_NEEDS_BDAT, .sure = 95, .pace = PACE_REFUSED};
	switch (need) {
	case SMTP_OUT_NEEDS_SMTPUTF8:
		out->cause = CAUSE_SMTPUTF8_UNSUPPORTED;
		break;
	case SMTP_OUT_NEEDS_REQUIRETLS:
		out->cause = CAUSE_REQUIRETLS_UNSUPPORTED;
		out->elsewhere = true; /* every host is asked before the message goes back (RFC 8689 4.2.1) */
		break;
	case SMTP_OUT_NEEDS_SIZE:
		out->cause = CAUSE_MESSAGE_TOO_BIG;
		break;
	case SMTP_OUT_NEEDS_BINARY:
	case SMTP_OUT_NEEDS_NOTHING:
		break;
	}
}

static void relay_cause_broken(const struct smtp_out_result *r, struct relay_verdict *out)
{
	*out = (struct relay_verdict){.outcome = DELIVERY_LATER, .sure = 90, .pace = PACE_TROUBLE, .elsewhere = !r->in_doubt};
	if (r->in_doubt)
		out->cause = CAUSE_REMOTE_IN_DOUBT;
	else if (r->fate == SMTP_OUT_GARBLED)
		out->cause = CAUSE_REMOTE_GARBLED;
	else if (r->fate == SMTP_OUT_TIMED_OUT)
		out->cause = CAUSE_TIMEOUT;
	else
		out->cause = CAUSE_REMOTE_LOST;
}

void relay_cause_of(const struct smtp_out_result *r, struct relay_verdict *out)
{
	*out = (struct relay_verdict){.outcome = DELIVERY_SENT, .cause = CAUSE_NONE, .sure = 100, .pace = PACE_SENT};
	switch (r->fate) {
	case SMTP_OUT_SENT:
		return;
	case SMTP_OUT_LATER:
	case SMTP_OUT_REFUSED:
		relay_cause_said(r, out);
		return;
	case SMTP_OUT_UNABLE:
		relay_cause_unable(r->need, out);
		return;
	case SMTP_OUT_LEFT:
		*out = (struct relay_verdict){.outcome = DELIVERY_LATER, .cause = CAUSE_TOO_MANY_RECIPIENTS, .sure = 80, .pace = PACE_REFUSED};
		return;
	case SMTP_OUT_LOST:
	case SMTP_OUT_TIMED_OUT:
	case SMTP_OUT_GARBLED:
		relay_cause_broken(r, out);
		return;
	case SMTP_OUT_NO_TLS:
		*out = (struct relay_verdict){.outcome = DELIVERY_LATER, .cause = CAUSE_TLS_REMOTE_MISSING, .sure = 95, .pace = PACE_TROUBLE, .elsewhere = true};
		return;
	case SMTP_OUT_NO_AUTH:
		*out = (struct relay_verdict){.outcome = DELIVERY_LATER, .cause = CAUSE_SMARTHOST_AUTH_FAILED, .sure = 95, .pace = PACE_TROUBLE};
		return;
	}
}

const char *relay_cause_words(const struct smtp_out_result *r)
{
	switch (r->fate) {
	case SMTP_OUT_LOST:
		return r->in_doubt ? "the connection was lost before the answer to the end of the message" : "the connection was lost";
	case SMTP_OUT_TIMED_OUT:
		return r->in_doubt ? "the server did not answer the end of the message in time" : "the server did not answer in time";
	case SMTP_OUT_GARBLED:
		return "the server's answer cannot be understood";
	case SMTP_OUT_UNABLE:
		return "the server cannot take such a message";
	case SMTP_OUT_NO_TLS:
		return "the server offers no encryption";
	case SMTP_OUT_NO_AUTH:
		return "the server offers no way to sign in that is known here";
	case SMTP_OUT_LEFT:
		return "the server takes no more recipients";
	case SMTP_OUT_SENT:
	case SMTP_OUT_LATER:
	case SMTP_OUT_REFUSED:
		break;
	}
	return "";
}
