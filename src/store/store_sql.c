#include "store/store_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>


#include "base/mem.h"
#include "mail/address.h"

enum { SQL_LOG_HEAD_BYTES = 32, SQL_LOG_FRAME_BYTES = 24, SQL_KEY_BYTES = 2048 };

/* Called as soon as SQLite says anything but OK. A failed fsync or a damaged file is RC_IO: the caller ends. No room is RC_FULL: nothing was changed. */
static enum rc sql_code(const struct sql *q, int code)
{
	int sys = q->db ? sqlite3_system_errno(q->db) : 0;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return RC_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return RC_BUSY;
	case SQLITE_CONSTRAINT:
		return RC_EXISTS;
	case SQLITE_TOOBIG:
		return RC_LIMIT;
	case SQLITE_NOTADB:
		return RC_BAD;
	case SQLITE_IOERR:
		/* the log's index or a write met the end of the disk or of RLIMIT_FSIZE; a sync that failed is another matter */
		if ((code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE) &&
			(sys == ENOSPC || sys == EDQUOT || sys == EFBIG))
			return RC_FULL;
		return RC_IO;
	default:
		return RC_IO;
	}
}

static enum rc sql_fail(struct sql *q, int code, const char *doing, struct err *err)
{
	enum rc rc = sql_code(q, code);
	int sys = q->db ? sqlite3_system_errno(q->db) : 0;

	if (rc == RC_FULL)
		(void)err_set(err, rc, "%s: no room on the disk for %s (%s)", q->path, doing, sqlite3_errstr(code));
	else if (rc == RC_BUSY)
		(void)err_set(err, rc, "%s: another process kept the database locked for %d s", q->path,
			(q->patient ? SQL_PATIENT_MS : SQL_BUSY_MS) / 1000);
	else if (rc == RC_IO && sys)
		(void)err_set(err, rc, "%s: %s failed: %s (%d): %s", q->path, doing, sqlite3_errstr(code), code, strerror(sys));
	else
		(void)err_set(err, rc, "%s: %s failed: %s", q->path, doing, q->db ? sqlite3_errmsg(q->db) : sqlite3_errstr(code));
	if (rc == RC_FULL || rc == RC_IO)
		sql_rollback(q);
	return rc;
}

static int sql_wal_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sql *q = arg;

	(void)db;
	(void)name;
	q->wal_pages = pages;
	return SQLITE_OK;
}

/* SQLite's own waiting grows to 100 ms a time: a server under load, which lets go of the lock for moments only, would keep everybody else out. Asking
 * every half millisecond finds such a moment. */
static int sql_busy(void *arg, int tries)
{
	struct sql *q = arg;

	if (q->aside && !q->patient)
		return 0;
	if (tries == 0)
		q->busy_since = clock_mono_ms();
	if (clock_mono_ms() - q->busy_since >= (q->patient ? SQL_PATIENT_MS : SQL_BUSY_MS))
		return 0;
	(void)usleep(SQL_BUSY_STEP_US);
	return 1;
}

struct sql_pragma {
	const char *set;
	const char *get;  /* NULL: nothing to read back */
	const char *want; /* what must come back */
	const char *words;
};

/* journal_mode comes before synchronous, whose reading depends on it */
static const struct sql_pragma sql_pragmas[] = {
	{"PRAGMA page_size = 4096", NULL, NULL, NULL}, /* of a new database: measured, see SQL_PAGE_BYTES */
	{"PRAGMA trusted_schema = OFF", NULL, NULL, NULL},
	{"PRAGMA cell_size_check = ON", NULL, NULL, NULL},
	{"PRAGMA temp_store = MEMORY", "PRAGMA temp_store", "2", "temporary tables would be files"},
	{"PRAGMA mmap_size = 0", NULL, NULL, NULL}, /* a bad sector is an error to report, not a signal */
	{"PRAGMA cache_size = -32768", NULL, NULL, NULL},
	{"PRAGMA secure_delete = FAST", NULL, NULL, NULL}, /* Debian's default rewrites every freed page */
	{"PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1", "foreign keys are not enforced"},
	{"PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal", "the write-ahead log cannot be used here"},
	{"PRAGMA wal_autocheckpoint = 0", "PRAGMA wal_autocheckpoint", "0", "checkpoints would come in the middle of a turn"},
	{"PRAGMA journal_size_limit = 67108864", NULL, NULL, NULL},
	{"PRAGMA synchronous = FULL", "PRAGMA synchronous", "2", "synchronous is below FULL: mail that was promised could be lost at a power cut"},
};

/* for what lies aside; after the others */
static const struct sql_pragma sql_pragmas_aside[] = {
	{"PRAGMA cache_size = -2048", NULL, NULL, NULL},
	{"PRAGMA synchronous = NORMAL", "PRAGMA synchronous", "1", "it would be synced at every commit"},
};

static int sql_exec(struct sql *q, const char *literal)
{
	return sqlite3_exec(q->db, literal, NULL, NULL, NULL);
}

struct sql_answer {
	char text[32];
};

static int sql_take_answer(void *arg, int columns, char **values, char **names)
{
	struct sql_answer *a = arg;

	(void)names;
	(void)snprintf(a->text, sizeof(a->text), "%s", columns > 0 && values[0] ? values[0] : "");
	return 0;
}

static int sql_ask(struct sql *q, const char *literal, struct sql_answer *out)
{
	out->text[0] = '\0';
	return sqlite3_exec(q->db, literal, sql_take_answer, out, NULL);
}

static enum rc sql_set_pragmas(struct sql *q, const struct sql_pragma *pragmas, size_t count, struct err *err)
{
	struct sql_answer got;
	int code;

	for (size_t i = 0; i < count; i++) {
		const struct sql_pragma *p = &pragmas[i];

		code = sql_exec(q, p->set);
		if (code != SQLITE_OK)
			return sql_fail(q, sqlite3_extended_errcode(q->db), "opening it for durable writing", err);
		if (!p->get)
			continue;
		code = sql_ask(q, p->get, &got);
		if (code != SQLITE_OK)
			return sql_fail(q, sqlite3_extended_errcode(q->db), "reading its settings back", err);
		if (span_eq(span_str(got.text), span_str(p->want)))
			continue;
		return err_set(err, RC_IO, "%s: refused to open: %s (\"%s\" gives \"%s\", not \"%s\")", q->path, p->words, p->get, got.text, p->want);
	}
	return RC_OK;
}

static enum rc sql_open_pragmas(struct sql *q, struct err *err)
{
	enum rc rc = sql_set_pragmas(q, sql_pragmas, sizeof(sql_pragmas) / sizeof(sql_pragmas[0]), err);

	if (rc == RC_OK && q->aside)
		rc = sql_set_pragmas(q, sql_pragmas_aside, sizeof(sql_pragmas_aside) / sizeof(sql_pragmas_aside[0]), err);
	return rc;
}

static enum rc sql_version(struct sql *q, int64_t *out, struct err *err)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v3(q->db, "PRAGMA user_version", -1, 0, &st, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return code == SQLITE_ROW ? RC_OK : sql_fail(q, sqlite3_extended_errcode(q->db), "reading the schema's number", err);
}

/* ascii_key(text) for migrations: an address or domain as it is looked up (address_text_key) */
static void sql_ascii_key(sqlite3_context *context, int count, sqlite3_value **values)
{
	uint8_t room[SQL_KEY_BYTES];
	struct span text = span_of(sqlite3_value_text(values[0]), (size_t)sqlite3_value_bytes(values[0])), key;

	(void)count;
	key = span_is_ascii(text) ? SPAN_NONE : address_text_key(text, room, sizeof(room));
	if (key.len)
		sqlite3_result_text64(context, (const char *)key.ptr, key.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_value(context, values[0]);
}

/* The number is read again inside the transaction: another process may have been faster. */
static enum rc sql_migrate_once(struct sql *q, bool *done_out, struct err *err)
{
	const struct sql_schema *schema = q->schema;
	int64_t at = 0;
	enum rc rc = sql_begin(q, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_version(q, &at, err);
	if (rc == RC_OK && at >= 0 && at < schema->version) {
		if (sql_exec(q, schema->migrations[at].change) != SQLITE_OK || sql_exec(q, schema->migrations[at].number) != SQLITE_OK)
			rc = sql_fail(q, sqlite3_extended_errcode(q->db), "changing the schema", err);
	} else {
		*done_out = true;
	}
	if (rc != RC_OK) {
		sql_rollback(q);
		return rc;
	}
	return sql_commit(q, err);
}

static enum rc sql_migrate(struct sql *q, bool create, struct err *err)
{
	const struct sql_schema *schema = q->schema;
	bool done = false;
	int64_t at = 0;
	enum rc rc = sql_version(q, &at, err);

	if (rc == RC_OK && (at < 0 || at > schema->version))
		return err_set(err, RC_BAD, "%s: its schema has number %lld, this program knows only up to %d: it was written by a newer mailroom; use that one",
			q->path, (long long)at, schema->version);
	/* What a broken disk may leave of a database is an empty file. Made new it would know nobody, and good mail would be refused for good. */
	if (rc == RC_OK && at == 0 && !create)
		return err_set(err, RC_BAD, "%s: it is empty; the %s it held has to be restored from a backup", q->path, schema->what);
	if (rc == RC_OK && at < schema->version && q->read_only)
		return err_set(err, RC_BAD, "%s: its schema has number %lld, this program needs %d: start the server once, it brings the %s up to date",
			q->path, (long long)at, schema->version, schema->what);
	if (rc == RC_OK && at == schema->version)
		return RC_OK;
	if (rc == RC_OK && sqlite3_create_function_v2(q->db, "ascii_key", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL, sql_ascii_key, NULL,
		NULL, NULL) != SQLITE_OK)
		rc = sql_fail(q, sqlite3_extended_errcode(q->db), "changing the schema", err);
	while (rc == RC_OK && !done)
		rc = sql_migrate_once(q, &done, err);
	return rc;
}

static enum rc sql_open_handle(struct sql *q, unsigned flags, struct err *err)
{
	int how = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	enum rc rc;
	int code;

	how |= flags & SQL_OPEN_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	/* gathered writes are safe only where every commit is synced: that is when their errors are heard */
	code = sqlite3_open_v2(q->path, &q->db, how, q->aside ? NULL : store_vfs_name());
	if (code != SQLITE_OK)
		return sql_fail(q, code, "opening it", err);
	(void)sqlite3_busy_handler(q->db, sql_busy, q);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	if (!(flags & SQL_OPEN_READ_ONLY) && sqlite3_db_readonly(q->db, "main") == 1)
		return err_set(err, RC_IO, "%s: the file or the disk is read-only", q->path);
	rc = sql_open_pragmas(q, err);
	(void)sqlite3_wal_hook(q->db, sql_wal_grew, q); /* after the pragmas: wal_autocheckpoint sets this hook, too */
	return rc;
}

/* The file is made here, not by SQLite: without following a link, owned by whom the directory belongs to (SQLite gives its -wal and -shm the owner of this
 * file when it runs as root), and on disk together with its name before anything is promised. */
static enum rc sql_make_file(const char *dir, const char *name, const char *path, bool create, struct err *err)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;
	enum rc rc = RC_OK;

	if (dir_fd < 0 || fstat(dir_fd, &st) != 0) {
		rc = err_errno(err, RC_IO, "%s", dir);
		goto out;
	}
	if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		goto out;
	if (errno != ENOENT) {
		rc = err_errno(err, RC_IO, "%s", path);
		goto out;
	}
	if (!create) {
		rc = err_set(err, RC_NONE, "%s: there is no such database", path);
		goto out;
	}
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		goto out; /* another process was faster */
	if (fd < 0 || (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) != 0) || fsync(fd) != 0 || fsync(dir_fd) != 0)
		rc = err_errno(err, errno == ENOSPC || errno == EDQUOT ? RC_FULL : RC_IO, "%s: cannot create it", path);
out:
	if (fd >= 0)
		(void)close(fd);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	return rc;
}

/* What an earlier process wrote to the log and never saw synced is read back from the page cache as if it were on the disk, and after a sync that failed
 * the kernel counts those pages as clean: no later sync would write them. So before anything is built on it, or told to anybody, the live part of the log
 * is written once more and synced. Frames of the log carry its two salts (sqlite.org/fileformat2.html 4.1); behind the first that does not, it is over. */
static enum rc sql_settle_log(struct sql *q, struct err *err)
{
	uint8_t head[SQL_LOG_HEAD_BYTES], *frame = NULL;
	sqlite3_file *log = NULL;
	int64_t at = sizeof(head);
	int code, bytes;
	enum rc rc = sql_begin(q, err); /* the write lock: nobody appends meanwhile */

	if (rc != RC_OK)
		return rc;
	code = sqlite3_file_control(q->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (code != SQLITE_OK || !log || !log->pMethods || log->pMethods->xRead(log, head, sizeof(head), 0) == SQLITE_IOERR_SHORT_READ)
		goto out; /* no log, or an empty one */
	bytes = SQL_LOG_FRAME_BYTES + (head[8] << 24 | head[9] << 16 | head[10] << 8 | head[11]);
	if (bytes < SQL_LOG_FRAME_BYTES + 512 || bytes > SQL_LOG_FRAME_BYTES + 65536)
		goto out; /* never was a log */
	frame = mem_alloc((size_t)bytes);
	code = log->pMethods->xWrite(log, head, sizeof(head), 0);
	for (; code == SQLITE_OK; at += bytes) {
		code = log->pMethods->xRead(log, frame, bytes, at);
		if (code != SQLITE_OK || memcmp(frame + 8, head + 16, 8) != 0)
			break;
		code = log->pMethods->xWrite(log, frame, bytes, at);
	}
	if (code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ)
		code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
out:
	free(frame);
	if (code != SQLITE_OK)
		rc = sql_fail(q, code, "writing the log of an earlier process once more", err);
	sql_rollback(q);
	return rc;
}

enum rc sql_open(struct sql *q, const char *dir, const char *name, unsigned flags, const struct sql_schema *schema, struct err *err)
{
	uint8_t seed;
	char *real;
	enum rc rc;

	*q = (struct sql){.schema = schema, .read_only = flags & SQL_OPEN_READ_ONLY, .patient = !(flags & SQL_OPEN_SERVE), .aside = flags & SQL_OPEN_ASIDE};
	sqlite3_randomness(1, &seed); /* seeds itself from /dev/urandom, which is out of reach behind the walls */
	real = realpath(dir, NULL); /* so that NOFOLLOW is about our own file, not about how the home is reached */
	if (!real)
		return err_errno(err, errno == ENOENT ? RC_NONE : RC_IO, "%s", dir);
	q->path = mem_printf("%s/%s", real[0] == '/' && real[1] == '\0' ? "" : real, name);
	rc = sql_make_file(real, name, q->path, flags & SQL_OPEN_CREATE, err);
	free(real);
	q->prepared = mem_array(schema->text_count, sizeof(*q->prepared));
	if (rc == RC_OK)
		rc = sql_open_handle(q, flags, err);
	if (rc == RC_OK && flags & SQL_OPEN_SERVE)
		rc = sql_settle_log(q, err);
	if (rc == RC_OK)
		rc = sql_migrate(q, flags & SQL_OPEN_CREATE, err);
	if (rc != RC_OK)
		sql_close(q);
	return rc;
}

void sql_close(struct sql *q)
{
	if (q->db)
		sql_rollback(q);
	for (size_t i = 0; q->prepared && i < q->schema->text_count; i++)
		(void)sqlite3_finalize(q->prepared[i]);
	(void)sqlite3_close(q->db); /* the last one out moves the log into the database file */
	free(q->prepared);
	free(q->path);
	*q = (struct sql){0};
}

enum rc sql_begin(struct sql *q, struct err *err)
{
	if (q->in_transaction)
		return RC_OK;
	if (q->read_only)
		return err_set(err, RC_DENIED, "%s was opened for reading only", q->path);
	if (sql_exec(q, "BEGIN IMMEDIATE") != SQLITE_OK)
		return sql_fail(q, sqlite3_extended_errcode(q->db), "beginning a transaction", err);
	q->in_transaction = true;
	return RC_OK;
}

void sql_read_begin(struct sql *q)
{
	if (!q->in_transaction)
		(void)sql_exec(q, "BEGIN");
}

void sql_read_end(struct sql *q)
{
	if (!q->in_transaction && !sqlite3_get_autocommit(q->db))
		(void)sql_exec(q, "COMMIT");
}

enum rc sql_commit(struct sql *q, struct err *err)
{
	enum rc rc;

	if (!q->in_transaction)
		return RC_OK;
	if (sql_exec(q, "COMMIT") != SQLITE_OK) {
		rc = sql_fail(q, sqlite3_extended_errcode(q->db), "the commit", err);
		sql_rollback(q);
		return rc;
	}
	q->in_transaction = false;
	return RC_OK;
}

void sql_rollback(struct sql *q)
{
	/* statements in the middle of their rows would keep the transaction open */
	for (size_t i = 0; q->prepared && i < q->schema->text_count; i++)
		(void)sqlite3_reset(q->prepared[i]);
	if (q->db && sqlite3_get_autocommit(q->db) == 0)
		(void)sql_exec(q, "ROLLBACK");
	q->in_transaction = false;
}

enum rc sql_checkpoint(struct sql *q, struct err *err)
{
	int code = sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	q->wal_pages = 0;
	if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY)
		return RC_OK;
	return sql_fail(q, sqlite3_extended_errcode(q->db), "the checkpoint", err);
}

void sql_checkpoint_try(struct sql *q)
{
	(void)sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	q->wal_pages = 0;
}

enum rc sql_data_version(struct sql *q, int64_t *out, struct err *err)
{
	struct sql_answer got;

	if (sql_ask(q, "PRAGMA data_version", &got) != SQLITE_OK)
		return sql_fail(q, sqlite3_extended_errcode(q->db), "asking for changes", err);
	*out = 0;
	for (const char *c = got.text; byte_is_digit((uint8_t)*c); c++)
		*out = *out * 10 + (*c - '0');
	return RC_OK;
}

static enum rc sql_bind(struct sql *q, sqlite3_stmt *st, const struct sql_arg *args, size_t count, struct err *err)
{
	int code = SQLITE_OK;

	for (size_t i = 0; i < count && code == SQLITE_OK; i++) {
		int at = (int)i + 1;
		const void *ptr = args[i].bytes.ptr ? (const void *)args[i].bytes.ptr : "";

		switch (args[i].kind) {
		case SQL_ARG_NUMBER:
			code = sqlite3_bind_int64(st, at, args[i].number);
			break;
		case SQL_ARG_TEXT:
			code = sqlite3_bind_text64(st, at, ptr, args[i].bytes.len, SQLITE_STATIC, SQLITE_UTF8);
			break;
		case SQL_ARG_BYTES:
			code = sqlite3_bind_blob64(st, at, ptr, args[i].bytes.len, SQLITE_STATIC);
			break;
		case SQL_ARG_NULL:
			code = sqlite3_bind_null(st, at);
			break;
		}
	}
	return code == SQLITE_OK ? RC_OK : sql_fail(q, code, "binding a value", err);
}

static enum rc sql_start(struct sql *q, unsigned statement, const struct sql_arg *args, size_t count, sqlite3_stmt **st_out, struct err *err)
{
	sqlite3_stmt **st = &q->prepared[statement];

	if (!*st && sqlite3_prepare_v3(q->db, q->schema->texts[statement], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
		return sql_fail(q, sqlite3_extended_errcode(q->db), "preparing a statement", err);
	*st_out = *st;
	return sql_bind(q, *st, args, count, err);
}

enum rc sql_first(struct sql *q, struct sql_row *row, unsigned statement, const struct sql_arg *args, size_t arg_count, struct err *err)
{
	enum rc rc;

	*row = (struct sql_row){.q = q, .statement = statement};
	rc = sql_start(q, statement, args, arg_count, &row->st, err);
	return rc == RC_OK ? sql_next(row, err) : rc;
}

enum rc sql_next(struct sql_row *row, struct err *err)
{
	int code = sqlite3_step(row->st);

	if (code == SQLITE_ROW)
		return RC_OK;
	(void)sqlite3_reset(row->st);
	return code == SQLITE_DONE ? RC_NONE : sql_fail(row->q, code, "a query", err);
}

void sql_end(struct sql_row *row)
{
	if (row->st)
		(void)sqlite3_reset(row->st);
}

enum rc sql_run(struct sql *q, unsigned statement, const struct sql_arg *args, size_t arg_count, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(q, &row, statement, args, arg_count, err);

	while (rc == RC_OK)
		rc = sql_next(&row, err);
	return rc == RC_NONE ? RC_OK : rc;
}

int64_t sql_changed(const struct sql *q)
{
	return sqlite3_changes64(q->db);
}

int64_t sql_number(struct sql_row *row, int column, int64_t least, int64_t most)
{
	int64_t n = 0;

	if (sqlite3_column_type(row->st, column) != SQLITE_INTEGER)
		row->bad = true;
	else
		n = sqlite3_column_int64(row->st, column);
	if (n >= least && n <= most)
		return n;
	row->bad = true;
	return least;
}

static struct span sql_text_with(struct sql_row *row, int column, size_t max_bytes, const char *controls)
{
	struct span s;

	if (sqlite3_column_type(row->st, column) != SQLITE_TEXT) {
		row->bad = true;
		return SPAN_NONE;
	}
	s.ptr = sqlite3_column_text(row->st, column);
	s.len = (size_t)sqlite3_column_bytes(row->st, column);
	if (s.len > max_bytes || !span_is_utf8(s)) {
		row->bad = true;
		return SPAN_NONE;
	}
	for (size_t i = 0; i < s.len; i++)
		row->bad |= s.ptr[i] == 0x7f || (s.ptr[i] < 0x20 && (s.ptr[i] == 0 || !strchr(controls, s.ptr[i])));
	return s;
}

struct span sql_text(struct sql_row *row, int column, size_t max_bytes)
{
	return sql_text_with(row, column, max_bytes, "");
}

struct span sql_lines(struct sql_row *row, int column, size_t max_bytes)
{
	return sql_text_with(row, column, max_bytes, "\t\r\n");
}

struct span sql_bytes(struct sql_row *row, int column, size_t max_bytes)
{
	struct span s;

	if (sqlite3_column_type(row->st, column) != SQLITE_BLOB) {
		row->bad = true;
		return SPAN_NONE;
	}
	s.ptr = sqlite3_column_blob(row->st, column);
	s.len = (size_t)sqlite3_column_bytes(row->st, column);
	if (s.len <= max_bytes)
		return s;
	row->bad = true;
	return SPAN_NONE;
}

enum rc sql_checked(const struct sql_row *row, struct err *err)
{
	if (!row->bad)
		return RC_OK;
	return err_set(err, RC_BAD, "%s: the database gave back a value that cannot be (statement %u); it was damaged or changed by something else",
		row->q->path, row->statement);
}

enum rc sql_page(enum rc first, struct sql_row *row, void (*read)(struct sql_row *row, void *page, size_t n), void *page, size_t *count_out, struct err *err)
{
	size_t n = 0;
	enum rc rc;

	for (rc = first; rc == RC_OK; rc = sql_next(row, err)) {
		read(row, page, n);
		rc = sql_checked(row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(row);
	*count_out = n;
	return rc == RC_NONE ? RC_OK : rc;
}
