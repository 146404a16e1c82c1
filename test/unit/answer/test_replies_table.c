#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "answer/replies_table.h"

enum {
	PATTERNS_AT_LEAST = 400,
	EMITTERS_AT_LEAST = 25,
	CAUSES_AT_LEAST = 100,
};

static const struct reply_emitter *emitter(const char *slug)
{
	for (size_t i = 0; i < reply_emitter_count; i++)
		if (strcmp(reply_text(reply_emitters[i].slug), slug) == 0)
			return &reply_emitters[i];
	return NULL;
}

/* the table is generated: what it promises the matcher must hold for every row */
static void test_patterns(void **state)
{
	(void)state;
	assert_true(reply_pattern_count >= PATTERNS_AT_LEAST);
	for (size_t i = 0; i < reply_pattern_count; i++) {
		const struct reply_pattern *p = &reply_patterns[i];
		const struct reply_emitter *e = &reply_emitters[p->emitter];
		const char *text = reply_text(p->pattern), *anchor = text + p->anchor_at;

		assert_in_range(strlen(text), 4, 255);
		for (const char *c = text; *c; c++)
			assert_false(*c >= 'A' && *c <= 'Z');
		assert_true(p->anchor_len >= 2 && p->anchor_at + p->anchor_len <= strlen(text));
		assert_null(memchr(anchor, '*', p->anchor_len));
		assert_true(p->anchor_at == 0 || anchor[-1] == '*');
		assert_true(anchor[p->anchor_len] == '\0' || anchor[p->anchor_len] == '*');
		assert_true(reply_text(p->source)[0] != '\0');
		assert_true(p->emitter < reply_emitter_count && i >= e->first && i < (size_t)e->first + e->count);
		assert_in_range(p->sure, 1, 100);
		assert_true(p->cause_count >= 1);
		assert_true(p->cause_count == 1 || reply_text(p->ask)[0] != '\0');
		for (size_t k = 0; k < p->cause_count; k++) {
			const struct reply_cause *c = &reply_causes[p->cause_at + k];

			assert_in_range(c->cause, CAUSE_NONE + 1, CAUSE_COUNT - 1);
			assert_true(k == 0 || c[-1].percent >= c->percent);
		}
		for (size_t k = 0; k < REPLY_CODES && p->code[k]; k++)
			assert_true(p->code[k] <= 5 || (p->code[k] >= 20 && p->code[k] <= 59) || (p->code[k] >= 200 && p->code[k] <= 599));
	}
}

static void test_emitters(void **state)
{
	static const char *const wanted[] = {"gmail",
					     "exchange-online",
					     "outlook-com",
					     "exchange-server",
					     "yahoo",
					     "icloud",
					     "zoho",
					     "aol",
					     "gmx",
					     "t-online",
					     "orange",
					     "free-fr",
					     "comcast",
					     "mail-ru",
					     "yandex",
					     "tencent-qq",
					     "cpanel",
					     "exim",
					     "postfix",
					     "sendmail",
					     "opensmtpd",
					     "dovecot",
					     "haraka",
					     "qmail",
					     "courier",
					     "hmailserver",
					     "mailenable",
					     "zimbra",
					     "stalwart",
					     "mox",
					     "maddy",
					     "james",
					     "amazon-ses",
					     "sendgrid",
					     "mailgun",
					     "mandrill",
					     "sparkpost",
					     "postmark",
					     "proofpoint",
					     "mimecast",
					     "barracuda",
					     "ironport",
					     "cloudmark",
					     "messagelabs",
					     "dnsbl",
					     "spamassassin",
					     "rspamd",
					     "greylisting",
					     "python-smtplib",
					     "javamail",
					     "nodemailer",
					     "phpmailer",
					     "dotnet-mail",
					     "curl",
					     "swaks",
					     "winsock",
					     "openssl"};

	(void)state;
	assert_true(reply_emitter_count >= EMITTERS_AT_LEAST);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(emitter(wanted[i]));
	for (size_t i = 0; i < reply_emitter_count; i++) {
		const struct reply_emitter *e = &reply_emitters[i];

		assert_true(reply_text(e->name)[0] != '\0' && reply_text(e->source)[0] != '\0' && e->recognise_count > 0);
		assert_in_range(e->kind, EMITTER_PROVIDER, EMITTER_CLIENT);
		assert_true((size_t)e->first + e->count <= reply_pattern_count);
	}
}

/* every program says where the outgoing server is set, and in which steps */
static void test_clients(void **state)
{
	static const char *const wanted[] = {
		"outlook-classic", "outlook-new", "outlook-mobile", "thunderbird",	 "apple-mail-macos",
		"apple-mail-ios",  "gmail-web",	  "yahoo-web",	    "android-gmail-app", "k9-thunderbird-android",
		"samsung-email",   "mutt",	  "msmtp"};

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(emitter(wanted[i]));
	assert_true(client_program_count >= sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < client_program_count; i++) {
		const struct client_program *c = &client_programs[i];
		bool outgoing = false;

		assert_int_equal(reply_emitters[c->emitter].kind, EMITTER_CLIENT);
		for (size_t k = 0; k < c->setting_count; k++) {
			outgoing = outgoing || client_settings[c->setting_at + k].what == CLIENT_OUTGOING_SERVER;
			assert_true(reply_text(client_settings[c->setting_at + k].where)[0] != '\0');
		}
		assert_true(outgoing && c->step_count > 0);
		for (size_t k = 0; k < c->step_count; k++)
			assert_true(reply_text(reply_words[c->step_at + k])[0] != '\0');
	}
}

static void test_causes_named(void **state)
{
	bool named[CAUSE_COUNT] = {false};
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < reply_pattern_count; i++)
		for (size_t k = 0; k < reply_patterns[i].cause_count; k++)
			named[reply_causes[reply_patterns[i].cause_at + k].cause] = true;
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		count += named[i];
	assert_true(count >= CAUSES_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_emitters),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_causes_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
