/* command lines: CR LF ends one, nothing else does (RFC 5321 2.3.8); the table of verbs */
#include "proto/smtp/smtp_internal.h"

enum {
	VERB_ALONE = 1,     /* takes no argument */
	VERB_IDLE = 2,      /* counts against noop_max */
	VERB_OFF = 4,       /* known and not enabled */
	VERB_FOREIGN = 8,   /* another protocol's: the connection ends */
	VERB_RESTARTS = 16, /* lines behind it are no leftovers of a refused DATA */
	VERB_LAST = 32,     /* must be the last of a group (RFC 2920 3.1); DATA sees to it itself */
	VERB_FREE = 64,     /* does not count before sign-in */
};

struct smtp_verb {
	struct span name;
	void (*run)(struct smtp_in *s, struct span arg);
	unsigned flags;
};

#define VERB(word, fn, bits) {{(const uint8_t *)(word), sizeof(word) - 1}, fn, bits}
static const struct smtp_verb smtp_verbs[] = {
	VERB("RCPT", smtp_rcpt_run, 0),
	VERB("MAIL", smtp_mail_run, VERB_RESTARTS),
	VERB("DATA", smtp_data_run, 0),
	VERB("BDAT", smtp_bdat_run, VERB_RESTARTS),
	VERB("EHLO", smtp_ehlo_run, VERB_IDLE | VERB_RESTARTS | VERB_LAST),
	VERB("QUIT", smtp_quit_run, VERB_ALONE | VERB_FREE),
	VERB("RSET", smtp_rset_run, VERB_ALONE | VERB_IDLE | VERB_RESTARTS),
	VERB("HELO", smtp_helo_run, VERB_IDLE | VERB_RESTARTS | VERB_LAST),
	VERB("STARTTLS", smtp_starttls_run, VERB_ALONE | VERB_RESTARTS),
	VERB("AUTH", smtp_auth_run, 0),
	VERB("NOOP", smtp_noop_run, VERB_IDLE | VERB_LAST),
	VERB("VRFY", smtp_vrfy_run, VERB_IDLE | VERB_LAST),
	VERB("HELP", smtp_help_run, VERB_IDLE),
	VERB("XWHY", smtp_xwhy_run, VERB_IDLE),
	VERB("EXPN", NULL, VERB_IDLE | VERB_OFF | VERB_LAST),
	VERB("ETRN", NULL, VERB_OFF),
	VERB("ATRN", NULL, VERB_OFF),
	VERB("TURN", NULL, VERB_OFF),
	VERB("SEND", NULL, VERB_OFF),
	VERB("SAML", NULL, VERB_OFF),
	VERB("SOML", NULL, VERB_OFF),
	VERB("GET", NULL, VERB_FOREIGN),
	VERB("POST", NULL, VERB_FOREIGN),
	VERB("PUT", NULL, VERB_FOREIGN),
	VERB("HEAD", NULL, VERB_FOREIGN),
	VERB("OPTIONS", NULL, VERB_FOREIGN),
	VERB("CONNECT", NULL, VERB_FOREIGN),
};
#undef VERB

static const struct smtp_verb *smtp_verb_find(struct span word)
{
	for (size_t i = 0; i < sizeof(smtp_verbs) / sizeof(smtp_verbs[0]); i++)
		if (span_eq_nocase(word, smtp_verbs[i].name))
			return &smtp_verbs[i];
	return NULL;
}

static bool smtp_command_is(struct span line, struct span verb)
{
	return span_starts_nocase(line, verb) && (line.len == verb.len || line.ptr[verb.len] == ' ');
}

static size_t smtp_command_limit(const struct smtp_in *s, struct span line)
{
	if (s->state == SMTP_STATE_AUTH || smtp_command_is(line, SPAN_LIT("AUTH")))
		return LIMIT_SMTP_AUTH_LINE_BYTES;
	return LIMIT_SMTP_COMMAND_BYTES;
}

static void smtp_command_unknown(struct smtp_in *s)
{
	if (s->data_refused)
		smtp_refuse_bad(s, CAUSE_MESSAGE_SENT_AS_COMMANDS, NULL);
	else
		smtp_refuse_bad(s, CAUSE_COMMAND_UNKNOWN, NULL);
}

/* Who may send without sign-in is in a transaction soon; who neither signs in nor gets that far only costs. */
static bool smtp_command_is_too_much(struct smtp_in *s, const struct smtp_verb *v)
{
	const struct smtp_rules *r = s->rules;

	if (r->kind != SMTP_KIND_SUBMISSION || !r->unauth_command_max || s->account.len || s->in_mail || (v && v->flags & VERB_FREE))
		return false;
	return ++s->unauth_commands > r->unauth_command_max;
}

static void smtp_command_run(struct smtp_in *s, struct span line)
{
	struct span arg = line, word = span_cut(&arg, ' ');
	const struct smtp_verb *v = smtp_verb_find(word);
	char limit[32];

	arg = span_trim(arg);
	s->verb = v ? v->name : span_head(word, 32);
	if (smtp_command_is_too_much(s, v)) {
		smtp_close(s, CAUSE_TOO_MANY_UNAUTH_COMMANDS, &(struct cause_facts){.limit = smtp_write_count(limit, s->rules->unauth_command_max, "commands")});
	} else if (!v) {
		smtp_command_unknown(s);
	} else if (v->flags & VERB_FOREIGN) {
		smtp_close(s, CAUSE_FOREIGN_PROTOCOL, &(struct cause_facts){.detail = SPAN_LIT("HTTP")});
	} else if ((v->flags & VERB_IDLE) && ++s->noops > s->rules->noop_max) {
		smtp_close(s, CAUSE_TOO_MANY_NOOPS, NULL);
	} else if (v->flags & VERB_OFF) {
		smtp_refuse_bad(s, CAUSE_COMMAND_NOT_ENABLED, NULL);
	} else if ((v->flags & VERB_ALONE) && arg.len) {
		smtp_refuse_bad(s, CAUSE_ARGUMENT_UNWANTED, NULL); /* RFC 5321 4.1.1.5, 4.1.1.10, RFC 3207 4 */
	} else {
		if (v->flags & VERB_RESTARTS)
			s->data_refused = false;
		v->run(s, arg);
	}
	if (v && v->flags & VERB_LAST)
		smtp_must_read(s);
	if (!v)
		s->verb = SPAN_NONE;
}

/* what is wrong with the bytes of a whole line (without its CR LF) */
static enum cause_id smtp_command_fault(const struct smtp_in *s, struct span line)
{
	if (s->line_over || line.len + 2 > smtp_command_limit(s, line))
		return CAUSE_LINE_TOO_LONG;
	if (line.len && memchr(line.ptr, '\r', line.len))
		return CAUSE_COMMAND_BARE_NEWLINE;
	if (line.len && memchr(line.ptr, '\0', line.len))
		return CAUSE_NUL_BYTE;
	return CAUSE_NONE;
}

static void smtp_command_refuse(struct smtp_in *s, struct span line, enum cause_id fault)
{
	char text[32];
	struct cause_facts facts = {0};

	s->verb = SPAN_NONE; /* of a line like this no part is believed */
	if (fault == CAUSE_LINE_TOO_LONG)
		facts.limit = smtp_write_count(text, smtp_command_limit(s, line), "bytes");
	smtp_refuse_bad(s, fault, &facts);
}

/* A partial line is kept, up to its limit; of a longer one only the last byte matters. */
static void smtp_command_keep(struct smtp_in *s, struct span in)
{
	size_t had = s->line.len;
	uint8_t start[5]; /* enough to know whether it is AUTH */

	s->line_cr = in.ptr[in.len - 1] == '\r';
	if (s->line_over || s->line_swallow)
		return;
	if (had + in.len <= s->line.max_bytes) {
		buf_add(&s->line, in);
		if (s->line.len <= smtp_command_limit(s, buf_span(&s->line)) + 1)
			return;
	} else if (had < sizeof(start)) {
		buf_add(&s->line, span_head(in, sizeof(start)));
	}
	s->line_over = true;
	memcpy(start, s->line.ptr, sizeof(start));
	explicit_bzero(s->line.ptr, s->line.size);
	buf_clear(&s->line);
	buf_add(&s->line, span_of(start, sizeof(start)));
}

static void smtp_command_forget_line(struct smtp_in *s)
{
	if (s->line.size) {
		explicit_bzero(s->line.ptr, s->line.size); /* may hold a password */
		buf_clear(&s->line);
	}
	s->line_over = s->line_swallow = s->line_cr = false;
}

/* A lone LF: answered at once, so that somebody at a keyboard learns why; what follows up to CR LF belongs to the same
 * broken line and is never run. */
static size_t smtp_command_bare(struct smtp_in *s, size_t taken)
{
	smtp_command_forget_line(s);
	s->line_swallow = true;
	if (s->state == SMTP_STATE_AUTH)
		smtp_auth_line(s, SPAN_NONE, CAUSE_COMMAND_BARE_NEWLINE);
	else
		smtp_command_refuse(s, SPAN_NONE, CAUSE_COMMAND_BARE_NEWLINE);
	return taken;
}

static void smtp_command_whole(struct smtp_in *s, struct span line, enum cause_id fault)
{
	s->since = s->now;
	if (s->state == SMTP_STATE_AUTH)
		smtp_auth_line(s, line, fault);
	else if (fault != CAUSE_NONE)
		smtp_command_refuse(s, line, fault);
	else
		smtp_command_run(s, line);
}

size_t smtp_command_take(struct smtp_in *s, struct span in)
{
	const uint8_t *lf = memchr(in.ptr, '\n', in.len);
	size_t at = lf ? (size_t)(lf - in.ptr) : 0;
	struct span line;
	enum cause_id fault;
	bool cr;

	if (!lf) {
		smtp_command_keep(s, in);
		return in.len;
	}
	cr = at ? in.ptr[at - 1] == '\r' : s->line_cr;
	if (s->line_swallow && cr) {
		smtp_command_forget_line(s);
		return at + 1;
	}
	/* every reply but RCPT's is written at once, so the line waits until the replies before it are out of the way */
	if (!cr)
		return s->slots_open ? 0 : smtp_command_bare(s, at + 1);
	line = span_head(in, at);
	if (s->line.len) {
		if (s->line_over || s->line.len + at > s->line.max_bytes) {
			s->line_over = true;
			line = buf_span(&s->line);
		} else { /* joined in place; taken back when it has to wait */
			size_t had = s->line.len;

			buf_add(&s->line, line);
			line = buf_span(&s->line);
			s->line.len = had;
		}
	}
	if (!s->line_over)
		line.len--; /* the CR */
	fault = smtp_command_fault(s, line);
	if (s->slots_open && (fault != CAUSE_NONE || !smtp_command_is(line, SPAN_LIT("RCPT")) || smtp_rcpt_must_wait(s)))
		return 0;
	smtp_command_whole(s, line, fault);
	smtp_command_forget_line(s);
	return at + 1;
}
