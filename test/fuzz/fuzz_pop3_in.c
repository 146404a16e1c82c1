/* fuzz_pop3_in - the POP3 engine before a hostile peer and an owner whose answers come from the input too.
 * Input: byte 0 rules, byte 1 seed of the owner's choices, byte 2 how the bytes are cut the second time; the rest is what the peer sends.
 * Held: pieces do not matter (the same bytes in other pieces give the same replies and deletions); every line ends with CRLF, and a
 * status line is at most 512 bytes; output stays within its limit; nobody who reads and answers gets stuck; nothing is deleted without a
 * COMMIT. */
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "proto/pop3/pop3_in.h"

enum { RULE_STLS = 1, RULE_CLEARTEXT = 2, RULE_TLS = 4, RULE_SLOW_READER = 8, RULE_FAILURES = 16, RULE_FEW_ERRORS = 32, RULE_IN = 64, HEAD = 3, MAILS = 4 };

static const struct { uint64_t uid; struct span text; } mails[MAILS] = {
	{3, SPAN_LIT("Subject: a\r\n\r\nbody\r\n.\r\n..x\r\nlast")},
	{5, SPAN_LIT("\n.\r\n\r.\r\n\r\n\r\n.")},
	{8, SPAN_LIT("")},
	{1ULL << 40, SPAN_LIT(".\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n")},
};

struct run {
	struct pop3_in *p;
	uint64_t choice;
	struct buf seen;
	unsigned rules, commits;
	uint32_t deleted;
	bool closed, opened, bye;
};

static unsigned choose(struct run *r, unsigned of)
{
	r->choice = r->choice * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(r->choice >> 40) % of;
}

static void must(bool held)
{
	if (!held)
		abort();
}

static void run_auth(struct run *r, const struct pop3_ask *a)
{
	must(a->mechanism.len > 0);
	must(a->bytes.len <= LIMIT_SASL_BYTES);
	switch (r->rules & RULE_FAILURES ? choose(r, 5) : 2) {
	case 0:
		pop3_in_auth_challenge(r->p, a->bytes);
		break;
	case 1:
		pop3_in_auth_fail(r->p, CAUSE_AUTH_BAD_CREDENTIALS, NULL);
		break;
	case 2:
	case 3:
		pop3_in_auth_ok(r->p, SPAN_LIT("alice@mailroom.test"), SPAN_NONE);
		break;
	default:
		pop3_in_auth_ok(r->p, SPAN_LIT("alice@mailroom.test"), SPAN_LIT("v=done"));
	}
}

static void run_open(struct run *r)
{
	bool locked = r->rules & RULE_FAILURES && choose(r, 4) == 0;

	must(!r->opened);
	for (size_t i = 0; i < MAILS && !locked; i++)
		must(pop3_in_mailbox_add(r->p, mails[i].uid, mails[i].text.len) == RC_OK);
	r->opened = !locked;
	pop3_in_mailbox_done(r->p, locked ? CAUSE_MAILBOX_LOCKED : CAUSE_NONE, NULL, 77);
}

static void run_fetch(struct run *r, const struct pop3_ask *a)
{
	size_t i = 0, n;
	struct span text;

	must(r->opened && a->max > 0);
	while (i < MAILS && mails[i].uid != a->uid)
		i++;
	must(i < MAILS && a->offset <= mails[i].text.len);
	text = span_of(mails[i].text.ptr + a->offset, mails[i].text.len - a->offset);
	if (r->rules & RULE_FAILURES && choose(r, 40) == 0) {
		pop3_in_bytes(r->p, SPAN_NONE, false, CAUSE_SERVER_TEMP_ERROR);
		return;
	}
	n = text.len ? 1 + choose(r, (unsigned)text.len) : 0;
	pop3_in_bytes(r->p, span_head(text, n), n == text.len, CAUSE_NONE);
}

static void run_commit(struct run *r, const struct pop3_ask *a)
{
	bool fails = r->rules & RULE_FAILURES && choose(r, 3) == 0;

	must(r->opened && a->uid_count > 0 && a->uid_count <= MAILS && ++r->commits == 1);
	for (uint32_t i = 1; i < a->uid_count; i++)
		must(a->uids[i - 1] < a->uids[i]);
	r->deleted = fails ? 0 : a->uid_count;
	pop3_in_committed(r->p, fails ? CAUSE_SERVER_TEMP_ERROR : CAUSE_NONE);
}

static void run_act(struct run *r, enum pop3_want want, const struct pop3_ask *a)
{
	switch (want) {
	case POP3_WANT_AUTH:
	case POP3_WANT_AUTH_STEP:
		run_auth(r, a);
		break;
	case POP3_WANT_OPEN:
		run_open(r);
		break;
	case POP3_WANT_FETCH:
		run_fetch(r, a);
		break;
	case POP3_WANT_COMMIT:
		run_commit(r, a);
		break;
	case POP3_WANT_TLS:
		must(!pop3_in_is_tls(r->p));
		pop3_in_tls_done(r->p, 1);
		break;
	case POP3_WANT_CLOSE:
		must(!r->closed);
		r->closed = true;
		break;
	case POP3_WANT_AUTH_CANCEL:
	case POP3_WANT_NOTHING:
		break;
	}
}

/* sends a piece and does all that follows */
static void run_feed(struct run *r, struct span bytes)
{
	struct pop3_ask ask;
	enum pop3_want want;
	bool moved = true;

	while (moved) {
		struct span out;
		size_t n = bytes.len ? pop3_in_feed(r->p, bytes, 1) : 0;

		must(n <= bytes.len);
		bytes = span_from(bytes, n);
		moved = n > 0;
		while ((want = pop3_in_next(r->p, &ask)) != POP3_WANT_NOTHING) {
			moved = true;
			run_act(r, want, &ask);
		}
		out = pop3_in_out(r->p);
		must(out.len <= LIMIT_POP3_OUT_BYTES);
		if (r->rules & RULE_SLOW_READER)
			out = span_head(out, 5);
		buf_add(&r->seen, out);
		pop3_in_sent(r->p, out.len);
		moved |= out.len > 0;
	}
	must(bytes.len == 0); /* whoever answers and reads is never stuck */
}

static void run_begin(struct run *r, struct pop3_rules *rules, const uint8_t *data)
{
	*r = (struct run){.rules = data[0], .choice = data[1]};
	buf_init(&r->seen, 64 << 20);
	*rules = (struct pop3_rules){.hostname = "mail.mailroom.test", .stls = data[0] & RULE_STLS, .auth_cleartext = data[0] & RULE_CLEARTEXT,
		.mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN", .bad_command_max = data[0] & RULE_FEW_ERRORS ? 3 : 0,
		.auth_failure_max = data[0] & RULE_FEW_ERRORS ? 2 : 0, .command_ms = 600000, .login_ms = 60000};
	r->p = pop3_in_new(rules, SPAN_LIT("8Q2K4M1T"), CAUSE_NONE, 0);
	if (data[0] & RULE_TLS)
		pop3_in_tls_done(r->p, 0);
	if (data[0] & RULE_IN)
		run_feed(r, SPAN_LIT("AUTH PLAIN =\r\n"));
}

static void run_end(struct run *r)
{
	struct pop3_tally tally = pop3_in_tally(r->p);
	struct pop3_event ev;

	must(tally.deleted == r->deleted);
	must(tally.messages == (r->opened ? MAILS : 0));
	while (pop3_in_event(r->p, &ev))
		must(ev.cause != CAUSE_NONE);
	pop3_in_eof(r->p);
	pop3_in_free(r->p);
}

/* the lines a client reads: all whole, unless a message broke off; none of our own mails has one that begins with -ERR or +OK */
static void check_lines(const struct run *r)
{
	struct span seen = buf_span(&r->seen);

	while (seen.len) {
		size_t n = span_find_span(seen, SPAN_LIT("\r\n"));

		must(n < seen.len || r->rules & RULE_FAILURES);
		if (span_starts(seen, SPAN_LIT("-ERR")))
			must(n + 2 <= 512 && span_find_span(span_head(seen, n), SPAN_LIT("; ref 8Q2K4M1T)")) == n - strlen("; ref 8Q2K4M1T)"));
		if (span_starts(seen, SPAN_LIT("+OK")))
			must(n + 2 <= 512);
		seen = span_from(seen, n + 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pop3_rules rules, again;
	struct run whole, cut;
	struct span input;
	uint64_t state;

	if (size < HEAD)
		return 0;
	input = span_of(data + HEAD, size - HEAD);
	run_begin(&whole, &rules, data);
	run_feed(&whole, input);
	check_lines(&whole);
	/* what follows STLS in one piece is an injection, in the next piece it is the handshake's: there pieces do matter */
	if (!(data[0] & RULE_STLS)) {
		run_begin(&cut, &again, data);
		run_feed(&cut, SPAN_NONE);
		for (state = data[2]; input.len; ) {
			size_t n;

			state = state * 6364136223846793005ULL + 1442695040888963407ULL;
			n = data[2] == 0 ? 1 : 1 + (size_t)(state >> 40) % 17;
			run_feed(&cut, span_head(input, n));
			input = span_from(input, n);
		}
		must(span_eq(buf_span(&whole.seen), buf_span(&cut.seen)));
		must(whole.commits == cut.commits && whole.deleted == cut.deleted && whole.closed == cut.closed);
		run_end(&cut);
		buf_clear(&cut.seen);
	}
	run_end(&whole);
	buf_clear(&whole.seen);
	return 0;
}
