#include "proto/pop3/pop3_internal.h"

#include <stdlib.h>

#include "base/b64.h"
#include "base/mem.h"

bool pop3_auth_allowed(const struct pop3_in *p)
{
	return p->is_tls || p->rules->auth_cleartext;
}

bool pop3_auth_mechanism_next(const struct pop3_in *p, struct span *rest, struct span *out)
{
	while (rest->len) {
		struct span name = span_cut(rest, ' ');

		/* channel binding needs a channel */
		if (name.len == 0 || (!p->is_tls && name.len > 5 && span_eq_nocase(span_from(name, name.len - 5), SPAN_LIT("-PLUS"))))
			continue;
		*out = name;
		return true;
	}
	return false;
}

void pop3_auth_drop(struct pop3_in *p)
{
	p->cancel_due |= p->sasl_active;
	p->sasl_active = false;
	pop3_wipe(&p->sasl);
	if (p->state == POP3_SASL || p->state == POP3_SASL_FINAL) {
		free(p->account);
		p->account = NULL;
		p->state = POP3_AUTHORIZATION;
	}
}

/* ---- USER and PASS (RFC 1939 7) */

void pop3_cmd_user(struct pop3_in *p, const struct pop3_args *a)
{
	struct span name = span_trim(a->text);

	if (name.len == 0 || name.len > LIMIT_LOGIN_BYTES) {
		pop3_refuse_usage(p, a);
		return;
	}
	pop3_wipe_str(&p->user);
	p->user = mem_str_span(name);
	buf_add_str(&p->out, "+OK Now the password\r\n"); /* the same whether or not there is such a user */
}

void pop3_cmd_pass(struct pop3_in *p, const struct pop3_args *a)
{
	if (!p->user) {
		pop3_refuse_bad(p, CAUSE_POP3_USER_FIRST, NULL);
		return;
	}
	/* RFC 4616: no authorization identity, then both, parted by NUL */
	buf_add_byte(&p->sasl, '\0');
	buf_add_str(&p->sasl, p->user);
	buf_add_byte(&p->sasl, '\0');
	buf_add(&p->sasl, a->text);
	pop3_wipe_str(&p->user);
	p->mechanism = SPAN_LIT("PLAIN");
	p->has_initial = p->from_pass = true;
	p->want = POP3_WANT_AUTH;
}

/* ---- AUTH (RFC 5034) */

/* RFC 1734 let AUTH alone list the mechanisms, and programs still ask that way */
static void pop3_auth_list(struct pop3_in *p)
{
	struct span rest = span_str(p->rules->mechanisms), name;

	buf_add_str(&p->out, "+OK Mechanisms follow\r\n");
	while (pop3_auth_mechanism_next(p, &rest, &name)) {
		buf_add(&p->out, name);
		buf_add_str(&p->out, "\r\n");
	}
	buf_add_str(&p->out, ".\r\n");
}

static bool pop3_auth_decode(struct pop3_in *p, struct span text)
{
	pop3_wipe(&p->sasl);
	if (b64_decode(&p->sasl, text) == RC_OK)
		return true;
	pop3_auth_drop(p);
	pop3_refuse_bad(p, CAUSE_AUTH_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("it is not base64")});
	return false;
}

void pop3_cmd_auth(struct pop3_in *p, const struct pop3_args *a)
{
	struct span rest = span_str(p->rules->mechanisms), name;

	if (a->count == 0) {
		pop3_auth_list(p);
		return;
	}
	do {
		if (!pop3_auth_mechanism_next(p, &rest, &name)) {
			pop3_refuse_bad(p, CAUSE_AUTH_MECHANISM_UNKNOWN, &(struct cause_facts){.detail = span_head(a->word[0], POP3_WORD_SHOWN_BYTES)});
			return;
		}
	} while (!span_eq_nocase(name, a->word[0]));
	pop3_wipe_str(&p->user);
	p->mechanism = name;
	p->has_initial = a->count == 2;
	p->from_pass = false;
	/* RFC 5034 4: "=" is an initial response of no bytes */
	if (!pop3_auth_decode(p, p->has_initial && !span_eq(a->word[1], SPAN_LIT("=")) ? a->word[1] : SPAN_NONE))
		return;
	p->want = POP3_WANT_AUTH;
}

static void pop3_auth_final_line(struct pop3_in *p, struct span line)
{
	if (line.len) {
		pop3_auth_drop(p);
		pop3_refuse_bad(p, CAUSE_AUTH_SYNTAX, &(struct cause_facts){.detail = SPAN_LIT("an empty line was due")});
		return;
	}
	p->sasl_active = false;
	p->state = POP3_AUTHORIZATION;
	p->want = POP3_WANT_OPEN;
}

void pop3_auth_line(struct pop3_in *p, struct span line)
{
	p->verb = "AUTH";
	if (span_eq(line, SPAN_LIT("*"))) { /* RFC 5034 4: the client gives up */
		pop3_auth_drop(p);
		pop3_refuse(p, CAUSE_AUTH_CANCELLED, NULL);
	} else if (p->state == POP3_SASL_FINAL) {
		pop3_auth_final_line(p, line);
	} else if (pop3_auth_decode(p, line)) {
		p->state = POP3_AUTHORIZATION;
		p->want = POP3_WANT_AUTH_STEP;
	}
	if (!p->want)
		p->verb = NULL;
}

/* ---- the owner's answers */

/* the answer to the question that is open; false: nobody asked (any more) */
static bool pop3_auth_answered(struct pop3_in *p)
{
	if (p->open != POP3_WANT_AUTH && p->open != POP3_WANT_AUTH_STEP)
		return false;
	p->open = POP3_WANT_NOTHING;
	pop3_wipe(&p->sasl);
	pop3_out_compact(p);
	return true;
}

static void pop3_auth_challenge_write(struct pop3_in *p, struct span decoded)
{
	buf_add_str(&p->out, "+ ");
	b64_encode(&p->out, decoded);
	buf_add_str(&p->out, "\r\n");
	p->verb = NULL;
}

void pop3_in_auth_challenge(struct pop3_in *p, struct span decoded)
{
	if (!pop3_auth_answered(p))
		return;
	if (decoded.len > LIMIT_SASL_BYTES || p->from_pass) { /* PASS has no place for a challenge */
		pop3_auth_drop(p);
		pop3_refuse(p, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, NULL);
	} else {
		pop3_auth_challenge_write(p, decoded);
		p->state = POP3_SASL;
	}
	pop3_settle(p);
}

void pop3_in_auth_ok(struct pop3_in *p, struct span account, struct span final_data)
{
	if (!pop3_auth_answered(p))
		return;
	free(p->account);
	p->account = mem_str_span(account);
	if (final_data.len && final_data.len <= LIMIT_SASL_BYTES && !p->from_pass) {
		/* RFC 5034 4: "+OK" carries no data, so it goes as a challenge whose response is empty */
		pop3_auth_challenge_write(p, final_data);
		p->state = POP3_SASL_FINAL;
	} else {
		p->sasl_active = false;
		p->want = POP3_WANT_OPEN;
	}
	pop3_settle(p);
}

void pop3_in_auth_fail(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts)
{
	if (!pop3_auth_answered(p))
		return;
	p->sasl_active = false;
	p->auth_failures++;
	pop3_refuse(p, cause, facts);
	p->verb = NULL;
	if (p->rules->auth_failure_max && p->auth_failures >= p->rules->auth_failure_max)
		pop3_end(p);
	pop3_settle(p);
}
