/* Members of archives by libarchive, archives inside archives on a stack of levels. Each level has just the format that its first bytes
 * say, with one filter at most, so that nothing is guessed, no program is run and no stage unpacks unseen. What is unpacked is read here
 * in small pieces and counted; one call of libarchive may take PULL_BYTES of input at most. */
#include "mail/attach_internal.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <time.h>
#include <wchar.h>

#include "base/library.h"
#include "base/mem.h"
#include "mail/attach_library.h"

enum {
	CHUNK_BYTES = 64 << 10,
	PULL_BYTES = 32 << 20,
	HEADER_COST_BYTES = 512, /* of a step budget, for a member */
	RETRIES_MAX = 16,
};

enum level_source { FROM_READER, FROM_HELD, FROM_PARENT };
enum level_state { AT_NEXT, AT_HEAD, AT_HOLD, AT_SKIP };

struct attach_level {
	struct attach *attach;
	struct attach_level *parent;
	struct archive *archive;
	struct archive_entry *entry;
	struct mime_scan *message;    /* instead of archive */
	const struct attach_type *type;
	unsigned depth, retries;
	enum level_source source;
	struct buf held;              /* the archive, or how it begins (FROM_PARENT) */
	size_t held_at;
	uint8_t *chunk;               /* CHUNK_BYTES */
	bool parent_ended;
	bool counted;                 /* members are not packed: the level outside counted them */
	bool skips;                   /* a member's bytes can be passed over without unpacking */

	enum level_state state;
	struct attach_member *member; /* at hand */
	uint64_t member_bytes;        /* unpacked of it */
	struct buf data;              /* its first bytes; all, where it is an archive that is held */
	bool data_ended;
};

/* libarchive turns names into the charset of the locale: with UTF-8 by itself, with anything else by iconv, which opens files */
static locale_t utf8_locale;
static struct attach_library lib;
static bool prepared;

enum rc attach_prepare(struct err *err)
{
	static const struct library_call calls[] = {
#define ATTACH_LIBRARY_CALL(name) {#name, offsetof(struct attach_library, name)},
		ATTACH_LIBRARY_CALLS(ATTACH_LIBRARY_CALL)
#undef ATTACH_LIBRARY_CALL
	};
	mbstate_t state = {0};
	locale_t before;
	enum rc rc;

	if (prepared)
		return RC_OK;
	rc = library_load("libarchive.so.13", calls, sizeof(calls) / sizeof(calls[0]), &lib, err);
	if (rc != RC_OK)
		return rc;
	prepared = true;
	utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	before = uselocale(utf8_locale);
	(void)mbrtowc(NULL, "\xc3\xa9", 2, &state); /* loads the tables */
	(void)uselocale(before);
	/* times of members are turned by mktime, which looks at the zone's file each time as long as TZ is not set */
	(void)setenv("TZ", ":/etc/localtime", 0);
	tzset();
	return RC_OK;
}

/* --- input of a level --- */

/* member bytes of a level, counted; 0: end; <0: as libarchive says */
static ssize_t level_data(struct attach_level *l, uint8_t *to, size_t max)
{
	la_ssize_t n = lib.archive_read_data(l->archive, to, max);

	if (n > 0) {
		l->member_bytes += (uint64_t)n;
		if (l->member)
			l->member->bytes += (uint64_t)n;
		if (l->counted)
			attach_spend(l->attach, (uint64_t)n);
		else if (!attach_count_out(l->attach, (uint64_t)n))
			return ARCHIVE_FATAL;
	}
	return n;
}

/* the next input; empty at the end; *failed: there would be more */
static struct span level_input(struct attach_level *l, bool *failed)
{
	struct attach *a = l->attach;
	struct span got = SPAN_NONE;
	ssize_t n;

	*failed = false;
	if (l->source == FROM_READER) {
		got = mime_reader_next(&a->reader);
	} else if (l->held_at < l->held.len) {
		got = span_head(span_from(buf_span(&l->held), l->held_at), CHUNK_BYTES);
		l->held_at += got.len;
	} else if (l->source == FROM_PARENT && !l->parent_ended) {
		n = level_data(l->parent, l->chunk, CHUNK_BYTES);
		if (n < 0) {
			*failed = true;
			return got;
		}
		l->parent_ended = n == 0;
		got = span_of(l->chunk, (size_t)n);
	}
	if (got.len > a->pull) {
		a->facts.flags |= ATTACH_OVER;
		*failed = true;
		return SPAN_NONE;
	}
	a->pull -= got.len;
	attach_spend(a, got.len);
	return got;
}

static la_ssize_t on_read(struct archive *archive, void *arg, const void **out)
{
	struct attach_level *l = arg;
	bool failed;
	struct span got = level_input(l, &failed);

	*out = got.ptr;
	if (failed)
		lib.archive_set_error(archive, EIO, "input ends early");
	return failed ? ARCHIVE_FATAL : (la_ssize_t)got.len;
}

static la_int64_t on_seek(struct archive *archive, void *arg, la_int64_t offset, int whence)
{
	struct attach_level *l = arg;
	bool reader = l->source == FROM_READER;
	uint64_t size = reader ? l->attach->facts.bytes_in : l->held.len;
	uint64_t from = whence == SEEK_SET ? 0 : whence == SEEK_END ? size : reader ? l->attach->reader.out_at : l->held_at;
	int64_t at;

	(void)archive;
	if (__builtin_add_overflow((int64_t)from, offset, &at) || at < 0)
		return ARCHIVE_FATAL;
	if ((uint64_t)at > size)
		at = (int64_t)size;
	if (reader) { /* back: some decoding again; forward: all that is between */
		attach_spend(l->attach, (uint64_t)at < from ? CHUNK_BYTES : (uint64_t)at - from);
		return (la_int64_t)mime_reader_seek(&l->attach->reader, (uint64_t)at);
	}
	l->held_at = (size_t)at;
	return at;
}

/* --- opening and closing --- */

static const struct opening {
	const char *word;
	int (*const *format)(struct archive *);
	int filter; /* 0: none */
} openings[] = {
	{"rar", &lib.archive_read_support_format_rar, 0},
	{"rar5", &lib.archive_read_support_format_rar5, 0},
	{"7z", &lib.archive_read_support_format_7zip, 0},
	{"cab", &lib.archive_read_support_format_cab, 0},
	{"iso", &lib.archive_read_support_format_iso9660, 0},
	{"ar", &lib.archive_read_support_format_ar, 0},
	{"cpio", &lib.archive_read_support_format_cpio, 0},
	{"warc", &lib.archive_read_support_format_warc, 0},
	{"tar", &lib.archive_read_support_format_tar, 0},
	{"gz", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_GZIP},
	{"bz2", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_BZIP2},
	{"xz", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_XZ},
	{"lzma", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_LZMA},
	{"lz", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_LZIP},
	{"zst", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_ZSTD},
	{"lz4", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_LZ4},
	{"z", &lib.archive_read_support_format_raw, ARCHIVE_FILTER_COMPRESS},
};

static bool type_is(const struct attach_type *type, const char *word)
{
	return span_eq(span_str(type->word), span_str(word));
}

/* NULL: a zip under one of its names (docx, jar ...) */
static const struct opening *opening_of(const struct attach_type *type)
{
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++)
		if (type_is(type, openings[i].word))
			return &openings[i];
	return NULL;
}

/* read from front to end, not packed */
static bool type_is_stream(const struct attach_type *type)
{
	return type_is(type, "tar") || type_is(type, "cpio");
}

/* a tar in a compressed file is one with it */
static unsigned depth_inside(const struct attach_level *outer, const struct attach_type *type)
{
	const struct opening *o = opening_of(outer->type);

	return outer->depth + (o && o->filter && type_is_stream(type) ? 0 : 1);
}

/* memory that unpacking will ask for, as far as the first bytes say */
static uint64_t window_bytes(const struct attach_type *type, struct span head)
{
	size_t at = 14;

	if (type_is(type, "lzma") && head.len > 5)
		return head.ptr[1] | (uint64_t)head.ptr[2] << 8 | (uint64_t)head.ptr[3] << 16 | (uint64_t)head.ptr[4] << 24;
	if (type_is(type, "lz") && head.len > 5)
		return UINT64_C(1) << (head.ptr[5] & 31);
	if (!type_is(type, "xz") || head.len < 32)
		return 0;
	for (unsigned sizes = (head.ptr[13] >> 6 & 1u) + (head.ptr[13] >> 7); sizes > 0 && at < 24; at++) /* block header: optional sizes */
		sizes -= head.ptr[at] < 0x80;
	for (unsigned filters = (head.ptr[13] & 3u) + 1; filters > 0 && at + 2 < head.len; filters--, at += 2u + head.ptr[at + 1])
		if (head.ptr[at] == 0x21 && head.ptr[at + 2] <= 40)
			return (UINT64_C(2) | (head.ptr[at + 2] & 1u)) << (head.ptr[at + 2] / 2 + 11);
	return 0;
}

/* That filter and no other. Anything but OK: an outside program would do it. */
static bool filter_add(struct archive *archive, int filter)
{
	if (filter == ARCHIVE_FILTER_COMPRESS) /* it wants to read when it is appended; archive_filter_count tells whether it stays alone */
		return lib.archive_read_support_filter_compress(archive) == ARCHIVE_OK;
	return lib.archive_read_append_filter(archive, filter) == ARCHIVE_OK;
}

static bool level_setup(struct attach_level *l)
{
	const struct opening *o = opening_of(l->type);
	bool ok;

	if (type_is(l->type, "message")) {
		l->message = mime_scan_new(MIME_LF);
		return true;
	}
	l->archive = prepared ? lib.archive_read_new() : NULL;
	if (!l->archive)
		return false;
	if (o && o->filter) {
		ok = filter_add(l->archive, o->filter) && (*o->format)(l->archive) == ARCHIVE_OK;
	} else if (o) {
		ok = (*o->format)(l->archive) == ARCHIVE_OK;
	} else {
		ok = (l->source == FROM_PARENT || lib.archive_read_support_format_zip_seekable(l->archive) == ARCHIVE_OK) &&
			lib.archive_read_support_format_zip_streamable(l->archive) == ARCHIVE_OK;
		l->skips = l->source != FROM_PARENT;
	}
	if (l->source != FROM_PARENT)
		ok = ok && lib.archive_read_set_seek_callback(l->archive, on_seek) == ARCHIVE_OK;
	return ok && lib.archive_read_set_read_callback(l->archive, on_read) == ARCHIVE_OK &&
		lib.archive_read_set_callback_data(l->archive, l) == ARCHIVE_OK && lib.archive_read_open1(l->archive) == ARCHIVE_OK &&
		lib.archive_filter_count(l->archive) == (o && o->filter ? 2 : 1);
}

/* more entries in the directory of a held zip than are listed: libarchive would read them all into memory first */
static bool directory_is_long(struct span zip)
{
	unsigned entries = 0;

	for (;;) {
		zip = span_from(zip, span_find_span(zip, SPAN_LIT("PK\1\2")));
		if (zip.len == 0 || ++entries > LIMIT_ATTACH_MEMBERS)
			return entries > LIMIT_ATTACH_MEMBERS;
		zip = span_from(zip, 4);
	}
}

static void level_pop(struct attach *a)
{
	struct attach_level *l = a->level;

	a->level = l->parent;
	if (l->archive)
		(void)lib.archive_read_free(l->archive);
	mime_scan_free(&l->message);
	buf_clear(&l->held);
	buf_clear(&l->data);
	free(l->chunk);
	free(l);
}

/* `held` moves to the level */
static void level_push(struct attach *a, const struct attach_type *type, enum level_source source, struct buf *held, struct span head)
{
	struct attach_level *l = mem_zalloc(sizeof(*l));

	*l = (struct attach_level){.attach = a, .parent = a->level, .type = type, .source = source};
	l->depth = a->level ? depth_inside(a->level, type) : 1;
	l->counted = a->level && type_is_stream(type);
	l->chunk = mem_alloc(CHUNK_BYTES);
	buf_init(&l->held, LIMIT_ATTACH_HELD_BYTES);
	buf_init(&l->data, LIMIT_ATTACH_HELD_BYTES);
	if (held) {
		l->held = *held;
		buf_init(held, LIMIT_ATTACH_HELD_BYTES);
		head = buf_span(&l->held);
	}
	a->level = l;
	a->pull = PULL_BYTES;
	if (window_bytes(type, head) > LIMIT_ATTACH_WINDOW_BYTES || (!opening_of(type) && directory_is_long(buf_span(&l->held)))) {
		a->facts.flags |= ATTACH_OVER;
		level_pop(a);
	} else if (!level_setup(l)) {
		a->facts.flags |= ATTACH_UNREADABLE;
		level_pop(a);
	}
}

static locale_t locale_enter(void)
{
	return uselocale(utf8_locale);
}

void attach_archive_open(struct attach *a)
{
	static const struct attach_type message = {"message/rfc822", "message", ATTACH_IS_ARCHIVE};
	bool archive = a->facts.type->flags & ATTACH_IS_ARCHIVE;
	locale_t before = locale_enter();
	uint8_t head[64];
	size_t len = mime_reader_read(&a->reader, head, sizeof(head));

	if (!utf8_locale) {
		a->facts.flags |= ATTACH_UNREADABLE;
		return;
	}
	(void)mime_reader_seek(&a->reader, 0);
	level_push(a, archive ? a->facts.type : &message, FROM_READER, NULL, span_of(head, len));
	(void)uselocale(before);
}

void attach_archive_close(struct attach *a)
{
	while (a->level)
		level_pop(a);
}

/* --- members --- */

/* a compressed file has one member: its name without the ending, or with another one */
static void member_of_compressed(struct attach_level *l, struct span name)
{
	static const struct {
		const char *ending, *instead;
	} endings[] = {{".gz", ""}, {".bz2", ""}, {".xz", ""}, {".lzma", ""}, {".lz", ""}, {".zst", ""}, {".lz4", ""}, {".z", ""}, {".tgz", ".tar"},
		{".tbz", ".tar"}, {".tbz2", ".tar"}, {".txz", ".tar"}, {".tzst", ".tar"}, {".svgz", ".svg"}};
	struct attach_member *m = NULL;
	struct buf text;

	buf_init(&text, name.len + 8);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]) && !m; i++) {
		struct span ending = span_str(endings[i].ending);

		if (name.len <= ending.len || !span_eq_nocase(span_from(name, name.len - ending.len), ending))
			continue;
		buf_add(&text, span_head(name, name.len - ending.len));
		buf_add_str(&text, endings[i].instead);
		m = attach_member_add(l->attach, buf_span(&text), l->depth);
	}
	if (m)
		l->member = m;
	buf_clear(&text);
}

static void member_begin(struct attach_level *l)
{
	const struct opening *o = opening_of(l->type);
	const char *text = lib.archive_entry_pathname_utf8(l->entry), *plain = lib.archive_entry_pathname(l->entry);
	struct attach *a = l->attach;
	bool raw = lib.archive_format(l->archive) == ARCHIVE_FORMAT_RAW;

	if (!text && !plain)
		a->facts.flags |= ATTACH_UNREADABLE;
	if (!raw || (plain && !span_eq(span_str(plain), SPAN_LIT("data"))))
		l->member = attach_member_add(a, span_str(text ? text : plain), l->depth);
	if (raw && o && o->filter && l->depth == 1) {
		for (const struct mime_name *n = a->part->names; n; n = n->next)
			member_of_compressed(l, n->key);
	} else if (raw && l->parent && l->parent->member) {
		member_of_compressed(l, l->parent->member->key);
	}
	if (raw && !l->member)
		l->member = attach_member_add(a, SPAN_LIT("data"), l->depth);
	attach_spend(a, HEADER_COST_BYTES);
}

static bool level_is_encrypted(struct attach_level *l)
{
	return (l->entry && lib.archive_entry_is_encrypted(l->entry)) || lib.archive_read_has_encrypted_entries(l->archive) > 0;
}

/* libarchive gave up on this level */
static void level_failed(struct attach_level *l)
{
	l->attach->facts.flags |= level_is_encrypted(l) ? ATTACH_ENCRYPTED : ATTACH_UNREADABLE;
	level_pop(l->attach);
}

static void level_next(struct attach_level *l)
{
	struct attach *a = l->attach;
	int r = lib.archive_read_next_header(l->archive, &l->entry);

	l->member = NULL;
	if (r == ARCHIVE_EOF) {
		l->entry = NULL;
		if (level_is_encrypted(l))
			a->facts.flags |= ATTACH_ENCRYPTED;
		level_pop(a);
		return;
	}
	if (r == ARCHIVE_RETRY && l->retries++ < RETRIES_MAX)
		return;
	if (r < ARCHIVE_WARN) {
		l->entry = NULL;
		level_failed(l);
		return;
	}
	member_begin(l);
	if (lib.archive_entry_is_encrypted(l->entry))
		a->facts.flags |= ATTACH_ENCRYPTED;
	else if (lib.archive_entry_filetype(l->entry) == AE_IFREG || lib.archive_entry_filetype(l->entry) == 0)
		l->state = AT_HEAD;
	buf_reset(&l->data);
	l->data_ended = false;
	l->member_bytes = 0;
}

/* more of the member into data, up to `want` in all; false: the level is gone */
static bool data_read(struct attach_level *l, size_t want)
{
	size_t room = want - l->data.len;
	uint8_t *to = buf_reserve(&l->data, room < CHUNK_BYTES ? room : CHUNK_BYTES);
	ssize_t n = to ? level_data(l, to, room < CHUNK_BYTES ? room : CHUNK_BYTES) : 0;

	if (n > 0)
		l->data.len += (size_t)n;
	else if (n == ARCHIVE_FATAL)
		return false;
	else if (n < 0)
		l->attach->facts.flags |= level_is_encrypted(l) ? ATTACH_ENCRYPTED : ATTACH_UNREADABLE;
	l->data_ended = n <= 0;
	return true;
}

/* an archive in the archive is at hand: as much of it as there is (or may be held) is in data */
static void level_descend(struct attach_level *l, const struct attach_type *type)
{
	enum level_source source = l->data_ended ? FROM_HELD : FROM_PARENT;

	l->state = l->data_ended ? AT_NEXT : AT_SKIP;
	level_push(l->attach, type, source, &l->data, SPAN_NONE);
}

static void member_typed(struct attach_level *l)
{
	const struct attach_type *type = attach_type_of(buf_span(&l->data));
	struct attach *a = l->attach;

	if (l->member)
		l->member->type = type;
	l->state = AT_SKIP;
	if (type->flags & ATTACH_IS_SEALED)
		a->facts.flags |= ATTACH_UNREADABLE;
	if ((type->flags & ATTACH_IS_ARCHIVE) && depth_inside(l, type) > LIMIT_ATTACH_DEPTH)
		a->facts.flags |= ATTACH_OVER;
	else if (type_is_stream(type))
		level_descend(l, type);
	else if (type->flags & ATTACH_IS_ARCHIVE)
		l->state = AT_HOLD;
}

/* what is left of a member; where it need not be unpacked, its size as told counts against the limits all the same */
static bool member_skipped(struct attach_level *l)
{
	uint64_t size = lib.archive_entry_size_is_set(l->entry) ? (uint64_t)lib.archive_entry_size(l->entry) : 0, seen = l->member_bytes;

	if (!l->data_ended && !l->skips)
		return false;
	l->state = AT_NEXT;
	if (!l->data_ended && size > seen && size <= INT64_MAX && !attach_count_out(l->attach, size - seen))
		attach_archive_close(l->attach);
	return true;
}

static void level_step(struct attach_level *l)
{
	struct attach *a = l->attach;

	if (l->state == AT_NEXT) {
		level_next(l);
		return;
	}
	if (l->state == AT_SKIP && member_skipped(l))
		return;
	if (l->state == AT_SKIP)
		buf_reset(&l->data);
	if (!data_read(l, l->state == AT_HEAD ? ATTACH_HEAD_BYTES : LIMIT_ATTACH_HELD_BYTES)) {
		if (l->state == AT_HEAD)
			member_typed(l);
		if (a->facts.flags & ATTACH_OVER)
			attach_archive_close(a);
		else
			level_failed(l);
		return;
	}
	if (l->state == AT_HEAD && (l->data_ended || l->data.len == ATTACH_HEAD_BYTES))
		member_typed(l);
	if (l->state == AT_HOLD && (l->data_ended || l->data.len == LIMIT_ATTACH_HELD_BYTES))
		level_descend(l, attach_type_of(span_head(buf_span(&l->data), ATTACH_HEAD_BYTES)));
}

/* a message in place of an archive: its parts are members, by name and by type as they say */
static void message_step(struct attach_level *l)
{
	struct attach *a = l->attach;
	bool failed;
	struct span got = level_input(l, &failed);
	const struct mime *mime;

	if (got.len > 0) {
		mime_scan_feed(l->message, got);
		return;
	}
	mime = mime_scan_end(l->message);
	if (failed || (mime->flags & MIME_OVER))
		a->facts.flags |= failed ? ATTACH_UNREADABLE : ATTACH_OVER;
	for (const struct mime_part *p = mime->parts; p; p = p->next) {
		for (const struct mime_name *n = p->names; n; n = n->next)
			(void)attach_member_add(a, n->text, l->depth);
		if (p->name_count > 0 && !mime_part_is(p, "text", NULL)) /* names are known, bytes are not */
			a->facts.flags |= ATTACH_UNREADABLE;
	}
	level_pop(a);
}

bool attach_archive_step(struct attach *a)
{
	locale_t before;

	if (!a->level)
		return false;
	if (a->facts.member_count >= LIMIT_ATTACH_MEMBERS) {
		a->facts.flags |= ATTACH_OVER;
		return false;
	}
	before = locale_enter();
	a->pull = PULL_BYTES;
	if (a->level->message)
		message_step(a->level);
	else
		level_step(a->level);
	(void)uselocale(before);
	return a->level != NULL;
}
