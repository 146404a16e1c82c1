/* The store role with its peers at the other ends of socket pairs, all in one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "fixture.h"
#include "role/role_store.h"
#include "store/history.h"

/* what the role's frame around it supplies in the program */
void role_done(struct role *r)
{
	loop_stop(r->loop, 0);
}

const char *role_dir_name(enum role_id id)
{
	return id == ROLE_STORE ? "store" : "";
}

enum { ANSWERS = 4096 };

struct answer {
	enum msg_type type;
	uint32_t ask;
	uint16_t cause;
	uint64_t number; /* tag, message, spool, uidvalidity */
	size_t count;    /* items or bytes */
	bool flag;       /* duplicate, last */
	char text[400];
};

struct client {
	struct chan *chan;
	bool gone;
	char why[160];
	struct answer *answers;
	size_t count;
};

struct stage {
	struct fixture *f;
	struct role role;
	struct conf *conf;
	struct client mx, user, user2, auth;
	struct loop_timer timeout;
	size_t wait_for;
	struct client *wait_on;
};

static void why_words(const struct msg_why_is *m, char *to, size_t size)
{
	struct span cursor = m->events.raw;
	struct rec_why_event r;
	size_t at = 0;

	while (rec_why_event_next(&cursor, &r) && at < size)
		at += (size_t)snprintf(to + at, size - at, "%s%u:%.*s:%.*s", at ? " " : "", r.code, SPAN_FMT(r.slug), SPAN_FMT(r.detail));
}

static enum rc client_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct client *l = owner;
	struct answer a = {.type = type};

	(void)c;
	switch ((int)type) {
	case MSG_RCPT_RESULT:
		a.ask = msg->rcpt_result.ask, a.cause = msg->rcpt_result.cause, a.number = msg->rcpt_result.tag;
		break;
	case MSG_ACCEPTED:
		a.ask = msg->accepted.ask, a.cause = msg->accepted.cause, a.number = msg->accepted.message, a.flag = msg->accepted.duplicate;
		break;
	case MSG_SPOOL_LENT:
		a.ask = msg->spool_lent.ask, a.number = msg->spool_lent.spool;
		assert_int_equal(5, pwrite(msg->spool_lent.file, "body\n", 5, 0));
		(void)close(msg->spool_lent.file);
		break;
	case MSG_SPOOL_REFUSED:
		a.ask = msg->spool_refused.ask, a.cause = msg->spool_refused.cause;
		break;
	case MSG_MBOX_ITEMS:
		a.ask = msg->mbox_items.ask, a.count = msg->mbox_items.items.count;
		break;
	case MSG_MBOX_OPENED:
		a.ask = msg->mbox_opened.ask, a.cause = msg->mbox_opened.cause, a.number = msg->mbox_opened.uidvalidity;
		break;
	case MSG_MAIL_BYTES:
		a.ask = msg->mail_bytes.ask, a.cause = msg->mail_bytes.cause, a.flag = msg->mail_bytes.last, a.count = msg->mail_bytes.bytes.len;
		(void)snprintf(a.text, sizeof(a.text), "%.*s", SPAN_FMT(span_head(msg->mail_bytes.bytes, 60)));
		break;
	case MSG_WHY_IS:
		a.ask = msg->why_is.ask, a.cause = msg->why_is.cause, a.count = msg->why_is.events.count;
		why_words(&msg->why_is, a.text, sizeof(a.text));
		break;
	case MSG_MBOX_COMMITTED:
		a.ask = msg->mbox_committed.ask, a.cause = msg->mbox_committed.cause;
		break;
	case MSG_GRANTED:
		a.ask = msg->granted.ask, a.cause = msg->granted.cause;
		(void)snprintf(a.text, sizeof(a.text), "%.*s", SPAN_FMT(msg->granted.address));
		break;
	default:
		fail();
	}
	assert_true(l->count < ANSWERS);
	l->answers[l->count++] = a;
	return RC_OK;
}

static void client_gone(void *owner, struct chan *c, const char *why)
{
	struct client *l = owner;

	(void)c;
	(void)snprintf(l->why, sizeof(l->why), "%s", why);
	l->gone = true;
	chan_free(&l->chan);
}

static void stage_client(struct stage *g, struct client *l, enum role_id id, uint32_t worker)
{
	static const struct chan_ops ops = {.on_frame = client_frame, .on_gone = client_gone};
	int pair[2];

	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	l->answers = mem_array(ANSWERS, sizeof(*l->answers));
	l->chan = chan_new(g->role.loop, pair[0], id, ROLE_STORE, 0, &ops, l);
	role_store_ops.peer(&g->role, id, worker, pair[1]);
}

static void stage_stop(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(((struct stage *)arg)->role.loop, 1);
}

static void stage_hook(void *arg)
{
	struct stage *g = arg;

	if (g->wait_on && (g->wait_on->count >= g->wait_for || g->wait_on->gone))
		loop_stop(g->role.loop, 0);
}

/* runs turns until this client has that many answers (or is gone); false: not within 10 s */
static bool stage_wait(struct stage *g, struct client *l, size_t count)
{
	struct loop_hook hook = {.fn = stage_hook, .arg = g};
	struct client *all[] = {&g->mx, &g->user, &g->user2, &g->auth};
	int status;

	for (size_t i = 0; i < 4; i++) /* what was sent between turns has no turn's end to leave at */
		if (all[i]->chan && !all[i]->gone)
			chan_flush(all[i]->chan);
	g->wait_on = l;
	g->wait_for = count;
	loop_hook_add(g->role.loop, LOOP_LOG, &hook);
	loop_timer_at(&g->timeout, clock_mono_ms() + 10000);
	status = loop_run(g->role.loop);
	loop_timer_at(&g->timeout, MONO_NEVER);
	loop_hook_remove(g->role.loop, &hook);
	if (l->gone || l->count < count)
		print_message("(%zu of %zu answers; %s)\n", l->count, count, l->gone ? l->why : "still waiting");
	return status == 0 && l->count >= count;
}

static struct answer *stage_last(struct client *l)
{
	assert_true(l->count > 0);
	return &l->answers[l->count - 1];
}

static int stage_open(struct fixture *f, struct stage *g, const char *dir)
{
	struct err err = {""};

	*g = (struct stage){.f = f, .role = {.ops = &role_store_ops, .id = ROLE_STORE, .dir = dir}};
	/* listener 0 takes mail from anyone, 1 from who signed in */
	assert_rc(RC_OK, conf_parse(SPAN_LIT("home = \"/nowhere\""), "test", NULL, &g->conf, &err));
	g->role.conf = g->conf;
	g->role.loop = loop_new();
	loop_timer_init(g->role.loop, &g->timeout, stage_stop, g);
	assert_rc(RC_OK, role_store_ops.open(&g->role, &err));
	if (role_store_ops.ready(&g->role, &err) != RC_OK)
		fail_msg("%s", err.words);
	stage_client(g, &g->mx, ROLE_MX, 11);
	stage_client(g, &g->user, ROLE_USER, 12);
	stage_client(g, &g->user2, ROLE_USER, 13);
	stage_client(g, &g->auth, ROLE_AUTH, 0);
	return 0;
}

static struct stage stage;

static int stage_setup(void **state)
{
	struct fixture *f;

	log_open(STDERR_FILENO, "test", LOG_LEVEL_ERROR);
	(void)fixture_setup(state);
	f = *state;
	store_close(&f->s);
	return stage_open(f, &stage, f->dir);
}

static void stage_when_empty(void *arg)
{
	struct stage *g = arg;

	if (!((struct store_role *)g->role.own)->peers)
		loop_stop(g->role.loop, 0);
}

static void stage_close(struct stage *g)
{
	struct client *all[] = {&g->mx, &g->user, &g->user2, &g->auth};
	struct loop_hook empty = {.fn = stage_when_empty, .arg = g};
	struct store_role *s = g->role.own;

	role_store_ops.drain(&g->role, true);
	for (size_t i = 0; i < 4; i++) {
		chan_free(&all[i]->chan);
		free(all[i]->answers);
	}
	loop_timer_at(&g->timeout, clock_mono_ms() + 10000);
	loop_hook_add(g->role.loop, LOOP_LOG, &empty);
	while (s->peers && loop_run(g->role.loop) == 0)
		;
	loop_hook_remove(g->role.loop, &empty);
	assert_null(s->peers); /* all gone, all forgotten */
	loop_timer_clear(&g->timeout);
	map_clear(&s->mailboxes);
	free(s->conf);
	free(s);
	conf_free(&g->conf);
	loop_free(&g->role.loop);
}

static int stage_teardown(void **state)
{
	struct fixture *f = *state;

	stage_close(&stage);
	if (!f->s)
		assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	return fixture_teardown(state);
}

static void send_accept(struct client *l, uint32_t ask, uint64_t session, const char *to, uint64_t tag, const char *message_id)
{
	struct msg_accept m = {.session = session, .ask = ask, .received_ms = NOW_MS, .sender = S("s@elsewhere.example"), .peer = S("192.0.2.1"), .helo = S("h"),
		.message_id = S(message_id), .digest = S(message_id ? "0123456789abcdef0123456789abcdef" : NULL), .head = S("A: b\r\n\r\n"), .body = S("text\r\n")};
	struct buf rcpts;

	buf_init(&rcpts, 4096);
	rec_rcpt_add(&rcpts, &(struct rec_rcpt){.tag = tag, .address = S(to)});
	m.rcpts = (struct msg_list){.raw = buf_span(&rcpts), .count = 1};
	m.submission = session >= 1000;
	m.listener = m.submission ? 1 : 0;
	m.tls = m.submission;
	if (m.submission) /* as who signs in here always does */
		m.sender = S("anna@example.org");
	chan_send(l->chan, MSG_ACCEPT, &m);
	buf_clear(&rcpts);
}

static uint64_t ask_rcpt(struct stage *g, struct client *l, const char *address, bool local_only, uint64_t session, enum cause_id want)
{
	chan_send(l->chan, MSG_RCPT_CHECK, &(struct msg_rcpt_check){.session = session, .ask = 5, .listener = local_only ? 0 : 1, .tls = !local_only, .stands = !local_only, .peer = S("192.0.2.1"), .address = S(address)});
	assert_true(stage_wait(g, l, l->count + 1));
	assert_int_equal(MSG_RCPT_RESULT, stage_last(l)->type);
	assert_int_equal(want, stage_last(l)->cause);
	return stage_last(l)->number;
}

static void grant(struct stage *g, uint32_t worker, uint64_t session, int64_t account, enum cause_id want)
{
	chan_send(g->auth.chan, MSG_GRANT, &(struct msg_grant){.ask = 1, .worker = worker, .session = session, .account = (uint64_t)account, .by = POLICY_BY_SIGN_IN});
	assert_true(stage_wait(g, &g->auth, g->auth.count + 1));
	assert_int_equal(want, stage_last(&g->auth)->cause);
}

static void a_turn_is_committed_before_its_answers(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	uint64_t tag = ask_rcpt(g, &g->mx, "anna@example.org", true, 1, CAUSE_NONE);

	for (uint32_t i = 0; i < 50; i++)
		send_accept(&g->mx, 100 + i, 1, "anna@example.org", tag, i < 2 ? "<same@x>" : NULL);
	send_accept(&g->mx, 150, 1, "nobody@example.org", 0, NULL);
	assert_true(stage_wait(g, &g->mx, 1 + 51));
	for (size_t i = 1; i < 52; i++) {
		struct answer *a = &g->mx.answers[i];

		assert_int_equal(MSG_ACCEPTED, a->type);
		assert_int_equal(a->ask == 150 ? CAUSE_RCPT_UNKNOWN : CAUSE_NONE, a->cause);
		assert_int_equal(a->ask == 101, a->flag);
	}
	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err)); /* another process sees them all */
	assert_int_equal(49, fixture_get(f, "anna@example.org").messages);
}

static void mx_cannot_reach_elsewhere(void **state)
{
	struct stage *g = &stage;

	(void)state;
	(void)ask_rcpt(g, &g->mx, "x@foreign.example", true, 1, CAUSE_RELAY_DENIED_UNAUTH);
	send_accept(&g->mx, 7, 1, "x@foreign.example", STORE_TAG_FOREIGN, NULL);
	assert_false(stage_wait(g, &g->mx, 2));
	assert_true(g->mx.gone); /* no worker that is well does that */
	assert_false(g->user.gone);
	assert_int_equal(0, store_in_transaction(((struct store_role *)g->role.own)->store));
}

static void only_auth_says_who_a_session_is(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	(void)ask_rcpt(g, &g->user, "x@foreign.example", false, 1000, CAUSE_SERVER_TEMP_ERROR);
	send_accept(&g->user, 1, 1000, "x@foreign.example", STORE_TAG_FOREIGN, NULL);
	assert_true(stage_wait(g, &g->user, 2));
	assert_int_equal(CAUSE_SERVER_TEMP_ERROR, stage_last(&g->user)->cause);
	grant(g, 12, 1000, 999, CAUSE_AUTH_ACCOUNT_DISABLED); /* no such account */
	grant(g, 99, 1000, anna, CAUSE_SERVER_TEMP_ERROR);    /* no such worker */
	grant(g, 12, 1000, anna, CAUSE_NONE);
	assert_string_equal("anna@example.org", stage_last(&g->auth)->text);
	(void)ask_rcpt(g, &g->user, "x@foreign.example", false, 1000, CAUSE_NONE);
	send_accept(&g->user, 2, 1000, "x@foreign.example", STORE_TAG_FOREIGN, NULL);
	assert_true(stage_wait(g, &g->user, 4));
	assert_int_equal(CAUSE_NONE, stage_last(&g->user)->cause);
	assert_int_equal(1, fixture_queue_count(f));
	(void)ask_rcpt(g, &g->user2, "x@foreign.example", false, 1000, CAUSE_SERVER_TEMP_ERROR); /* the same number of another worker */
	chan_send(g->auth.chan, MSG_REVOKE, &(struct msg_revoke){.account = (uint64_t)anna});
	grant(g, 13, 1, anna, CAUSE_NONE); /* (and so the REVOKE before it was seen) */
	send_accept(&g->user, 3, 1000, "x@foreign.example", STORE_TAG_FOREIGN, NULL);
	assert_true(stage_wait(g, &g->user, 5));
	assert_int_equal(CAUSE_AUTH_REVOKED, stage_last(&g->user)->cause);
	assert_false(g->user.gone);
	/* auth takes a grant back: whether or not the worker says that the session is over */
	(void)ask_rcpt(g, &g->user2, "x@foreign.example", false, 1, CAUSE_NONE);
	chan_send(g->auth.chan, MSG_UNGRANT, &(struct msg_ungrant){.worker = 13, .session = 2}); /* there is none such */
	chan_send(g->auth.chan, MSG_UNGRANT, &(struct msg_ungrant){.worker = 99, .session = 1});
	grant(g, 12, 1001, anna, CAUSE_NONE);
	(void)ask_rcpt(g, &g->user2, "x@foreign.example", false, 1, CAUSE_NONE);
	chan_send(g->auth.chan, MSG_UNGRANT, &(struct msg_ungrant){.worker = 13, .session = 1});
	grant(g, 12, 1001, anna, CAUSE_NONE);
	(void)ask_rcpt(g, &g->user2, "x@foreign.example", false, 1, CAUSE_SERVER_TEMP_ERROR);
	chan_send(g->user.chan, MSG_GRANT, &(struct msg_grant){.ask = 1, .worker = 12, .session = 5, .account = (uint64_t)anna});
	assert_false(stage_wait(g, &g->user, 6)); /* chan refuses to send what this role may not say */
	assert_true(g->user.gone);
}

static void open_mailbox(struct stage *g, struct client *l, uint64_t session, enum cause_id want, size_t frames)
{
	chan_send(l->chan, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = 9});
	assert_true(stage_wait(g, l, l->count + frames + 1));
	assert_int_equal(MSG_MBOX_OPENED, stage_last(l)->type);
	assert_int_equal(want, stage_last(l)->cause);
}

static void mailboxes_are_read_by_one_at_a_time(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct buf uids;
	int64_t anna;
	size_t items = 0;

	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(RC_OK, fixture_accept(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}}).rc);
	assert_rc(RC_OK, store_commit(f->s, &f->err));
	open_mailbox(g, &g->user, 1000, CAUSE_SERVER_TEMP_ERROR, 0); /* not signed in */
	grant(g, 12, 1000, anna, CAUSE_NONE);
	grant(g, 12, 1001, anna, CAUSE_NONE);
	grant(g, 13, 1000, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 1000, CAUSE_NONE, 2);
	for (size_t i = 0; i < g->user.count; i++)
		items += g->user.answers[i].type == MSG_MBOX_ITEMS ? g->user.answers[i].count : 0;
	assert_int_equal(5000, items);
	open_mailbox(g, &g->user, 1001, CAUSE_MAILBOX_LOCKED, 0);
	open_mailbox(g, &g->user2, 1000, CAUSE_MAILBOX_LOCKED, 0);
	chan_send(g->user.chan, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = 1000, .ask = 4, .uid = 17, .max = 30});
	assert_true(stage_wait(g, &g->user, g->user.count + 1));
	assert_string_equal("Return-Path: <sender@elsewhere", stage_last(&g->user)->text);
	assert_false(stage_last(&g->user)->flag);
	chan_send(g->user.chan, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = 1000, .ask = 4, .uid = 17, .offset = 30, .max = UINT32_MAX});
	assert_true(stage_wait(g, &g->user, g->user.count + 1));
	assert_true(stage_last(&g->user)->flag && stage_last(&g->user)->cause == CAUSE_NONE);
	chan_send(g->user.chan, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = 1000, .ask = 4, .uid = 99999, .max = 30});
	assert_true(stage_wait(g, &g->user, g->user.count + 1));
	assert_int_equal(CAUSE_MAILBOX_CHANGED, stage_last(&g->user)->cause);
	buf_init(&uids, 100000);
	for (uint64_t uid = 1; uid <= 4999; uid++)
		rec_uid_add(&uids, &(struct rec_uid){uid});
	chan_send(g->user2.chan, MSG_MBOX_COMMIT, &(struct msg_mbox_commit){.session = 1000, .ask = 3, .uids = {.raw = buf_span(&uids), .count = 4999}});
	assert_true(stage_wait(g, &g->user2, g->user2.count + 1));
	assert_int_equal(CAUSE_MAILBOX_LOCKED, stage_last(&g->user2)->cause); /* does not hold it */
	chan_send(g->user.chan, MSG_MBOX_COMMIT, &(struct msg_mbox_commit){.session = 1000, .ask = 3, .uids = {.raw = buf_span(&uids), .count = 4999}});
	assert_true(stage_wait(g, &g->user, g->user.count + 1));
	assert_int_equal(CAUSE_NONE, stage_last(&g->user)->cause);
	assert_int_equal(1, fixture_get(f, "anna@example.org").messages);
	chan_send(g->user.chan, MSG_SESSION_END, &(struct msg_session_end){.session = 1000});
	open_mailbox(g, &g->user, 1001, CAUSE_NONE, 1);
	chan_free(&g->user.chan); /* a worker that dies lets go */
	(void)stage_wait(g, &g->mx, 0);
	for (int i = 0; i < 100 && ((struct store_role *)g->role.own)->mailboxes.count; i++)
		(void)stage_wait(g, &g->mx, 0);
	open_mailbox(g, &g->user2, 1000, CAUSE_NONE, 1);
	buf_clear(&uids);
}

/* asks, and is not answered yet; but for the test of that, nobody waits too long */
static void wait_for_mailbox(struct stage *g, struct client *l, uint64_t session, uint32_t ask)
{
	chan_send(l->chan, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = ask});
	open_mailbox(g, l, 5555, CAUSE_SERVER_TEMP_ERROR, 0); /* no such session: what was sent before has been looked at */
	assert_int_equal(9, stage_last(l)->ask);
	loop_timer_at(&((struct store_role *)g->role.own)->opens_over, MONO_NEVER);
}

static void answer_of(struct stage *g, struct client *l, uint32_t ask, enum cause_id cause)
{
	assert_true(stage_wait(g, l, l->count + 1));
	assert_int_equal(MSG_MBOX_OPENED, stage_last(l)->type);
	assert_int_equal(ask, stage_last(l)->ask);
	assert_int_equal(cause, stage_last(l)->cause);
}

/* whoever comes back before the store has heard that the session before is over */
static void a_mailbox_that_is_let_go_is_waited_for(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	grant(g, 12, 1000, anna, CAUSE_NONE);
	grant(g, 12, 1001, anna, CAUSE_NONE);
	for (uint64_t session = 1000; session < 1003; session++)
		grant(g, 13, session, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 1000, CAUSE_NONE, 0);
	wait_for_mailbox(g, &g->user2, 1000, 21);
	wait_for_mailbox(g, &g->user2, 1001, 22);
	chan_send(g->user.chan, MSG_SESSION_END, &(struct msg_session_end){.session = 1000});
	answer_of(g, &g->user2, 21, CAUSE_NONE); /* first come, first served */
	chan_send(g->auth.chan, MSG_UNGRANT, &(struct msg_ungrant){.worker = 13, .session = 1000});
	answer_of(g, &g->user2, 22, CAUSE_NONE);
	wait_for_mailbox(g, &g->user, 1001, 23);
	chan_free(&g->user2.chan); /* its worker dies */
	answer_of(g, &g->user, 23, CAUSE_NONE);
	assert_true(!s->opens && s->opens_tail == &s->opens);
}

static void a_mailbox_in_use_is_not_waited_for_long(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	grant(g, 12, 1000, anna, CAUSE_NONE);
	for (uint64_t session = 1; session <= STORE_PEER_OPENS + 1; session++)
		grant(g, 13, session, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 1000, CAUSE_NONE, 0);
	wait_for_mailbox(g, &g->user2, 1, 21);
	loop_timer_at(&s->opens_over, s->opens->wait_until);
	open_mailbox(g, &g->user2, 1, CAUSE_MAILBOX_LOCKED, 0); /* a session asks one thing at a time */
	answer_of(g, &g->user2, 21, CAUSE_MAILBOX_LOCKED);
	for (uint32_t n = 1; n <= STORE_PEER_OPENS + 1; n++)
		chan_send(g->user2.chan, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = n, .ask = 1000 + n});
	answer_of(g, &g->user2, 1000 + STORE_PEER_OPENS + 1, CAUSE_MAILBOX_LOCKED); /* nor does everybody */
	assert_true(stage_wait(g, &g->user2, g->user2.count + STORE_PEER_OPENS));
	for (uint32_t n = 1; n <= STORE_PEER_OPENS; n++) {
		const struct answer *a = &g->user2.answers[g->user2.count - STORE_PEER_OPENS + n - 1];

		assert_true(a->ask == 1000 + n && a->cause == CAUSE_MAILBOX_LOCKED);
	}
}

static void who_waits_for_a_mailbox_goes_away(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	grant(g, 12, 1000, anna, CAUSE_NONE);
	for (uint64_t session = 1000; session < 1004; session++)
		grant(g, 13, session, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 1000, CAUSE_NONE, 0);
	wait_for_mailbox(g, &g->user2, 1000, 21);
	wait_for_mailbox(g, &g->user2, 1001, 22);
	wait_for_mailbox(g, &g->user2, 1002, 23);
	chan_send(g->user2.chan, MSG_SESSION_END, &(struct msg_session_end){.session = 1001});
	answer_of(g, &g->user2, 22, CAUSE_SERVER_TEMP_ERROR);
	grant(g, 13, 1000, anna, CAUSE_NONE); /* granted anew: what the session before wanted is over */
	assert_true(stage_wait(g, &g->user2, 5));
	assert_true(stage_last(&g->user2)->ask == 21 && stage_last(&g->user2)->cause == CAUSE_SERVER_TEMP_ERROR);
	chan_send(g->auth.chan, MSG_REVOKE, &(struct msg_revoke){.account = (uint64_t)anna});
	answer_of(g, &g->user2, 23, CAUSE_AUTH_REVOKED);
	assert_true(!s->opens && s->mailboxes.count == 0);
	grant(g, 12, 2000, anna, CAUSE_NONE);
	grant(g, 13, 2000, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 2000, CAUSE_NONE, 0);
	wait_for_mailbox(g, &g->user2, 2000, 24);
	assert_non_null(s->opens);
	chan_free(&g->user2.chan);
	for (int i = 0; i < 100 && s->opens; i++)
		(void)stage_wait(g, &g->mx, 0);
	assert_true(!s->opens && s->opens_tail == &s->opens);
	chan_send(g->user.chan, MSG_SESSION_END, &(struct msg_session_end){.session = 2000});
	grant(g, 12, 2001, anna, CAUSE_NONE);
	open_mailbox(g, &g->user, 2001, CAUSE_NONE, 0);
}

static void a_slow_reader_is_not_buffered_for(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	char *body = mem_alloc(400001);
	int64_t anna;
	size_t most = 0, unsent;

	memset(body, 'x', 400000);
	body[400000] = '\0';
	assert_rc(RC_OK, store_open(f->dir, 0, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	assert_int_equal(RC_OK, fixture_deliver(f, &(struct fixture_mail){.rcpts = {"anna@example.org"}, .body = body}).rc);
	grant(g, 12, 1000, anna, CAUSE_NONE);
	for (uint32_t i = 0; i < 200; i++)
		chan_send(g->user.chan, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = 1000, .ask = i, .uid = 1, .max = UINT32_MAX});
	chan_pause(g->user.chan, true);
	for (uint32_t i = 0; i < 50; i++) { /* the others go on meanwhile */
		(void)ask_rcpt(g, &g->mx, "anna@example.org", true, 1, CAUSE_NONE);
		for (struct store_peer *p = s->peers; p; p = p->next) {
			unsent = chan_unsent_bytes(p->chan);
			most = unsent > most ? unsent : most;
		}
	}
	assert_true(most > 100000 && most < STORE_PEER_UNSENT_BYTES + STORE_BYTES_FRAME + 4096);
	chan_pause(g->user.chan, false);
	assert_true(stage_wait(g, &g->user, 200));
	for (uint32_t i = 0; i < 200; i++)
		assert_true(g->user.answers[i].ask == i && g->user.answers[i].count == STORE_BYTES_FRAME && g->user.answers[i].cause == CAUSE_NONE);
	/* revoked while it waits for its turn: what is left is refused for that */
	for (uint32_t i = 200; i < 400; i++)
		chan_send(g->user.chan, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = 1000, .ask = i, .uid = 1, .max = UINT32_MAX});
	chan_pause(g->user.chan, true);
	for (int i = 0; i < 50; i++)
		(void)ask_rcpt(g, &g->mx, "anna@example.org", true, 1, CAUSE_NONE);
	chan_send(g->auth.chan, MSG_REVOKE, &(struct msg_revoke){.account = (uint64_t)anna});
	(void)ask_rcpt(g, &g->mx, "anna@example.org", true, 1, CAUSE_NONE);
	chan_pause(g->user.chan, false);
	assert_true(stage_wait(g, &g->user, 400));
	assert_true(g->user.answers[200].cause == CAUSE_NONE && stage_last(&g->user)->ask == 399 && stage_last(&g->user)->cause == CAUSE_AUTH_REVOKED);
	for (uint32_t i = 200; i < 400; i++)
		assert_true(g->user.answers[i].cause == CAUSE_NONE || g->user.answers[i].cause == CAUSE_AUTH_REVOKED);
	free(body);
}

static void lent_files_are_counted_and_come_back(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	struct msg_accept m = {.session = 3, .ask = 1, .received_ms = NOW_MS, .head = S("A: b\r\n\r\n"), .spool_bytes = 5};
	struct buf rcpts;

	for (uint32_t i = 0; i < 257; i++)
		chan_send(g->mx.chan, MSG_SPOOL_OPEN, &(struct msg_spool_open){.session = i == 0 ? 3 : 4, .ask = i});
	assert_true(stage_wait(g, &g->mx, 257));
	assert_int_equal(MSG_SPOOL_REFUSED, stage_last(&g->mx)->type);
	assert_int_equal(CAUSE_SERVER_OVERLOADED, stage_last(&g->mx)->cause);
	chan_send(g->mx.chan, MSG_SPOOL_DROP, &(struct msg_spool_drop){.spool = g->mx.answers[1].number});
	chan_send(g->mx.chan, MSG_SESSION_END, &(struct msg_session_end){.session = 4});
	buf_init(&rcpts, 1000);
	rec_rcpt_add(&rcpts, &(struct rec_rcpt){.address = S("anna@example.org")});
	m.rcpts = (struct msg_list){.raw = buf_span(&rcpts), .count = 1};
	m.spool = g->mx.answers[0].number;
	chan_send(g->user.chan, MSG_ACCEPT, &m); /* another worker's file: not for this one */
	assert_true(stage_wait(g, &g->user, 1));
	assert_int_equal(CAUSE_SERVER_TEMP_ERROR, stage_last(&g->user)->cause);
	chan_send(g->mx.chan, MSG_ACCEPT, &m);
	assert_true(stage_wait(g, &g->mx, 258));
	assert_int_equal(CAUSE_NONE, stage_last(&g->mx)->cause);
	chan_send(g->mx.chan, MSG_ACCEPT, &m); /* used up */
	assert_true(stage_wait(g, &g->mx, 259));
	assert_int_equal(CAUSE_SERVER_TEMP_ERROR, stage_last(&g->mx)->cause);
	for (struct store_peer *p = s->peers; p; p = p->next)
		assert_int_equal(0, p->spools.count);
	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	assert_true(span_eq(S("body\n"), span_from(fixture_read(f, "anna@example.org", 1, 1000), fixture_read(f, "anna@example.org", 1, 1000).len - 5)));
	buf_clear(&rcpts);
}

static void draining_finishes_what_is_in_hand(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct store_role *s = g->role.own;
	struct store_rcpt rcpt = {.address = S("anna@example.org")};
	struct store_message m = {.head = S("A: b\r\n\r\n"), .rcpts = &rcpt, .rcpt_count = 1, .received_ms = NOW_MS};
	enum cause_id cause;
	bool repeat;
	int64_t id;

	assert_rc(RC_OK, store_accept(s->store, &m, &id, &repeat, &cause, &f->err)); /* a turn that is under way */
	role_store_ops.drain(&g->role, false);
	assert_null(s->store);
	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	assert_int_equal(1, fixture_get(f, "anna@example.org").messages);
}

static void a_full_disk_refuses_the_whole_turn(void **state)
{
	struct fixture *f = *state;
	static struct stage small;
	char dir[128], *body = mem_alloc(60001);
	struct store *s = NULL;
	size_t full = 0, taken = 0;
	int64_t id;

	(void)snprintf(dir, sizeof(dir), "%s/disk", f->dir);
	assert_int_equal(0, mkdir(dir, 0700));
	if (mount("tmpfs", dir, "tmpfs", 0, "size=4m") != 0) {
		free(body);
		skip(); /* needs root */
	}
	assert_rc(RC_OK, store_open(dir, STORE_CREATE, &s, &f->err));
	assert_rc(RC_OK, store_domain_add(s, S("example.org"), &f->err));
	assert_rc(RC_OK, store_account_add(s, S("anna@example.org"), 0, NOW_MS, &id, &f->err));
	store_close(&s);
	(void)stage_open(f, &small, dir);
	log_open(STDERR_FILENO, "test", LOG_LEVEL_ERROR + 1);
	memset(body, 'x', 60000);
	body[60000] = '\0';
	for (uint32_t i = 0; i < 200; i++) {
		struct msg_accept m = {.ask = i, .received_ms = NOW_MS, .head = S("A: b\r\n\r\n"), .body = S(body)};
		struct buf rcpts;

		body[60000] = '\0';
		buf_init(&rcpts, 1000);
		rec_rcpt_add(&rcpts, &(struct rec_rcpt){.address = S("anna@example.org")});
		m.rcpts = (struct msg_list){.raw = buf_span(&rcpts), .count = 1};
		chan_send(small.mx.chan, MSG_ACCEPT, &m);
		buf_clear(&rcpts);
		if (i % 10 == 9)
			assert_true(stage_wait(&small, &small.mx, i + 1));
	}
	for (size_t i = 0; i < small.mx.count; i++) {
		taken += small.mx.answers[i].cause == CAUSE_NONE;
		full += small.mx.answers[i].cause == CAUSE_SERVER_STORAGE_FULL;
	}
	assert_int_equal(200, taken + full);
	assert_true(taken > 5 && full > 5);
	assert_rc(RC_OK, store_open(dir, STORE_READ_ONLY, &f->s, &f->err));
	assert_int_equal(taken, fixture_get(f, "anna@example.org").messages); /* 250 said, and there; 452 said, and not there */
	store_close(&f->s);
	stage_close(&small);
	assert_int_equal(0, umount2(dir, MNT_DETACH));
	free(body);
}

/* ---- the history */

static enum rc history_line(void *arg, const struct history_event *e, uint64_t at)
{
	(void)at;
	buf_printf(arg, "%s:%.*s:%.*s:%.*s%s\n", history_kind_name(e->kind), SPAN_FMT(e->account), SPAN_FMT(e->rcpt), SPAN_FMT(e->cause),
		e->at_ms < clock_wall_ms() - 60000 ? ":a minute ago" : "");
	return RC_OK;
}

static void assert_history(struct fixture *f, const char *wanted, bool there)
{
	struct history *h = NULL;
	size_t damaged;
	struct buf text;

	buf_init(&text, 1 << 20);
	assert_rc(RC_OK, history_open(f->dir, HISTORY_READ_ONLY, &h, &f->err));
	assert_rc(RC_OK, history_query(h, &(struct history_filter){0}, 0, history_line, &text, &damaged, &f->err));
	history_close(&h);
	if ((strstr(buf_cstr(&text), wanted) != NULL) != there)
		fail_msg("%s is %sin\n%s", wanted, there ? "not " : "", buf_cstr(&text));
	buf_clear(&text);
}

static void the_history_takes_reports_but_no_tales(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	struct msg_history tale = {.kind = HISTORY_REFUSED, .session = 1000, .cause = CAUSE_RCPT_UNKNOWN, .account = S("victim@example.org")};
	uint64_t tag = ask_rcpt(g, &g->mx, "anna@example.org", true, 1, CAUSE_NONE);
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	grant(g, 12, 1000, anna, CAUSE_NONE);
	tale.rcpt = S("one@x.example");
	chan_send(g->user.chan, MSG_HISTORY, &tale);  /* whose session it is, is known here */
	tale.rcpt = S("two@x.example");
	tale.at_ms = clock_mono_ms() - 90000; /* frames of several roles come in any order */
	chan_send(g->user2.chan, MSG_HISTORY, &tale); /* that number is another worker's */
	chan_send(g->auth.chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_SIGNIN_FAILED, .at_ms = clock_mono_ms() - 3600000, /* too long ago */
		.cause = CAUSE_AUTH_BAD_CREDENTIALS, .account = S("bert@example.org")});
	grant(g, 13, 1001, anna, CAUSE_NONE);
	send_accept(&g->mx, 7, 1, "anna@example.org", tag, NULL);
	assert_true(stage_wait(g, &g->mx, g->mx.count + 1));
	/* mail is not a worker's to report, nor a sign-in anybody's but auth's */
	chan_send(g->mx.chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_ACCEPTED, .rcpt = S("tale@x.example")});
	assert_false(stage_wait(g, &g->mx, g->mx.count + 1));
	assert_true(g->mx.gone);
	chan_send(g->user2.chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_SIGNIN_OK, .account = S("tale@x.example")});
	assert_false(stage_wait(g, &g->user2, g->user2.count + 1));
	assert_true(g->user2.gone);
	role_store_ops.drain(&g->role, true); /* writes what waits */
	assert_history(f, "refused:anna@example.org:one@x.example:rcpt-unknown\n", true);
	assert_history(f, "refused::two@x.example:rcpt-unknown:a minute ago\n", true);
	assert_history(f, "signin-failed:bert@example.org::auth-bad-credentials\n", true);
	assert_history(f, "accepted::anna@example.org:\n", true);
	assert_history(f, "victim", false);
	assert_history(f, "tale", false);
}

/* ---- what people may ask */

static const char *why(struct stage *g, struct client *l, uint64_t session, uint8_t max, const char *peer, enum cause_id want)
{
	chan_send(l->chan, MSG_WHY, &(struct msg_why){.session = session, .ask = 77, .max = max, .peer = S(peer)});
	assert_true(stage_wait(g, l, l->count + 1));
	assert_int_equal(MSG_WHY_IS, stage_last(l)->type);
	assert_int_equal(77, stage_last(l)->ask);
	assert_int_equal(want, stage_last(l)->cause);
	return stage_last(l)->text;
}

static void refused(struct client *l, uint64_t session, enum cause_id cause, unsigned code, const char *command, const char *sender, const char *rcpt, const char *peer)
{
	chan_send(l->chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_REFUSED, .session = session, .cause = (uint16_t)cause, .code = (uint16_t)code, .command = S(command),
		.sender = S(sender), .rcpt = S(rcpt), .peer = S(peer), .detail = S("words")});
}

static void people_learn_their_own_refusals(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	const char *mine = "192.0.2.1", *other = "192.0.2.2";
	int64_t anna, bert;

	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	bert = fixture_get(f, "bert@example.org").id;
	grant(g, 12, 1000, anna, CAUSE_NONE);
	grant(g, 13, 2000, bert, CAUSE_NONE);
	assert_string_equal("", why(g, &g->user, 1000, 10, mine, CAUSE_NONE));
	/* before anybody signed in: the asker's own connection; one from her address in her name; the same with nothing of hers; another address in her name */
	refused(&g->user, 3000, CAUSE_AUTH_REQUIRED, 530, "MAIL", "anna@example.org", "x@secret.example", mine);
	refused(&g->user, 3000, CAUSE_SEQ_MAIL_REFUSED, 503, "DATA", "", "", mine);
	refused(&g->user, 3001, CAUSE_RCPT_UNKNOWN, 550, "RCPT", "carl@example.org", "y@secret.example", mine);
	refused(&g->user, 3002, CAUSE_RCPT_UNKNOWN, 550, "RCPT", "anna@example.org", "z@secret.example", other);
	assert_string_equal("503:auth-required: 530:auth-required:", why(g, &g->user, 1000, 10, mine, CAUSE_NONE));
	assert_string_equal("503:auth-required:", why(g, &g->user, 1000, 1, mine, CAUSE_NONE));
	assert_string_equal("550:rcpt-unknown:", why(g, &g->user, 1000, 10, other, CAUSE_NONE));
	/* signed in */
	refused(&g->user, 1000, CAUSE_RCPT_UNKNOWN, 550, "RCPT", "anna@example.org", "nobody@example.org", mine);
	refused(&g->user2, 2000, CAUSE_SENDER_NOT_OWNED, 553, "MAIL", "anna@example.org", "", mine);
	assert_string_equal("550:rcpt-unknown:nobody@example.org: words", why(g, &g->user, 1000, 1, mine, CAUSE_NONE));
	assert_string_equal("553:sender-not-owned:words", why(g, &g->user2, 2000, 50, other, CAUSE_NONE));
	/* whoever tried her password */
	chan_send(g->auth.chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_SIGNIN_FAILED, .cause = CAUSE_AUTH_WRONG_PASSWORD, .account = S("anna@example.org"), .peer = S(other)});
	grant(g, 12, 1001, anna, CAUSE_NONE); /* behind it */
	assert_string_equal("535:auth-wrong-password:from 192.0.2.2", why(g, &g->user, 1000, 1, mine, CAUSE_NONE));
	/* why it failed is known after what follows from it was refused */
	refused(&g->user, 1001, CAUSE_AUTH_REQUIRED, 530, "MAIL", "anna@example.org", "", mine);
	(void)why(g, &g->user, 1000, 1, mine, CAUSE_NONE);
	chan_send(g->auth.chan, MSG_HISTORY, &(struct msg_history){.kind = HISTORY_SIGNIN_FAILED, .session = 1001, .cause = CAUSE_AUTH_PASSWORD_OLD, .account = S("anna@example.org"), .peer = S(mine)});
	grant(g, 12, 1004, anna, CAUSE_NONE);
	assert_non_null(strstr(why(g, &g->user, 1000, 3, mine, CAUSE_NONE), "530:auth-password-old:from 192.0.2.1"));
	assert_string_equal("553:sender-not-owned:words", why(g, &g->user2, 2000, 50, mine, CAUSE_NONE));
}

static void only_who_signed_in_may_ask(void **state)
{
	struct stage *g = &stage;
	struct fixture *f = *state;
	int64_t anna;

	assert_rc(RC_OK, store_open(f->dir, STORE_READ_ONLY, &f->s, &f->err));
	anna = fixture_get(f, "anna@example.org").id;
	(void)why(g, &g->user, 1000, 10, "192.0.2.1", CAUSE_SERVER_TEMP_ERROR);
	grant(g, 12, 1000, anna, CAUSE_NONE);
	(void)why(g, &g->user, 1000, 10, "192.0.2.1", CAUSE_NONE);
	(void)why(g, &g->user2, 1000, 10, "192.0.2.1", CAUSE_SERVER_TEMP_ERROR); /* another worker's session */
	chan_send(g->auth.chan, MSG_GRANT, &(struct msg_grant){.ask = 1, .worker = 12, .session = 1002, .account = (uint64_t)anna, .by = POLICY_BY_WINDOW});
	assert_true(stage_wait(g, &g->auth, g->auth.count + 1));
	(void)why(g, &g->user, 1002, 10, "192.0.2.1", CAUSE_SERVER_TEMP_ERROR); /* a relay window is no sign-in */
	chan_send(g->auth.chan, MSG_REVOKE, &(struct msg_revoke){.account = (uint64_t)anna});
	grant(g, 12, 1003, anna, CAUSE_NONE);
	(void)why(g, &g->user, 1000, 10, "192.0.2.1", CAUSE_AUTH_REVOKED);
	chan_send(g->user2.chan, MSG_WHY, &(struct msg_why){.session = 1000, .ask = 1, .max = 51});
	assert_false(stage_wait(g, &g->user2, g->user2.count + 1));
	assert_true(g->user2.gone);
}

#define T(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_turn_is_committed_before_its_answers), T(mx_cannot_reach_elsewhere), T(only_auth_says_who_a_session_is), T(the_history_takes_reports_but_no_tales), T(people_learn_their_own_refusals), T(only_who_signed_in_may_ask), T(mailboxes_are_read_by_one_at_a_time), T(a_mailbox_that_is_let_go_is_waited_for),
		T(a_mailbox_in_use_is_not_waited_for_long), T(who_waits_for_a_mailbox_goes_away),
		T(a_slow_reader_is_not_buffered_for), T(lent_files_are_counted_and_come_back), T(draining_finishes_what_is_in_hand),
		T(a_full_disk_refuses_the_whole_turn),
	};

	return cmocka_run_group_tests_name("store role", tests, NULL, NULL);
}
