/* store_vfs - SQLite's own file layer with one change: writes that follow each other are gathered and handed to the kernel together. SQLite writes every
 * page of the write-ahead log in two calls and every page of a checkpoint in one; measured, half of the time of taking mail in went there.
 * Nothing is promised earlier or later for it: what is gathered goes out before any sync, any read of that place, any change of a lock and any other call
 * on the file, so another process and a crash find what they would have found. An error of a gathered write is reported by the call that sends it out,
 * which for a commit is its sync. The files stay SQLite's; only the table of methods is ours. For one thread. */
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
	struct store_gather *next, **prev;
};

static sqlite3_vfs *store_vfs_theirs;
static struct store_gather *store_gathers; /* files that are open */

static struct store_gather *store_gather_of(sqlite3_file *file)
{
	return (struct store_gather *)((char *)file + store_vfs_theirs->szOsFile);
}

static int store_gather_flush(struct store_gather *g)
{
	int len = g->len;

	if (len == 0)
		return SQLITE_OK;
	g->len = 0; /* also where it fails: the caller's transaction fails with it */
	return g->theirs->xWrite(g->file, g->bytes, len, g->at);
}

/* locks are taken and let go at the database file and speak for its log as well */
static int store_gather_flush_all(void)
{
	int code = SQLITE_OK, one;

	for (struct store_gather *g = store_gathers; g; g = g->next) {
		one = store_gather_flush(g);
		code = code == SQLITE_OK ? one : code;
	}
	return code;
}

static int store_gather_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	struct store_gather *g = store_gather_of(file);
	int code;

	if (g->len > 0 && (at != g->at + g->len || len > STORE_GATHER_BYTES - g->len)) {
		code = store_gather_flush(g);
		if (code != SQLITE_OK)
			return code;
	}
	if (len > STORE_GATHER_BYTES)
		return g->theirs->xWrite(file, bytes, len, at);
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
		code = store_gather_flush(g);
	return code == SQLITE_OK ? g->theirs->xRead(file, to, len, at) : code;
}

static int store_gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code = store_gather_flush(store_gather_of(file));

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xTruncate(file, size) : code;
}

static int store_gather_sync(sqlite3_file *file, int flags)
{
	int code = store_gather_flush(store_gather_of(file));

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xSync(file, flags) : code;
}

static int store_gather_size(sqlite3_file *file, sqlite3_int64 *out)
{
	int code = store_gather_flush(store_gather_of(file));

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xFileSize(file, out) : code;
}

static int store_gather_control(sqlite3_file *file, int op, void *arg)
{
	int code = SQLITE_OK;

	if (op != SQLITE_FCNTL_PRAGMA) /* asked for every pragma; touches no file */
		code = store_gather_flush(store_gather_of(file));
	return code == SQLITE_OK ? store_gather_of(file)->theirs->xFileControl(file, op, arg) : code;
}

static int store_gather_lock(sqlite3_file *file, int level)
{
	int code = store_gather_flush_all();

	return code == SQLITE_OK ? store_gather_of(file)->theirs->xLock(file, level) : code;
}

static int store_gather_unlock(sqlite3_file *file, int level)
{
	int code = store_gather_flush_all(), unlock = store_gather_of(file)->theirs->xUnlock(file, level);

	return code == SQLITE_OK ? unlock : code;
}

static int store_gather_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	int code = store_gather_flush_all(), lock;

	if (code != SQLITE_OK && !(flags & SQLITE_SHM_UNLOCK))
		return code;
	lock = store_gather_of(file)->theirs->xShmLock(file, offset, n, flags);
	return code == SQLITE_OK ? lock : code;
}

static int store_gather_close(sqlite3_file *file)
{
	struct store_gather *g = store_gather_of(file);
	int code = store_gather_flush(g), closed = g->theirs->xClose(file);

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
	*g = (struct store_gather){.methods = *file->pMethods, .theirs = file->pMethods, .file = file, .next = store_gathers, .prev = &store_gathers};
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
