/* The two engines talk to each other: whatever the server offers, however the bytes are cut and in whatever order its questions are answered, the message
 * that it keeps is the one that was given, and the client knows what became of each recipient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "fake_out.h"
#include "fake_smtp.h"

enum { ROUNDS = 10000, STEPS_MAX = 1000000 };

enum kind { TEXT, TEXT_8BIT, BINARY, BARE, KINDS };

static const char *const offers[] = {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "STARTTLS", "REQUIRETLS", "LIMITS"};
enum {
	OFFER_PIPELINING,
	OFFER_SIZE,
	OFFER_8BITMIME,
	OFFER_SMTPUTF8,
	OFFER_CHUNKING,
	OFFER_BINARYMIME,
	OFFER_DSN,
	OFFER_STARTTLS,
	OFFER_REQUIRETLS,
	OFFER_LIMITS,
	OFFERS
};

struct talk {
	uint64_t seed;
	unsigned round;
	struct fake_smtp server;
	struct fake_out client;
	struct buf body, wanted; /* wanted: what the server must keep */
	enum kind kind;
	bool offered[OFFERS], ignorant, few; /* the server knows no EHLO; takes few recipients at once */
	size_t to_server, to_client;    /* delivered so far */
	unsigned served;                /* ACCEPT questions answered */
};

static unsigned chance(struct talk *t, unsigned n)
{
	t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(t->seed >> 33) % n;
}

static void make_body(struct talk *t)
{
	static const char *const pieces[] = {".", "..", "\r\n", "\r\n.", "\r\n.\r\n", "a", "bc ", "Subject: x\r\n", "\r\n\r\n", "RSET\r\n", "0123456789"};
	unsigned n = chance(t, 20) ? chance(t, 40) : chance(t, 30000);

	buf_init(&t->body, 4 << 20);
	for (unsigned i = 0; i < n; i++) {
		if (t->kind == BINARY && chance(t, 3) == 0)
			buf_add_byte(&t->body, (uint8_t)chance(t, 256));
		else if (t->kind == TEXT_8BIT && chance(t, 8) == 0)
			buf_add_byte(&t->body, (uint8_t)(0x80 + chance(t, 128)));
		else
			buf_add_str(&t->body, pieces[chance(t, sizeof(pieces) / sizeof(pieces[0]))]);
	}
	if (t->kind == BARE)
		buf_add(&t->body, chance(t, 2) ? SPAN_LIT("x\n") : chance(t, 2) ? SPAN_LIT("\rx") : SPAN_LIT("\0"));
	if (t->kind == BARE && chance(t, 2))
		buf_add_str(&t->body, "tail\r\n");
	buf_init(&t->wanted, 4 << 20);
	buf_add(&t->wanted, buf_span(&t->body));
	if (t->kind != BINARY && t->body.len && t->body.ptr[t->body.len - 1] != '\n')
		buf_add_str(&t->wanted, "\r\n");
}

static void make_client(struct talk *t)
{
	static const char *const who[] = {"alice", "bob", "user1", "user2", "full", "nobody", "off", "carol.d@foreign.example", "u\xc3\xa4", "bad address"};
	static char names[sizeof(who) / sizeof(who[0])][64];
	struct fake_out *c = &t->client;

	for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++)
		(void)snprintf(names[i], sizeof(names[i]), strchr(who[i], '@') ? "%s" : "%s@mailroom.test", who[i]);
	fake_out_init(c);
	c->mails = 1 + chance(t, 3);
	c->mail.sender = chance(t, 8) ? SPAN_LIT("\"me and\"@client.test") : chance(t, 2) ? SPAN_NONE : SPAN_LIT("x@blocked.example");
	c->mail.rcpt_count = 1 + chance(t, chance(t, 4) ? 4 : 20);
	for (size_t i = 0; i < c->mail.rcpt_count; i++) {
		/* as many unknown ones as it takes known ones, and the server closes: somebody is guessing */
		c->rcpts[i].address = span_str(names[chance(t, t->few ? 4 : sizeof(who) / sizeof(who[0]))]);
		c->rcpts[i].notify = chance(t, 3) ? chance(t, 8) << 1 : 1;
		c->rcpts[i].orcpt = chance(t, 2) ? SPAN_LIT("rfc822;al+2Bice@x.test") : SPAN_NONE;
	}
	c->mail.ret = chance(t, 3);
	c->mail.envid = chance(t, 2) ? SPAN_LIT("a=b+c d") : SPAN_NONE;
	c->mail.body_8bit = t->kind == TEXT_8BIT;
	c->mail.body_binary = t->kind == BINARY;
	c->mail.smtputf8 = chance(t, 10) == 0;
	c->mail.requiretls = chance(t, 10) == 0;
	c->mail.bytes = t->body.len ? t->body.len : 1;
	c->body = buf_span(&t->body);
	c->piece = chance(t, 2) ? 0 : 1 + chance(t, chance(t, 2) && t->body.len < 1000 ? 10 : 5000);
	c->empty_last = chance(t, 2);
}

static void make_server(struct talk *t)
{
	struct fake_smtp *s = &t->server;
	bool submission = chance(t, 3) == 0;

	fake_smtp_init(s, submission ? SMTP_KIND_SUBMISSION : SMTP_KIND_MX);
	s->delay = chance(t, 2);
	s->rules.rcpt_max = t->few ? 1 + chance(t, 4) : 100;
	s->rules.message_max_bytes = chance(t, 5) ? 4 << 20 : 100;
	s->rules.noop_max = 1000000; /* tiny chunks count against it */
	s->rules.early_refused = chance(t, 2);
	s->accept_cause = chance(t, 6) ? CAUSE_NONE : chance(t, 2) ? CAUSE_SPAM_CONTENT : CAUSE_SERVER_TEMP_ERROR;
	for (size_t i = 0; i < OFFERS; i++)
		t->offered[i] = chance(t, 5) != 0;
	if (submission) { /* one has to sign in, under TLS */
		t->offered[OFFER_STARTTLS] = true;
		t->client.want_auth = true;
		t->client.tls = SMTP_OUT_TLS_MUST;
		t->client.auth_initial = chance(t, 2);
		t->client.mechanism = chance(t, 2) ? "PLAIN" : "LOGIN";
		s->final_data = false;
	}
	t->ignorant = !submission && chance(t, 20) == 0;
}

/* the server knows less than it does; the replies keep their length */
static void hide_offers(struct talk *t)
{
	struct span rest = span_from(buf_span(&t->server.out), t->to_client);

	for (size_t i = 0; i < OFFERS; i++) {
		char line[32];
		size_t at;

		(void)snprintf(line, sizeof(line), "\n250-%s", offers[i]);
		while (!t->offered[i] && (at = span_find_span(rest, span_str(line))) < rest.len)
			t->server.out.ptr[t->to_client + at + 5] = '_';
	}
}

static void deliver(struct talk *t)
{
	struct fake_smtp *s = &t->server;
	struct fake_out *c = &t->client;
	size_t most = chance(t, 2) ? 100000 : 1 + chance(t, t->body.len < 1000 ? 50 : 5000), n;
	struct span bytes;

	if (chance(t, 2) && !s->want_tls) {
		bytes = span_head(span_from(buf_span(&c->sent), t->to_server), most);
		n = bytes.len;
		if (t->ignorant && t->to_server == 0 && n > 4) { /* nothing else has been said */
			fake_smtp_feed(s, SPAN_LIT("XHLO"));
			bytes = span_from(bytes, 4);
			t->ignorant = false;
		} else if (t->ignorant && t->to_server == 0) {
			return;
		}
		t->to_server += n;
		fake_smtp_feed(s, bytes);
		return;
	}
	if (t->to_client < 2000) /* they come early */
		hide_offers(t);
	bytes = span_head(span_from(buf_span(&s->out), t->to_client), most);
	if (bytes.len) {
		t->to_client += bytes.len;
		fake_out_feed(c, bytes);
		fake_out_pump(c);
	}
	if (s->want_tls && t->to_client == s->out.len && c->tls_shaken)
		fake_smtp_tls(s);
}

/* the recipients that the server has taken are those that the client meant, with what goes with them */
static void check_envelope(struct talk *t)
{
	struct fake_out *c = &t->client;
	const struct smtp_rcpt *taken;
	const bool dsn = t->offered[OFFER_DSN] && smtp_in_is_esmtp(t->server.s);
	size_t n = 0, at = 0;

	while ((taken = smtp_in_rcpt(t->server.s, (uint32_t)n)) && n < t->server.accepted_rcpts) {
		struct buf address;

		buf_init(&address, 1000);
		address_write(&address, &taken->to);
		while (at < c->mail.rcpt_count && !span_eq(c->rcpts[at].address, buf_span(&address)))
			at++;
		assert_true(at < c->mail.rcpt_count);
		assert_int_equal(taken->notify, dsn ? c->rcpts[at].notify : 0);
		assert_true(span_eq(taken->orcpt, dsn ? c->rcpts[at].orcpt : SPAN_NONE));
		buf_clear(&address);
		at++;
		n++;
	}
	assert_int_equal(n, t->server.accepted_rcpts);
	t->served++;
}

static void answer(struct talk *t)
{
	struct fake_smtp *s = &t->server;
	size_t at = s->pending_count ? chance(t, (unsigned)s->pending_count) : 0;

	if (s->pending_count && s->pending[at].want == SMTP_WANT_ACCEPT)
		check_envelope(t);
	(void)fake_smtp_answer(s, at);
}

static enum smtp_out_fate fate_of(const struct talk *t, size_t i, bool esmtp, unsigned *taken)
{
	const struct fake_out *c = &t->client;
	struct span who = c->rcpts[i].address;
	uint64_t declared = esmtp && t->offered[OFFER_SIZE] ? c->mail.bytes : 0;

	if (span_eq(who, SPAN_LIT("bad address@mailroom.test")))
		return SMTP_OUT_UNABLE;
	if (!span_is_ascii(who) && !(esmtp && t->offered[OFFER_SMTPUTF8]))
		return SMTP_OUT_UNABLE;
	if (span_starts(who, SPAN_LIT("full")))
		return declared > FAKE_FULL_BYTES ? SMTP_OUT_REFUSED : SMTP_OUT_LATER;
	if (span_starts(who, SPAN_LIT("carol")) && t->server.rules.kind == SMTP_KIND_SUBMISSION)
		return ++*taken, SMTP_OUT_SENT;
	if (span_starts(who, SPAN_LIT("alice")) || span_starts(who, SPAN_LIT("bob")) || span_starts(who, SPAN_LIT("user")))
		return ++*taken, SMTP_OUT_SENT;
	return SMTP_OUT_REFUSED;
}

/* why not even MAIL is taken, for all; SENT: it is */
static enum smtp_out_fate fate_of_all(const struct talk *t, bool esmtp, bool tls)
{
	const struct smtp_out_mail *m = &t->client.mail;
	const bool *offered = t->offered;

	if (m->smtputf8 && !(esmtp && offered[OFFER_SMTPUTF8]))
		return SMTP_OUT_UNABLE;
	if (m->requiretls && !(tls && offered[OFFER_REQUIRETLS]))
		return SMTP_OUT_UNABLE;
	if (m->body_binary && !(esmtp && offered[OFFER_CHUNKING] && offered[OFFER_BINARYMIME]))
		return SMTP_OUT_UNABLE;
	if (esmtp && offered[OFFER_SIZE] && m->bytes > t->server.rules.message_max_bytes)
		return SMTP_OUT_UNABLE;
	return span_eq(m->sender, SPAN_LIT("x@blocked.example")) ? SMTP_OUT_REFUSED : SMTP_OUT_SENT;
}

static enum smtp_out_fate fate_of_message(const struct talk *t)
{
	if (t->kind == BARE)
		return SMTP_OUT_UNABLE;
	if (t->wanted.len > t->server.rules.message_max_bytes)
		return SMTP_OUT_REFUSED;
	if (t->server.accept_cause != CAUSE_NONE)
		return t->server.accept_cause == CAUSE_SPAM_CONTENT ? SMTP_OUT_REFUSED : SMTP_OUT_LATER;
	return SMTP_OUT_SENT;
}

static void check(struct talk *t, bool ignorant)
{
	struct fake_out *c = &t->client;
	bool tls = c->tls_shaken, esmtp = !ignorant || tls;
	enum smtp_out_fate all = fate_of_all(t, esmtp, tls), message = fate_of_message(t);
	unsigned taken = 0, max = t->server.rules.rcpt_max;

	for (size_t i = 0; i < c->mail.rcpt_count; i++) {
		unsigned before = taken;
		enum smtp_out_fate fate = fate_of(t, i, esmtp, &taken), got = smtp_out_result(c->s, i).fate;

		if (all == SMTP_OUT_UNABLE || (all == SMTP_OUT_REFUSED && fate != SMTP_OUT_UNABLE))
			fate = all;
		else if (fate == SMTP_OUT_SENT)
			fate = taken > max ? SMTP_OUT_LEFT : message;
		if (got == SMTP_OUT_LEFT && (before >= max || i >= max)) /* the server was full, or would have been by its LIMITS */
			continue;
		if (got != fate)
			fail_msg("round %u, recipient %zu: %u, not %u (%s)", t->round, i, got, fate, buf_cstr(&c->log));
	}
	if (all == SMTP_OUT_SENT && taken && message == SMTP_OUT_SENT && c->mail.rcpt_count <= max) {
		assert_int_equal(t->server.accepted, c->mails);
		if (!span_eq(buf_span(&t->server.kept), buf_span(&t->wanted)))
			fail_msg("round %u: another message was kept", t->round);
	} else if (all != SMTP_OUT_SENT || message != SMTP_OUT_SENT) {
		assert_int_equal(t->server.accepted, 0);
	}
}

static unsigned talk(unsigned round)
{
	struct talk t = {.seed = round * 2654435761u + 1, .round = round};
	unsigned steps = 0, accepted;
	bool ignorant;

	t.kind = (enum kind)chance(&t, KINDS);
	t.few = chance(&t, 2);
	make_body(&t);
	make_client(&t);
	make_server(&t);
	ignorant = t.ignorant;
	fake_out_start(&t.client);
	fake_smtp_start(&t.server);
	while (!t.client.failed && !t.client.closed && steps++ < STEPS_MAX) {
		deliver(&t);
		if (chance(&t, 3) == 0)
			answer(&t);
	}
	if (steps > STEPS_MAX || (t.client.failed && t.kind != BARE))
		fail_msg("round %u: %s\n%s\nC: %s\nS: %s", round, buf_cstr(&t.client.log), buf_cstr(&t.client.words), buf_cstr(&t.client.sent),
		buf_cstr(&t.server.out));
	check(&t, ignorant);
	accepted = t.server.accepted;
	fake_smtp_clear(&t.server);
	fake_out_clear(&t.client);
	buf_clear(&t.body);
	buf_clear(&t.wanted);
	return accepted;
}

static void test_talk(void **state)
{
	unsigned accepted = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++)
		accepted += talk(i);
	assert_true(accepted > ROUNDS / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_talk)};

	return cmocka_run_group_tests_name("smtp-out-talk", tests, NULL, NULL);
}
