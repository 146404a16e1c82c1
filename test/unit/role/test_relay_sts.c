/* Policies of MTA-STS: found, fetched, kept, outliving their record and their web server. */
#include "relay_tls_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const char enforce[] = "version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 86400\n";
static const char other[] = "version: STSv1\nmode: enforce\nmx: *.other.test\nmax_age: 86400\n";
static const char none[] = "version: STSv1\nmode: none\nmax_age: 86400\n";

static void record(const char *txt)
{
	(void)names_stub_fail(NAME_TXT, "_mta-sts.example.test", NAME_UNKNOWN);
	if (txt)
		(void)names_stub_add(NAME_TXT, "_mta-sts.example.test", NAME_INSECURE, span_str(txt));
}

/* "enforce", "unnamed" (the policy does not name the host), "none" */
static const char *ask(struct world *w, const char *domain, const char *host)
{
	struct relay_tls_target target = {.name = span_str(host), .port = 25};
	unsigned ready = w->ready;
	struct relay_tls_dest *d = relay_tls_dest_new(w->tls, span_str(domain), RELAY_TLS_MAY, true, world_dest_ready, w);
	struct relay_tls_host *h;
	const char *words, *found;

	assert_int_equal(w->ready, ready); /* never inside the call */
	world_run(w, ready + 1);
	h = relay_tls_host_new(d, &target, world_host_ready, w);
	assert_int_equal(w->ready, ready + 1);
	world_run(w, ready + 2);
	if (relay_tls_host_cause(h, &words) != CAUSE_NONE) {
		assert_int_equal(relay_tls_host_cause(h, &words), CAUSE_TLS_STS_MISMATCH);
		assert_non_null(strstr(words, host));
		found = "unnamed";
	} else {
		found = relay_tls_host_mode(h) == SMTP_OUT_TLS_MUST ? "enforce" : "none";
	}
	relay_tls_host_free(&h);
	relay_tls_dest_free(&d);
	return found;
}

#define CHECK(w, want) assert_string_equal(ask((w), "example.test", "mx.example.test"), (want))

void test_relay_sts_fetch(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	CHECK(&w, "none");
	assert_int_equal(w.fetches, 0);

	record("v=STSv1; id=1;");
	w.body = enforce;
	CHECK(&w, "enforce");
	assert_int_equal(w.fetches, 1);
	assert_string_equal(w.host, "mta-sts.example.test");
	assert_string_equal(w.path, "/.well-known/mta-sts.txt");
	assert_int_equal(w.puts, 1);
	assert_string_equal(w.put_domain, "example.test");
	assert_string_equal(w.put_id, "1");
	assert_string_equal(w.put_text, enforce);
	CHECK(&w, "enforce");
	assert_string_equal(ask(&w, "EXAMPLE.test", "MX.Example.Test"), "enforce");
	assert_string_equal(ask(&w, "example.test", "evil.test"), "unnamed");
	assert_int_equal(w.fetches, 1);
	assert_int_equal(w.gets, 1);
	world_close(&w);

	/* not asked for where it is switched off, and not for a smarthost */
	world_open(&w, "", true, false);
	record("v=STSv1; id=1;");
	w.body = enforce;
	CHECK(&w, "none");
	assert_int_equal(w.fetches + names_stub_asked(NAME_TXT), 0);
	world_close(&w);
}

void test_relay_sts_kept(void **state)
{
	static const enum name_status gone[] = {NAME_UNKNOWN, NAME_NOTHING, NAME_FAILED, NAME_BOGUS};
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.body = enforce;
	CHECK(&w, "enforce");
	w.status = 0;
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) { /* the record goes, or cannot be had */
		(void)names_stub_fail(NAME_TXT, "_mta-sts.example.test", gone[i]);
		CHECK(&w, "enforce");
	}
	assert_int_equal(w.fetches, 1);
	world_close(&w);

	/* over a restart: the store has it, DNS and web server are dead */
	world_open(&w, "", true, true);
	(void)names_stub_fail(NAME_TXT, "_mta-sts.example.test", NAME_FAILED);
	w.store_has = true;
	w.store_id = "1";
	w.store_text = enforce;
	w.store_fetched_ms = (uint64_t)clock_wall_ms() - 3600 * 1000;
	CHECK(&w, "enforce");
	assert_int_equal(w.gets, 1);
	CHECK(&w, "enforce");
	assert_int_equal(w.gets, 1); /* it is in memory now */
	assert_int_equal(w.fetches, 0);
	world_close(&w);

	/* its time is over */
	world_open(&w, "", true, true);
	w.store_has = true;
	w.store_id = "1";
	w.store_text = enforce;
	w.store_fetched_ms = (uint64_t)clock_wall_ms() - 86401 * 1000;
	CHECK(&w, "none");
	world_close(&w);

	/* what the store has is broken */
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.store_has = true;
	w.store_id = "1";
	w.store_text = "version: STSv9\n";
	w.store_fetched_ms = (uint64_t)clock_wall_ms();
	w.body = enforce;
	CHECK(&w, "enforce");
	assert_int_equal(w.fetches, 1);
	world_close(&w);
}

void test_relay_sts_changed(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.body = enforce;
	CHECK(&w, "enforce");
	record("v=STSv1; id=2;");
	w.body = other;
	CHECK(&w, "unnamed");
	assert_string_equal(w.put_id, "2");
	record("v=STSv1; id=3;");
	w.body = none;
	CHECK(&w, "none");
	assert_int_equal(w.fetches, 3);
	CHECK(&w, "none");
	assert_int_equal(w.fetches, 3);
	world_close(&w);

	/* half of its life is over: it is fetched anew, and nobody waits for that */
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.store_has = true;
	w.store_id = "1";
	w.store_text = enforce;
	w.store_fetched_ms = (uint64_t)clock_wall_ms() - 50000 * 1000;
	w.body = other;
	w.fetch_silent = true;
	CHECK(&w, "enforce");
	world_turns(&w, 3);
	assert_int_equal(w.fetches, 1);
	CHECK(&w, "enforce");
	assert_int_equal(w.fetches, 1);
	world_fetch_answer(&w);
	world_turns(&w, 3);
	CHECK(&w, "unnamed");
	world_close(&w);
}

void test_relay_sts_fails(void **state)
{
	static const struct {
		uint16_t status;
		const char *body;
	} bad[] = {{0, ""}, {404, ""}, {301, enforce}, {200, ""}, {200, "<html>"}, {200, "version: STSv1\nmode: enforce\nmax_age: 1\n"}};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		world_open(&w, "", true, true);
		record("v=STSv1; id=1;");
		w.status = bad[i].status;
		w.body = bad[i].body;
		w.words = "could not connect";
		CHECK(&w, "none"); /* RFC 8461 3.3: as if there were none */
		assert_int_equal(w.puts, 0);
		w.status = 200;
		w.body = enforce;
		CHECK(&w, "none"); /* not tried again so soon */
		assert_int_equal(w.fetches, 1);
		world_close(&w);
	}

	/* with one that is known, that one stays */
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.body = enforce;
	CHECK(&w, "enforce");
	record("v=STSv1; id=2;");
	w.status = 500;
	CHECK(&w, "enforce");
	CHECK(&w, "enforce");
	assert_int_equal(w.fetches, 2);
	assert_int_equal(w.puts, 1);
	world_close(&w);
}

void test_relay_sts_records(void **state)
{
	static const char *const bad[] = {"v=STSv1;", "v=STSv1; id=a b;", "v=spf1 -all", "v=STSv2; id=1"};
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	w.body = enforce;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		record(bad[i]);
		CHECK(&w, "none");
	}
	record("v=STSv1; id=1;"); /* two of them are as none */
	(void)names_stub_add(NAME_TXT, "_mta-sts.example.test", NAME_INSECURE, SPAN_LIT("v=STSv1; id=2;"));
	CHECK(&w, "none");
	assert_int_equal(w.fetches, 0);
	record("some other text");
	(void)names_stub_add(NAME_TXT, "_mta-sts.example.test", NAME_INSECURE, SPAN_LIT("v=STSv1; id=2;"));
	CHECK(&w, "enforce");
	assert_string_equal(w.put_id, "2");
	world_close(&w);
}

/* many messages of one domain: one question, one fetch; some give up waiting */
void test_relay_sts_many_wait(void **state)
{
	struct relay_tls_dest *d[10];
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.body = enforce;
	w.fetch_silent = true;
	for (size_t i = 0; i < 10; i++)
		d[i] = relay_tls_dest_new(w.tls, SPAN_LIT("example.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
	world_turns(&w, 5);
	assert_int_equal(w.ready, 0);
	assert_int_equal(w.fetches, 1);
	assert_int_equal(names_stub_asked(NAME_TXT), 1);
	for (size_t i = 0; i < 10; i += 2)
		relay_tls_dest_free(&d[i]);
	world_fetch_answer(&w);
	world_run(&w, 5);
	world_turns(&w, 5);
	assert_int_equal(w.ready, 5);
	for (size_t i = 1; i < 10; i += 2)
		relay_tls_dest_free(&d[i]);

	/* freed with a question open, and with everything open at the end */
	w.store_silent = true;
	d[0] = relay_tls_dest_new(w.tls, SPAN_LIT("a.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
	d[1] = relay_tls_dest_new(w.tls, SPAN_LIT("b.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
	relay_tls_dest_free(&d[0]);
	world_turns(&w, 5);
	relay_tls_dest_free(&d[1]);
	world_close(&w);
}

void test_relay_sts_roles_die(void **state)
{
	struct relay_tls_dest *d;
	struct world w;

	(void)state;
	world_open(&w, "", true, true);
	record("v=STSv1; id=1;");
	w.body = enforce;
	w.fetch_silent = true;
	d = relay_tls_dest_new(w.tls, SPAN_LIT("example.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
	world_turns(&w, 5);
	assert_int_equal(w.ready, 0);
	world_fetch_dies(&w);
	world_run(&w, 1);
	relay_tls_dest_free(&d);
	CHECK(&w, "none"); /* there is no fetch role */
	w.fetch_silent = false;
	world_fetch_peer(&w);
	CHECK(&w, "enforce"); /* and it was not the domain's fault */

	/* the store goes: asked or not, it does not hold anybody up */
	w.store_silent = true;
	d = relay_tls_dest_new(w.tls, SPAN_LIT("two.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
	world_turns(&w, 5);
	assert_int_equal(w.ready, 5);
	relay_tls_store(w.tls, NULL);
	world_run(&w, 6);
	relay_tls_dest_free(&d);
	CHECK(&w, "enforce");
	assert_string_equal(ask(&w, "three.test", "mx.three.test"), "none");
	world_close(&w);
}

static void count_done(void *arg, struct sts_policy *policy)
{
	assert_null(policy);
	++*(unsigned *)arg;
}

static void ask_directly(struct world *w, struct relay_sts_wait *wait, size_t number, unsigned *done)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "d%zu.test", number);
	*wait = (struct relay_sts_wait){.done = count_done, .arg = done};
	relay_sts_ask(w->direct, span_str(name), wait);
}

void test_relay_sts_bounded(void **state)
{
	struct relay_sts_wait *waits = mem_array(STS_ENTRIES_MAX + 10, sizeof(*waits));
	unsigned done = 0;
	struct world w;

	(void)state;
	world_open(&w, "", true, false);
	w.direct = relay_sts_new(&w.role, w.names);
	relay_sts_store(w.direct, w.store);
	for (size_t i = 0; i < STS_ENTRIES_MAX + 10; i++) {
		ask_directly(&w, &waits[i], i, &done);
		if (i % 100 == 99)
			world_turns(&w, 4);
	}
	world_turns(&w, 5);
	assert_int_equal(done, STS_ENTRIES_MAX + 10);
	assert_int_equal(w.gets, STS_ENTRIES_MAX + 10);
	ask_directly(&w, &waits[0], STS_ENTRIES_MAX, &done); /* remembered: the store is not asked again */
	world_turns(&w, 5);
	assert_int_equal(w.gets, STS_ENTRIES_MAX + 10);
	ask_directly(&w, &waits[0], 0, &done); /* forgotten */
	world_turns(&w, 5);
	assert_int_equal(w.gets, STS_ENTRIES_MAX + 11);
	assert_int_equal(done, STS_ENTRIES_MAX + 12);
	relay_sts_free(&w.direct);
	free(waits);
	world_close(&w);
}
