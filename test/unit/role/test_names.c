/* the names client against a dns role that is this test: questions, cancelling, a role that dies, answers that are no good */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_turns.h"
#include "role/names.h"

enum { ASKED_MAX = NAMES_OPEN_MAX + 100 };

/* the other end */
struct peer {
	struct chan *chan;
	uint32_t asks[ASKED_MAX];
	char last[256];
	uint16_t type;
	size_t count;
	bool gone;
};

static struct loop *loop;
static struct peer peers[3];
static unsigned lost;

struct asked {
	struct names *names;
	unsigned answers;
	enum name_status status;
	char words[100];
	struct asked *then; /* asked from inside the answer */
};

static enum rc peer_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct peer *p = owner;

	(void)c;
	assert_int_equal(MSG_NAME_ASK, type);
	assert_true(p->count < ASKED_MAX);
	p->asks[p->count++] = msg->name_ask.ask;
	p->type = msg->name_ask.type;
	(void)snprintf(p->last, sizeof(p->last), "%.*s", SPAN_FMT(msg->name_ask.name));
	return RC_OK;
}

static void peer_gone(void *owner, struct chan *c, const char *why)
{
	struct peer *p = owner;

	(void)c, (void)why;
	p->gone = true;
	chan_free(&p->chan);
}

static void peer_open(struct peer *p, struct names *n)
{
	static const struct chan_ops ops = {.on_frame = peer_frame, .on_gone = peer_gone};
	int pair[2];

	*p = (struct peer){.count = 0};
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	p->chan = chan_new(loop, pair[0], ROLE_DNS, ROLE_RELAY, 7, &ops, p);
	names_peer(n, 9, pair[1]);
}

static void peer_say(struct peer *p, uint32_t ask, enum name_status status)
{
	struct msg_name_is is = {.ask = ask, .status = (uint8_t)status};
	struct buf rrs;

	buf_init(&rrs, 100);
	if (status == NAME_FOUND) {
		rec_name_rr_add(&rrs, &(struct rec_name_rr){.preference = 10, .data = SPAN_LIT("mx.test")});
		is.rrs = (struct msg_list){buf_span(&rrs), 1};
	}
	chan_send(p->chan, MSG_NAME_IS, &is);
	buf_clear(&rrs);
}

static void on_answer(void *arg, const struct msg_name_is *m)
{
	struct asked *a = arg;

	a->answers++;
	a->status = (enum name_status)m->status;
	(void)snprintf(a->words, sizeof(a->words), "%.*s", SPAN_FMT(m->words));
	if (a->then)
		(void)names_ask(a->names, NAME_A, SPAN_LIT("then.test"), on_answer, a->then);
}

static void on_lost(void *arg, const struct chan *c)
{
	(void)arg;
	assert_int_equal(9, chan_peer_worker(c));
	lost++;
}

/* enough of them that everything under way arrives */
static void turns(void)
{
	(void)loop_turns(loop, 20);
}

static struct names *begin(void)
{
	struct names *n;

	loop = loop_new();
	n = names_new(loop, ROLE_RELAY);
	names_on_lost(n, on_lost, NULL);
	lost = 0;
	return n;
}

static void end(struct names *n, size_t peer_count)
{
	names_free(&n);
	assert_null(n);
	turns();
	for (size_t i = 0; i < peer_count; i++)
		chan_free(&peers[i].chan);
	loop_free(&loop);
}

/* ---- */

static void asks_and_is_answered_once(void **state)
{
	struct names *n = begin();
	struct asked a = {.names = n}, b = {.names = n};

	(void)state;
	peer_open(&peers[0], n);
	(void)names_ask(n, NAME_MX, SPAN_LIT("Example.ORG."), on_answer, &a);
	(void)names_ask(n, NAME_TLSA, SPAN_LIT("_25._tcp.mx.test"), on_answer, &b);
	assert_int_equal(0, a.answers);
	turns();
	assert_int_equal(2, peers[0].count);
	assert_int_equal(NAME_TLSA, peers[0].type);
	assert_string_equal("_25._tcp.mx.test", peers[0].last);
	peer_say(&peers[0], peers[0].asks[1], NAME_UNKNOWN); /* in any order */
	peer_say(&peers[0], peers[0].asks[0], NAME_FOUND);
	peer_say(&peers[0], peers[0].asks[0], NAME_BOGUS); /* again: nobody waits for it */
	turns();
	assert_int_equal(1, a.answers);
	assert_int_equal(NAME_FOUND, a.status);
	assert_int_equal(1, b.answers);
	assert_int_equal(NAME_UNKNOWN, b.status);
	assert_false(peers[0].gone);
	end(n, 1);
}

static void a_cancelled_question_is_not_answered(void **state)
{
	struct names *n = begin();
	struct asked a = {.names = n}, b = {.names = n}, c = {.names = n};
	uint32_t one, bad;

	(void)state;
	peer_open(&peers[0], n);
	one = names_ask(n, NAME_MX, SPAN_LIT("a.test"), on_answer, &a);
	(void)names_ask(n, NAME_MX, SPAN_LIT("b.test"), on_answer, &b);
	bad = names_ask(n, NAME_MX, SPAN_LIT("c c"), on_answer, &c);
	turns();
	assert_int_equal(1, c.answers);
	bad = names_ask(n, NAME_MX, SPAN_LIT("c c"), on_answer, &c);
	names_cancel(n, one);
	names_cancel(n, one);
	names_cancel(n, bad);
	names_cancel(n, 4711);
	peer_say(&peers[0], peers[0].asks[0], NAME_FOUND);
	peer_say(&peers[0], peers[0].asks[1], NAME_NOTHING);
	turns();
	assert_int_equal(0, a.answers);
	assert_int_equal(1, b.answers);
	assert_int_equal(1, c.answers);
	end(n, 1);
}

static void what_cannot_be_a_name_is_not_asked(void **state)
{
	static const char *const bad[] = {"", ".", "a..b", "a b", "b\303\274cher.test", "[192.0.2.1]", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test"};
	struct names *n = begin();

	(void)state;
	peer_open(&peers[0], n);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct asked a = {.names = n};

		assert_int_not_equal(0, names_ask(n, NAME_MX, span_str(bad[i]), on_answer, &a));
		assert_int_equal(0, a.answers); /* never inside the call */
		turns();
		assert_int_equal(1, a.answers);
		assert_int_equal(NAME_UNKNOWN, a.status);
	}
	assert_int_equal(0, peers[0].count);
	end(n, 1);
}

static void waits_for_the_role_and_asks_its_successor_once(void **state)
{
	struct names *n = begin();
	struct asked a = {.names = n}, b = {.names = n};

	(void)state;
	(void)names_ask(n, NAME_MX, SPAN_LIT("a.test"), on_answer, &a); /* there is none yet */
	turns();
	peer_open(&peers[0], n);
	turns();
	assert_int_equal(1, peers[0].count);
	chan_free(&peers[0].chan); /* dies */
	turns();
	assert_int_equal(1, lost);
	(void)names_ask(n, NAME_MX, SPAN_LIT("b.test"), on_answer, &b);
	turns();
	assert_int_equal(0, a.answers + b.answers);
	peer_open(&peers[1], n);
	turns();
	assert_int_equal(2, peers[1].count);
	assert_int_equal(peers[0].asks[0], peers[1].asks[0]);
	chan_free(&peers[1].chan); /* again: who was asked twice is not asked again */
	turns();
	assert_int_equal(1, a.answers);
	assert_int_equal(NAME_FAILED, a.status);
	assert_non_null(strstr(a.words, "twice"));
	assert_int_equal(0, b.answers);
	peer_open(&peers[2], n);
	turns();
	assert_int_equal(1, peers[2].count);
	peer_say(&peers[2], peers[2].asks[0], NAME_FOUND);
	turns();
	assert_int_equal(1, b.answers);
	assert_int_equal(NAME_FOUND, b.status);
	assert_int_equal(1, a.answers);
	end(n, 3);
}

static void a_successor_may_come_before_the_end_is_seen(void **state)
{
	struct names *n = begin();
	struct asked a = {.names = n};

	(void)state;
	peer_open(&peers[0], n);
	(void)names_ask(n, NAME_MX, SPAN_LIT("a.test"), on_answer, &a);
	turns();
	peer_open(&peers[1], n);
	turns();
	assert_true(peers[0].gone);
	assert_int_equal(1, peers[1].count);
	assert_int_equal(0, lost); /* the new one is there: nobody has to make another */
	peer_say(&peers[1], peers[1].asks[0], NAME_FOUND);
	turns();
	assert_int_equal(1, a.answers);
	end(n, 2);
}

static void an_answer_that_is_no_good_ends_the_channel(void **state)
{
	static const struct msg_name_is bad[] = {{.status = 0}, {.status = NAME_BOGUS + 1}, {.status = NAME_FOUND}, {.status = NAME_NOTHING, .security = 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct names *n = begin();
		struct asked a = {.names = n};
		struct msg_name_is m = bad[i];

		peer_open(&peers[0], n);
		m.ask = names_ask(n, NAME_MX, SPAN_LIT("a.test"), on_answer, &a);
		chan_send(peers[0].chan, MSG_NAME_IS, &m);
		turns();
		assert_true(peers[0].gone);
		assert_int_equal(1, lost);
		assert_int_equal(0, a.answers); /* its successor is asked */
		end(n, 1);
	}
}

static void too_many_fail_and_leave_room_again(void **state)
{
	struct names *n = begin();
	struct asked many = {.names = n}, over = {.names = n};

	(void)state;
	peer_open(&peers[0], n);
	for (unsigned i = 0; i < NAMES_OPEN_MAX; i++)
		(void)names_ask(n, NAME_A, SPAN_LIT("a.test"), on_answer, &many);
	(void)names_ask(n, NAME_A, SPAN_LIT("a.test"), on_answer, &over);
	turns();
	assert_int_equal(NAMES_OPEN_MAX, peers[0].count);
	assert_int_equal(0, many.answers);
	assert_int_equal(1, over.answers);
	assert_int_equal(NAME_FAILED, over.status);
	peer_say(&peers[0], peers[0].asks[0], NAME_FOUND);
	turns();
	(void)names_ask(n, NAME_A, SPAN_LIT("a.test"), on_answer, &over);
	turns();
	assert_int_equal(1, many.answers);
	assert_int_equal(1, over.answers);
	assert_int_equal(NAMES_OPEN_MAX + 1, peers[0].count);
	end(n, 1); /* open ones are forgotten */
	assert_int_equal(1, many.answers);
}

static void asks_from_inside_an_answer(void **state)
{
	struct names *n = begin();
	struct asked b = {.names = n}, a = {.names = n, .then = &b};

	(void)state;
	peer_open(&peers[0], n);
	(void)names_ask(n, NAME_MX, SPAN_LIT("a.test"), on_answer, &a);
	turns();
	peer_say(&peers[0], peers[0].asks[0], NAME_NOTHING);
	turns();
	assert_int_equal(2, peers[0].count);
	assert_string_equal("then.test", peers[0].last);
	peer_say(&peers[0], peers[0].asks[1], NAME_FOUND);
	turns();
	assert_int_equal(1, b.answers);
	end(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_is_answered_once), cmocka_unit_test(a_cancelled_question_is_not_answered), cmocka_unit_test(what_cannot_be_a_name_is_not_asked),
		cmocka_unit_test(waits_for_the_role_and_asks_its_successor_once), cmocka_unit_test(a_successor_may_come_before_the_end_is_seen),
		cmocka_unit_test(an_answer_that_is_no_good_ends_the_channel), cmocka_unit_test(too_many_fail_and_leave_room_again), cmocka_unit_test(asks_from_inside_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
