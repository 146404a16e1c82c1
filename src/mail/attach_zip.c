/* Names in a zip (APPNOTE.TXT 6.3): from its directory, which is at the end whatever stands before it, and from the local headers, which
 * programs that read from the front go by. libarchive shows members too, but only those of one of the two, and puts no bound on their number. */
#include <string.h>

#include "mail/attach_internal.h"

enum {
	END_BYTES = 22,
	END_LOOK_BYTES = END_BYTES + 65535,
	END64_BYTES = 56,
	LOCATOR_BYTES = 20,
	ENTRY_BYTES = 46,
	EXTRA_UNICODE_PATH = 0x7075,
	FLAG_ENCRYPTED = 1,
	VERSION_MAX = 100,
	METHOD_MAX = 100,
	END_TRIES = 32,
	LOCALS_MAX = 2 * LIMIT_ATTACH_MEMBERS,
};

static uint32_t le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static void member_found(struct attach *a, struct span name, uint32_t flags)
{
	if (flags & FLAG_ENCRYPTED)
		a->facts.flags |= ATTACH_ENCRYPTED;
	if (!attach_member_add(a, name, 1) && a->facts.member_count >= LIMIT_ATTACH_MEMBERS)
		a->zip->over = true;
}

/* as member_found, for headers that are not in a directory: what looks like one over and over is not worth the work */
static void local_found(struct attach *a, struct span name, uint32_t flags)
{
	if (++a->zip->locals > LOCALS_MAX)
		a->zip->over = true;
	else if (name.len > 0)
		member_found(a, name, flags);
}

/* a local header at the start of s: its name, or nothing that is believed */
static struct span local_name(struct span s)
{
	size_t len = le16(s.ptr + 26);

	if (le16(s.ptr + 4) > VERSION_MAX || le16(s.ptr + 8) > METHOD_MAX || len == 0 || len > ZIP_NAME_BYTES)
		return SPAN_NONE;
	return span_head(span_from(s, ZIP_LOCAL_BYTES), len);
}

/* How many directory entries there may be, wherever a directory is: libarchive would read them all into memory before it shows one. */
static void count_entries(struct attach_zip *z, struct span bytes)
{
	static const uint8_t magic[] = {'P', 'K', 1, 2};

	for (size_t i = 0; i < bytes.len; i++) {
		z->magic = bytes.ptr[i] == magic[z->magic] ? z->magic + 1 : bytes.ptr[i] == 'P';
		if (z->magic == sizeof(magic)) {
			z->magic = 0;
			z->over |= ++z->entries > LIMIT_ATTACH_MEMBERS;
		}
	}
}

void attach_zip_scan(struct attach *a, struct span bytes)
{
	struct attach_zip *z = a->zip;

	count_entries(z, bytes);
	while (bytes.len > 0 && !z->over) {
		struct span part = span_head(bytes, sizeof(z->scan) - z->scan_len), seen;
		size_t at = 0;

		memcpy(z->scan + z->scan_len, part.ptr, part.len);
		z->scan_len += part.len;
		bytes = span_from(bytes, part.len);
		seen = span_of(z->scan, z->scan_len);
		for (;;) {
			at += span_find_span(span_from(seen, at), SPAN_LIT("PK\3\4"));
			if (at + ZIP_LOCAL_BYTES + ZIP_NAME_BYTES > seen.len)
				break;
			local_found(a, local_name(span_from(seen, at)), le16(seen.ptr + at + 6));
			at += 4;
		}
		if (at >= seen.len) /* what may be the beginning of a header stays */
			at = seen.len > 3 ? seen.len - 3 : 0;
		memmove(z->scan, z->scan + at, z->scan_len - at);
		z->scan_len -= at;
	}
}

/* headers so near to the end that attach_zip_scan waited for more */
static void scan_rest(struct attach *a)
{
	struct attach_zip *z = a->zip;
	struct span rest = span_of(z->scan, z->scan_len);

	for (;;) {
		rest = span_from(rest, span_find_span(rest, SPAN_LIT("PK\3\4")));
		if (rest.len <= ZIP_LOCAL_BYTES)
			return;
		local_found(a, local_name(rest), le16(rest.ptr + 6));
		rest = span_from(rest, 4);
	}
}

static size_t read_from(struct attach *a, uint64_t offset, uint8_t *to, size_t want)
{
	size_t have = 0, n;

	if (mime_reader_seek(&a->reader, offset) != offset)
		return 0;
	while (have < want && (n = mime_reader_read(&a->reader, to + have, want - have)) > 0)
		have += n;
	return have;
}

static bool entry_at(struct attach *a, uint64_t offset)
{
	uint8_t magic[4];

	return read_from(a, offset, magic, 4) == 4 && memcmp(magic, "PK\1\2", 4) == 0;
}

/* the directory that an end record at offset `end` speaks of; what stands before a zip shifts it */
static bool directory_take(struct attach *a, const uint8_t *record, uint64_t end)
{
	struct attach_zip *z = a->zip;
	uint64_t size = le32(record + 12), at = le32(record + 16);
	uint8_t locator[LOCATOR_BYTES], end64[END64_BYTES];

	if (end >= LOCATOR_BYTES && read_from(a, end - LOCATOR_BYTES, locator, sizeof(locator)) == sizeof(locator) &&
		memcmp(locator, "PK\6\7", 4) == 0 && read_from(a, le64(locator + 8), end64, sizeof(end64)) == sizeof(end64) &&
		memcmp(end64, "PK\6\6", 4) == 0) {
		end = le64(locator + 8);
		size = le64(end64 + 40);
		at = le64(end64 + 48);
	}
	if (size <= end && entry_at(a, end - size))
		at = end - size;
	else if (!entry_at(a, at))
		return false;
	z->at = at;
	z->end = end;
	return true;
}

void attach_zip_find(struct attach *a)
{
	struct attach_zip *z = a->zip;
	uint64_t bytes = a->facts.bytes_in, from = bytes > END_LOOK_BYTES ? bytes - END_LOOK_BYTES : 0;
	struct buf tail;
	size_t len = (size_t)(bytes - from);
	unsigned tries = 0;

	scan_rest(a);
	buf_init(&tail, END_LOOK_BYTES);
	if (!buf_reserve(&tail, len))
		return;
	tail.len = read_from(a, from, tail.ptr, len);
	for (size_t i = tail.len >= END_BYTES ? tail.len - END_BYTES + 1 : 0; i > 0 && !z->found && tries < END_TRIES; i--)
		if (memcmp(tail.ptr + i - 1, "PK\5\6", 4) == 0 && ++tries)
			z->found = directory_take(a, tail.ptr + i - 1, from + i - 1);
	buf_clear(&tail);
}

/* the name in another field of the entry, which some programs prefer (APPNOTE 4.6.9) */
static void extra_names(struct attach *a, struct span extra, uint32_t flags)
{
	while (extra.len >= 4) {
		size_t len = le16(extra.ptr + 2);
		struct span data = span_head(span_from(extra, 4), len);

		if (le16(extra.ptr) == EXTRA_UNICODE_PATH && data.len > 5)
			member_found(a, span_from(data, 5), flags);
		extra = span_from(extra, 4 + len);
	}
}

bool attach_zip_step(struct attach *a)
{
	struct attach_zip *z = a->zip;
	uint8_t entry[ENTRY_BYTES], *rest;
	uint32_t flags, name_len, extra_len;
	struct buf text;

	if (!z->found || z->over || z->at >= z->end)
		return false;
	if (read_from(a, z->at, entry, sizeof(entry)) != sizeof(entry) || memcmp(entry, "PK\1\2", 4) != 0) {
		a->facts.flags |= ATTACH_UNREADABLE;
		return false;
	}
	flags = le16(entry + 8);
	name_len = le16(entry + 28);
	extra_len = le16(entry + 30);
	buf_init(&text, 2 * 65536);
	rest = buf_reserve(&text, name_len + extra_len);
	if (rest)
		text.len = read_from(a, z->at + ENTRY_BYTES, rest, name_len + extra_len);
	member_found(a, span_head(buf_span(&text), name_len), flags);
	extra_names(a, span_from(buf_span(&text), name_len), flags);
	buf_clear(&text);
	attach_spend(a, ENTRY_BYTES + name_len + extra_len);
	z->at += ENTRY_BYTES + name_len + extra_len + le16(entry + 32);
	return true;
}
