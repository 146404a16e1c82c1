#include "proto/pop3/pop3_internal.h"

enum { POP3_WORDS_TEXT = 0xff }; /* the argument is everything behind one blank (PASS may hold blanks, RFC 1939 7) */
enum { POP3_ANY_STATE = POP3_AT_AUTHORIZATION | POP3_AT_TRANSACTION };

struct pop3_verb {
	const char *name;
	void (*run)(struct pop3_in *p, const struct pop3_args *a);
	unsigned states;         /* POP3_AT_* */
	unsigned least, most;    /* words behind it */
	bool signs_in;           /* only where a sign-in is allowed now */
	const char *usage;       /* of the arguments, for command-syntax; foreign verbs: whose they are */
};

/* ---- verbs that belong to no family */

static void pop3_capa_add(struct pop3_in *p, const char *tag)
{
	buf_add_str(&p->out, tag);
	buf_add_str(&p->out, "\r\n");
}

/* RFC 2449 5 */
static void pop3_cmd_capa(struct pop3_in *p, const struct pop3_args *a)
{
	struct span rest = span_str(p->rules->mechanisms), mechanism;
	bool any = false;

	(void)a;
	buf_add_str(&p->out, "+OK Capability list follows\r\n");
	if (p->rules->stls && !p->is_tls) /* RFC 2595 4 */
		pop3_capa_add(p, "STLS");
	if (pop3_auth_allowed(p)) {
		pop3_capa_add(p, "USER");
		while (pop3_auth_mechanism_next(p, &rest, &mechanism)) { /* RFC 2449 6.3, 5034 6 */
			buf_add_str(&p->out, any ? " " : "SASL ");
			buf_add(&p->out, mechanism);
			any = true;
		}
		if (any)
			buf_add_str(&p->out, "\r\n");
	}
	pop3_capa_add(p, "TOP");
	pop3_capa_add(p, "UIDL");
	pop3_capa_add(p, "RESP-CODES");
	pop3_capa_add(p, "AUTH-RESP-CODE"); /* RFC 3206 6 */
	pop3_capa_add(p, "PIPELINING");
	pop3_capa_add(p, "EXPIRE NEVER");
	pop3_capa_add(p, "LOGIN-DELAY 0");
	pop3_capa_add(p, "UTF8 USER");      /* RFC 6856 2.1 */
	pop3_capa_add(p, "LANG");
	pop3_capa_add(p, "IMPLEMENTATION mailroom");
	buf_add_str(&p->out, ".\r\n");
}

/* RFC 1939 7: a digest over the password in the clear, which nobody here has */
static void pop3_cmd_apop(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	pop3_refuse_bad(p, CAUSE_COMMAND_NOT_ENABLED, NULL);
}

/* RFC 2595 4 */
static void pop3_cmd_stls(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	if (p->is_tls)
		pop3_refuse_bad(p, CAUSE_TLS_REPEATED, NULL);
	else if (!p->rules->stls)
		pop3_refuse_bad(p, CAUSE_TLS_NOT_OFFERED, NULL);
	else
		p->stls_begun = true; /* answered when it is known that nothing follows */
}

/* RFC 6856 2. It shows in replies; names and passwords are taken as UTF-8 in any case, and messages go out as they are kept. */
static void pop3_cmd_utf8(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	p->utf8 = true;
	buf_add_str(&p->out, "+OK UTF8 enabled\r\n");
}

static const char *const pop3_languages[][2] = {{"en", "English"}, {"i-default", "English"}};

/* the language that a range of RFC 4647 finds by lookup ("en-GB" finds "en"), or NULL */
static const char *pop3_language_find(struct span range)
{
	if (span_eq(range, SPAN_LIT("*"))) /* RFC 6856 3: as the server likes */
		return pop3_languages[0][0];
	for (size_t i = 0; i < sizeof(pop3_languages) / sizeof(pop3_languages[0]); i++) {
		struct span tag = span_str(pop3_languages[i][0]);

		if (span_starts_nocase(range, tag) && (range.len == tag.len || range.ptr[tag.len] == '-'))
			return pop3_languages[i][0];
	}
	return NULL;
}

/* RFC 6856 3 */
static void pop3_cmd_lang(struct pop3_in *p, const struct pop3_args *a)
{
	const char *tag;

	if (a->count == 0) {
		buf_add_str(&p->out, "+OK Language listing follows\r\n");
		for (size_t i = 0; i < sizeof(pop3_languages) / sizeof(pop3_languages[0]); i++)
			buf_printf(&p->out, "%s %s\r\n", pop3_languages[i][0], pop3_languages[i][1]);
		buf_add_str(&p->out, ".\r\n");
		return;
	}
	tag = pop3_language_find(a->word[0]);
	if (tag)
		buf_printf(&p->out, "+OK %s Language is English\r\n", tag);
	else
		pop3_refuse(p, CAUSE_POP3_LANG_UNKNOWN, &(struct cause_facts){.detail = a->word[0]});
}

/* a browser, or an SMTP program on the wrong port: it must not get to speak on as somebody else's puppet */
static void pop3_cmd_foreign(struct pop3_in *p, const struct pop3_args *a)
{
	pop3_refuse(p, CAUSE_FOREIGN_PROTOCOL, &(struct cause_facts){.detail = span_str(a->usage)});
	pop3_end(p);
}

/* ---- the table */

static const struct pop3_verb pop3_verbs[] = {
	{"CAPA", pop3_cmd_capa, POP3_ANY_STATE, 0, 0, false, NULL},
	{"USER", pop3_cmd_user, POP3_AT_AUTHORIZATION, 1, POP3_WORDS_TEXT, true, "USER NAME"},
	{"PASS", pop3_cmd_pass, POP3_AT_AUTHORIZATION, 1, POP3_WORDS_TEXT, true, "PASS PASSWORD"},
	{"AUTH", pop3_cmd_auth, POP3_AT_AUTHORIZATION, 0, 2, true, "AUTH [MECHANISM [RESPONSE]]"},
	{"APOP", pop3_cmd_apop, POP3_AT_AUTHORIZATION, 0, POP3_WORDS_TEXT, false, NULL},
	{"STLS", pop3_cmd_stls, POP3_AT_AUTHORIZATION, 0, 0, false, NULL},
	{"QUIT", pop3_cmd_quit, POP3_ANY_STATE, 0, 0, false, NULL},
	{"STAT", pop3_cmd_stat, POP3_AT_TRANSACTION, 0, 0, false, NULL},
	{"LIST", pop3_cmd_list, POP3_AT_TRANSACTION, 0, 1, false, "LIST [NUMBER]"},
	{"RETR", pop3_cmd_retr, POP3_AT_TRANSACTION, 1, 1, false, "RETR NUMBER"},
	{"DELE", pop3_cmd_dele, POP3_AT_TRANSACTION, 1, 1, false, "DELE NUMBER"},
	{"NOOP", pop3_cmd_noop, POP3_AT_TRANSACTION, 0, 0, false, NULL},
	{"RSET", pop3_cmd_rset, POP3_AT_TRANSACTION, 0, 0, false, NULL},
	{"TOP", pop3_cmd_top, POP3_AT_TRANSACTION, 2, 2, false, "TOP NUMBER LINES"},
	{"UIDL", pop3_cmd_uidl, POP3_AT_TRANSACTION, 0, 1, false, "UIDL [NUMBER]"},
	{"UTF8", pop3_cmd_utf8, POP3_AT_AUTHORIZATION, 0, 0, false, NULL},
	{"LANG", pop3_cmd_lang, POP3_ANY_STATE, 0, 1, false, "LANG [LANGUAGE]"},
	{"EHLO", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "SMTP"},
	{"HELO", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "SMTP"},
	{"GET", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
	{"HEAD", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
	{"POST", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
	{"PUT", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
	{"OPTIONS", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
	{"CONNECT", pop3_cmd_foreign, POP3_ANY_STATE, 0, POP3_WORDS_TEXT, false, "HTTP"},
};

static const struct pop3_verb *pop3_verb_find(struct span word)
{
	for (size_t i = 0; i < sizeof(pop3_verbs) / sizeof(pop3_verbs[0]); i++)
		if (span_eq_nocase(word, span_str(pop3_verbs[i].name)))
			return &pop3_verbs[i];
	return NULL;
}

void pop3_refuse_usage(struct pop3_in *p, const struct pop3_args *a)
{
	pop3_refuse_bad(p, CAUSE_COMMAND_SYNTAX, &(struct cause_facts){.detail = span_str(a->usage)});
}

/* Splits at blanks; RFC 1939 3 has single ones, more do no harm. */
static unsigned pop3_words(struct span text, struct span *word, unsigned max)
{
	unsigned count = 0;

	for (text = span_trim(text); text.len; text = span_trim(text)) {
		struct span w = span_cut(&text, ' ');

		if (count < max)
			word[count] = w;
		count++;
	}
	return count;
}

static bool pop3_args_split(struct pop3_in *p, const struct pop3_verb *v, struct pop3_args *a)
{
	bool too_long = false;

	if (v->most == POP3_WORDS_TEXT) {
		a->count = a->text.len > 0;
	} else {
		a->count = pop3_words(a->text, a->word, 2);
		for (unsigned i = 0; i < 2; i++) /* an initial response may fill the line */
			too_long |= a->word[i].len > LIMIT_POP3_ARG_BYTES && !v->signs_in;
	}
	if (v->most == 0 && a->count > 0) {
		pop3_refuse_bad(p, CAUSE_ARGUMENT_UNWANTED, NULL);
		return false;
	}
	if (a->count < v->least || a->count > v->most || too_long) {
		pop3_refuse_usage(p, a);
		return false;
	}
	return true;
}

static bool pop3_state_fits(struct pop3_in *p, const struct pop3_verb *v)
{
	struct cause_facts facts = {0};

	if (v->states & 1u << p->state)
		return true;
	if (v->signs_in) {
		pop3_refuse_bad(p, CAUSE_AUTH_TWICE, NULL);
		return false;
	}
	if (p->state == POP3_AUTHORIZATION)
		facts.missing = SPAN_LIT("sign-in (USER and PASS, or AUTH)");
	pop3_refuse_bad(p, CAUSE_POP3_NOT_IN_STATE, &facts);
	return false;
}

void pop3_command(struct pop3_in *p, struct span line)
{
	struct span rest = line, word = span_cut(&rest, ' ');
	const struct pop3_verb *v = pop3_verb_find(word);
	struct pop3_args a = {.text = rest};

	if (!v) {
		pop3_refuse_bad(p, CAUSE_COMMAND_UNKNOWN, &(struct cause_facts){.command = span_head(word, POP3_WORD_SHOWN_BYTES)});
		return;
	}
	p->verb = v->name;
	a.usage = v->usage;
	if (!pop3_state_fits(p, v))
		goto out;
	/* strangers only: whoever is signed in keeps the session up with NOOP (RFC 1939 3) */
	if (p->state == POP3_AUTHORIZATION && p->rules->noop_max && v->run != pop3_cmd_quit && ++p->idle_commands > p->rules->noop_max) {
		pop3_refuse(p, CAUSE_TOO_MANY_NOOPS, NULL);
		pop3_end(p);
		goto out;
	}
	if (v->signs_in && !pop3_auth_allowed(p)) {
		pop3_refuse_bad(p, CAUSE_AUTH_CLEARTEXT_REFUSED, NULL);
		goto out;
	}
	if (pop3_args_split(p, v, &a))
		v->run(p, &a);
out:
	if (!p->want && p->job.kind == POP3_JOB_NONE)
		p->verb = NULL;
}
