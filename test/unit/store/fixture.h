/* fixture - a store in a fresh directory for each test, and short words for what tests do all the time */
#ifndef MAILROOM_TEST_STORE_FIXTURE_H
#define MAILROOM_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

#define NOW_MS ((int64_t)1700000000000)
#define S(text) span_str(text)

struct fixture {
	char dir[64];
	struct store *s;
	struct arena mem;
	struct err err;
};

int fixture_setup(void **state);    /* an empty store, example.org and example.net hosted, anna@, bert@, carl@example.org */
int fixture_teardown(void **state); /* checks the database's integrity, too */
void fixture_reopen(struct fixture *f, unsigned flags);

#define assert_rc(want, call) fixture_assert_rc(want, call, &f->err, __FILE__, __LINE__)
void fixture_assert_rc(enum rc want, enum rc got, const struct err *err, const char *file, int line);

int64_t fixture_account(struct fixture *f, const char *address); /* its id; adds it when it is not there */
/* a small message with text from sender@elsewhere.example to these (NULL at the end), tags from store_resolve with foreign allowed */
struct fixture_mail {
	const char *rcpts[8];
	const char *message_id, *digest, *client, *body, *trace;
	int64_t received_ms;
	uint64_t spool, spool_bytes;
	const struct store_filed *filed;
	size_t filed_count;
};
struct fixture_result {
	enum rc rc;
	enum cause_id cause;
	int64_t id;
	bool repeat;
};
struct fixture_result fixture_accept(struct fixture *f, const struct fixture_mail *mail); /* leaves the transaction open */
struct fixture_result fixture_deliver(struct fixture *f, const struct fixture_mail *mail); /* and commits */

struct store_account fixture_get(struct fixture *f, const char *address);
size_t fixture_items(struct fixture *f, const char *address, struct store_item *items, size_t max);
/* the whole mail, read in pieces of `piece` bytes; lives in f->mem */
struct span fixture_read(struct fixture *f, const char *address, int64_t uid, size_t piece);
size_t fixture_queue_count(struct fixture *f);
void fixture_tidy(struct fixture *f, int64_t now_ms); /* until nothing is left to do */
int64_t fixture_sql(struct fixture *f, const char *sql); /* another connection: runs it, gives the first column of the first row (or -1) */

extern const struct CMUnitTest settings_tests[], resolve_tests[], accept_tests[], mailbox_tests[], disk_tests[], cred_tests[], counter_tests[];
extern const size_t settings_count, resolve_count, accept_count, mailbox_count, disk_count, cred_count, counter_count;

#endif
