/* the ESMTP options of MAIL and RCPT, one table */
#include "base/num.h"
#include "proto/smtp/smtp_internal.h"

struct params_ctx {
	struct smtp_in *s;
	struct arena *mem;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	struct cause_facts *facts;
	char *limit_text;
};

/* xtext, RFC 3461 4: printable ASCII but "+" and "=", and "+" with two upper-case hex digits. out NULL: only checked */
static bool params_xtext(struct span text, uint8_t *out, size_t *len_out)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c < 0x21 || c > 0x7e || c == '=')
			return false;
		if (c == '+') {
			unsigned value = 0;

			for (size_t j = 1; j <= 2; j++) {
				uint8_t h = i + j < text.len ? text.ptr[i + j] : 0;

				if (!byte_is_digit(h) && (h < 'A' || h > 'F'))
					return false;
				value = value * 16 + (unsigned)(h <= '9' ? h - '0' : h - 'A' + 10);
			}
			c = (uint8_t)value;
			i += 2;
		}
		if (out)
			out[len] = c;
		len++;
	}
	*len_out = len;
	return true;
}

/* the decoded text in the arena, printable ASCII only */
static enum cause_id params_xtext_copy(struct arena *mem, struct span text, struct span *out)
{
	uint8_t *to = arena_alloc(mem, text.len + 1);
	size_t len;

	if (!to)
		return CAUSE_ENVELOPE_TOO_BIG;
	if (!params_xtext(text, to, &len))
		return CAUSE_PARAM_SYNTAX;
	for (size_t i = 0; i < len; i++)
		if (to[i] < 0x20 || to[i] > 0x7e)
			return CAUSE_PARAM_SYNTAX;
	*out = span_of(to, len);
	return CAUSE_NONE;
}

static enum cause_id params_size(struct params_ctx *c, struct span value) /* RFC 1870 */
{
	uint64_t size = 0;
	enum rc rc = num_parse(value, UINT64_MAX, &size);

	if (rc == RC_BAD)
		return CAUSE_PARAM_SYNTAX;
	if (rc != RC_OK || size > c->s->rules->message_max_bytes) {
		c->facts->detail = SPAN_NONE;
		c->facts->limit = smtp_write_bytes(c->limit_text, c->s->rules->message_max_bytes);
		return CAUSE_MESSAGE_TOO_BIG;
	}
	c->mail->size_declared = size;
	return CAUSE_NONE;
}

static enum cause_id params_body(struct params_ctx *c, struct span value) /* RFC 6152, 3030 */
{
	if (span_eq_nocase(value, SPAN_LIT("8BITMIME")))
		c->mail->body_8bit = true;
	else if (span_eq_nocase(value, SPAN_LIT("BINARYMIME")))
		c->mail->body_binary = true;
	else if (!span_eq_nocase(value, SPAN_LIT("7BIT")))
		return CAUSE_PARAM_SYNTAX;
	return CAUSE_NONE;
}

static enum cause_id params_smtputf8(struct params_ctx *c, struct span value) /* RFC 6531 */
{
	(void)value;
	c->mail->smtputf8 = true;
	return CAUSE_NONE;
}

static enum cause_id params_requiretls(struct params_ctx *c, struct span value) /* RFC 8689 */
{
	(void)value;
	if (!c->s->tls)
		return CAUSE_REQUIRETLS_NEEDS_TLS;
	c->mail->requiretls = true;
	return CAUSE_NONE;
}

static enum cause_id params_ret(struct params_ctx *c, struct span value) /* RFC 3461 4.3 */
{
	c->mail->dsn.ret_full = span_eq_nocase(value, SPAN_LIT("FULL"));
	c->mail->dsn.ret_hdrs = span_eq_nocase(value, SPAN_LIT("HDRS"));
	return c->mail->dsn.ret_full || c->mail->dsn.ret_hdrs ? CAUSE_NONE : CAUSE_PARAM_SYNTAX;
}

static enum cause_id params_envid(struct params_ctx *c, struct span value) /* RFC 3461 4.4 */
{
	if (value.len > LIMIT_ENVID_BYTES)
		return CAUSE_PARAM_SYNTAX;
	return params_xtext_copy(c->mem, value, &c->mail->dsn.envid);
}

static enum cause_id params_auth(struct params_ctx *c, struct span value) /* RFC 4954 5 */
{
	if (value.len > LIMIT_ORCPT_BYTES)
		return CAUSE_PARAM_SYNTAX;
	return params_xtext_copy(c->mem, value, &c->mail->auth);
}

static enum cause_id params_notify(struct params_ctx *c, struct span value) /* RFC 3461 4.1 */
{
	static const struct { struct span word; unsigned bit; } words[] = {
		{{(const uint8_t *)"NEVER", 5}, SMTP_NOTIFY_NEVER},
		{{(const uint8_t *)"SUCCESS", 7}, SMTP_NOTIFY_SUCCESS},
		{{(const uint8_t *)"FAILURE", 7}, SMTP_NOTIFY_FAILURE},
		{{(const uint8_t *)"DELAY", 5}, SMTP_NOTIFY_DELAY},
	};

	while (value.ptr) {
		struct span word = span_cut(&value, ',');
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_eq_nocase(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0)
			return CAUSE_PARAM_SYNTAX;
		c->rcpt->notify |= bit;
	}
	if ((c->rcpt->notify & SMTP_NOTIFY_NEVER) && c->rcpt->notify != SMTP_NOTIFY_NEVER)
		return CAUSE_PARAM_SYNTAX;
	return CAUSE_NONE;
}

static enum cause_id params_orcpt(struct params_ctx *c, struct span value) /* RFC 3461 4.2; "utf-8" type: RFC 6533 3 */
{
	struct span address = value, type = span_cut(&address, ';');
	size_t len;

	if (type.len == 0 || address.len == 0 || value.len > LIMIT_ORCPT_BYTES)
		return CAUSE_PARAM_SYNTAX;
	for (size_t i = 0; i < type.len; i++)
		if (!byte_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
			return CAUSE_PARAM_SYNTAX;
	if (span_is_ascii(address) ? !params_xtext(address, NULL, &len)
				   : !c->mail->smtputf8 || !span_eq_nocase(type, SPAN_LIT("utf-8")) || !span_is_utf8(address))
		return CAUSE_PARAM_SYNTAX;
	c->rcpt->orcpt = arena_copy(c->mem, value);
	return c->rcpt->orcpt.ptr ? CAUSE_NONE : CAUSE_ENVELOPE_TOO_BIG;
}

static const struct params_entry {
	struct span name;
	bool rcpt, valued;
	enum cause_id (*take)(struct params_ctx *c, struct span value);
} params_table[] = {
#define PARAM(word, is_rcpt, has_value, fn) {{(const uint8_t *)(word), sizeof(word) - 1}, is_rcpt, has_value, fn}
	PARAM("SIZE", false, true, params_size),
	PARAM("BODY", false, true, params_body),
	PARAM("SMTPUTF8", false, false, params_smtputf8),
	PARAM("RET", false, true, params_ret),
	PARAM("ENVID", false, true, params_envid),
	PARAM("AUTH", false, true, params_auth),
	PARAM("REQUIRETLS", false, false, params_requiretls),
	PARAM("NOTIFY", true, true, params_notify),
	PARAM("ORCPT", true, true, params_orcpt),
#undef PARAM
};

static enum cause_id params_one(struct params_ctx *c, struct span one, unsigned *seen)
{
	struct span value = one, name = span_cut(&value, '=');

	c->facts->detail = span_head(name, 40);
	for (size_t i = 0; i < sizeof(params_table) / sizeof(params_table[0]); i++) {
		const struct params_entry *e = &params_table[i];

		if (e->rcpt != (c->rcpt != NULL) || !span_eq_nocase(name, e->name))
			continue;
		if (*seen & (1u << i))
			return CAUSE_PARAM_TWICE;
		*seen |= 1u << i;
		if (e->valued != (value.len != 0))
			return CAUSE_PARAM_SYNTAX;
		return e->take(c, value);
	}
	return CAUSE_PARAM_UNKNOWN; /* RFC 5321 4.1.1.11: 555 */
}

enum cause_id smtp_params_parse(struct smtp_in *s, struct span text, struct arena *mem, struct smtp_mail *mail, struct smtp_rcpt *rcpt,
	struct cause_facts *facts, char limit_text[32])
{
	struct params_ctx c = {.s = s, .mem = mem, .mail = mail, .rcpt = rcpt, .facts = facts, .limit_text = limit_text};
	unsigned seen = 0;

	if (text.len && text.ptr[0] != ' ') {
		facts->detail = SPAN_LIT("a blank has to follow the address");
		return CAUSE_PARAM_SYNTAX;
	}
	while (text.len) {
		struct span one = span_cut(&text, ' ');
		enum cause_id cause;

		if (one.len == 0)
			continue;
		cause = params_one(&c, one, &seen);
		if (cause != CAUSE_NONE)
			return cause;
	}
	facts->detail = SPAN_NONE;
	return CAUSE_NONE;
}
