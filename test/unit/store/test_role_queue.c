/* The store role with relays at the other ends of socket pairs: who gets which rows and when, what becomes of results, relays that go. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "fixture.h"
#include "role/role_store_queue.h"
#include "store/history.h"

void role_done(struct role *r)
{
	loop_stop(r->loop, 0);
}

const char *role_dir_name(enum role_id id)
{
	return id == ROLE_STORE ? "store" : "";
}

/* what the store answers where a test wants it: the real answer otherwise */
static enum rc open_fails, claimed_fails;

enum rc __real_store_queue_open(struct store *s, struct err *err);
enum rc __wrap_store_queue_open(struct store *s, struct err *err);
enum rc __wrap_store_queue_open(struct store *s, struct err *err)
{
	if (!open_fails)
		return __real_store_queue_open(s, err);
	store_rollback(s); /* as a full disk does */
	return err_set(err, open_fails, "as the test wants");
}

enum rc __real_store_queue_claimed(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err);
enum rc __wrap_store_queue_claimed(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err);
enum rc __wrap_store_queue_claimed(struct store *s, int64_t row, struct arena *mem, struct store_row *out, struct err *err)
{
	return claimed_fails ? err_set(err, claimed_fails, "as the test wants") : __real_store_queue_claimed(s, row, mem, out, err);
}

static ssize_t no_room(int fd, const void *bytes, size_t len, off_t at)
{
	(void)fd, (void)bytes, (void)len, (void)at;
	errno = ENOSPC;
	return -1;
}

static void disk_is_full(bool full)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	assert_int_equal(SQLITE_OK, vfs->xSetSystemCall(vfs, "pwrite64", full ? (sqlite3_syscall_ptr)no_room : NULL));
}

enum { RELAYS = 3, HELD = 4096 };

struct held {
	uint64_t row, lease, message;
	bool probe;
	char dest[64], address[64];
};

struct fake { /* a relay */
	struct stage *stage;
	struct chan *chan;
	bool gone;
	struct held held[HELD];
	size_t count, leases;
	uint32_t kept, asked, confirmations; /* frames written down, frames told, answers that said so */
	char text[256];
	enum cause_id text_cause;
	size_t texts;
};

struct stage {
	struct fixture *f;
	struct role role;
	struct conf *conf;
	struct fake relays[RELAYS];
	struct loop_timer timeout;
	bool (*until)(struct stage *g);
};

static struct stage stage;

static void no_row_is_out_twice(struct stage *g, uint64_t row)
{
	for (size_t r = 0; r < RELAYS; r++)
		for (size_t i = 0; i < g->relays[r].count; i++)
			assert_true(g->relays[r].gone || g->relays[r].held[i].row != row);
}

static enum rc fake_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct fake *k = owner;
	struct rec_lease_rcpt r;
	struct span cursor;

	(void)c;
	switch ((int)type) {
	case MSG_LEASE:
		k->leases++;
		cursor = msg->lease.rcpts.raw;
		while (rec_lease_rcpt_next(&cursor, &r)) {
			struct held *h = &k->held[k->count];

			no_row_is_out_twice(k->stage, r.row);
			*h = (struct held){.row = r.row, .lease = msg->lease.lease, .message = msg->lease.message, .probe = msg->lease.probe};
			(void)snprintf(h->dest, sizeof(h->dest), "%.*s", SPAN_FMT(msg->lease.dest));
			(void)snprintf(h->address, sizeof(h->address), "%.*s", SPAN_FMT(r.address));
			assert_true(++k->count < HELD);
		}
		return RC_OK;
	case MSG_DELIVERIES_KEPT:
		k->kept += msg->deliveries_kept.frames;
		k->confirmations++;
		return RC_OK;
	case MSG_TEXT_IS:
		k->texts++;
		k->text_cause = (enum cause_id)msg->text_is.cause;
		(void)snprintf(k->text, sizeof(k->text), "%.*s", SPAN_FMT(span_head(msg->text_is.bytes, 200)));
		return RC_OK;
	case MSG_STS_IS:
		(void)snprintf(k->text, sizeof(k->text), "%d %.*s %.*s%s", msg->sts_is.found, SPAN_FMT(msg->sts_is.id), SPAN_FMT(msg->sts_is.text),
			msg->sts_is.fetched_ms > (uint64_t)clock_wall_ms() ? ", from the future" : "");
		k->texts++;
		return RC_OK;
	default:
		fail();
	}
	return RC_BAD;
}

static void fake_gone(void *owner, struct chan *c, const char *why)
{
	struct fake *k = owner;

	(void)c;
	(void)why;
	k->gone = true;
	chan_free(&k->chan);
}

static void fake_room(struct fake *k, uint32_t rows)
{
	chan_send(k->chan, MSG_RELAY_ROOM, &(struct msg_relay_room){.rows = rows});
}

static void fake_says_held(struct fake *k, bool last)
{
	struct buf rows;

	buf_init(&rows, 1 << 20);
	for (size_t i = 0; i < k->count; i++)
		rec_lease_held_add(&rows, &(struct rec_lease_held){.row = k->held[i].row, .lease = k->held[i].lease});
	chan_send(k->chan, MSG_LEASES_HELD, &(struct msg_leases_held){.last = last, .rows = {.raw = buf_span(&rows), .count = (uint32_t)k->count}});
	buf_clear(&rows);
}

static void fake_claims(struct fake *k, uint64_t row, uint64_t lease)
{
	k->held[k->count++] = (struct held){.row = row, .lease = lease};
}

static void fake_dies(struct fake *k)
{
	chan_free(&k->chan);
	k->gone = true;
	k->count = 0;
}

static void fake_join(struct stage *g, size_t n, uint32_t worker)
{
	static const struct chan_ops ops = {.on_frame = fake_frame, .on_gone = fake_gone};
	struct fake *k = &g->relays[n];
	int pair[2];

	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	k->stage = g;
	k->gone = false;
	k->chan = chan_new(g->role.loop, pair[0], ROLE_RELAY, ROLE_STORE, 0, &ops, k);
	role_store_ops.peer(&g->role, ROLE_RELAY, worker, pair[1]);
}

/* what becomes of the i-th row that it holds, which it forgets */
static struct rec_delivery fake_result(struct fake *k, size_t i, enum delivery_outcome outcome)
{
	struct rec_delivery d = {.row = k->held[i].row, .lease = k->held[i].lease, .outcome = (uint8_t)outcome, .host = S("mx.far.example"),
		.address = S("192.0.2.7"),
		.tls = S("TLSv1.3"), .words = S("said so")};

	if (outcome == DELIVERY_LATER || outcome == DELIVERY_REFUSED) {
		d.cause = outcome == DELIVERY_LATER ? CAUSE_GREYLISTED : CAUSE_RCPT_UNKNOWN;
		d.code = outcome == DELIVERY_LATER ? 451 : 550;
	}
	k->held[i] = k->held[--k->count];
	return d;
}

static void fake_tells(struct fake *k, enum delivery_outcome outcome, size_t rows)
{
	struct buf list;
	struct rec_delivery d;

	buf_init(&list, 1 << 20);
	for (size_t i = 0; i < rows; i++) {
		d = fake_result(k, 0, outcome);
		rec_delivery_add(&list, &d);
	}
	k->asked++;
	chan_send(k->chan, MSG_DELIVERIES, &(struct msg_deliveries){.results = {.raw = buf_span(&list), .count = (uint32_t)rows}});
	buf_clear(&list);
}

static void stage_stop(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(((struct stage *)arg)->role.loop, 1);
}

static void stage_hook(void *arg)
{
	struct stage *g = arg;

	if (g->until(g))
		loop_stop(g->role.loop, 0);
}

/* runs turns until `until` says so; false: not within that time */
static bool stage_run(struct stage *g, bool (*until)(struct stage *g), uint64_t ms)
{
	struct loop_hook hook = {.fn = stage_hook, .arg = g};
	int status;

	for (size_t i = 0; i < RELAYS; i++)
		if (g->relays[i].chan && !g->relays[i].gone)
			chan_flush(g->relays[i].chan);
	g->until = until;
	loop_hook_add(g->role.loop, LOOP_LOG, &hook);
	loop_timer_at(&g->timeout, clock_mono_ms() + ms);
	status = loop_run(g->role.loop);
	loop_timer_at(&g->timeout, MONO_NEVER);
	loop_hook_remove(g->role.loop, &hook);
	return status == 0;
}

static bool never(struct stage *g)
{
	(void)g;
	return false;
}
static size_t wanted;
static bool first_holds(struct stage *g)
{
	return g->relays[0].count == wanted;
}
static bool all_hold(struct stage *g)
{
	return g->relays[0].count + g->relays[1].count == wanted;
}
static bool all_is_kept(struct stage *g)
{
	return g->relays[0].kept == g->relays[0].asked;
}
static bool a_text_came(struct stage *g)
{
	return g->relays[0].texts == wanted;
}
static bool queue_is(struct stage *g)
{
	return (size_t)fixture_sql(g->f, "SELECT COUNT(*) FROM queue") == wanted;
}
#define RUN(n, until) (wanted = (n), assert_true(stage_run(g, until, 10000)))
#define NOT_IN(ms, n, until) (wanted = (n), assert_false(stage_run(g, until, ms)))

static void stage_open(struct stage *g, struct fixture *f)
{
	struct err err = {""};

	g->f = f;
	g->role = (struct role){.ops = &role_store_ops, .id = ROLE_STORE, .dir = f->dir};
	assert_rc(RC_OK, conf_parse(SPAN_LIT("home = \"/nowhere\"\ndelivery {\n\tretry-first = 1s\n\tretry-most = 1s\n}\n"), "test", NULL, &g->conf, &err));
	g->role.conf = g->conf;
	g->role.loop = loop_new();
	loop_timer_init(g->role.loop, &g->timeout, stage_stop, g);
	assert_rc(RC_OK, role_store_ops.open(&g->role, &err));
	if (role_store_ops.ready(&g->role, &err) != RC_OK)
		fail_msg("%s", err.words);
}

static void stage_when_empty(void *arg)
{
	struct stage *g = arg;

	if (!((struct store_role *)g->role.own)->peers)
		loop_stop(g->role.loop, 0);
}

/* killed: nothing is said to anybody */
static void stage_close(struct stage *g)
{
	struct loop_hook empty = {.fn = stage_when_empty, .arg = g};
	struct store_role *s = g->role.own;

	role_store_ops.drain(&g->role, true);
	for (size_t i = 0; i < RELAYS; i++)
		chan_free(&g->relays[i].chan);
	loop_timer_at(&g->timeout, clock_mono_ms() + 10000);
	loop_hook_add(g->role.loop, LOOP_LOG, &empty);
	while (s->peers && loop_run(g->role.loop) == 0)
		;
	loop_hook_remove(g->role.loop, &empty);
	assert_null(s->peers);
	loop_timer_clear(&g->timeout);
	map_clear(&s->mailboxes);
	free(s->conf);
	free(s);
	conf_free(&g->conf);
	loop_free(&g->role.loop);
}

static int setup(void **state)
{
	struct fixture *f;

	log_open(STDERR_FILENO, "test", LOG_LEVEL_ERROR);
	(void)fixture_setup(state);
	f = *state;
	store_close(&f->s);
	memset(&stage, 0, sizeof(stage));
	stage_open(&stage, f);
	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err)); /* as the command line does */
	return 0;
}

static int teardown(void **state)
{
	disk_is_full(false);
	open_fails = claimed_fails = RC_OK;
	stage_close(&stage);
	return fixture_teardown(state);
}

static int64_t queue_mail(struct fixture *f, const char *const *rcpts)
{
	struct store_rcpt r[64];
	struct store_message m = {.sender = S("anna@example.org"), .peer = S("192.0.2.1"), .helo = S("h"), .client = S("192.0.2.1"), .trace = S("Received: x\r\n"),
		.head = SPAN_LIT("Subject: t\r\n\r\n"), .body = SPAN_LIT("text\r\n"), .rcpts = r, .received_ms = clock_wall_ms(), .account = 1,
			.origin = STORE_ORIGIN_ACCOUNT};
	enum cause_id cause = CAUSE_NONE;
	bool repeat;
	int64_t id = 0;

	for (; rcpts[m.rcpt_count]; m.rcpt_count++)
		r[m.rcpt_count] = (struct store_rcpt){.address = S(rcpts[m.rcpt_count]), .tag = STORE_TAG_FOREIGN};
	assert_rc(RC_OK, store_accept(f->s, &m, &id, &repeat, &cause, &f->err));
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	return id;
}
#define MAIL(...) queue_mail(f, (const char *const[]){__VA_ARGS__, NULL})

static void queue_many(struct fixture *f, const char *domain, size_t count)
{
	char rcpt[64];

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(rcpt, sizeof(rcpt), "x%zu@%s", i, domain);
		(void)MAIL(rcpt);
	}
}

static void start(struct stage *g, uint32_t room)
{
	fake_join(g, 0, 21);
	role_store_ops.start(&g->role);
	fake_says_held(&g->relays[0], true);
	fake_room(&g->relays[0], room);
}

static void leases_begin_when_all_is_known(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 3);
	fake_join(g, 0, 21);
	fake_join(g, 1, 22);
	fake_says_held(&g->relays[0], true);
	fake_room(&g->relays[0], 100);
	NOT_IN(300, 3, all_hold); /* not started */
	role_store_ops.start(&g->role);
	NOT_IN(300, 3, all_hold); /* the other one may hold something */
	fake_says_held(&g->relays[1], false);
	NOT_IN(300, 3, all_hold);
	chan_free(&g->relays[1].chan); /* and it is gone */
	g->relays[1].gone = true;
	RUN(3, first_holds);
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
}

static void a_window_and_a_credit_bound_what_is_out(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 40);
	queue_many(f, "near.example", 3);
	start(g, 100);
	RUN(QUEUE_WINDOW + 3, first_holds);
	NOT_IN(200, 14, first_holds);
	chan_send(g->relays[0].chan, MSG_DEST_STATE, &(struct msg_dest_state){.window = 20, .dest = S("far.example")});
	RUN(23, first_holds);
	fake_room(&g->relays[0], 25);
	fake_tells(&g->relays[0], DELIVERY_SENT, 5);
	RUN(0, all_is_kept);
	fake_room(&g->relays[0], 0); /* it drains */
	fake_tells(&g->relays[0], DELIVERY_SENT, g->relays[0].count);
	RUN(0, all_is_kept);
	NOT_IN(200, 1, first_holds);
	fake_room(&g->relays[0], 3);
	RUN(3, first_holds);
	for (int i = 0; i < 20 && g->relays[0].count; i++) {
		fake_tells(&g->relays[0], DELIVERY_SENT, g->relays[0].count);
		(void)stage_run(g, never, 30);
	}
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
	assert_int_equal(0, fixture_sql(f, "SELECT COALESCE(SUM(holders), 0) FROM message"));
}

static enum rc history_line(void *arg, const struct history_event *e, uint64_t at)
{
	(void)at;
	if (e->message)
		buf_printf(arg, "%s %.*s %.*s %.*s %u %.*s %d\n", history_kind_name(e->kind), SPAN_FMT(e->rcpt), SPAN_FMT(e->helo), SPAN_FMT(e->peer),
			(unsigned)e->code,
			SPAN_FMT(e->cause), e->next_ms > 0);
	return RC_OK;
}

static void results_are_written_down(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct history *h = NULL;
	size_t damaged;
	struct buf text;

	(void)MAIL("a@far.example");
	start(g, 100);
	RUN(1, first_holds);
	fake_tells(&g->relays[0], DELIVERY_LATER, 1);
	RUN(0, all_is_kept);
	RUN(1, first_holds); /* a second later */
	assert_int_equal(1, fixture_sql(f, "SELECT attempts = 1 AND cause = 'greylisted' AND host = 'mx.far.example' AND words = 'said so' FROM queue"));
	fake_tells(&g->relays[0], DELIVERY_NOT_TRIED, 1);
	RUN(0, all_is_kept);
	RUN(1, first_holds);
	assert_int_equal(1, fixture_sql(f, "SELECT attempts FROM queue"));
	g->relays[0].held[0].lease++; /* of another time: taken, and nothing follows */
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	RUN(0, all_is_kept);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	(void)MAIL("b@far.example");
	RUN(1, first_holds);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	RUN(0, all_is_kept);
	(void)MAIL("c@far.example");
	RUN(1, first_holds);
	fake_tells(&g->relays[0], DELIVERY_REFUSED, 1);
	RUN(0, all_is_kept);
	role_store_ops.drain(&g->role, true); /* writes the history */
	buf_init(&text, 1 << 20);
	assert_rc(RC_OK, history_open(f->dir, HISTORY_READ_ONLY, &h, &f->err));
	assert_rc(RC_OK, history_query(h, &(struct history_filter){0}, 0, history_line, &text, &damaged, &f->err));
	history_close(&h);
	assert_non_null(strstr(buf_cstr(&text), "deferred a@far.example mx.far.example 192.0.2.7 451 greylisted 1\n"));
	assert_non_null(strstr(buf_cstr(&text), "delivered b@far.example mx.far.example 192.0.2.7 0  0\n"));
	assert_non_null(strstr(buf_cstr(&text), "failed c@far.example mx.far.example 192.0.2.7 550 rcpt-unknown 0\n"));
	buf_clear(&text);
}

static void a_relay_reads_what_it_has_a_lease_of(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	uint64_t mine = (uint64_t)MAIL("a@far.example"), other;

	start(g, 1);
	RUN(1, first_holds);
	other = (uint64_t)MAIL("b@far.example");
	chan_send(g->relays[0].chan, MSG_TEXT_GET, &(struct msg_text_get){.ask = 1, .message = mine, .max = 1000});
	RUN(1, a_text_came);
	assert_string_equal("Received: x\r\nSubject: t\r\n\r\ntext\r\n", g->relays[0].text);
	chan_send(g->relays[0].chan, MSG_TEXT_GET, &(struct msg_text_get){.ask = 2, .message = other, .max = 1000});
	RUN(2, a_text_came);
	assert_true(g->relays[0].text[0] == '\0' && g->relays[0].text_cause != CAUSE_NONE);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	chan_send(g->relays[0].chan, MSG_TEXT_GET, &(struct msg_text_get){.ask = 3, .message = mine, .max = 1000});
	RUN(3, a_text_came);
	assert_true(g->relays[0].text[0] == '\0' && g->relays[0].text_cause != CAUSE_NONE);
	chan_send(g->relays[0].chan, MSG_STS_PUT, &(struct msg_sts_put){.fetched_ms = 5, .domain = S("far.example"), .id = S("1"), .text = S("policy")});
	chan_send(g->relays[0].chan, MSG_STS_GET, &(struct msg_sts_get){.ask = 4, .domain = S("FAR.example")});
	RUN(4, a_text_came);
	assert_string_equal("1 1 policy", g->relays[0].text);
	/* none is from the future: the oldest go where there is no room */
	chan_send(g->relays[0].chan, MSG_STS_PUT, &(struct msg_sts_put){.fetched_ms = (uint64_t)clock_wall_ms() + 3600000, .domain = S("ahead.example"), .id = S("1"), .text = S("policy")});
	chan_send(g->relays[0].chan, MSG_STS_GET, &(struct msg_sts_get){.ask = 5, .domain = S("ahead.example")});
	RUN(5, a_text_came);
	assert_string_equal("1 1 policy", g->relays[0].text);
}

static void a_dead_destination_gets_a_probe(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct held live;

	queue_many(f, "dead.example", 30);
	start(g, 1000);
	RUN(QUEUE_WINDOW, first_holds);
	chan_send(g->relays[0].chan, MSG_DEST_STATE, &(struct msg_dest_state){.window = 10, .blocked_ms = 3000, .cause = CAUSE_REMOTE_UNREACHABLE,
		.dest = S("dead.example"),
		.words = S("refused")});
	fake_tells(&g->relays[0], DELIVERY_LATER, 1);
	fake_tells(&g->relays[0], DELIVERY_NOT_TRIED, QUEUE_WINDOW - 1);
	RUN(0, all_is_kept);
	queue_many(f, "live.example", 5);
	RUN(5, first_holds); /* the others' mail goes on */
	for (size_t i = 0; i < 5; i++)
		assert_string_equal("live.example", g->relays[0].held[i].dest);
	RUN(6, first_holds); /* and in its time the probe */
	NOT_IN(300, 7, first_holds);
	assert_true(g->relays[0].held[5].probe);
	live = g->relays[0].held[0];
	g->relays[0].held[0] = g->relays[0].held[5];
	g->relays[0].held[5] = live;
	fake_tells(&g->relays[0], DELIVERY_SENT, 1); /* it answers: all goes */
	RUN(0, all_is_kept);
	RUN(5 + QUEUE_WINDOW, first_holds);
}

static void what_a_relay_held_goes_to_another(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 5);
	start(g, 100);
	RUN(5, first_holds);
	fake_join(g, 1, 22);
	fake_says_held(&g->relays[1], true);
	fake_room(&g->relays[1], 100);
	queue_many(f, "far.example", 3);
	RUN(8, first_holds); /* a destination belongs to one relay */
	chan_free(&g->relays[0].chan);
	g->relays[0].gone = true;
	g->relays[0].count = 0;
	RUN(8, all_hold);
	assert_int_equal(8, g->relays[1].count);
}

/* what it says that it holds is of a destination of which another one holds something; then it goes */
static void two_hold_rows_of_one_destination(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 5);
	start(g, 2);
	RUN(2, first_holds);
	fake_join(g, 1, 22);
	g->relays[1].held[0].row = (uint64_t)fixture_sql(f, "SELECT MAX(id) FROM queue");
	g->relays[1].count = 1;
	fake_says_held(&g->relays[1], true);
	NOT_IN(200, 4, all_hold);
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	chan_free(&g->relays[1].chan);
	g->relays[1].gone = true;
	g->relays[1].count = 0;
	fake_room(&g->relays[0], 100);
	RUN(5, first_holds);
}

/* of which nothing was ever out: it leaves nothing behind */
static void a_destination_that_nobody_knows(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	char name[32];

	start(g, 100);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "d%d.example", i);
		chan_send(g->relays[0].chan, MSG_DEST_STATE, &(struct msg_dest_state){.window = 10, .blocked_ms = 3000, .dest = span_str(name)});
	}
	queue_many(f, "far.example", 1);
	RUN(1, first_holds);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM destination WHERE failures > 0"));
}

static void a_store_that_comes_back_hears_what_is_held(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	uint64_t lease;

	queue_many(f, "far.example", 5);
	start(g, 100);
	RUN(5, first_holds);
	lease = g->relays[0].held[0].lease;
	stage_close(g);
	stage_open(g, f);
	queue_many(f, "far.example", 2);
	start(g, 100);
	RUN(7, first_holds);
	assert_int_equal(lease, g->relays[0].held[0].lease); /* five as before, two new ones: fake_frame would have seen a row twice */
	fake_tells(&g->relays[0], DELIVERY_SENT, 7);
	RUN(0, all_is_kept);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
}

/* three rows are out, and the store dies; its successor can write nothing when it hears of them */
static void held_on_a_full_disk(struct stage *g, struct fixture *f)
{
	queue_many(f, "far.example", 3);
	start(g, 100);
	RUN(3, first_holds);
	stage_close(g);
	stage_open(g, f);
	queue_many(f, "far.example", 1);
	assert_int_equal(4, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 0"));
	disk_is_full(true);
	g->relays[0].leases = g->relays[0].kept = g->relays[0].asked = 0;
	start(g, 100);
}

static void what_is_held_on_a_full_disk_is_sent_once(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	held_on_a_full_disk(g, f);
	chan_send(g->relays[0].chan, MSG_TEXT_GET, &(struct msg_text_get){.ask = 1, .message = (uint64_t)fixture_sql(f, "SELECT MIN(message) FROM queue"),
		.max = 1000});
	RUN(1, a_text_came);
	assert_int_equal(CAUSE_NONE, g->relays[0].text_cause); /* it goes on with what it has */
	fake_tells(&g->relays[0], DELIVERY_SENT, 2);
	NOT_IN(1500, 0, all_is_kept);
	assert_int_equal(4, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 0"));
	fake_join(g, 1, 22);
	fake_says_held(&g->relays[1], true);
	fake_room(&g->relays[1], 100);
	NOT_IN(500, 2, all_hold); /* nobody gets anything */
	disk_is_full(false);
	RUN(0, all_is_kept);
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue")); /* one is still in its hands, one was never out */
	RUN(2, first_holds);
	assert_int_equal(1, g->relays[0].leases);
	fake_tells(&g->relays[0], DELIVERY_SENT, 2);
	RUN(0, all_is_kept);
	RUN(0, queue_is);
	assert_int_equal(0, fixture_sql(f, "SELECT COALESCE(SUM(holders), 0) FROM message"));
	assert_int_equal(0, g->relays[1].leases);
}

static void who_dies_on_a_full_disk_gives_back_what_it_held(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	held_on_a_full_disk(g, f);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	NOT_IN(100, 0, all_is_kept);
	fake_dies(&g->relays[0]);
	fake_join(g, 1, 22);
	fake_says_held(&g->relays[1], true);
	fake_room(&g->relays[1], 100);
	NOT_IN(300, 3, all_hold);
	disk_is_full(false);
	RUN(3, all_hold); /* not the one that was delivered */
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
	assert_int_equal(3, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
}

/* its channel breaks twice, and the disk is full all the time: what it said over the first is said again over the second */
static void what_is_told_twice_counts_once(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct held all[3];

	held_on_a_full_disk(g, f);
	memcpy(all, g->relays[0].held, sizeof(all));
	fake_tells(&g->relays[0], DELIVERY_SENT, 2);
	NOT_IN(100, 0, all_is_kept);
	fake_dies(&g->relays[0]);
	(void)stage_run(g, never, 50);
	memcpy(g->relays[0].held, all, sizeof(all));
	g->relays[0].count = 3;
	g->relays[0].asked = g->relays[0].kept = 0;
	fake_join(g, 0, 21);
	fake_says_held(&g->relays[0], true);
	fake_room(&g->relays[0], 100);
	fake_tells(&g->relays[0], DELIVERY_SENT, 3);
	NOT_IN(300, 0, all_is_kept);
	disk_is_full(false);
	RUN(0, all_is_kept);
	RUN(1, first_holds); /* the one that was never out */
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
}

static void a_store_that_starts_on_a_full_disk_serves(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 3);
	start(g, 100);
	RUN(3, first_holds);
	stage_close(g);
	fixture_sql(f, "UPDATE queue SET state = 2"); /* as a killed one leaves them */
	open_fails = RC_FULL;
	stage_open(g, f);
	g->relays[0].asked = g->relays[0].kept = 0;
	g->relays[0].count = 2; /* one of them came back from it when the store was dying */
	start(g, 100);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	NOT_IN(1500, 0, all_is_kept);
	fake_dies(&g->relays[0]);
	open_fails = RC_OK;
	fake_join(g, 1, 22);
	fake_says_held(&g->relays[1], true);
	fake_room(&g->relays[1], 100);
	RUN(2, all_hold);
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	fake_tells(&g->relays[1], DELIVERY_SENT, 2);
	RUN(0, queue_is);
}

static void what_could_not_be_read_is_held_all_the_same(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 3);
	start(g, 100);
	RUN(3, first_holds);
	stage_close(g);
	stage_open(g, f);
	claimed_fails = RC_BUSY;
	fake_claims(&g->relays[0], 999, 77); /* there is no such row */
	g->relays[0].asked = g->relays[0].kept = 0;
	start(g, 100);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	RUN(0, all_is_kept);
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	g->relays[0].texts = 0;
	chan_send(g->relays[0].chan, MSG_TEXT_GET, &(struct msg_text_get){.ask = 1, .message = (uint64_t)fixture_sql(f, "SELECT MIN(message) FROM queue"),
		.max = 1000});
	RUN(1, a_text_came);
	assert_int_equal(CAUSE_NONE, g->relays[0].text_cause);
	fake_tells(&g->relays[0], DELIVERY_SENT, 3);
	RUN(0, all_is_kept);
	RUN(0, queue_is);
}

static void nobody_takes_what_another_has(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct held mine;

	queue_many(f, "far.example", 1);
	start(g, 100);
	RUN(1, first_holds);
	mine = g->relays[0].held[0];
	fake_join(g, 1, 22);
	fake_claims(&g->relays[1], mine.row, mine.lease);
	fake_claims(&g->relays[1], mine.row, mine.lease + 1);
	fake_says_held(&g->relays[1], true);
	fake_tells(&g->relays[1], DELIVERY_SENT, 2);
	(void)stage_run(g, never, 100);
	assert_int_equal(1, g->relays[1].kept);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	/* but its own, over a new channel before the end of the old one was seen */
	fake_join(g, 2, 21);
	fake_claims(&g->relays[2], mine.row, mine.lease);
	fake_says_held(&g->relays[2], true);
	(void)stage_run(g, never, 50);
	fake_dies(&g->relays[0]);
	(void)stage_run(g, never, 50);
	assert_int_equal(1, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2"));
	fake_tells(&g->relays[2], DELIVERY_SENT, 1);
	RUN(0, queue_is);
}

/* settled, held by an administrator, or never there: nothing is taken from the queue by saying so */
static void what_is_not_out_is_not_held(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_queue_filter far = {.domain = S("far.example"), .state = -1};
	uint64_t changed;

	queue_many(f, "far.example", 2);
	assert_rc(RC_OK, store_queue_act(f->s, &far, STORE_QUEUE_HOLD, clock_wall_ms(), &changed, &f->err));
	fake_join(g, 0, 21);
	role_store_ops.start(&g->role);
	fake_claims(&g->relays[0], 999, 7);
	fake_claims(&g->relays[0], (uint64_t)fixture_sql(f, "SELECT MIN(id) FROM queue"), 8);
	fake_says_held(&g->relays[0], true);
	fake_room(&g->relays[0], 100);
	fake_tells(&g->relays[0], DELIVERY_SENT, 2);
	RUN(0, all_is_kept);
	assert_int_equal(2, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 1"));
}

/* Each is in a turn of its own. How fast these follow each other is the machine's: one quick round in many is enough. */
static void results_share_a_commit(void **state)
{
	enum { ROUNDS = 12, FRAMES = 5 };
	struct stage *g = &stage;
	struct fake *k = &g->relays[0];
	struct fixture *f = *state;
	bool shared = false;
	char rcpt[64];

	for (size_t i = 0; i < ROUNDS * FRAMES; i++) {
		(void)snprintf(rcpt, sizeof(rcpt), "a@far%zu.example", i);
		(void)MAIL(rcpt);
	}
	start(g, ROUNDS * FRAMES);
	RUN(ROUNDS * FRAMES, first_holds);
	for (size_t round = 0; round < ROUNDS; round++) {
		uint32_t before = k->confirmations;

		for (size_t i = 0; i < FRAMES; i++) {
			fake_tells(k, DELIVERY_SENT, 1);
			NOT_IN(1, 0, never);
		}
		RUN(0, all_is_kept);
		shared |= k->confirmations - before <= 2;
	}
	assert_true(shared);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
}

static void the_command_line_is_heard(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_queue_filter far = {.domain = S("far.example"), .state = -1};
	uint64_t changed;

	queue_many(f, "far.example", 5);
	assert_rc(RC_OK, store_queue_act(f->s, &far, STORE_QUEUE_HOLD, clock_wall_ms(), &changed, &f->err));
	start(g, 100);
	NOT_IN(500, 1, first_holds);
	assert_rc(RC_OK, store_queue_act(f->s, &far, STORE_QUEUE_RELEASE, clock_wall_ms(), &changed, &f->err));
	RUN(5, first_holds);
	assert_rc(RC_OK, store_queue_act(f->s, &far, STORE_QUEUE_REMOVE, clock_wall_ms(), &changed, &f->err));
	assert_int_equal(5, changed);
	fake_tells(&g->relays[0], DELIVERY_LATER, 5); /* too late: they are gone */
	RUN(0, all_is_kept);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue"));
	(void)stage_run(g, never, 1200);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue_note")); /* told to the history */
}

static void who_lies_is_dropped(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct buf list;

	queue_many(f, "far.example", 1);
	start(g, 10);
	RUN(1, first_holds);
	buf_init(&list, 1000);
	rec_delivery_add(&list, &(struct rec_delivery){.row = g->relays[0].held[0].row, .lease = g->relays[0].held[0].lease, .outcome = 77});
	chan_send(g->relays[0].chan, MSG_DELIVERIES, &(struct msg_deliveries){.results = {.raw = buf_span(&list), .count = 1}});
	buf_clear(&list);
	(void)stage_run(g, never, 100);
	assert_true(g->relays[0].gone);
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM queue WHERE state = 2")); /* and its rows wait again */
}

/* what it says cannot be written down, so it is all kept: more than a real one ever has to say is not */
static void who_says_too_much_on_a_full_disk_is_dropped(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;

	queue_many(f, "far.example", 1);
	start(g, 10);
	RUN(1, first_holds);
	disk_is_full(true);
	fake_tells(&g->relays[0], DELIVERY_SENT, 1);
	NOT_IN(50, 0, all_is_kept);
	for (size_t i = 0; i < QUEUE_RELAY_RESULTS / 2; i++)
		fake_tells(&g->relays[0], DELIVERY_SENT, 0);
	NOT_IN(500, 0, all_is_kept);
	assert_false(g->relays[0].gone);
	for (size_t i = 0; i < QUEUE_RELAY_RESULTS / 2; i++)
		fake_tells(&g->relays[0], DELIVERY_SENT, 0);
	(void)stage_run(g, never, 2000);
	disk_is_full(false);
	assert_true(g->relays[0].gone);
	RUN(0, queue_is); /* and what it said first counts */
}

/* ---- random: relays that answer anything, come and go */

static uint32_t seed = 7;
static uint32_t chance(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void nothing_is_lost_whoever_goes(void **state)
{
	static const enum delivery_outcome outcomes[] = {DELIVERY_SENT, DELIVERY_SENT, DELIVERY_SENT, DELIVERY_LATER, DELIVERY_NOT_TRIED};
	struct stage *g = &stage;
	struct fixture *f = *state;
	uint32_t worker = 100;

	for (int i = 0; i < 40; i++) {
		char a[32], b[32];

		(void)snprintf(a, sizeof(a), "a%d@one%d.example", i, i % 5);
		(void)snprintf(b, sizeof(b), "b%d@two.example", i);
		(void)MAIL(a, b, "c@two.example");
	}
	start(g, 30);
	for (int step = 0; step < 2000 && fixture_sql(f, "SELECT COUNT(*) FROM queue"); step++) {
		struct fake *k = &g->relays[chance(2)];

		if (!k->chan) {
			k->count = 0;
			fake_join(g, (size_t)(k - g->relays), worker++);
			fake_says_held(k, true);
			fake_room(k, 1 + chance(40));
		} else if (chance(30) == 0 && step < 300) {
			chan_free(&k->chan);
			k->gone = true;
			k->count = 0;
		} else if (k->count) {
			fake_tells(k, outcomes[chance(sizeof(outcomes) / sizeof(outcomes[0]))], 1 + chance((uint32_t)k->count));
		}
		if (step == 150) {
			size_t counts[2] = {g->relays[0].count, g->relays[1].count};

			stage_close(g); /* the store goes, and the relays tell the next one */
			stage_open(g, f);
			for (size_t r = 0; r < 2; r++) {
				g->relays[r].count = counts[r];
				fake_join(g, r, worker++);
				fake_says_held(&g->relays[r], true);
				fake_room(&g->relays[r], 30);
			}
			role_store_ops.start(&g->role);
		}
		(void)stage_run(g, never, step < 300 ? 5 : 20);
	}
	RUN(0, queue_is);
	assert_int_equal(0, fixture_sql(f, "SELECT COALESCE(SUM(holders), 0) FROM message"));
	assert_int_equal(0, fixture_sql(f, "SELECT COUNT(*) FROM destination WHERE failures = 0"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(leases_begin_when_all_is_known), T(a_window_and_a_credit_bound_what_is_out), T(results_are_written_down), T(a_relay_reads_what_it_has_a_lease_of),
		T(a_dead_destination_gets_a_probe), T(what_a_relay_held_goes_to_another), T(two_hold_rows_of_one_destination), T(a_destination_that_nobody_knows),
		T(a_store_that_comes_back_hears_what_is_held), T(what_is_held_on_a_full_disk_is_sent_once), T(who_dies_on_a_full_disk_gives_back_what_it_held),
		T(what_is_told_twice_counts_once), T(a_store_that_starts_on_a_full_disk_serves), T(what_could_not_be_read_is_held_all_the_same),
		T(nobody_takes_what_another_has), T(what_is_not_out_is_not_held), T(results_share_a_commit), T(the_command_line_is_heard),
		T(who_lies_is_dropped), T(who_says_too_much_on_a_full_disk_is_dropped), T(nothing_is_lost_whoever_goes),
	};

	return cmocka_run_group_tests_name("store role: queue", tests, NULL, NULL);
}
