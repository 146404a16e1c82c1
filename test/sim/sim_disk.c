/* An SQLite file layer in memory that knows what was written from what was synced. Writes since the last sync are kept as snapshots of the 512-byte
 * sectors they touched; a power cut lets any of them reach the disk, in any order, and tears one. A process that dies leaves the page cache as it is.
 * One process has the database open at a time; its shared memory is its own and goes with it. */
#include <sqlite3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

enum { DISK_SECTOR = 512, DISK_SHM_REGIONS = 8, DISK_FILES = 3, DISK_FILE_MAX = 64 << 20 };
enum disk_op_kind { DISK_OP_SECTOR, DISK_OP_SIZE, DISK_OP_REMOVE };

struct disk_op {
	enum disk_op_kind kind;
	sqlite3_int64 at; /* sector: its offset; size: the new one */
	unsigned len;     /* of the sector, where the file ends in it */
	uint8_t bytes[DISK_SECTOR];
};

struct disk_image {
	uint8_t *bytes;
	sqlite3_int64 len, size;
	bool exists;
};

struct disk_file {
	const char *ending;
	struct disk_image base;    /* what every seed begins with */
	struct disk_image view;    /* what processes see */
	struct disk_image durable; /* what is on the disk */
	struct disk_op *ops;       /* between the two */
	size_t op_count, op_size;
};

static struct disk {
	struct disk_file files[DISK_FILES];
	uint64_t generation;       /* of the process that may use it */
	bool full;
} disk = {.files = {{.ending = "mail.db"}, {.ending = "mail.db-wal"}, {.ending = "mail.db-journal"}}};

struct disk_handle {
	sqlite3_file file;
	struct disk_file *of;
	uint64_t generation;
	uint8_t *shm[DISK_SHM_REGIONS];
};

/* ---- images */

static void disk_image_resize(struct disk_image *d, sqlite3_int64 len)
{
	if (len > d->size) {
		d->size = len + len / 2 + 65536;
		d->bytes = mem_realloc(d->bytes, (size_t)d->size);
	}
	if (len > d->len)
		memset(d->bytes + d->len, 0, (size_t)(len - d->len));
	d->len = len;
}

static void disk_image_copy(struct disk_image *to, const struct disk_image *from)
{
	to->len = 0;
	disk_image_resize(to, from->len);
	if (from->len)
		memcpy(to->bytes, from->bytes, (size_t)from->len);
	to->exists = from->exists;
}

static struct disk_op *disk_op_add(struct disk_file *f, enum disk_op_kind kind, sqlite3_int64 at)
{
	struct disk_op *op;

	if (f->op_count == f->op_size) {
		f->op_size = f->op_size ? f->op_size * 2 : 64;
		f->ops = mem_realloc(f->ops, f->op_size * sizeof(*f->ops));
	}
	op = &f->ops[f->op_count++];
	op->kind = kind;
	op->at = at;
	op->len = 0;
	return op;
}

/* a change reaches the disk, whole or (a sector) its first part only */
static void disk_op_apply(struct disk_image *d, const struct disk_op *op, unsigned bytes)
{
	switch (op->kind) {
	case DISK_OP_SECTOR:
		bytes = bytes < op->len ? bytes : op->len;
		if (op->at + op->len > d->len)
			disk_image_resize(d, op->at + op->len);
		memcpy(d->bytes + op->at, op->bytes, bytes);
		d->exists = true;
		break;
	case DISK_OP_SIZE:
		disk_image_resize(d, op->at);
		break;
	case DISK_OP_REMOVE:
		d->len = 0;
		d->exists = false;
		break;
	}
}

static void disk_sync(struct disk_file *f)
{
	for (size_t i = 0; i < f->op_count; i++)
		disk_op_apply(&f->durable, &f->ops[i], DISK_SECTOR);
	f->op_count = 0;
	f->durable.exists = f->view.exists;
}

static void disk_write(struct disk_file *f, const uint8_t *bytes, sqlite3_int64 len, sqlite3_int64 at)
{
	sqlite3_int64 first = at - at % DISK_SECTOR;

	if (len == 0)
		return;
	if (at + len > f->view.len)
		disk_image_resize(&f->view, at + len);
	memcpy(f->view.bytes + at, bytes, (size_t)len);
	for (sqlite3_int64 s = first; s < at + len; s += DISK_SECTOR) {
		struct disk_op *op = disk_op_add(f, DISK_OP_SECTOR, s);

		op->len = f->view.len - s < DISK_SECTOR ? (unsigned)(f->view.len - s) : DISK_SECTOR;
		memcpy(op->bytes, f->view.bytes + s, op->len);
	}
}

/* ---- what a power cut leaves */

enum disk_fate { DISK_NONE, DISK_ALL, DISK_FIRST, DISK_LAST, DISK_HALF, DISK_MOST, DISK_FATES };

static void disk_cut_file(struct disk_file *f)
{
	enum disk_fate fate = (enum disk_fate)sim_below(DISK_FATES);
	size_t count = f->op_count, mark = sim_below(count + 1), torn = sim_below(count + 1);

	/* a file that was removed and made anew is another file: of the new one nothing is there without the removal */
	for (size_t i = 0; i < count; i++)
		if (f->ops[i].kind == DISK_OP_REMOVE && sim_chance(500))
			count = i;
	for (size_t i = 0; i < count; i++) {
		const struct disk_op *op = &f->ops[i];
		bool kept = op->kind == DISK_OP_REMOVE || fate == DISK_ALL || (fate == DISK_FIRST && i < mark) || (fate == DISK_LAST && i >= mark) ||
			(fate == DISK_HALF && sim_chance(500)) || (fate == DISK_MOST && sim_chance(950));

		if (kept)
			disk_op_apply(&f->durable, op, i == torn && fate != DISK_ALL ? (unsigned)sim_below(DISK_SECTOR) : DISK_SECTOR);
	}
	if (f->durable.exists && count > 0 && sim_chance(200) && f->view.len > f->durable.len)
		disk_image_resize(&f->durable, f->view.len); /* the size was written, the bytes were not */
	if (f->op_count)
		sim_trace("disk: power cut, %s: fate %d of %zu changes, %lld bytes left", f->ending, (int)fate, f->op_count, (long long)f->durable.len);
	f->op_count = 0;
	disk_image_copy(&f->view, &f->durable);
}

void sim_disk_cut_off(void)
{
	disk.generation++;
}

void sim_disk_power_cut(void)
{
	disk.generation++;
	for (size_t i = 0; i < DISK_FILES; i++)
		disk_cut_file(&disk.files[i]);
}

void sim_disk_full(bool full)
{
	disk.full = full;
}

/* ---- the calls */

static bool disk_dead(const struct disk_handle *h)
{
	return h->generation != disk.generation;
}

/* the store may die in any call that changes the disk: SQLite hears of an error, and nothing it does afterwards reaches anything */
static bool disk_dies(const char *in)
{
	if (sim.healed || !sim.current || !sim_chance(sim.plan.crash_call))
		return false;
	sim_doom(sim_chance(sim.plan.power_every_us ? 600 : 0), in);
	return true;
}

static int disk_close(sqlite3_file *file)
{
	struct disk_handle *h = (struct disk_handle *)file;

	for (size_t i = 0; i < DISK_SHM_REGIONS; i++)
		free(h->shm[i]);
	return SQLITE_OK;
}

static int disk_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct disk_handle *h = (struct disk_handle *)file;
	const struct disk_image *d = &h->of->view;
	sqlite3_int64 there = d->len > at ? d->len - at : 0;

	if (disk_dead(h))
		return SQLITE_IOERR_READ;
	if (there >= len) {
		memcpy(to, d->bytes + at, (size_t)len);
		return SQLITE_OK;
	}
	if (there)
		memcpy(to, d->bytes + at, (size_t)there);
	memset((uint8_t *)to + there, 0, (size_t)(len - there));
	return SQLITE_IOERR_SHORT_READ;
}

static int disk_write_call(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	struct disk_handle *h = (struct disk_handle *)file;
	uint8_t *flipped = NULL;
	sqlite3_int64 before;

	if (disk_dead(h))
		return SQLITE_IOERR_WRITE;
	before = h->of->view.len;
	if (disk_dies("a write")) {
		disk_write(h->of, bytes, (sqlite3_int64)sim_below((uint64_t)len + 1), at);
		return SQLITE_IOERR_WRITE;
	}
	if (at + len > DISK_FILE_MAX || (disk.full && at + len > before)) {
		if (at < before || sim_chance(500))
			disk_write(h->of, bytes, (sqlite3_int64)sim_below((uint64_t)len), at);
		return SQLITE_FULL;
	}
	if (!sim.healed && sim.current && sim_chance(sim.plan.write_eio)) {
		sim_trace("disk: a write to %s fails", h->of->ending);
		return SQLITE_IOERR_WRITE;
	}
	if (sim.broken == SIM_BREAK_FLIP_BIT && sim_chance(5)) {
		flipped = mem_alloc((size_t)len);
		memcpy(flipped, bytes, (size_t)len);
		flipped[sim_below((uint64_t)len)] ^= 1;
	}
	disk_write(h->of, flipped ? flipped : bytes, len, at);
	free(flipped);
	return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct disk_handle *h = (struct disk_handle *)file;

	if (disk_dead(h))
		return SQLITE_IOERR_TRUNCATE;
	disk_image_resize(&h->of->view, size);
	(void)disk_op_add(h->of, DISK_OP_SIZE, size);
	return SQLITE_OK;
}

static int disk_sync_call(sqlite3_file *file, int flags)
{
	struct disk_handle *h = (struct disk_handle *)file;
	struct disk_file *f = h->of;

	(void)flags;
	if (disk_dead(h))
		return SQLITE_IOERR_FSYNC;
	if (sim.broken == SIM_BREAK_SYNC_LIES)
		return SQLITE_OK;
	if (disk_dies("a sync")) {
		if (sim_chance(300))
			disk_sync(f);
		return SQLITE_IOERR_FSYNC;
	}
	if (!sim.healed && sim.current && sim_chance(sim.plan.sync_eio)) {
		sim_trace("disk: the sync of %s fails%s", f->ending, sim.plan.gate ? " and what was written counts as clean" : "");
		for (size_t i = 0; i < f->op_count && sim.plan.gate; i++)
			if (f->ops[i].kind != DISK_OP_SECTOR || sim_chance(500))
				disk_op_apply(&f->durable, &f->ops[i], DISK_SECTOR);
		if (sim.plan.gate)
			f->op_count = 0;
		return SQLITE_IOERR_FSYNC;
	}
	disk_sync(f);
	return SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *out)
{
	struct disk_handle *h = (struct disk_handle *)file;

	*out = h->of->view.len;
	return disk_dead(h) ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int disk_lock(sqlite3_file *file, int level)
{
	(void)level;
	return disk_dead((struct disk_handle *)file) ? SQLITE_IOERR_LOCK : SQLITE_OK;
}

static int disk_unlock(sqlite3_file *file, int level)
{
	(void)file, (void)level;
	return SQLITE_OK;
}

static int disk_check_reserved(sqlite3_file *file, int *out)
{
	(void)file;
	*out = 0;
	return SQLITE_OK;
}

static int disk_control(sqlite3_file *file, int op, void *arg)
{
	(void)file, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int disk_sector_size(sqlite3_file *file)
{
	(void)file;
	return 4096; /* what SQLite's own layer says, whatever the disk has */
}

static int disk_character(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* the same */
}

static int disk_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	struct disk_handle *h = (struct disk_handle *)file;

	*out = NULL;
	if (region >= DISK_SHM_REGIONS || disk_dead(h))
		return SQLITE_IOERR_SHMMAP;
	if (!h->shm[region] && extend)
		h->shm[region] = mem_zalloc((size_t)size);
	*out = h->shm[region];
	return SQLITE_OK;
}

static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	(void)file, (void)offset, (void)n, (void)flags;
	return SQLITE_OK;
}

static void disk_shm_barrier(sqlite3_file *file)
{
	(void)file;
}

static int disk_shm_unmap(sqlite3_file *file, int remove)
{
	struct disk_handle *h = (struct disk_handle *)file;

	(void)remove;
	for (size_t i = 0; i < DISK_SHM_REGIONS; i++) {
		free(h->shm[i]);
		h->shm[i] = NULL;
	}
	return SQLITE_OK;
}

/* ---- the layer */

static struct disk_file *disk_find(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	for (size_t i = 0; slash && i < DISK_FILES; i++)
		if (span_eq(span_str(slash + 1), span_str(disk.files[i].ending)))
			return &disk.files[i];
	return NULL;
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	static const sqlite3_io_methods methods = {.iVersion = 2, .xClose = disk_close, .xRead = disk_read, .xWrite = disk_write_call,
		.xTruncate = disk_truncate, .xSync = disk_sync_call, .xFileSize = disk_size, .xLock = disk_lock, .xUnlock = disk_unlock,
		.xCheckReservedLock = disk_check_reserved, .xFileControl = disk_control, .xSectorSize = disk_sector_size,
		.xDeviceCharacteristics = disk_character, .xShmMap = disk_shm_map, .xShmLock = disk_shm_lock, .xShmBarrier = disk_shm_barrier,
		.xShmUnmap = disk_shm_unmap};
	struct disk_handle *h = (struct disk_handle *)file;
	struct disk_file *f = disk_find(name);

	(void)vfs;
	*h = (struct disk_handle){.of = f, .generation = disk.generation};
	if (!f || (!f->view.exists && !(flags & SQLITE_OPEN_CREATE) && f != &disk.files[0]))
		return SQLITE_CANTOPEN;
	f->view.exists = true;
	if (flags_out)
		*flags_out = flags;
	h->file.pMethods = &methods;
	return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	struct disk_file *f = disk_find(name);

	(void)vfs;
	if (!f || !f->view.exists)
		return SQLITE_IOERR_DELETE_NOENT;
	if (sim.current && sim.current->doomed)
		return SQLITE_IOERR_DELETE;
	f->view.exists = false;
	f->view.len = 0;
	(void)disk_op_add(f, DISK_OP_REMOVE, 0);
	if (sync_dir && sim.broken != SIM_BREAK_SYNC_LIES)
		disk_sync(f);
	return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	const struct disk_file *f = disk_find(name);

	(void)vfs, (void)flags;
	*out = f && f->view.exists && (flags != SQLITE_ACCESS_EXISTS || f->view.len > 0 || f == &disk.files[0]);
	return SQLITE_OK;
}

static int disk_full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int disk_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	for (int i = 0; i < len; i++)
		out[i] = (char)sim_rand();
	return len;
}

static int disk_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int disk_time(sqlite3_vfs *vfs, double *out)
{
	(void)vfs;
	*out = 2440587.5 + (double)clock_wall_ms() / 86400000.0;
	return SQLITE_OK;
}

static int disk_last_error(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs, (void)len, (void)out;
	return 0;
}

void sim_disk_register(void)
{
	static sqlite3_vfs vfs = {.iVersion = 1, .szOsFile = sizeof(struct disk_handle), .mxPathname = 512, .zName = "unix", .xOpen = disk_open,
		.xDelete = disk_delete, .xAccess = disk_access, .xFullPathname = disk_full_path, .xRandomness = disk_randomness, .xSleep = disk_sleep,
		.xCurrentTime = disk_time, .xGetLastError = disk_last_error};

	if (sqlite3_initialize() != SQLITE_OK || sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		abort();
}

void sim_disk_keep_base(void)
{
	for (size_t i = 0; i < DISK_FILES; i++) {
		disk_sync(&disk.files[i]);
		disk_image_copy(&disk.files[i].base, &disk.files[i].view);
	}
}

void sim_disk_begin(void)
{
	disk.full = false;
	sqlite3_randomness(0, NULL); /* seeded anew, by us */
	for (size_t i = 0; i < DISK_FILES; i++) {
		struct disk_file *f = &disk.files[i];

		f->op_count = 0;
		disk_image_copy(&f->view, &f->base);
		disk_image_copy(&f->durable, &f->base);
	}
}

void sim_disk_end(void)
{
	disk.generation++;
}
