/* The outgoing queue: where rows go, leases, what becomes of them, destinations that are down; and random runs of all that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "store/store_queue.h"
#include "store/store_sql.h"
#include "store/store_srs.h"

extern const struct sql_schema store_schema;

enum { ROWS = 4096 };

struct taken {
	int64_t rows[ROWS];
	size_t count, leases, local;
	char sender[128], address[128], dest[128];
	enum cause_id local_cause;
	struct store_lease last;
};

static enum rc take(void *arg, const struct store_lease *l)
{
	struct taken *t = arg;

	(void)snprintf(t->sender, sizeof(t->sender), "%.*s", SPAN_FMT(l->sender));
	(void)snprintf(t->address, sizeof(t->address), "%.*s", SPAN_FMT(l->rows[0].address));
	(void)snprintf(t->dest, sizeof(t->dest), "%.*s", SPAN_FMT(l->dest));
	t->last = *l;
	if (l->local) {
		t->local++;
		t->local_cause = l->local_cause;
		return RC_OK;
	}
	t->leases++;
	for (size_t i = 0; i < l->row_count; i++)
		t->rows[t->count++] = l->rows[i].id;
	return RC_OK;
}

static size_t lease_at(struct fixture *f, const char *dest, int64_t now_ms, size_t max, struct taken *t)
{
	size_t n = 99;

	*t = (struct taken){.count = 0};
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_lease(f->s, S(dest), now_ms, max, &f->mem, take, t, &n, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(n, t->count);
	return n;
}

static size_t due_at(struct fixture *f, int64_t now_ms, struct store_due *due, size_t max, int64_t *next)
{
	size_t n = 99;

	assert_rc(RC_OK, store_queue_due(f->s, now_ms, &f->mem, due, max, &n, next, &f->err));
	return n;
}

static void settle(struct fixture *f, int64_t row, struct store_attempt a)
{
	struct store_row r;

	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_row(f->s, row, &f->mem, &r, &f->err));
	assert_rc(RC_OK, store_queue_settle(f->s, &r, &a, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
}

/* mail of `sender` to elsewhere */
static int64_t send_as(struct fixture *f, const char *sender, int64_t account, const char *const *rcpts, int64_t at_ms)
{
	struct store_rcpt r[16];
	struct store_message m = {.sender = S(sender), .peer = S("192.0.2.1"), .helo = S("h"), .client = S("192.0.2.1"), .trace = S("Received: x\r\n"),
		.head = SPAN_LIT("Subject: t\r\n\r\n"), .body = SPAN_LIT("text\r\n"), .rcpts = r, .received_ms = at_ms, .account = account,
		.origin = account ? STORE_ORIGIN_ACCOUNT : STORE_ORIGIN_STRANGER};
	struct store_resolved found;
	enum cause_id cause = CAUSE_NONE;
	bool repeat;
	int64_t id = 0;

	for (; rcpts[m.rcpt_count]; m.rcpt_count++) {
		assert_rc(RC_OK, store_resolve(f->s, S(rcpts[m.rcpt_count]), 0, &f->mem, &found, &f->err));
		r[m.rcpt_count] = (struct store_rcpt){.address = S(rcpts[m.rcpt_count]), .tag = found.tag};
	}
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	return cause == CAUSE_NONE ? id : -(int64_t)cause;
}
#define SEND(sender, account, ...) send_as(f, sender, account, (const char *const[]){__VA_ARGS__, NULL}, NOW_MS)

static void rows_go_to_their_domain_or_a_smarthost(void **state)
{
	struct fixture *f = *state;
	int64_t anna = fixture_account(f, "anna@example.org"), next;
	struct store_due due[10];
	struct taken t;

	(void)SEND("anna@example.org", anna, "x@Far.Example", "y@far.example", "z@[192.0.2.9]");
	(void)SEND("anna@example.org", anna, "q@b\xc3\xbc" "cher.example");
	assert_int_equal(3, due_at(f, NOW_MS, due, 10, &next));
	assert_int_equal(2, lease_at(f, "far.example", NOW_MS, 10, &t));
	assert_int_equal(1, t.leases); /* of one message: one lease */
	assert_string_equal("anna@example.org", t.sender);
	assert_int_equal(STORE_ORIGIN_ACCOUNT, t.last.origin);
	assert_int_equal(strlen("Received: x\r\nSubject: t\r\n\r\ntext\r\n"), t.last.bytes);
	assert_int_equal(1, lease_at(f, "[192.0.2.9]", NOW_MS, 10, &t));
	assert_int_equal(1, lease_at(f, "xn--bcher-kva.example", NOW_MS, 10, &t));
	assert_int_equal(0, due_at(f, NOW_MS, due, 10, &next));
	assert_true(next == INT64_MAX);
	/* of the account, else of the domain */
	assert_rc(RC_OK, store_domain_set_smarthost(f->s, S("example.org"), S("isp"), &f->err));
	(void)SEND("anna@example.org", anna, "x@far.example");
	assert_int_equal(1, lease_at(f, ">isp", NOW_MS, 10, &t));
	assert_rc(RC_OK, store_account_set_smarthost(f->s, S("anna@example.org"), S("own.relay-1"), &f->err));
	(void)SEND("anna@example.org", anna, "x@far.example");
	assert_int_equal(1, lease_at(f, ">own.relay-1", NOW_MS, 10, &t));
	assert_rc(RC_OK, store_account_set_smarthost(f->s, S("anna@example.org"), S(""), &f->err));
	assert_rc(RC_OK, store_domain_set_smarthost(f->s, S("example.org"), S(""), &f->err));
	(void)SEND("anna@example.org", anna, "x@far.example");
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS, 10, &t));
	assert_rc(RC_BAD, store_domain_set_smarthost(f->s, S("example.org"), S("a b"), &f->err));
	assert_rc(RC_NONE, store_account_set_smarthost(f->s, S("nobody@example.org"), S("isp"), &f->err));
}

static void forwarded_mail_comes_back(void **state)
{
	struct fixture *f = *state;
	struct store_resolved found;
	struct taken t;
	char back[160], address[128];
	int64_t now = clock_wall_ms();
	const char *fwd[] = {"fwd@example.net", NULL}, *rcpts[] = {back, NULL};

	assert_rc(RC_OK, store_alias_add(f->s, S("fwd@example.net"), S("away@far.example"), &f->err));
	(void)send_as(f, "stranger@elsewhere.example", 0, fwd, now);
	assert_int_equal(1, lease_at(f, "far.example", now, 10, &t));
	assert_non_null(strstr(t.sender, "=elsewhere.example=stranger@example.net"));
	assert_int_equal(0, strncmp("SRS0=", t.sender, 5));
	(void)snprintf(back, sizeof(back), "%s", t.sender);
	(void)send_as(f, "anna@example.org", 0, fwd, now); /* one of ours, and nobody's: as they are */
	assert_int_equal(1, lease_at(f, "far.example", now, 10, &t));
	assert_string_equal("anna@example.org", t.sender);
	(void)send_as(f, "", 0, fwd, now);
	assert_int_equal(1, lease_at(f, "far.example", now, 10, &t));
	assert_string_equal("", t.sender);
	/* the bounce */
	for (char *c = back; *c != '@'; c++)
		*c = (char)byte_lower((uint8_t)*c);
	assert_rc(RC_OK, store_resolve(f->s, S(back), 0, &f->mem, &found, &f->err));
	assert_true(found.cause == CAUSE_NONE && found.tag == STORE_TAG_SRS);
	assert_int_equal(-(int64_t)CAUSE_RCPT_UNKNOWN, send_as(f, "spam@elsewhere.example", 0, rcpts, now));
	assert_true(send_as(f, "", 0, rcpts, now) > 0);
	assert_int_equal(1, lease_at(f, "elsewhere.example", now, 10, &t));
	(void)snprintf(address, sizeof(address), "%s", t.address);
	assert_string_equal("stranger@elsewhere.example", address);
	assert_string_equal("", t.sender);
	/* forged, also where the domain has a catch-all */
	back[6] = back[6] == 'a' ? 'b' : 'a';
	assert_rc(RC_OK, store_domain_catch_all(f->s, S("example.net"), S("bert@example.org"), &f->err));
	assert_rc(RC_OK, store_resolve(f->s, S(back), 0, &f->mem, &found, &f->err));
	assert_int_equal(CAUSE_SRS_INVALID, found.cause);
	assert_int_equal(-(int64_t)CAUSE_RCPT_UNKNOWN, send_as(f, "", 0, rcpts, now));
	/* the key outlives the process */
	back[0] = '\0';
	fixture_reopen(f, STORE_SERVE);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM secret"));
	(void)send_as(f, "stranger@elsewhere.example", 0, fwd, now);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM secret"));
}

static void what_became_of_it_is_kept(void **state)
{
	struct fixture *f = *state;
	struct store_due due[10];
	struct taken t;
	int64_t next, message = SEND("anna@example.org", 1, "a@far.example", "b@far.example", "c@far.example", "d@far.example");
	struct store_row row;

	assert_int_equal(3, lease_at(f, "far.example", NOW_MS, 3, &t));
	assert_int_equal(1, due_at(f, NOW_MS, due, 10, &next)); /* one is left */
	settle(f, t.rows[0], (struct store_attempt){.how = STORE_SETTLE_SENT, .now_ms = NOW_MS, .counts = true});
	settle(f, t.rows[1], (struct store_attempt){.how = STORE_SETTLE_WAITS, .cause = CAUSE_GREYLISTED, .code = 451, .enhanced = S("4.7.1"),
		.host = S("mx.far.example"),
		.address = S("192.0.2.7"), .words = S("come\r\nback \xff later"), .now_ms = NOW_MS, .next_ms = NOW_MS + 60000, .counts = true});
	settle(f, t.rows[2], (struct store_attempt){.how = STORE_SETTLE_FAILED, .cause = CAUSE_RCPT_UNKNOWN, .code = 550, .now_ms = NOW_MS, .counts = true});
	assert_rc(RC_NONE, store_queue_row(f->s, t.rows[0], &f->mem, &row, &f->err));
	assert_rc(RC_NONE, store_queue_row(f->s, t.rows[1], &f->mem, &row, &f->err)); /* not leased */
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS, 10, &t));
	settle(f, t.rows[0], (struct store_attempt){.how = STORE_SETTLE_DROPPED, .now_ms = NOW_MS, .counts = true});
	assert_int_equal(0, due_at(f, NOW_MS, due, 10, &next));
	assert_true(next == NOW_MS + 60000);
	assert_int_equal(2, fixture_sql(f, "SELECT holders FROM message"));
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS + 60000, 10, &t));
	assert_rc(RC_OK, store_queue_row(f->s, t.rows[0], &f->mem, &row, &f->err));
	assert_int_equal(1, row.attempts);
	assert_int_equal(message, row.message);
	assert_int_equal(1, fixture_sql(f, "SELECT words = 'come  back ? later' AND cause = 'greylisted' AND code = 451 FROM queue WHERE state = 2"));
	/* untried: as it was; a store that ends: as it was */
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_unlease(f->s, t.rows, 1, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(1, due_at(f, NOW_MS + 60000, due, 10, &next));
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS + 60000, 10, &t));
	fixture_reopen(f, STORE_SERVE);
	assert_rc(RC_OK, store_queue_open(f->s, &f->err));
	assert_int_equal(1, due_at(f, NOW_MS + 60000, due, 10, &next));
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_held(f->s, t.rows[0], &f->err)); /* and a relay still has it */
	assert_rc(RC_OK, store_queue_held(f->s, t.rows[0], &f->err)); /* who has it is not known here */
	assert_rc(RC_NONE, store_queue_held(f->s, 999, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(0, lease_at(f, "far.example", NOW_MS + 60000, 10, &t));
}

/* a row may be in the hands of a relay while it waits (its lease was taken back) or is leased, never when it is settled or an administrator holds it; but for
 * one that was in a relay's hands when it was to be held */
static void which_rows_a_relay_may_hold(void **state)
{
	static const enum rc takes[STORE_QUEUE_STATES] = {RC_OK, RC_NONE, RC_OK, RC_NONE, RC_NONE};
	struct fixture *f = *state;
	struct store_row row;
	int64_t id;
	char sql[64];

	(void)SEND("anna@example.org", 1, "a@far.example");
	id = fixture_sql(f, "SELECT id FROM queue");
	for (int before = 0; before < STORE_QUEUE_STATES; before++) {
		(void)snprintf(sql, sizeof(sql), "UPDATE queue SET state = %d", before);
		(void)fixture_sql(f, sql);
		assert_rc(takes[before], store_queue_claimed(f->s, id, &f->mem, &row, &f->err));
		assert_rc(RC_OK, store_begin(f->s, &f->err));
		assert_rc(takes[before], store_queue_held(f->s, id, &f->err));
		assert_rc(RC_OK, store_commit(f->s, &f->err));
		assert_int_equal(takes[before] == RC_OK ? STORE_QUEUE_LEASED : before, fixture_sql(f, "SELECT state FROM queue"));
		if (takes[before] == RC_OK)
			assert_true(span_eq(row.dest, S("far.example")) && row.message == 1);
	}
	assert_rc(RC_NONE, store_queue_claimed(f->s, 999, &f->mem, &row, &f->err));
}

static void texts_are_read_as_they_leave(void **state)
{
	struct fixture *f = *state;
	int64_t message = SEND("anna@example.org", 1, "a@far.example");
	struct buf text;
	bool last = false;

	buf_init(&text, 1 << 20);
	for (size_t piece = 1; piece < 40; piece++) {
		buf_reset(&text);
		for (last = false; !last;)
			assert_rc(RC_OK, store_message_read(f->s, message, text.len, piece, &text, &last, &f->err));
		assert_string_equal("Received: x\r\nSubject: t\r\n\r\ntext\r\n", buf_cstr(&text));
	}
	assert_rc(RC_NONE, store_message_read(f->s, 999, 0, 10, &text, &last, &f->err));
	buf_clear(&text);
}

static void a_destination_that_is_down_costs_one_probe(void **state)
{
	struct fixture *f = *state;
	struct store_due due[10];
	struct taken t;
	uint32_t failures;
	int64_t next;

	for (int i = 0; i < 20; i++)
		(void)SEND("anna@example.org", 1, "a@dead.example", "b@dead.example");
	(void)SEND("anna@example.org", 1, "a@live.example");
	assert_int_equal(1, lease_at(f, "dead.example", NOW_MS, 1, &t));
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	for (int i = 0; i < 3; i++) /* all connections break at once: one failure */
		assert_rc(RC_OK, store_queue_block(f->s, S("dead.example"), NOW_MS, NOW_MS + 1000, CAUSE_REMOTE_UNREACHABLE, S("mx.dead.example"), S("refused"),
			&f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	settle(f, t.rows[0], (struct store_attempt){.how = STORE_SETTLE_WAITS, .cause = CAUSE_REMOTE_UNREACHABLE, .now_ms = NOW_MS, .next_ms = NOW_MS + 500,
		.counts = true});
	assert_int_equal(1, due_at(f, NOW_MS + 600, due, 10, &next));
	assert_true(span_eq(S("live.example"), due[0].dest) && next == NOW_MS + 1000);
	(void)SEND("anna@example.org", 1, "c@dead.example"); /* new mail changes nothing */
	assert_int_equal(1, due_at(f, NOW_MS + 999, due, 10, &next));
	assert_int_equal(2, due_at(f, NOW_MS + 1000, due, 10, &next));
	assert_int_equal(1, due[0].failures + due[1].failures);
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_block(f->s, S("dead.example"), NOW_MS + 1001, NOW_MS + 9000, CAUSE_REMOTE_UNREACHABLE, S(""), S(""), &f->err));
	assert_rc(RC_OK, store_queue_failures(f->s, S("dead.example"), &failures, &f->err));
	assert_int_equal(2, failures);
	assert_rc(RC_OK, store_queue_block(f->s, S("dead.example"), NOW_MS + 1002, 0, CAUSE_NONE, S(""), S(""), &f->err));
	assert_rc(RC_OK, store_queue_failures(f->s, S("dead.example"), &failures, &f->err));
	assert_int_equal(0, failures);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(41, lease_at(f, "dead.example", NOW_MS + 1000, 100, &t) + lease_at(f, "live.example", NOW_MS, 100, &t) - 1);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM destination")); /* nothing waits and nothing is known against anybody */
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_block(f->s, S("dead.example"), NOW_MS, NOW_MS + 9000, CAUSE_REMOTE_UNREACHABLE, S(""), S(""), &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	fixture_tidy(f, NOW_MS + 9000);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM destination")); /* remembered for a day */
	fixture_tidy(f, NOW_MS + 9001 + 24 * 3600 * 1000);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM destination"));
}

static void old_mail_behind_a_dead_destination_ends(void **state)
{
	struct fixture *f = *state;
	struct store_old old[10];
	int64_t after = 0, messages[10];
	size_t n = 0;

	for (int i = 0; i < 3; i++)
		(void)send_as(f, "anna@example.org", 1, (const char *const[]){"a@dead.example", "a@fine.example", NULL}, NOW_MS + i * 1000);
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_block(f->s, S("dead.example"), NOW_MS, NOW_MS + 99000, CAUSE_REMOTE_UNREACHABLE, S("mx.dead.example"), S("refused"), &f->err));
	assert_rc(RC_OK, store_queue_old(f->s, NOW_MS + 1500, false, &after, &f->mem, old, 10, &n, &f->err));
	assert_int_equal(2, n);
	assert_int_equal(0, after);
	assert_rc(RC_OK, store_queue_settle_old(f->s, &old[0], STORE_SETTLE_FAILED, NOW_MS + 1500, &f->err));
	assert_rc(RC_OK, store_queue_settle_old(f->s, &old[1], STORE_SETTLE_WAITS, NOW_MS + 1500, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(1, fixture_sql(f,
		"SELECT state = 3 AND expired = 1 AND notice = 1 AND cause = 'remote-unreachable' AND words = 'refused' FROM queue WHERE id = 1"));
	assert_rc(RC_OK, store_queue_old(f->s, NOW_MS + 1500, true, &after, &f->mem, old, 10, &n, &f->err));
	assert_int_equal(0, n); /* told */
	assert_rc(RC_OK, store_queue_bounceable(f->s, NOW_MS + 2000, 60000, messages, 10, &n, &f->err));
	assert_int_equal(0, n); /* their other rows were not tried yet */
	assert_rc(RC_OK, store_queue_bounceable(f->s, NOW_MS + 1500 + 60000, 60000, messages, 10, &n, &f->err));
	assert_int_equal(2, n);
}

static void bounces_gather_what_failed(void **state)
{
	struct fixture *f = *state;
	struct store_bounce b;
	struct taken t;
	int64_t messages[10], rows[10], message = SEND("anna@example.org", 1, "a@far.example", "b@far.example", "c@far.example", "d@far.example");
	size_t n = 9;

	assert_int_equal(4, lease_at(f, "far.example", NOW_MS, 10, &t));
	settle(f, t.rows[0], (struct store_attempt){.how = STORE_SETTLE_FAILED, .cause = CAUSE_RCPT_UNKNOWN, .code = 550, .enhanced = S("5.1.1"),
		.words = S("no such user"),
		.now_ms = NOW_MS, .counts = true});
	assert_rc(RC_OK, store_queue_bounceable(f->s, NOW_MS + 1, 60000, messages, 10, &n, &f->err));
	assert_int_equal(0, n);
	settle(f, t.rows[1], (struct store_attempt){.how = STORE_SETTLE_WAITS, .delay_notice = true, .cause = CAUSE_GREYLISTED, .now_ms = NOW_MS,
		.next_ms = NOW_MS + 5000, .counts = true});
	settle(f, t.rows[2], (struct store_attempt){.how = STORE_SETTLE_SENT, .success_notice = true, .now_ms = NOW_MS, .counts = true});
	assert_rc(RC_OK, store_queue_bounceable(f->s, NOW_MS + 60000, 60000, messages, 10, &n, &f->err)); /* patience ended */
	assert_int_equal(1, n);
	settle(f, t.rows[3], (struct store_attempt){.how = STORE_SETTLE_WAITS, .cause = CAUSE_GREYLISTED, .now_ms = NOW_MS, .next_ms = NOW_MS + 5000,
		.counts = true});
	assert_rc(RC_OK, store_queue_bounceable(f->s, NOW_MS + 1, 60000, messages, 10, &n, &f->err));
	assert_true(n == 1 && messages[0] == message);
	assert_rc(RC_OK, store_queue_bounce_get(f->s, message, &f->mem, &b, &f->err));
	assert_int_equal(3, b.row_count);
	assert_true(span_eq(S("anna@example.org"), b.sender) && b.origin == STORE_ORIGIN_ACCOUNT);
	assert_true(b.rows[0].notice == STORE_NOTICE_FAILED && b.rows[0].cause == CAUSE_RCPT_UNKNOWN && span_eq(S("no such user"), b.rows[0].words) &&
		b.rows[0].attempts == 1);
	assert_true(b.rows[1].notice == STORE_NOTICE_DELAYED && b.rows[1].next_try_ms == NOW_MS + 5000 && b.rows[2].notice == STORE_NOTICE_SENT);
	for (size_t i = 0; i < 3; i++)
		rows[i] = b.rows[i].row;
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_bounced(f->s, rows, 3, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
	assert_int_equal(2, fixture_sql(f, "SELECT holders FROM message"));
	assert_rc(RC_NONE, store_queue_bounce_get(f->s, message, &f->mem, &b, &f->err));
	/* told of the delay once */
	assert_int_equal(2, lease_at(f, "far.example", NOW_MS + 5000, 10, &t));
	settle(f, rows[1], (struct store_attempt){.how = STORE_SETTLE_WAITS, .delay_notice = true, .now_ms = NOW_MS + 5000, .next_ms = NOW_MS + 9000,
		.counts = true});
	assert_rc(RC_NONE, store_queue_bounce_get(f->s, message, &f->mem, &b, &f->err));
}

static void what_is_hosted_by_now_stays_here(void **state)
{
	struct fixture *f = *state;
	struct store_item items[10];
	struct taken t;
	int64_t id;

	(void)SEND("sender@elsewhere.example", 1, "dora@new.example", "nobody@new.example", "list@new.example");
	assert_rc(RC_OK, store_domain_add(f->s, S("new.example"), &f->err));
	assert_rc(RC_OK, store_account_add(f->s, S("dora@new.example"), 1, NOW_MS, &id, &f->err)); /* a quota of one byte: it was taken in all the same */
	assert_rc(RC_OK, store_alias_add(f->s, S("list@new.example"), S("anna@example.org"), &f->err));
	assert_rc(RC_OK, store_alias_add(f->s, S("list@new.example"), S("x@far.example"), &f->err));
	assert_int_equal(0, lease_at(f, "new.example", NOW_MS, 10, &t));
	assert_int_equal(3, t.local);
	assert_int_equal(1, fixture_items(f, "dora@new.example", items, 10));
	assert_non_null(strstr((const char *)fixture_read(f, "dora@new.example", 1, 1000).ptr, "Subject: t"));
	assert_int_equal(1, fixture_items(f, "anna@example.org", items, 10));
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 3 AND cause = 'rcpt-unknown' AND rcpt = 'nobody@new.example'"));
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS, 10, &t)); /* the alias sends it on, as mail of its domain */
	assert_int_equal(0, strncmp("SRS0=", t.sender, 5));
	assert_int_equal(4, fixture_sql(f, "SELECT holders FROM message"));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM destination"));
	/* through a smarthost, each row on its own */
	assert_rc(RC_OK, store_domain_set_smarthost(f->s, S("example.org"), S("isp"), &f->err));
	(void)SEND("anna@example.org", 1, "a@one.example", "a@two.example");
	assert_rc(RC_OK, store_domain_add(f->s, S("two.example"), &f->err));
	assert_int_equal(1, lease_at(f, ">isp", NOW_MS, 10, &t));
	assert_int_equal(1, t.local);
	assert_int_equal(CAUSE_RCPT_UNKNOWN, t.local_cause);
}

static uint64_t act(struct fixture *f, enum store_queue_act what, struct store_queue_filter filter, int64_t now_ms)
{
	uint64_t changed = 999;

	assert_rc(RC_OK, store_queue_act(f->s, &filter, what, now_ms, &changed, &f->err));
	return changed;
}
#define ACT(what, now, ...) act(f, what, (struct store_queue_filter){.state = -1, __VA_ARGS__}, now)

static void a_row_held_on_its_way_does_not_leave_twice(void **state)
{
	struct fixture *f = *state;
	struct store_row row;
	struct taken t;
	int64_t id;

	(void)SEND("anna@example.org", 1, "a@far.example");
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS, 10, &t));
	id = t.rows[0];
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .message = 0));
	fixture_reopen(f, STORE_SERVE);
	assert_rc(RC_OK, store_queue_open(f->s, &f->err));
	assert_int_equal(STORE_QUEUE_HELD, fixture_sql(f, "SELECT state FROM queue"));
	/* its relay has it still, and it did arrive */
	assert_rc(RC_OK, store_queue_claimed(f->s, id, &f->mem, &row, &f->err));
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_held(f->s, id, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(STORE_QUEUE_LEASED, fixture_sql(f, "SELECT state FROM queue"));
	settle(f, id, (struct store_attempt){.how = STORE_SETTLE_WAITS, .now_ms = NOW_MS, .next_ms = NOW_MS + 60000, .counts = true});
	assert_int_equal(STORE_QUEUE_HELD, fixture_sql(f, "SELECT state FROM queue")); /* or did not: then it is held */
	/* once released it is like any other */
	assert_int_equal(1, ACT(STORE_QUEUE_RELEASE, NOW_MS, .message = 0));
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .message = 0));
	assert_rc(RC_NONE, store_queue_claimed(f->s, id, &f->mem, &row, &f->err));
	assert_int_equal(1, ACT(STORE_QUEUE_RELEASE, NOW_MS, .message = 0));
	assert_int_equal(1, lease_at(f, "far.example", NOW_MS, 10, &t));
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .message = 0));
	fixture_reopen(f, STORE_SERVE);
	assert_rc(RC_OK, store_queue_open(f->s, &f->err));
	assert_int_equal(1, ACT(STORE_QUEUE_RELEASE, NOW_MS, .message = 0));
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .message = 0));
	assert_rc(RC_NONE, store_queue_claimed(f->s, id, &f->mem, &row, &f->err));
}

static void an_administrator_acts(void **state)
{
	struct fixture *f = *state;
	struct store_queue_note notes[50];
	struct store_due due[10];
	struct taken t;
	size_t n = 0;
	int64_t next, first = SEND("anna@example.org", 1, "a@far.example", "b@far.example");

	(void)SEND("", 0, "c@far.example", "d@near.example");
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .sender = S("<>"), .domain = S("near.example")));
	assert_int_equal(0, ACT(STORE_QUEUE_HOLD, NOW_MS, .domain = S("near.example")));
	assert_int_equal(0, lease_at(f, "near.example", NOW_MS, 10, &t));
	assert_int_equal(1, ACT(STORE_QUEUE_RELEASE, NOW_MS, .rcpt = S("D@near.example")));
	assert_int_equal(1, lease_at(f, "near.example", NOW_MS, 10, &t));
	/* leased rows obey when they come back */
	assert_int_equal(3, lease_at(f, "far.example", NOW_MS, 10, &t));
	assert_int_equal(1, ACT(STORE_QUEUE_HOLD, NOW_MS, .rcpt = S("a@far.example")));
	assert_int_equal(1, ACT(STORE_QUEUE_BOUNCE, NOW_MS, .rcpt = S("b@far.example")));
	for (size_t i = 0; i < 3; i++)
		settle(f, t.rows[i], (struct store_attempt){.how = STORE_SETTLE_WAITS, .cause = CAUSE_GREYLISTED, .now_ms = NOW_MS, .next_ms = NOW_MS + 1000,
			.counts = true});
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 1 AND rcpt = 'a@far.example'"));
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 3 AND notice = 1 AND rcpt = 'b@far.example'"));
	/* now, whatever is known of the destination */
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_block(f->s, S("far.example"), NOW_MS, NOW_MS + 99000, CAUSE_REMOTE_UNREACHABLE, S(""), S("refused"), &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(0, due_at(f, NOW_MS + 2000, due, 10, &next));
	assert_int_equal(1, ACT(STORE_QUEUE_RETRY, NOW_MS + 10, .cause = S("remote-unreachable")));
	assert_int_equal(1, due_at(f, NOW_MS + 10, due, 10, &next));
	assert_int_equal(1, due[0].failures);
	/* gone without a word */
	assert_int_equal(2, ACT(STORE_QUEUE_REMOVE, NOW_MS, .message = first));
	assert_int_equal(0, fixture_sql(f, "SELECT holders FROM message WHERE id = 1"));
	assert_rc(RC_OK, store_queue_notes(f->s, &f->mem, notes, 50, &n, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_int_equal(7, n);
	assert_rc(RC_OK, store_queue_notes(f->s, &f->mem, notes, 50, &n, &f->err));
	assert_int_equal(0, n);
}

static enum rc count_destination(void *arg, const struct store_destination *d)
{
	buf_printf(arg, "%.*s %lld %u %.*s\n", SPAN_FMT(d->name), (long long)d->waiting, d->failures, SPAN_FMT(d->words));
	return RC_OK;
}

static void destinations_are_listed(void **state)
{
	struct fixture *f = *state;
	struct buf text;

	buf_init(&text, 1000);
	(void)SEND("anna@example.org", 1, "a@far.example", "b@far.example", "c@near.example");
	assert_rc(RC_OK, store_begin(f->s, &f->err));
	assert_rc(RC_OK, store_queue_block(f->s, S("far.example"), NOW_MS, NOW_MS + 99000, CAUSE_REMOTE_UNREACHABLE, S(""), S("refused"), &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	assert_rc(RC_OK, store_destination_each(f->s, count_destination, &text, &f->err));
	assert_string_equal("far.example 2 1 refused\nnear.example 1 0 \n", buf_cstr(&text));
	buf_clear(&text);
}

static void policies_of_sts_are_kept(void **state)
{
	struct fixture *f = *state;
	struct span id, text;
	int64_t at;

	assert_rc(RC_NONE, store_sts_get(f->s, S("far.example"), &f->mem, &id, &text, &at, &f->err));
	assert_rc(RC_OK, store_sts_put(f->s, S("Far.example"), S("20240101"), S("version: STSv1\r\nmode: enforce\r\n\xff"), 42, &f->err));
	assert_rc(RC_OK, store_sts_put(f->s, S("far.example"), S("20240102"), S("version: STSv1\r\n"), 43, &f->err));
	assert_rc(RC_OK, store_sts_get(f->s, S("FAR.example"), &f->mem, &id, &text, &at, &f->err));
	assert_true(at == 43 && span_eq(S("20240102"), id) && span_eq(S("version: STSv1\r\n"), text));
	assert_rc(RC_BAD, store_sts_put(f->s, S(""), S(""), S(""), 1, &f->err));
}

/* 65536 bytes each: the sum is bounded, and it is the oldest that go */
static void policies_of_sts_are_bounded_by_bytes(void **state)
{
	enum { POLICY_BYTES = 65536, POLICIES = 300, SUM_BYTES = 16 << 20 };
	struct fixture *f = *state;
	static uint8_t policy[POLICY_BYTES];
	struct span id, text;
	char name[32];
	int64_t at, count;

	memset(policy, 'x', sizeof(policy));
	assert_rc(RC_BAD, store_sts_put(f->s, S("long.example"), S("1"), span_of(policy, POLICY_BYTES + 1), 1, &f->err));
	assert_rc(RC_OK, store_sts_put(f->s, S("small.example"), S("1"), S("version: STSv1\r\n"), 1000000, &f->err)); /* the newest of all, and stored first */
	for (unsigned i = 0; i < POLICIES; i++) {
		(void)snprintf(name, sizeof(name), "%u.example", i);
		assert_rc(RC_OK, store_sts_put(f->s, S(name), S("1"), span_of(policy, POLICY_BYTES), 1000 + i, &f->err));
		assert_true(fixture_sql(f, "SELECT SUM(length(policy)) FROM sts") <= SUM_BYTES);
	}
	count = fixture_sql(f, "SELECT COUNT(*) FROM sts");
	assert_true(count > POLICIES / 2 && count < POLICIES);
	assert_rc(RC_OK, store_sts_get(f->s, S("small.example"), &f->mem, &id, &text, &at, &f->err));
	assert_int_equal(1000 + POLICIES - count + 1, fixture_sql(f, "SELECT MIN(fetched_ms) FROM sts"));
}

/* ---- random runs: every row is always in one state, none is lost, none is leased twice */

static uint32_t seed;
static uint32_t chance(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

struct world {
	int64_t out[ROWS];       /* leased, by us */
	size_t out_count;
	size_t made, gone;       /* gone: sent or dropped or bounced */
};

static enum rc world_take(void *arg, const struct store_lease *l)
{
	struct world *w = arg;

	assert_false(l->local);
	for (size_t i = 0; i < l->row_count; i++) {
		for (size_t k = 0; k < w->out_count; k++)
			assert_true(w->out[k] != l->rows[i].id); /* never twice */
		w->out[w->out_count++] = l->rows[i].id;
	}
	return RC_OK;
}

static void world_settle(struct fixture *f, struct world *w, int64_t now)
{
	struct store_attempt a = {.how = (enum store_settle)chance(4), .now_ms = now, .next_ms = now + chance(5000), .counts = chance(4) != 0,
		.delay_notice = chance(3) == 0,
		.success_notice = chance(5) == 0, .cause = CAUSE_GREYLISTED};
	size_t i = chance((uint32_t)w->out_count);
	struct store_row row;

	assert_rc(RC_OK, store_queue_row(f->s, w->out[i], &f->mem, &row, &f->err));
	w->out[i] = w->out[--w->out_count];
	if (a.how == STORE_SETTLE_DROPPED || (a.how == STORE_SETTLE_SENT && !a.success_notice))
		w->gone++;
	assert_rc(RC_OK, store_queue_settle(f->s, &row, &a, &f->err));
}

static void world_bounce(struct fixture *f, struct world *w, int64_t now)
{
	int64_t messages[4], rows[16];
	struct store_bounce b;
	size_t n = 0;

	assert_rc(RC_OK, store_queue_bounceable(f->s, now, 1000, messages, 4, &n, &f->err));
	for (size_t i = 0; i < n; i++) {
		assert_rc(RC_OK, store_queue_bounce_get(f->s, messages[i], &f->mem, &b, &f->err));
		assert_true(b.row_count <= 16);
		for (size_t k = 0; k < b.row_count; k++) {
			rows[k] = b.rows[k].row;
			w->gone += b.rows[k].notice != STORE_NOTICE_DELAYED;
		}
		assert_rc(RC_OK, store_queue_bounced(f->s, rows, b.row_count, &f->err));
	}
}

static void world_check(struct fixture *f, const struct world *w)
{
	assert_int_equal(w->made - w->gone, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
	assert_int_equal(w->out_count, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	assert_int_equal(w->made - w->gone, fixture_sql(f, "SELECT COALESCE(SUM(holders), 0) FROM message"));
	/* whatever waits is found: its destination is due no later than it, unless it is down */
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue q LEFT JOIN destination d ON d.name = q.dest WHERE q.state = 0 AND (d.name IS NULL OR "
		"d.due_ms > MAX(q.next_try_ms, d.blocked_ms))"));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE (state = 3) != (notice = 1) OR (state = 4) != (notice = 3)"));
}

static void nothing_is_lost_and_nothing_leased_twice(void **state)
{
	static const char *const dests[] = {"a.example", "b.example", "c.example", "d.example"};
	struct fixture *f = *state;
	struct world w = {.made = 0};
	struct store_due due[4];
	char rcpt[64];
	int64_t now = NOW_MS, next;
	size_t n;

	seed = 42;
	for (unsigned step = 0; step < 3000; step++) {
		arena_clear(&f->mem);
		now += chance(400);
		if (step % 7 == 0) {
			(void)snprintf(rcpt, sizeof(rcpt), "x%u@%s", step, dests[chance(4)]);
			(void)send_as(f, "anna@example.org", 1, (const char *const[]){rcpt, "y@a.example", NULL}, now);
			w.made += 2;
		}
		assert_rc(RC_OK, store_begin(f->s, &f->err));
		for (unsigned i = chance(4); i > 0 && w.out_count; i--)
			world_settle(f, &w, now);
		if (chance(5) == 0)
			assert_rc(RC_OK, store_queue_block(f->s, S(dests[chance(4)]), now, chance(2) ? now + chance(3000) : 0, CAUSE_TIMEOUT, S(""), S(""), &f->err));
		if (chance(3) == 0)
			world_bounce(f, &w, now);
		n = due_at(f, now, due, 4, &next);
		for (size_t i = 0; i < n; i++)
			assert_rc(RC_OK, store_queue_lease(f->s, due[i].dest, now, 1 + chance(5), &f->mem, world_take, &w, &(size_t){0}, &f->err));
		assert_rc(RC_OK, store_commit(f->s, &f->err));
		if (chance(60) == 0) { /* the store is killed; the relay says what it has, and then perhaps ends */
			fixture_reopen(f, STORE_SERVE);
			assert_rc(RC_OK, store_queue_open(f->s, &f->err));
			assert_rc(RC_OK, store_begin(f->s, &f->err));
			for (size_t i = 0; i < w.out_count; i++)
				assert_rc(RC_OK, store_queue_held(f->s, w.out[i], &f->err));
			if (chance(2)) {
				assert_rc(RC_OK, store_queue_unlease(f->s, w.out, w.out_count, &f->err));
				w.out_count = 0;
			}
			assert_rc(RC_OK, store_commit(f->s, &f->err));
		}
		if (step % 50 == 0)
			world_check(f, &w);
	}
	world_check(f, &w);
	assert_true(w.gone > 200);
}

/* ---- rows of version 2 */

/* a database as version 2 left it */
static void a_queue_of_version_2_goes_on(void **state)
{
	static const char rows[] = "INSERT INTO domain (id, name, catch_all) VALUES (1, 'example.org', 0);"
		"INSERT INTO message (id, sender, envid, message_id, client, peer, helo, received_ms, size, flags, ret, account, holders) VALUES"
		" (1, 'a@example.org', '', x'', 'c', 'p', 'h', 5, 9, 0, 0, 7, 2), (2, 's@x.example', '', x'', 'c', 'p', 'h', 6, 9, 0, 0, 0, 1);"
		"INSERT INTO content (message, head_bytes, body_bytes, in_file, head, body) VALUES (1, 4, 5, 0, x'413a0d0a', x'6162630d0a'), (2, 4, 5, 0, x'413a0d0a', x'6162630d0a');"
		"INSERT INTO queue (id, message, rcpt, notify, orcpt, state, next_try_ms, attempts, lease_until_ms) VALUES"
		" (1, 1, 'x@Far.example', 0, '', 0, 5, 0, 0), (2, 1, 'y@far.example', 0, '', 0, 5, 0, 0), (3, 2, 'z@near.example', 0, '', 0, 6, 0, 0);";
	struct fixture *f = *state;
	struct store_due due[10];
	struct taken t;
	char path[128];
	sqlite3 *db = NULL;
	int64_t next;

	store_close(&f->s);
	(void)snprintf(f->dir + strlen(f->dir), sizeof(f->dir) - strlen(f->dir), "/old");
	assert_int_equal(0, mkdir(f->dir, 0700));
	(void)snprintf(path, sizeof(path), "%s/mail.db", f->dir);
	assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(SQLITE_OK, sqlite3_exec(db, store_schema.migrations[i].change, NULL, NULL, NULL));
		assert_int_equal(SQLITE_OK, sqlite3_exec(db, store_schema.migrations[i].number, NULL, NULL, NULL));
	}
	assert_int_equal(SQLITE_OK, sqlite3_exec(db, rows, NULL, NULL, NULL));
	(void)sqlite3_close(db);
	assert_rc(RC_OK, store_open(f->dir, STORE_CREATE | STORE_SERVE, &f->s, &f->err));
	assert_int_equal(2, due_at(f, 100, due, 10, &next));
	assert_int_equal(2, lease_at(f, "far.example", 100, 10, &t));
	assert_true(t.last.origin == STORE_ORIGIN_ACCOUNT && t.last.bytes == 9 && span_eq(S("a@example.org"), t.last.sender));
	assert_int_equal(1, lease_at(f, "near.example", 100, 10, &t));
	assert_int_equal(STORE_ORIGIN_STRANGER, t.last.origin);
	f->dir[strlen(f->dir) - 4] = '\0';
}

static void rows_of_older_versions_get_their_destination(void **state)
{
	struct fixture *f = *state;
	struct store_due due[10];
	int64_t next;
	struct taken t;

	for (int i = 0; i < 500; i++)
		(void)SEND("anna@example.org", 1, "a@far.example", "b@[192.0.2.1]");
	(void)fixture_sql(f, "UPDATE queue SET dest = ''");
	(void)fixture_sql(f, "DELETE FROM destination");
	fixture_reopen(f, STORE_SERVE);
	assert_int_equal(2, due_at(f, NOW_MS, due, 10, &next));
	assert_int_equal(500, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE dest = 'far.example'"));
	assert_int_equal(500, lease_at(f, "[192.0.2.1]", NOW_MS, 1000, &t));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(rows_go_to_their_domain_or_a_smarthost), T(forwarded_mail_comes_back), T(what_became_of_it_is_kept), T(texts_are_read_as_they_leave),
		T(a_destination_that_is_down_costs_one_probe), T(old_mail_behind_a_dead_destination_ends), T(bounces_gather_what_failed),
			T(what_is_hosted_by_now_stays_here),
		T(which_rows_a_relay_may_hold), T(a_row_held_on_its_way_does_not_leave_twice), T(an_administrator_acts), T(destinations_are_listed),
		T(policies_of_sts_are_kept), T(policies_of_sts_are_bounded_by_bytes), T(nothing_is_lost_and_nothing_leased_twice),
		T(rows_of_older_versions_get_their_destination), T(a_queue_of_version_2_goes_on),
	};

	return cmocka_run_group_tests_name("store queue", tests, NULL, NULL);
}
