/* store_sql - the database driver under store and cred: one connection, its prepared statements, checked rows. The only place that calls
 * sqlite3_*. Knows no table.
 *
 * The SQL is written for SQLite 3.40 and PostgreSQL 15 alike. What differs is bridged here: parameters are numbered (?1; there $1), byte strings are
 * SQL_BYTES (there BYTEA), a single-number primary key is SQL_ID (there BIGINT PRIMARY KEY; ids come from the table `counter`, never from the engine),
 * tables kept in the order of their key say SQL_CLUSTERED (there nothing), and the schema's number is PRAGMA user_version (there a one-row table). */
#ifndef MAILROOM_STORE_STORE_SQL_H
#define MAILROOM_STORE_STORE_SQL_H

#include <sqlite3.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/span.h"

#define SQL_ID "INTEGER PRIMARY KEY"
#define SQL_BYTES "BLOB"
#define SQL_CLUSTERED "WITHOUT ROWID"

/* SERVE: others wait for this process to answer, so it waits less for the lock. ASIDE: holds nothing that was promised to anybody, so a power cut may take the
 * last commits (synchronous=NORMAL), and with SERVE nobody waits for its lock at all */
enum { SQL_OPEN_CREATE = 1, SQL_OPEN_READ_ONLY = 2, SQL_OPEN_SERVE = 4, SQL_OPEN_ASIDE = 8 };
enum { SQL_BUSY_MS = 5000, SQL_PATIENT_MS = 30000, SQL_BUSY_STEP_US = 500, SQL_PAGE_BYTES = 4096, SQL_CACHE_KIB = 32 << 10 };

/* One step of the schema: literals, run in one transaction that ends with the new number. They may call ascii_key(text), which is not SQL's: an address or a
 * domain as it is looked up (mail/address.h, address_text_key); what is ASCII comes back as it is. */
struct sql_migration {
	const char *change;
	const char *number; /* "PRAGMA user_version = N" */
};
struct sql_schema {
	const char *what; /* "mail database", for words */
	const struct sql_migration *migrations;
	int version; /* how many there are */
	const char *const *texts; /* the statements, literals */
	size_t text_count;
};

struct sql {
	const struct sql_schema *schema;
	char *path;
	sqlite3 *db;
	sqlite3_stmt **prepared; /* by statement number; NULL until first used */
	int wal_pages;           /* in the write-ahead log after the last commit */
	bool in_transaction, read_only, patient, aside;
	mono_ms busy_since;
};

/* the file layer to open databases with; NULL: not to be had */
const char *store_vfs_name(void);

/* Opens dir/name; err says in words what is wrong. RC_NONE: no such database (without SQL_OPEN_CREATE); RC_BAD: no database, or a newer one. */
enum rc sql_open(struct sql *q, const char *dir, const char *name, unsigned flags, const struct sql_schema *schema, struct err *err) RC_WARN;
void sql_close(struct sql *q);

enum rc sql_begin(struct sql *q, struct err *err) RC_WARN; /* takes the write lock; RC_BUSY when another process keeps it */
enum rc sql_commit(struct sql *q, struct err *err) RC_WARN; /* anything but RC_OK: rolled back */
void sql_rollback(struct sql *q);
/* Readings until sql_read_end are of one moment and cost no locks of their own; nothing may be written meanwhile. Not to be had: each stands for itself. */
void sql_read_begin(struct sql *q);
void sql_read_end(struct sql *q);
/* moves the write-ahead log into the database file, as far as readers allow; never waits for them */
enum rc sql_checkpoint(struct sql *q, struct err *err) RC_WARN;
/* the same after a commit, which stands whatever comes of it: a disk that fails is met again at the next write */
void sql_checkpoint_try(struct sql *q);
/* grows with every change by another connection */
enum rc sql_data_version(struct sql *q, int64_t *out, struct err *err) RC_WARN;

struct sql_arg {
	enum { SQL_ARG_NUMBER, SQL_ARG_TEXT, SQL_ARG_BYTES, SQL_ARG_NULL } kind;
	int64_t number;
	struct span bytes; /* borrowed until the statement is reset */
};
#define SQL_N(n) ((struct sql_arg){.kind = SQL_ARG_NUMBER, .number = (int64_t)(n)})
#define SQL_T(s) ((struct sql_arg){.kind = SQL_ARG_TEXT, .bytes = (s)})
#define SQL_B(s) ((struct sql_arg){.kind = SQL_ARG_BYTES, .bytes = (s)})
#define SQL_NULL ((struct sql_arg){.kind = SQL_ARG_NULL})
#define SQL_ARGS(...) (const struct sql_arg[]){__VA_ARGS__}, sizeof((struct sql_arg[]){__VA_ARGS__}) / sizeof(struct sql_arg)

/* One row at a time; spans from it live until the next sql_next or sql_end. What the database gives back is not trusted: a value of the wrong kind, out
 * of its range, too long, or text with control characters or bad UTF-8 sets `bad`, and sql_checked turns that into RC_BAD. */
struct sql_row {
	struct sql *q;
	sqlite3_stmt *st;
	unsigned statement;
	bool bad;
};

/* binds and runs to the end. On RC_FULL and RC_IO the transaction is rolled back. RC_EXISTS: a unique key is there already. */
enum rc sql_run(struct sql *q, unsigned statement, const struct sql_arg *args, size_t arg_count, struct err *err) RC_WARN;
/* binds and gets the first row; RC_NONE: there is none. After RC_OK sql_end must follow. */
enum rc sql_first(struct sql *q, struct sql_row *row, unsigned statement, const struct sql_arg *args, size_t arg_count, struct err *err) RC_WARN;
enum rc sql_next(struct sql_row *row, struct err *err) RC_WARN; /* RC_NONE: no more */
void sql_end(struct sql_row *row);
int64_t sql_changed(const struct sql *q); /* rows changed by the last sql_run */

int64_t sql_number(struct sql_row *row, int column, int64_t least, int64_t most);
struct span sql_text(struct sql_row *row, int column, size_t max_bytes);
struct span sql_lines(struct sql_row *row, int column, size_t max_bytes); /* text of several lines: tab, CR and LF may be in it */
struct span sql_bytes(struct sql_row *row, int column, size_t max_bytes);
enum rc sql_checked(const struct sql_row *row, struct err *err) RC_WARN;
/* A page: what sql_first found (`first`: what it returned) and the rows behind it, each read into its place n of `page` and checked; then sql_end. As many as the
 * statement's LIMIT says. *count_out: how many are good, whatever is returned; none at all is RC_OK. */
enum rc sql_page(enum rc first, struct sql_row *row, void (*read)(struct sql_row *row, void *page, size_t n), void *page, size_t *count_out, struct err *err) RC_WARN;

#endif
