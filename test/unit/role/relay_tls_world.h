/* relay_tls_world - for the tests of relay_tls and relay_sts: a loop, a role without a parent, names_stub, and a store and a fetch role that answer from what
 * the test says. */
#ifndef MAILROOM_TEST_RELAY_TLS_WORLD_H
#define MAILROOM_TEST_RELAY_TLS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "names_stub.h"
#include "role/relay_sts.h"
#include "role/relay_tls.h"

struct world {
	struct loop *loop;
	struct role role;
	struct names *names;
	struct relay_tls *tls;
	struct relay_sts *direct;           /* the store's answers go there instead */
	struct chan *store_end, *fetch_end; /* theirs */
	struct chan *store;                 /* the relay's own */
	/* the store */
	bool store_has, store_silent;
	uint64_t store_fetched_ms;
	const char *store_id, *store_text;
	unsigned gets, puts;
	char put_domain[256], put_id[40], put_text[1000];
	/* the web */
	uint16_t status;
	const char *body, *words;
	bool fetch_silent;
	unsigned fetches;
	char host[256], path[256];
	uint32_t fetch_ask;
	/* waiting */
	unsigned ready;
	struct loop_hook stopper;
	struct loop_timer limit;
	unsigned until;
};

void world_open(struct world *w, const char *ca_file, bool dane, bool sts);
void world_close(struct world *w);
void world_fetch_peer(struct world *w); /* a fetch role; the one before dies */
void world_fetch_dies(struct world *w);
void world_fetch_answer(struct world *w);  /* what fetch_silent held back */
void world_run(struct world *w, unsigned ready); /* turns until so many plans are ready; fails the test after 10 s */
void world_turns(struct world *w, unsigned turns);
/* ready functions: arg is the world */
void world_dest_ready(void *arg, struct relay_tls_dest *d);
void world_host_ready(void *arg, struct relay_tls_host *h);

void test_relay_sts_fetch(void **state);
void test_relay_sts_kept(void **state);
void test_relay_sts_changed(void **state);
void test_relay_sts_fails(void **state);
void test_relay_sts_records(void **state);
void test_relay_sts_many_wait(void **state);
void test_relay_sts_roles_die(void **state);
void test_relay_sts_bounded(void **state);

#endif
