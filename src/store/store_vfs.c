/* store_vfs - SQLite's own file layer with one change: writes that follow each other are gathered and handed to the kernel together. SQLite writes every
 * page of the write-ahead log in two calls and every page of a checkpoint in one; measured, half of the time of taking mail in went there.
 * Nothing is promised earlier or later for it: what is gathered goes out before any sync, any read of that place, any change of a lock and any other call
 * on the file, so another process and a crash find what they would have found. An error of a gathered write is reported by the call that sends it out,
 * which for a commit is its sync. The files stay SQLite's; only the table of methods is ours. For one thread. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/store_sql.h"

enum { STORE_GATHER_BYTES = 124 << 10 }; /* one write of SQLite must stay below 128 KiB */

struct store_gather {
	sqlite3_io_methods methods; /* theirs with ours in place */
	const sqlite3_io_methods *theirs;
	sqlite3_file *file;
	uint8_t *bytes; /* STORE_GATHER_BYTES; NULL until needed */
	int len;
	sqlite3_int64 at;
	bool is_log;
	struct store_gather *next, **prev;
};

static sqlite3_vfs *store_vfs_theirs;
static struct store_gather *store_gathers; /* files that are open */

static struct store_gather *store_gather_of(sqlite3_file *file)
{
	return (struct store_gather *)((char *)file + store_vfs_theirs->szOsFile);
}

/* SQLite takes ENOSPC alone for a full disk; a quota and a limit on the size of files are the same to whoever has to make room */
static int store_gather_put(struct store_gather *g, const void *bytes, int len, sqlite3_int64 at)
{
	int code = g->theirs->xWrite(g->file, bytes, len, at), sys = 0;

	if (code == SQLITE_IOERR_WRITE && g->theirs->xFileControl(g->file, SQLITE_FCNTL_LAST_ERRNO, &sys) == SQLITE_OK && (sys == EDQUOT || sys == EFBIG))
		return SQLITE_FULL;
	return code;
}

/* What could not be written has to be heard of by SQLite, which does not look at what some calls say: the end of a checkpoint is told by a file control,
 * and a checkpoint whose last pages were dropped there would count as done. `heard`: the caller hands the code to SQLite, which gives up what it was at.
 * Frames of the log are then let go; pages of the database are kept in any case and tried again by the next call. */
static int store_gather_flush(struct store_gather *g, bool heard)
{
	int code;

	if (g->len == 0)
		return SQLITE_OK;
	code = store_gather_put(g, g->bytes, g->len, g->at);
	if (code == SQLITE_OK || (heard && g->is_log))
		g->len = 0;
	return code;
}

/* locks are taken and let go at the database file and speak for its log as well */
static void store_gather_flush_all(void)
{
	for (struct store_gather *g = store_gathers; g; g = g->next)
		(void)store_gather_flush(g, false);
}

static int store_gather_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	struct store_gather *g = store_gather_of(file);
	int code;

	if (g->len > 0 && (at != g->at + g->len || len > STORE_GATHER_BYTES - g->len)) {
		code = store_gather_flush(g, true);
		if (code != SQLITE_OK)
			return code;
	}
	if (len > STORE_GATHER_BYTES)
		return store_gather_put(g, bytes, len, at);
	if (!g->bytes)
		g->bytes = mem_alloc(STORE_GATHER_BYTES);
	if (g->len == 0)
		g->at = at;
	memcpy(g->bytes + g->len, bytes, (size_t)len);
	g->len += len;
	return SQLITE_OK;
}

static int store_gather_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct store_gather *g = store_gather_of(file);
	int code = SQLITE_OK;

	if (g->len > 0 && at < g->at + g->len && g->at < at + len)
		code = store_gather_flush(g, true);
	return code == SQLITE_OK ? g->theirs->xRead(file, to, len, at) : code;
}

static int store_gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code = store_gather_flush(store_gather_of(file), true);

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xTruncate(file, size) : code;
}

static int store_gather_sync(sqlite3_file *file, int flags)
{
	int code = store_gather_flush(store_gather_of(file), true);

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xSync(file, flags) : code;
}

static int store_gather_size(sqlite3_file *file, sqlite3_int64 *out)
{
	int code = store_gather_flush(store_gather_of(file), true);

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xFileSize(file, out) : code;
}

static int store_gather_control(sqlite3_file *file, int op, void *arg)
{
	if (op != SQLITE_FCNTL_PRAGMA) /* asked for every pragma; touches no file */
		(void)store_gather_flush(store_gather_of(file), false);
	return store_gather_of(file)->theirs->xFileControl(file, op, arg);
}

static int store_gather_lock(sqlite3_file *file, int level)
{
	store_gather_flush_all();
	return store_gather_of(file)->theirs->xLock(file, level);
}

static int store_gather_unlock(sqlite3_file *file, int level)
{
	store_gather_flush_all();
	return store_gather_of(file)->theirs->xUnlock(file, level);
}

static int store_gather_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	store_gather_flush_all();
	return store_gather_of(file)->theirs->xShmLock(file, offset, n, flags);
}

static int store_gather_close(sqlite3_file *file)
{
	struct store_gather *g = store_gather_of(file);
	int code = store_gather_flush(g, true), closed = g->theirs->xClose(file);

	*g->prev = g->next;
	if (g->next)
		g->next->prev = g->prev;
	free(g->bytes);
	return code == SQLITE_OK ? closed : code;
}

static int store_vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	struct store_gather *g = store_gather_of(file);
	int code = store_vfs_theirs->xOpen(store_vfs_theirs, name, file, flags, flags_out);

	(void)vfs;
	if (code != SQLITE_OK || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return code;
	*g = (struct store_gather){.methods = *file->pMethods, .theirs = file->pMethods, .file = file, .is_log = (flags & SQLITE_OPEN_WAL) != 0, .next = store_gathers, .prev = &store_gathers};
	g->methods.xClose = store_gather_close;
	g->methods.xRead = store_gather_read;
	g->methods.xWrite = store_gather_write;
	g->methods.xTruncate = store_gather_truncate;
	g->methods.xSync = store_gather_sync;
	g->methods.xFileSize = store_gather_size;
	g->methods.xLock = store_gather_lock;
	g->methods.xUnlock = store_gather_unlock;
	g->methods.xFileControl = store_gather_control;
	if (g->methods.xShmLock)
		g->methods.xShmLock = store_gather_shm_lock;
	if (g->next)
		g->next->prev = &g->next;
	store_gathers = g;
	file->pMethods = &g->methods;
	return SQLITE_OK;
}

const char *store_vfs_name(void)
{
	static sqlite3_vfs ours;

	if (store_vfs_theirs)
		return ours.zName;
	store_vfs_theirs = sqlite3_vfs_find("unix");
	if (!store_vfs_theirs)
		return NULL;
	ours = *store_vfs_theirs;
	ours.szOsFile += (int)sizeof(struct store_gather);
	ours.zName = "mailroom";
	ours.xOpen = store_vfs_open;
	ours.pNext = NULL;
	if (sqlite3_vfs_register(&ours, 0) != SQLITE_OK)
		store_vfs_theirs = NULL;
	return store_vfs_theirs ? ours.zName : NULL;
}
