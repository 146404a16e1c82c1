/* Files for large bodies. A lent file has a random name below spool/; taken into a message it is synced, renamed to bodies/xx/ID and that directory is
 * synced, all before the commit that names it. (An unnamed O_TMPFILE could only be given a name through /proc or with a capability, and behind
 * the walls there is neither.) Names are made here from our own numbers: nothing from the network or the database is a path. */
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"

enum { STORE_BODY_DIRS = 256, STORE_SPOOLS_MAX = 65536 };

static enum rc store_disk_fault(const char *what, struct err *err)
{
	return err_errno(err, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? RC_FULL : RC_IO, "%s", what);
}

/* a directory of the store's own, given to whom the store directory belongs */
static enum rc store_dir_open(int at, const char *name, bool create, int *fd_out, struct err *err)
{
	struct stat st;
	bool made = false;
	int fd;

	if (create) {
		made = mkdirat(at, name, 0700) == 0;
		if (!made && errno != EEXIST)
			return store_disk_fault(name, err);
	}
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno == ENOENT ? RC_NONE : RC_IO, "%s", name);
	if (made && ((geteuid() == 0 && (fstat(at, &st) != 0 || fchown(fd, st.st_uid, st.st_gid) != 0)) || fsync(at) != 0)) {
		enum rc rc = store_disk_fault(name, err);

		(void)close(fd);
		return rc;
	}
	*fd_out = fd;
	return RC_OK;
}

enum rc store_spool_open_dirs(struct store *s, const char *dir, struct err *err)
{
	bool create = s->flags & STORE_CREATE;
	enum rc rc = store_dir_open(s->dir_fd, "bodies", create, &s->bodies_fd, err);

	if (rc == RC_OK)
		rc = store_dir_open(s->dir_fd, "spool", create, &s->spool_fd, err);
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "%s: there is no mail store here", dir);
	if (rc != RC_OK || !(s->flags & STORE_SERVE))
		return rc;
	/* lives as long as this process; the spool files below belong to whoever holds it */
	if (flock(s->spool_fd, LOCK_EX | LOCK_NB) != 0)
		return err_errno(err, errno == EWOULDBLOCK ? RC_BUSY : RC_IO, "%s is served by another process", dir);
	return RC_OK;
}

/* ---- lent files */

enum rc store_spool_open(struct store *s, uint64_t *spool_out, int *fd_out, struct err *err)
{
	struct store_spool *p;

	if (s->spools.count >= STORE_SPOOLS_MAX)
		return err_set(err, RC_LIMIT, "%d spool files are open", STORE_SPOOLS_MAX);
	p = mem_zalloc(sizeof(*p));
	do {
		p->id = rng_u64() >> 1;
	} while (p->id == 0 || map_get(&s->spools, p->id));
	(void)snprintf(p->name, sizeof(p->name), "%016llx", (unsigned long long)p->id);
	p->fd = openat(s->spool_fd, p->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->fd < 0) {
		free(p);
		if (errno == EMFILE || errno == ENFILE)
			return err_errno(err, RC_LIMIT, "spool file");
		return store_disk_fault("spool file", err);
	}
	(void)map_put(&s->spools, p->id, p);
	*spool_out = p->id;
	*fd_out = p->fd;
	return RC_OK;
}

struct store_spool *store_spool_get(struct store *s, uint64_t spool)
{
	return map_get(&s->spools, spool);
}

/* forgets it; the file keeps the name it has */
static void store_spool_forget(struct store *s, struct store_spool *p)
{
	(void)map_take(&s->spools, p->id);
	(void)close(p->fd);
	free(p);
}

void store_spool_drop(struct store *s, uint64_t spool)
{
	struct store_spool *p = store_spool_get(s, spool);

	if (!p)
		return;
	(void)unlinkat(s->spool_fd, p->name, 0);
	store_spool_forget(s, p);
}

void store_spool_close_all(struct store *s)
{
	size_t at = 0;
	uint64_t id;
	void *value;

	while (map_next(&s->spools, &at, &id, &value))
		store_spool_drop(s, id);
}

enum rc store_spool_check(const struct store_spool *p, uint64_t bytes, struct err *err)
{
	struct stat st;

	if (fstat(p->fd, &st) != 0)
		return err_errno(err, RC_IO, "spool file");
	if (bytes > STORE_MAX_MS || (uint64_t)st.st_size != bytes)
		return err_set(err, RC_BAD, "the spool file holds %lld bytes, not the %llu that were said", (long long)st.st_size, (unsigned long long)bytes);
	return RC_OK;
}

/* ---- bodies that stay files */

struct store_body_name {
	char dir[4];
	char file[16];
};

static struct store_body_name store_body_name(int64_t message)
{
	struct store_body_name n;

	(void)snprintf(n.dir, sizeof(n.dir), "%02x", (unsigned)(message % STORE_BODY_DIRS));
	(void)num_base32((uint64_t)message, 6, n.file);
	return n;
}

static void store_bodies_room(struct store *s)
{
	if (s->body_count < s->body_size)
		return;
	s->body_size = s->body_size ? s->body_size * 2 : 16;
	s->bodies = mem_realloc(s->bodies, s->body_size * sizeof(*s->bodies));
}

enum rc store_spool_keep(struct store *s, struct store_spool *p, int64_t message, struct err *err)
{
	struct store_body_name name = store_body_name(message);
	int dir = -1;
	enum rc rc;

	if (fdatasync(p->fd) != 0)
		return err_errno(err, RC_IO, "spool file: fdatasync"); /* whatever errno says: what is on the disk is unknown now */
	rc = store_dir_open(s->bodies_fd, name.dir, true, &dir, err);
	if (rc != RC_OK)
		return rc;
	store_bodies_room(s);
	if (renameat(s->spool_fd, p->name, dir, name.file) != 0) {
		rc = store_disk_fault("body file: rename", err);
	} else {
		s->bodies[s->body_count++] = message;
		store_spool_forget(s, p);
		if (fsync(dir) != 0)
			rc = err_errno(err, RC_IO, "directory of body files: fsync");
	}
	(void)close(dir);
	return rc;
}

/* The file's bytes are on the disk already; what is new is its name. */
enum rc store_body_link(struct store *s, int64_t from, int64_t message, struct err *err)
{
	struct store_body_name old = store_body_name(from), name = store_body_name(message);
	int from_dir = -1, dir = -1;
	enum rc rc = store_dir_open(s->bodies_fd, old.dir, false, &from_dir, err);

	if (rc == RC_OK)
		rc = store_dir_open(s->bodies_fd, name.dir, true, &dir, err);
	if (rc == RC_OK) {
		store_bodies_room(s);
		if (linkat(from_dir, old.file, dir, name.file, 0) != 0) {
			/* a file system without links is no failing disk */
			rc = errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK ? err_errno(err, RC_FULL, "body file: link") : store_disk_fault("body file: link", err);
		} else {
			s->bodies[s->body_count++] = message;
			if (fsync(dir) != 0)
				rc = err_errno(err, RC_IO, "directory of body files: fsync");
		}
	}
	if (from_dir >= 0)
		(void)close(from_dir);
	if (dir >= 0)
		(void)close(dir);
	return rc;
}

void store_bodies_settle(struct store *s, bool committed)
{
	for (size_t i = 0; i < s->body_count && !committed; i++)
		store_body_remove(s, s->bodies[i]);
	s->body_count = 0;
}

void store_body_remove(struct store *s, int64_t message)
{
	struct store_body_name name = store_body_name(message);
	int dir = openat(s->bodies_fd, name.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return;
	(void)unlinkat(dir, name.file, 0);
	(void)close(dir);
}

enum rc store_body_read(struct store *s, int64_t message, uint64_t offset, size_t bytes, struct buf *out, struct err *err)
{
	struct store_body_name name = store_body_name(message);
	uint8_t *to = buf_reserve(out, bytes);
	int dir, fd = -1;
	ssize_t n = 0;
	enum rc rc = RC_OK;

	if (!to)
		return err_set(err, RC_LIMIT, "the caller's buffer is too small");
	dir = openat(s->bodies_fd, name.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0)
		fd = openat(dir, name.file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		rc = err_errno(err, RC_BAD, "body file of message %s", name.file);
	for (size_t got = 0; rc == RC_OK && got < bytes; got += (size_t)n) {
		n = pread(fd, to + got, bytes - got, (off_t)(offset + got));
		if (n < 0)
			rc = err_errno(err, RC_IO, "body file of message %s", name.file);
		else if (n == 0)
			rc = err_set(err, RC_BAD, "the body file of message %s is shorter than it was", name.file);
	}
	if (rc == RC_OK)
		out->len += bytes;
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
	return rc;
}

/* ---- what a crash left behind */

static enum rc store_dir_each(int at, const char *name, void (*each)(void *arg, int dir, const char *entry), void *arg, struct err *err)
{
	struct dirent *entry;
	DIR *dir;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? RC_OK : err_errno(err, RC_IO, "%s", name);
	dir = fdopendir(fd);
	if (!dir) {
		enum rc rc = err_errno(err, RC_IO, "%s", name);

		(void)close(fd);
		return rc;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			each(arg, fd, entry->d_name);
	(void)closedir(dir);
	return RC_OK;
}

static void store_clean_spool(void *arg, int dir, const char *entry)
{
	(void)arg;
	(void)unlinkat(dir, entry, 0);
}

/* A crash between the rename and the commit leaves a body whose number the counter has not reached. */
static void store_clean_body(void *arg, int dir, const char *entry)
{
	const int64_t *next = arg;
	int64_t id;

	if (store_queue_id_parse(span_str(entry), &id) == RC_OK && id >= *next)
		(void)unlinkat(dir, entry, 0);
}

enum rc store_spool_clean(struct store *s, struct err *err)
{
	char name[4];
	int64_t next = 0;
	enum rc rc = store_dir_each(s->dir_fd, "spool", store_clean_spool, NULL, err);

	/* the write lock, so that nobody is between a rename and a commit */
	if (rc == RC_OK)
		rc = store_begin(s, err);
	if (rc == RC_OK)
		rc = store_number(s, STORE_COUNT_MESSAGE, 1, &next, err);
	for (unsigned i = 0; i < STORE_BODY_DIRS && rc == RC_OK; i++) {
		(void)snprintf(name, sizeof(name), "%02x", i);
		rc = store_dir_each(s->bodies_fd, name, store_clean_body, &next, err);
	}
	store_rollback(s);
	return rc;
}
