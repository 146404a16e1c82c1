/* the dns role without the library behind it: this test is the resolver, and the peers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop_turns.h"
#include "role/dns_resolver.h"
#include "role/role.h"

enum { ASKED_MAX = 8000, TIMEOUT_MS = 100 };

/* ---- the resolver */

static struct {
	struct {
		dns_resolver_answer *answer; /* NULL: answered */
		void *arg;
		enum name_type type;
		char name[DNS_NAME_BYTES + 1];
	} asked[ASKED_MAX];
	size_t count;
	bool at_once; /* as from the cache */
} resolver;

static void answer(size_t i, enum name_status status)
{
	struct dns_answer a;
	dns_resolver_answer *fn = resolver.asked[i].answer;

	assert_non_null(fn);
	resolver.asked[i].answer = NULL;
	dns_answer_init(&a);
	dns_answer_fail(&a, status, SPAN_LIT("the words"));
	if (status == NAME_FOUND) {
		rec_name_rr_add(&a.rrs, &(struct rec_name_rr){.preference = 10, .data = SPAN_LIT("mx.test")});
		a.is.rrs = (struct msg_list){buf_span(&a.rrs), 1};
	}
	fn(resolver.asked[i].arg, &a);
	dns_answer_clear(&a);
}

void dns_resolver_ask(struct dns_resolver *r, enum name_type type, const char *name, dns_resolver_answer *fn, void *arg)
{
	size_t i = resolver.count++;

	(void)r;
	assert_true(i < ASKED_MAX);
	resolver.asked[i].answer = fn;
	resolver.asked[i].arg = arg;
	resolver.asked[i].type = type;
	(void)snprintf(resolver.asked[i].name, sizeof(resolver.asked[i].name), "%s", name);
	if (resolver.at_once)
		answer(i, NAME_FOUND);
}

enum rc dns_resolver_new(const struct conf *conf, struct event_base *base, const char *resolv_conf, void (*say)(const char *words), struct dns_resolver **out,
	struct err *err)
{
	(void)conf, (void)base, (void)resolv_conf, (void)say, (void)out, (void)err;
	return RC_OK;
}

const char *dns_resolver_servers(const struct dns_resolver *r)
{
	(void)r;
	return "";
}

const char *dns_resolver_anchor(const struct dns_resolver *r)
{
	(void)r;
	return "";
}

size_t dns_resolver_fds(void)
{
	return 1000;
}

size_t dns_resolver_ports(const struct dns_resolver *r, uint16_t *out, size_t most)
{
	(void)r;
	assert_true(most > 0);
	out[0] = DNS_PORT;
	return 1;
}

/* ---- the role and its peers */

static struct loop *loop;
static struct role role;
static struct conf conf = {.dns_timeout_ms = TIMEOUT_MS};

struct peer {
	struct chan *chan;
	size_t answers, failed, found;
	uint32_t last_ask;
	char words[100];
	bool gone;
};

static enum rc peer_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct peer *p = owner;

	(void)c;
	assert_int_equal(MSG_NAME_IS, type);
	p->answers++;
	p->failed += msg->name_is.status == NAME_FAILED;
	p->found += msg->name_is.status == NAME_FOUND;
	p->last_ask = msg->name_is.ask;
	(void)snprintf(p->words, sizeof(p->words), "%.*s", SPAN_FMT(msg->name_is.words));
	return RC_OK;
}

static void peer_gone(void *owner, struct chan *c, const char *why)
{
	struct peer *p = owner;

	(void)c, (void)why;
	p->gone = true;
	chan_free(&p->chan);
}

static void peer_open(struct peer *p, enum role_id id)
{
	static const struct chan_ops ops = {.on_frame = peer_frame, .on_gone = peer_gone};
	int pair[2];

	*p = (struct peer){.answers = 0};
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	p->chan = chan_new(loop, pair[0], id, ROLE_DNS, 1, &ops, p);
	role_dns_ops.peer(&role, id, 7, pair[1]);
}

static void ask(struct peer *p, uint32_t number, unsigned type, const char *name)
{
	chan_send(p->chan, MSG_NAME_ASK, &(struct msg_name_ask){.ask = number, .type = (uint16_t)type, .name = span_str(name)});
}

static void turns(void)
{
	(void)loop_turns(loop, 30);
}

static void stop(void *arg, mono_ms now)
{
	(void)arg, (void)now;
	loop_stop(loop, 0);
}

static void wait_ms(uint64_t ms)
{
	struct loop_timer t;

	loop_timer_init(loop, &t, stop, NULL);
	loop_timer_at(&t, loop_now_refresh(loop) + ms);
	(void)loop_run(loop);
	loop_timer_clear(&t);
	turns();
}

static void begin(void)
{
	struct err err;

	(void)memset(&resolver, 0, sizeof(resolver));
	loop = loop_new();
	role = (struct role){.ops = &role_dns_ops, .id = ROLE_DNS, .loop = loop, .conf = &conf};
	assert_int_equal(RC_OK, role_dns_ops.open(&role, &err));
}

/* a role ends with its process and frees nothing */
static void *kept[16];
static size_t kept_count;

static void end(struct peer *const *peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		chan_free(&peers[i]->chan);
	turns(); /* the role sees them go */
	/* what the library had in hand ends some time; nobody is there to hear it */
	for (size_t i = 0; i < resolver.count; i++)
		if (resolver.asked[i].answer)
			answer(i, NAME_FOUND);
	turns();
	assert_true(kept_count < sizeof(kept) / sizeof(kept[0]));
	kept[kept_count++] = role.own;
	loop_free(&loop);
}

/* ---- */

static void one_lookup_for_all_who_ask_the_same(void **state)
{
	struct peer a, b;

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	peer_open(&b, ROLE_USER);
	ask(&a, 1, NAME_MX, "example.org");
	ask(&a, 2, NAME_MX, "EXAMPLE.org.");
	ask(&b, 1, NAME_MX, "Example.Org");
	ask(&b, 2, NAME_A, "example.org");
	ask(&b, 3, NAME_MX, "www.example.org");
	turns();
	assert_int_equal(3, resolver.count);
	for (size_t i = 0; i < 3; i++)
		if (resolver.asked[i].type == NAME_MX && strcmp(resolver.asked[i].name, "example.org") == 0)
			answer(i, NAME_FOUND);
	turns();
	assert_int_equal(2, a.found);
	assert_int_equal(1, b.found);
	/* over: asked anew, as the library has a cache of its own */
	ask(&a, 3, NAME_MX, "example.org");
	turns();
	assert_int_equal(4, resolver.count);
	end((struct peer *[]){&a, &b}, 2);
}

static void from_the_cache(void **state)
{
	struct peer a;

	(void)state;
	begin();
	resolver.at_once = true;
	peer_open(&a, ROLE_RELAY);
	for (uint32_t i = 1; i <= 10; i++)
		ask(&a, i, NAME_MX, "example.org");
	turns();
	assert_int_equal(10, resolver.count);
	assert_int_equal(10, a.found);
	assert_int_equal(10, a.last_ask);
	end((struct peer *[]){&a}, 1);
}

static void who_waits_too_long_is_told_so(void **state)
{
	struct peer a;

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	ask(&a, 1, NAME_MX, "slow.test");
	ask(&a, 2, NAME_MX, "other.test");
	turns();
	wait_ms(2 * TIMEOUT_MS);
	assert_int_equal(2, a.failed);
	assert_string_equal("no answer in time", a.words);
	/* the library is still at it: who asks again joins, and gets what it finds */
	ask(&a, 3, NAME_MX, "slow.test");
	turns();
	assert_int_equal(2, resolver.count);
	answer(0, NAME_FOUND);
	answer(1, NAME_FOUND); /* nobody waits */
	turns();
	assert_int_equal(3, a.answers);
	assert_int_equal(1, a.found);
	assert_int_equal(3, a.last_ask);
	end((struct peer *[]){&a}, 1);
}

static void a_peer_that_goes_leaves_nothing_behind(void **state)
{
	struct peer a, b;

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	peer_open(&b, ROLE_RELAY);
	ask(&a, 1, NAME_MX, "example.org");
	ask(&b, 1, NAME_MX, "example.org");
	ask(&a, 2, NAME_MX, "example.net");
	turns();
	chan_free(&a.chan);
	turns();
	answer(0, NAME_FOUND);
	answer(1, NAME_FOUND);
	turns();
	assert_int_equal(1, b.found);
	wait_ms(2 * TIMEOUT_MS);
	assert_int_equal(1, b.answers);
	end((struct peer *[]){&a, &b}, 2);
}

static void a_worker_has_its_share(void **state)
{
	enum { MOST = 1000 };
	struct peer worker, relay;
	char name[32];

	(void)state;
	begin();
	peer_open(&worker, ROLE_USER);
	peer_open(&relay, ROLE_RELAY);
	for (uint32_t i = 1; i <= MOST + 5; i++) {
		(void)snprintf(name, sizeof(name), "n%u.test", i);
		ask(&worker, i, NAME_MX, name);
	}
	turns();
	assert_int_equal(MOST, resolver.count);
	assert_int_equal(5, worker.failed);
	assert_string_equal("too many questions of this process are open already", worker.words);
	ask(&relay, 1, NAME_MX, "n1.test"); /* others have theirs */
	turns();
	answer(0, NAME_FOUND);
	turns();
	assert_int_equal(1, relay.found);
	ask(&worker, 9999, NAME_MX, "again.test"); /* there is room again */
	turns();
	assert_int_equal(MOST + 1, resolver.count);
	end((struct peer *[]){&worker, &relay}, 2);
}

static void there_is_an_end_to_lookups_in_all(void **state)
{
	enum { ALL = 4000 };
	struct peer a, b;
	char name[32];

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	peer_open(&b, ROLE_RELAY);
	for (uint32_t i = 1; i <= ALL; i++) {
		(void)snprintf(name, sizeof(name), "n%u.test", i);
		ask(i % 2 ? &a : &b, i, NAME_MX, name);
	}
	turns();
	assert_int_equal(ALL, resolver.count);
	ask(&a, ALL + 1, NAME_MX, "one-too-many.test");
	ask(&a, ALL + 2, NAME_MX, "n1.test"); /* under way already */
	turns();
	assert_int_equal(ALL, resolver.count);
	assert_int_equal(1, a.failed);
	assert_string_equal("too many names are looked up already", a.words);
	end((struct peer *[]){&a, &b}, 2);
}

static void what_clients_cause_leaves_room_for_mail_that_leaves(void **state)
{
	enum { WORKERS = 2000 };
	struct peer workers[3], relay;
	char name[32];

	(void)state;
	begin();
	for (int i = 0; i < 3; i++)
		peer_open(&workers[i], ROLE_USER);
	peer_open(&relay, ROLE_RELAY);
	for (uint32_t i = 1; i <= WORKERS + 9; i++) {
		(void)snprintf(name, sizeof(name), "n%u.test", i);
		ask(&workers[i % 3], i, NAME_MX, name);
	}
	turns();
	assert_int_equal(WORKERS, resolver.count);
	assert_int_equal(9, workers[0].failed + workers[1].failed + workers[2].failed);
	assert_string_equal("too many names are looked up for clients already", workers[0].words);
	ask(&relay, 1, NAME_MX, "relay.test");
	turns();
	assert_int_equal(WORKERS + 1, resolver.count);
	end((struct peer *[]){&workers[0], &workers[1], &workers[2], &relay}, 4);
}

static void a_domain_that_never_answers_has_its_share(void **state)
{
	enum { ONE = 400 };
	struct peer a;
	char name[64];

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	for (uint32_t i = 1; i <= ONE + 3; i++) {
		(void)snprintf(name, sizeof(name), "a.n%u.tar.test", i);
		ask(&a, i, i % 2 ? NAME_MX : NAME_TXT, name);
	}
	ask(&a, 9001, NAME_MX, "tar.test");
	turns();
	assert_int_equal(ONE, resolver.count);
	assert_int_equal(4, a.failed);
	assert_string_equal("too many names of this domain are looked up already", a.words);
	ask(&a, 9002, NAME_MX, "atar.test"); /* others do not mind */
	ask(&a, 9003, NAME_MX, "test");
	ask(&a, 9004, NAME_PTR, "1.2.0.192.in-addr.arpa");
	turns();
	assert_int_equal(ONE + 3, resolver.count);
	answer(0, NAME_FAILED);
	turns();
	ask(&a, 9005, NAME_MX, "tar.test");
	turns();
	assert_int_equal(ONE + 4, resolver.count);
	end((struct peer *[]){&a}, 1);
}

static void what_is_no_question_ends_the_channel(void **state)
{
	struct peer a;

	(void)state;
	begin();
	peer_open(&a, ROLE_RELAY);
	ask(&a, 1, NAME_MX, "a..b");
	turns();
	assert_int_equal(1, a.answers); /* a bad name is only unknown */
	assert_int_equal(0, a.failed);
	ask(&a, 2, 252, "example.org"); /* AXFR */
	turns();
	assert_true(a.gone);
	assert_int_equal(0, resolver.count);
	end((struct peer *[]){&a}, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lookup_for_all_who_ask_the_same), cmocka_unit_test(from_the_cache), cmocka_unit_test(who_waits_too_long_is_told_so),
		cmocka_unit_test(a_peer_that_goes_leaves_nothing_behind), cmocka_unit_test(a_worker_has_its_share), cmocka_unit_test(there_is_an_end_to_lookups_in_all),
		cmocka_unit_test(what_clients_cause_leaves_room_for_mail_that_leaves), cmocka_unit_test(a_domain_that_never_answers_has_its_share),
		cmocka_unit_test(what_is_no_question_ends_the_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
