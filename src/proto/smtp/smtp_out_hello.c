/* the beginning of a conversation: greeting, EHLO and what it offers, STARTTLS, AUTH (RFC 5321 4.1.1.1, 1870, 3207, 4954, 9422) */
#include "base/b64.h"
#include "base/num.h"
#include "proto/smtp/smtp_out_internal.h"

void smtp_out_caps_forget(struct smtp_out_caps *c)
{
	struct buf mechanisms = c->mechanisms;

	buf_reset(&mechanisms);
	*c = (struct smtp_out_caps){.mechanisms = mechanisms};
}

static void smtp_out_hello(struct smtp_out *s, const char *verb, enum smtp_out_state state)
{
	smtp_out_caps_forget(&s->caps);
	smtp_out_say(s, verb);
	smtp_out_say(s, s->rules->helo);
	smtp_out_say(s, "\r\n");
	smtp_out_command(s, state);
}

/* the greeting is blotted out by a box in between (Cisco's "fixup"): "220 ****2***" */
static bool smtp_out_is_masked(struct span words)
{
	size_t stars = 0;

	for (size_t i = 0; i < words.len; i++) {
		if (!memchr("*20 ", words.ptr[i], 4))
			return false;
		stars += words.ptr[i] == '*';
	}
	return stars > 0;
}

void smtp_out_greeted(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_GREETING, NULL);
	struct span rest = r.words;

	if (r.fate == SMTP_OUT_GARBLED) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
	} else if (r.fate != SMTP_OUT_SENT) {
		smtp_out_fail(s, &r);
	} else {
		s->masked = smtp_out_is_masked(rest);
		smtp_out_words_add(&s->name, span_cut(&rest, ' '), SMTP_OUT_NAME_BYTES);
		smtp_out_hello(s, "EHLO ", SMTP_OUT_S_EHLO);
	}
}

static bool smtp_out_has_word(struct span words, struct span word)
{
	while (words.len)
		if (span_eq(span_cut(&words, ' '), word))
			return true;
	return false;
}

/* Upper-case, each once; what is no name of a mechanism (RFC 4422 3.1) is left out */
static void smtp_out_mechanism_add(struct buf *list, struct span word)
{
	uint8_t name[20];

	if (word.len == 0 || word.len > sizeof(name) || list->len + word.len + 1 > SMTP_OUT_MECHANISMS_BYTES)
		return;
	for (size_t i = 0; i < word.len; i++) {
		name[i] = byte_upper(word.ptr[i]);
		if (!byte_is_alnum(name[i]) && name[i] != '-' && name[i] != '_')
			return;
	}
	if (smtp_out_has_word(buf_span(list), span_of(name, word.len)))
		return;
	if (list->len)
		buf_add_byte(list, ' ');
	buf_add(list, span_of(name, word.len));
}

static bool smtp_out_is_blank(uint8_t c, bool equals)
{
	return c == ' ' || c == '\t' || (equals && c == '=');
}

/* cuts the next word off the front of a line; equals: an old draft's "AUTH=LOGIN" and the like */
static struct span smtp_out_word(struct span *rest, bool equals)
{
	size_t from = 0, end;
	struct span word;

	while (from < rest->len && smtp_out_is_blank(rest->ptr[from], equals))
		from++;
	for (end = from; end < rest->len && !smtp_out_is_blank(rest->ptr[end], equals);)
		end++;
	word = span_from(span_head(*rest, end), from);
	*rest = span_from(*rest, end);
	return word;
}

static void smtp_out_caps_limits(struct smtp_out_caps *c, struct span rest)
{
	struct span word;
	uint64_t n;

	while ((word = smtp_out_word(&rest, false)).len) { /* RFC 9422 4 */
		struct span value = word, name = span_cut(&value, '=');

		if (num_parse(value, UINT32_MAX, &n) != RC_OK || n == 0)
			continue;
		if (span_eq_nocase(name, SPAN_LIT("RCPTMAX")))
			c->rcpt_max = n;
		else if (span_eq_nocase(name, SPAN_LIT("MAILMAX")))
			c->mail_max = n;
	}
}

static void smtp_out_caps_size(struct smtp_out_caps *c, struct span rest)
{
	uint64_t n;

	c->size = true;
	if (num_parse(smtp_out_word(&rest, true), UINT64_MAX, &n) == RC_OK)
		c->size_max = n; /* 0: no limit is said, RFC 1870 4 */
}

void smtp_out_ehlo_line(struct smtp_out *s, struct span text, bool first)
{
	struct smtp_out_caps *c = &s->caps;
	const struct { struct span name; bool *there; } plain[] = {
		{SPAN_LIT("PIPELINING"), &c->pipelining}, {SPAN_LIT("STARTTLS"), &c->starttls}, {SPAN_LIT("8BITMIME"), &c->eightbit},
		{SPAN_LIT("SMTPUTF8"), &c->smtputf8}, {SPAN_LIT("CHUNKING"), &c->chunking}, {SPAN_LIT("BINARYMIME"), &c->binarymime},
		{SPAN_LIT("DSN"), &c->dsn}, {SPAN_LIT("REQUIRETLS"), &c->requiretls},
	};
	struct span keyword, word;

	if (first) {
		smtp_out_caps_forget(c);
		return;
	}
	keyword = smtp_out_word(&text, true);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (span_eq_nocase(keyword, plain[i].name))
			*plain[i].there = true;
	if (span_eq_nocase(keyword, SPAN_LIT("SIZE"))) {
		smtp_out_caps_size(c, text);
	} else if (span_eq_nocase(keyword, SPAN_LIT("LIMITS"))) {
		smtp_out_caps_limits(c, text);
	} else if (span_eq_nocase(keyword, SPAN_LIT("AUTH"))) {
		c->auth = true;
		while ((word = smtp_out_word(&text, true)).len)
			smtp_out_mechanism_add(&c->mechanisms, word);
	}
}

/* what EHLO or HELO said is known: TLS, sign-in, or ready */
static void smtp_out_hello_done(struct smtp_out *s)
{
	if (!s->tls_up && !s->tls_tried && s->tls != SMTP_OUT_TLS_NEVER && s->caps.starttls) {
		s->tls_tried = true;
		smtp_out_say(s, "STARTTLS\r\n");
		smtp_out_command(s, SMTP_OUT_S_STARTTLS);
	} else if (!s->tls_up && s->tls == SMTP_OUT_TLS_MUST) {
		smtp_out_fail(s, &(struct smtp_out_result){.fate = SMTP_OUT_NO_TLS, .stage = SMTP_OUT_AT_STARTTLS,
			.words = SPAN_LIT("the server does not offer STARTTLS")});
	} else if (s->want_auth && !s->caps.mechanisms.len) {
		smtp_out_fail(s, &(struct smtp_out_result){.fate = SMTP_OUT_NO_AUTH, .stage = SMTP_OUT_AT_AUTH,
			.words = SPAN_LIT("the server does not offer to sign in (AUTH)")});
	} else if (s->want_auth) {
		smtp_out_enter(s, SMTP_OUT_S_AUTH_ASK);
	} else {
		smtp_out_enter(s, SMTP_OUT_S_READY);
	}
}

void smtp_out_ehlo_done(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_EHLO, NULL);

	if (r.fate == SMTP_OUT_GARBLED) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
	} else if (r.fate == SMTP_OUT_SENT) {
		if (s->masked)
			s->caps.pipelining = s->caps.chunking = false;
		smtp_out_hello_done(s);
	} else if (r.fate == SMTP_OUT_LATER) {
		smtp_out_fail(s, &r);
	} else if (!s->tls_up && s->tls == SMTP_OUT_TLS_MUST) { /* HELO knows no STARTTLS */
		r.fate = SMTP_OUT_NO_TLS;
		smtp_out_fail(s, &r);
	} else { /* RFC 5321 3.2 */
		smtp_out_hello(s, "HELO ", SMTP_OUT_S_HELO);
	}
}

void smtp_out_helo_done(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_EHLO, NULL);

	if (r.fate == SMTP_OUT_GARBLED)
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
	else if (r.fate != SMTP_OUT_SENT)
		smtp_out_fail(s, &r);
	else
		smtp_out_hello_done(s);
}

void smtp_out_starttls_done(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_STARTTLS, NULL);

	if (r.fate == SMTP_OUT_GARBLED) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
	} else if (r.fate == SMTP_OUT_SENT) {
		smtp_out_enter(s, SMTP_OUT_S_TLS);
	} else if (s->tls == SMTP_OUT_TLS_MUST) {
		r.fate = SMTP_OUT_NO_TLS;
		smtp_out_fail(s, &r);
	} else { /* tls_tried: on in the clear */
		smtp_out_hello_done(s);
	}
}

void smtp_out_tls_done(struct smtp_out *s, mono_ms now)
{
	if (s->state != SMTP_OUT_S_TLS)
		return;
	s->now = now;
	s->tls_up = true;
	smtp_out_hello(s, "EHLO ", SMTP_OUT_S_EHLO);
}

static void smtp_out_auth_secret_add(struct smtp_out *s, struct span decoded)
{
	struct buf text;

	buf_init_secret(&text, LIMIT_SMTP_AUTH_LINE_BYTES);
	b64_encode(&text, decoded);
	if (text.overflow)
		s->out.overflow = true;
	smtp_out_add(s, buf_span(&text));
	buf_clear(&text);
}

void smtp_out_auth(struct smtp_out *s, struct span mechanism, bool has_initial, struct span initial, mono_ms now)
{
	if (s->state != SMTP_OUT_S_AUTH_ASK || !span_is_vchar(mechanism))
		return;
	s->now = now;
	s->out.secret = true;
	smtp_out_say(s, "AUTH ");
	smtp_out_add(s, mechanism);
	if (has_initial)
		smtp_out_say(s, initial.len ? " " : " ="); /* RFC 4954 4: "=" is the empty one */
	if (has_initial)
		smtp_out_auth_secret_add(s, initial);
	smtp_out_say(s, "\r\n");
	smtp_out_command(s, SMTP_OUT_S_AUTH);
}

void smtp_out_auth_answer(struct smtp_out *s, struct span decoded, mono_ms now)
{
	if (s->state != SMTP_OUT_S_AUTH_STEP)
		return;
	s->now = now;
	smtp_out_auth_secret_add(s, decoded);
	smtp_out_say(s, "\r\n");
	smtp_out_command(s, SMTP_OUT_S_AUTH);
}

void smtp_out_auth_cancel(struct smtp_out *s, mono_ms now)
{
	if (s->state != SMTP_OUT_S_AUTH_STEP)
		return;
	s->now = now;
	smtp_out_say(s, "*\r\n");
	smtp_out_command(s, SMTP_OUT_S_AUTH_CANCEL);
}

void smtp_out_skip_auth(struct smtp_out *s, mono_ms now)
{
	if (s->state != SMTP_OUT_S_AUTH_ASK)
		return;
	s->now = now;
	smtp_out_enter(s, SMTP_OUT_S_READY);
}

void smtp_out_auth_done(struct smtp_out *s)
{
	struct smtp_out_result r = smtp_out_said(s, SMTP_OUT_AT_AUTH, NULL);
	bool cancelled = s->state == SMTP_OUT_S_AUTH_CANCEL;

	if (!cancelled && s->reply.code == 334) {
		buf_reset(&s->challenge);
		if (s->reply.cut || b64_decode(&s->challenge, span_trim(s->reply.text)) != RC_OK)
			smtp_out_fail_fate(s, SMTP_OUT_GARBLED, "the server's challenge to sign-in is no base64");
		else
			smtp_out_enter(s, SMTP_OUT_S_AUTH_STEP);
		return;
	}
	if (r.fate == SMTP_OUT_GARBLED || (cancelled && r.fate == SMTP_OUT_SENT)) {
		smtp_out_garbled_reply(s, SMTP_OUT_UNFIT);
		return;
	}
	buf_clear(&s->challenge);
	buf_clear(&s->out); /* all of it has left; nothing secret follows */
	s->out.secret = false;
	s->out_at = 0;
	if (cancelled)
		smtp_out_enter(s, SMTP_OUT_S_AUTH_ASK);
	else if (r.fate == SMTP_OUT_SENT)
		smtp_out_enter(s, SMTP_OUT_S_READY);
	else
		smtp_out_fail(s, &r);
}
