#include "test_mail.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "mail/attach.h"
#include "test_attach_bytes.h"

#define S(s) {(const uint8_t *)("" s), sizeof(s) - 1}

/* --- types --- */

static const struct {
	struct span head;
	const char *word;
} types[] = {
	{S(""), "text"},
	{S("hello\r\n"), "text"},
	{S("caf\xc3\xa9"), "text"},
	{S("\xff\xfeh\0i\0"), "text"},
	{S("\0\1\2"), "octets"},
	{S("a\0b"), "octets"},
	{S("PK\3\4rest"), "zip"},
	{S("PK\5\6"), "zip"},
	{S("Rar!\x1a\7\0"), "rar"},
	{S("Rar!\x1a\7\1\0"), "rar5"},
	{S("7z\xbc\xaf\x27\x1c"), "7z"},
	{S("\x1f\x8b\x08"), "gz"},
	{S("BZh91AY&SY"), "bz2"},
	{S("BZhello there"), "text"},
	{S("\xfd" "7zXZ\0\0"), "xz"},
	{S("\x28\xb5\x2f\xfd"), "zst"},
	{S("\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0"), "lzma"},
	{S("\x5d\0\0\0\0\1\2\3\4\5\6\7\10\0"), "octets"},
	{S("MSCF\0\0\0\0"), "cab"},
	{S("--lh5- \0"), "octets"},
	{S("\x21\x00-lh5-\0\0"), "lha"}, /* sealed */
	{S("!<arch>\n"), "ar"},
	{S("070701"), "cpio"},
	{S("xar!\0"), "xar"},
	{S("\x60\xea\x20\0\0\0\0\0\0\0\0"), "arj"},
	{S("1234567**ACE**"), "ace"},
	{S("\x78\x9f\x3e\x22"), "tnef"},
	{S("%PDF-1.4"), "pdf"},
	{S("\n\n%PDF-1.4"), "pdf"},
	{S("{\\rtf1"), "rtf"},
	{S("{\\rt"), "rtf"},
	{S("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "ole2"},
	{S("MZ\x90\0"), "exe"},
	{S("MZ"), "exe"},
	{S("\x7f" "ELF\2"), "elf"},
	{S("\xcf\xfa\xed\xfe"), "macho"},
	{S("\xca\xfe\xba\xbe\0\0\0\2"), "macho"},
	{S("\xca\xfe\xba\xbe\0\0\0\x34"), "class"},
	{S("#!/bin/sh\n"), "script"},
	{S("L\0\0\0\1\x14\2\0"), "lnk"},
	{S("[InternetShortcut]\r\nURL=x"), "url"},
	{S("<!DOCTYPE HTML>"), "html"},
	{S("\xef\xbb\xbf \r\n<html>"), "html"},
	{S("<script>x</script>"), "html"},
	{S("<?xml version=\"1.0\"?><svg>"), "svg"},
	{S("<?xml version=\"1.0\"?><a>"), "xml"},
	{S("\xff\xd8\xff\xe0"), "jpeg"},
	{S("\x89PNG\r\n\x1a\n"), "png"},
	{S("GIF89a"), "gif"},
	{S("\0\0\0\x18" "ftypmp42"), "mp4"},
	{S("RIFF....WEBP"), "webp"},
	{S("Received: from x\r\n"), "message"},
	{S("From: x\nTo: y\n"), "message"},
	{S("Note: this is a text\n"), "text"},
};

static void test_types(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct attach_type *type = attach_type_of(types[i].head);

		test_span_eq(span_str(type->word), span_str(types[i].word), types[i].word);
		assert_true(strchr(type->mime, '/') != NULL);
	}
	assert_true(attach_type_of(SPAN_LIT("MZ"))->flags & ATTACH_IS_EXECUTABLE);
	assert_true(attach_type_of(SPAN_LIT("xar!"))->flags & ATTACH_IS_SEALED);
	assert_false(attach_type_of(SPAN_LIT("%PDF-"))->flags);
}

/* --- archives, made by libarchive --- */

struct file {
	const char *name;
	struct span text;
};

typedef int (*format_fn)(struct archive *);

static void write_archive(struct buf *out, format_fn format, format_fn filter, const char *options, const struct file *files, size_t count)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL), before = uselocale(utf8);
	struct archive *a = archive_write_new();
	size_t used = 0, room = 1 << 20;
	uint8_t *bytes;

	for (size_t i = 0; i < count; i++)
		room += files[i].text.len;
	buf_init(out, room);
	bytes = buf_reserve(out, room);
	assert_non_null(bytes);
	assert_int_equal(format(a), ARCHIVE_OK);
	if (filter)
		assert_int_equal(filter(a), ARCHIVE_OK);
	if (options)
		assert_int_equal(archive_write_set_options(a, options), ARCHIVE_OK);
	(void)archive_write_set_passphrase(a, "secret");
	(void)archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open_memory(a, bytes, room, &used), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, files[i].name);
		archive_entry_set_size(e, (la_int64_t)files[i].text.len);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0644);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, files[i].text.ptr, files[i].text.len), files[i].text.len);
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
	(void)uselocale(before);
	freelocale(utf8);
	out->len = used;
}

/* flags, then "depth:type:name|" for each member */
static void describe(struct buf *out, const struct attach *a)
{
	const struct attach_facts *f = attach_facts(a);

	buf_printf(out, "%s %x ", f->type->word, f->flags);
	for (const struct attach_member *m = f->members; m; m = m->next) {
		buf_printf(out, "%u:%s:", m->depth, m->type ? m->type->word : "-");
		buf_add(out, m->name);
		buf_add_byte(out, '|');
	}
}

static struct attach *look(const struct mime_source *source, const struct mime_part *part, uint64_t step, struct buf *out)
{
	struct attach *a = attach_new(source, part, ATTACH_INSIDE);

	while (attach_run(a, step))
		;
	buf_init(out, 4 << 20);
	describe(out, a);
	return a;
}

/* the same in one go and in the smallest steps */
static void check_inside(struct span bytes, const struct mime_name *names, const char *want)
{
	struct mime_source source = mime_source_memory(&bytes);
	struct mime_part part = {.body_end = bytes.len, .names = names};
	struct buf whole, steps;
	struct attach *a = look(&source, &part, UINT64_MAX, &whole), *b = look(&source, &part, 1, &steps);

	test_span_eq(buf_span(&whole), span_str(want), "inside");
	test_span_eq(buf_span(&steps), buf_span(&whole), "in steps");
	assert_int_equal(attach_facts(a)->bytes_in, bytes.len);
	assert_int_equal(attach_facts(a)->bytes_out, attach_facts(b)->bytes_out);
	buf_clear(&whole);
	buf_clear(&steps);
	attach_free(&a);
	attach_free(&b);
	attach_free(&a);
}

static const struct file files[] = {{"a.txt", S("hello")}, {"dir/evil.exe", S("MZ hello")}, {"caf\xc3\xa9.pdf", S("%PDF-1.4")}};

static const struct {
	format_fn format, filter;
	const char *want;
} formats[] = {
	{archive_write_set_format_zip, NULL, "zip 0 1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_7zip, NULL, "7z 0 1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, NULL, "tar 0 1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_v7tar, NULL, "tar 0 1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_gnutar, archive_write_add_filter_gzip, "gz 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_bzip2, "bz2 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_xz, "xz 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_lzma, "lzma 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_lzip, "lz 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_zstd, "zst 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_lz4, "lz4 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_pax, archive_write_add_filter_compress, "z 0 1:tar:data|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_cpio_newc, NULL, "cpio 0 1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
	{archive_write_set_format_iso9660, NULL, "iso 0 1:-:.|1:-:dir|1:text:a.txt|1:exe:dir/evil.exe|1:pdf:caf\xc3\xa9.pdf|"},
};

static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct buf bytes;

		write_archive(&bytes, formats[i].format, formats[i].filter, NULL, files, 3);
		check_inside(buf_span(&bytes), NULL, formats[i].want);
		buf_clear(&bytes);
	}
}

static void test_other_formats(void **state)
{
	(void)state;
	check_inside(SPAN_LIT(BYTES_RAR4), NULL, "rar 0 1:exe:evil.exe|");
	check_inside(SPAN_LIT(BYTES_RAR5), NULL, "rar5 0 1:exe:evil.exe|");
	check_inside(SPAN_LIT(BYTES_CAB), NULL, "cab 0 1:exe:evil.exe|");
	check_inside(SPAN_LIT(BYTES_LHA), NULL, "lha 2 ");
	check_inside(SPAN_LIT("xar! and more"), NULL, "xar 2 ");
	check_inside(SPAN_LIT("plain text"), NULL, "text 0 ");
	check_inside(SPAN_LIT("%PDF-1.4"), NULL, "pdf 0 ");
	check_inside(SPAN_LIT(""), NULL, "text 0 ");
}

static void test_encrypted(void **state)
{
	struct buf bytes;

	(void)state;
	write_archive(&bytes, archive_write_set_format_zip, NULL, "encryption=zipcrypt", files, 2);
	check_inside(buf_span(&bytes), NULL, "zip 1 1:-:a.txt|1:-:dir/evil.exe|");
	buf_clear(&bytes);
	check_inside(SPAN_LIT(BYTES_RAR4_ENCRYPTED), NULL, "rar 1 1:-:evil.exe|");
	check_inside(SPAN_LIT(BYTES_SEVENZIP_ENCRYPTED), NULL, "7z 1 1:-:evil.exe|");
	check_inside(SPAN_LIT(BYTES_SEVENZIP_SEALED), NULL, "7z 1 ");
}

/* a compressed file is named by its part, or by what it says itself */
static void test_compressed(void **state)
{
	static const struct mime_name second = {.text = S("y.txt"), .key = S("y.txt")},
				      first = {.next = &second, .text = S("X.EXE.GZ"), .key = S("x.exe.gz")};
	static const struct file one[] = {{"ignored", S("MZ hello")}};
	static const uint8_t nothing[4096];
	const struct file zeros[] = {{"ignored", {nothing, sizeof(nothing)}}};
	struct buf bytes, again;
	struct file outer;

	(void)state;
	write_archive(&bytes, archive_write_set_format_raw, archive_write_add_filter_gzip, NULL, one, 1);
	check_inside(buf_span(&bytes), &first, "gz 0 1:exe:x.exe|");
	check_inside(buf_span(&bytes), NULL, "gz 0 1:exe:data|");
	outer = (struct file){"in.dll.gz", buf_span(&bytes)};
	write_archive(&again, archive_write_set_format_raw, archive_write_add_filter_gzip, NULL, zeros, 1);
	check_inside(buf_span(&again), &first, "gz 0 1:octets:x.exe|"); /* for libarchive an empty tar */
	buf_clear(&again);
	write_archive(&again, archive_write_set_format_pax, NULL, NULL, &outer, 1);
	check_inside(buf_span(&again), NULL, "tar 8 1:gz:in.dll.gz|2:exe:in.dll|");
	buf_clear(&again);
	buf_clear(&bytes);
}

static void test_office(void **state)
{
	static const struct file docx[] = {{"[Content_Types].xml", S("<x/>")}, {"word/document.xml", S("<x/>")}};
	static const struct file jar[] = {{"META-INF/MANIFEST.MF", S("x: y")}, {"A.class", S("\xca\xfe\xba\xbe\0\0\0\x34")}};
	struct mime_source source;
	struct mime_part part = {0};
	struct buf bytes, out;
	struct span text;
	struct attach *a;

	(void)state;
	write_archive(&bytes, archive_write_set_format_zip, NULL, NULL, docx, 2);
	check_inside(buf_span(&bytes), NULL, "docx 0 1:text:[Content_Types].xml|1:text:word/document.xml|");
	text = buf_span(&bytes);
	source = mime_source_memory(&text);
	part.body_end = text.len;
	a = look(&source, &part, 1000, &out);
	assert_string_equal(attach_facts(a)->container->word, "zip");
	attach_free(&a);
	buf_clear(&out);
	buf_clear(&bytes);
	write_archive(&bytes, archive_write_set_format_zip, NULL, NULL, jar, 2);
	check_inside(buf_span(&bytes), NULL, "jar 0 1:text:META-INF/MANIFEST.MF|1:class:A.class|");
	buf_clear(&bytes);
}

/* three levels are looked into, the fourth is over */
static void test_nested(void **state)
{
	static const char *const want[] = {
		"zip 8 1:zip:in.zip|2:exe:evil.exe|",
		"zip 8 1:zip:in.zip|2:zip:in.zip|3:exe:evil.exe|",
		"zip c 1:zip:in.zip|2:zip:in.zip|3:zip:in.zip|",
	};
	static const format_fn around[] = {archive_write_set_format_zip, archive_write_set_format_7zip, archive_write_set_format_pax};
	static const struct file inner[] = {{"evil.exe", S("MZ hello")}};
	struct buf bytes, outer;
	struct file next;

	(void)state;
	write_archive(&bytes, archive_write_set_format_zip, NULL, NULL, inner, 1);
	for (size_t i = 0; i < 3; i++) {
		next = (struct file){"in.zip", buf_span(&bytes)};
		write_archive(&outer, archive_write_set_format_zip, archive_write_add_filter_none, NULL, &next, 1);
		check_inside(buf_span(&outer), NULL, want[i]);
		buf_clear(&bytes);
		bytes = outer;
	}
	buf_clear(&bytes);
	for (size_t i = 0; i < 3; i++) { /* any in any */
		write_archive(&bytes, around[i], NULL, NULL, inner, 1);
		for (size_t k = 1; k < 3; k++) {
			struct buf got;
			struct mime_source source;
			struct mime_part part = {0};
			struct span text;
			struct attach *a;

			next = (struct file){"in", buf_span(&bytes)};
			write_archive(&outer, around[k], NULL, NULL, &next, 1);
			text = buf_span(&outer);
			source = mime_source_memory(&text);
			part.body_end = text.len;
			a = look(&source, &part, 1, &got);
			assert_int_equal(attach_facts(a)->flags, ATTACH_NESTED);
			assert_true(span_find_span(buf_span(&got), SPAN_LIT("2:exe:evil.exe|")) < got.len);
			attach_free(&a);
			buf_clear(&got);
			buf_clear(&outer);
		}
		buf_clear(&bytes);
	}
}

/* An inner archive that is too large to be held is read as it comes. */
static void test_nested_large(void **state)
{
	struct file inner[2] = {{"noise", SPAN_NONE}, {"evil.exe", S("MZ hello")}}, outer[2] = {{"in.zip", SPAN_NONE}, {"after.txt", S("x")}};
	struct buf noise, bytes, zip;
	uint32_t random = 1;

	(void)state;
	buf_init(&noise, 32 << 20);
	while (noise.len < LIMIT_ATTACH_HELD_BYTES + 100000)
		buf_add_le32(&noise, random = random * 1664525 + 1013904223);
	inner[0].text = buf_span(&noise);
	write_archive(&zip, archive_write_set_format_zip, NULL, "compression=store", inner, 2);
	outer[0].text = buf_span(&zip);
	write_archive(&bytes, archive_write_set_format_pax, NULL, NULL, outer, 2);
	buf_clear(&noise);
	buf_clear(&zip);
	/* the local headers go by at depth 1 too: a stored zip in a tar looks like that */
	check_inside(buf_span(&bytes), NULL, "tar 8 1:-:noise|1:-:evil.exe|1:zip:in.zip|2:octets:noise|2:exe:evil.exe|1:text:after.txt|");
	buf_clear(&bytes);
}

/* --- zip directories --- */

static void test_zip_names(void **state)
{
	static const struct file two[] = {{"good1.txt", S("x")}, {"good2.txt", S("y")}};
	struct buf bytes, longer;
	struct span text;
	size_t at;

	(void)state;
	/* the directory says another name than the local header */
	write_archive(&bytes, archive_write_set_format_zip, NULL, NULL, two, 2);
	text = buf_span(&bytes);
	at = span_find_span(text, SPAN_LIT("good1.txt"));
	memcpy(bytes.ptr + at, "evil1.exe", 9);
	check_inside(text, NULL, "zip 0 1:text:evil1.exe|1:text:good2.txt|1:-:good1.txt|");
	/* something before it */
	buf_init(&longer, 64 << 20);
	buf_add_str(&longer, "\xff\xd8\xff a picture, and a zip behind it\n");
	buf_add(&longer, text);
	check_inside(buf_span(&longer), NULL, "jpeg 0 1:-:evil1.exe|1:-:good2.txt|1:-:good1.txt|");
	/* a comment behind it */
	buf_reset(&longer);
	buf_add(&longer, text);
	longer.ptr[longer.len - 2] = 10;
	buf_add_str(&longer, "0123456789");
	check_inside(buf_span(&longer), NULL, "zip 0 1:text:evil1.exe|1:text:good2.txt|1:-:good1.txt|");
	/* cut short: what the front says */
	check_inside(span_head(text, text.len - 60), NULL, "zip 2 1:text:evil1.exe|1:text:good2.txt|");
	buf_clear(&longer);
	buf_clear(&bytes);
}

/* --- damage and bombs --- */

static void test_damaged(void **state)
{
	static const format_fn cut[] = {archive_write_set_format_zip, archive_write_set_format_7zip, archive_write_set_format_pax,
		archive_write_set_format_cpio_newc};

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct buf bytes;

		write_archive(&bytes, cut[i], NULL, NULL, files, 3);
		for (size_t at = 4; at < bytes.len; at += at < 200 ? 7 : bytes.len / 23) { /* each cut ends, and does no harm */
			struct buf got;
			struct span text = span_head(buf_span(&bytes), at);
			struct mime_source source = mime_source_memory(&text);
			struct mime_part part = {.body_end = at};
			struct attach *a = look(&source, &part, 1, &got);

			assert_true(attach_facts(a)->member_count <= 3);
			if (i < 2)
				assert_true(attach_facts(a)->flags & ATTACH_UNREADABLE || !(attach_facts(a)->type->flags & ATTACH_IS_ARCHIVE));
			attach_free(&a);
			buf_clear(&got);
		}
		buf_clear(&bytes);
	}
}

/* zeros, packed */
static void write_bomb(struct buf *out, format_fn format, format_fn filter, size_t megabytes)
{
	static uint8_t zeros[1 << 20];
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	size_t used = 0, room = 4 << 20;
	uint8_t *to;

	buf_init(out, room);
	to = buf_reserve(out, room);
	assert_int_equal(format(a), ARCHIVE_OK);
	if (filter)
		assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, to, room, &used), ARCHIVE_OK);
	archive_entry_set_pathname(e, "zeros");
	archive_entry_set_size(e, (la_int64_t)megabytes << 20);
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	for (size_t i = 0; i < megabytes; i++)
		assert_int_equal(archive_write_data(a, zeros, sizeof(zeros)), sizeof(zeros));
	archive_entry_free(e);
	(void)archive_write_free(a);
	out->len = used;
}

static void check_bomb(struct span bytes, const char *what)
{
	struct mime_source source = mime_source_memory(&bytes);
	struct mime_part part = {.body_end = bytes.len};
	struct attach *a = attach_new(&source, &part, ATTACH_INSIDE);
	const struct attach_facts *f = attach_facts(a);
	uint64_t steps = 0;

	while (attach_run(a, 1 << 16))
		steps++;
	if (!(f->flags & ATTACH_OVER))
		fail_msg("%s: flags %x", what, f->flags);
	/* the limit was kept within one piece, and the work was spread */
	assert_true(f->bytes_out <= (f->bytes_in * LIMIT_ATTACH_RATIO > LIMIT_ATTACH_RATIO_FREE_BYTES ? f->bytes_in * LIMIT_ATTACH_RATIO :
												  LIMIT_ATTACH_RATIO_FREE_BYTES) + (64u << 20));
	assert_true(steps >= f->bytes_in >> 16);
	attach_free(&a);
}

static void test_bombs(void **state)
{
	struct buf bytes, outer;
	struct file next;

	(void)state;
	write_bomb(&bytes, archive_write_set_format_zip, NULL, 64);
	check_bomb(buf_span(&bytes), "zip");
	next = (struct file){"in.zip", buf_span(&bytes)};
	write_archive(&outer, archive_write_set_format_zip, NULL, NULL, &next, 1);
	check_bomb(buf_span(&outer), "zip in zip");
	buf_clear(&outer);
	write_archive(&outer, archive_write_set_format_pax, archive_write_add_filter_gzip, NULL, &next, 1);
	check_bomb(buf_span(&outer), "zip in tar.gz");
	buf_clear(&outer);
	buf_clear(&bytes);
	write_bomb(&bytes, archive_write_set_format_pax, archive_write_add_filter_gzip, 64);
	check_bomb(buf_span(&bytes), "tar.gz");
	next = (struct file){"in.tgz", buf_span(&bytes)};
	write_archive(&outer, archive_write_set_format_raw, archive_write_add_filter_gzip, NULL, &next, 1);
	check_bomb(buf_span(&outer), "gz in gz");
	buf_clear(&outer);
	buf_clear(&bytes);
	write_bomb(&bytes, archive_write_set_format_pax, archive_write_add_filter_xz, 64);
	check_bomb(buf_span(&bytes), "tar.xz");
	buf_clear(&bytes);
	write_bomb(&bytes, archive_write_set_format_7zip, NULL, 64);
	check_bomb(buf_span(&bytes), "7z");
	buf_clear(&bytes);
}

static void test_many_members(void **state)
{
	struct archive *w = archive_write_new();
	size_t used = 0, room = 32 << 20;
	struct mime_source source;
	struct mime_part part = {0};
	struct buf bytes;
	struct span text;
	struct attach *a;
	uint8_t *to;

	(void)state;
	buf_init(&bytes, room);
	to = buf_reserve(&bytes, room);
	assert_int_equal(archive_write_set_format_zip(w), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(w, to, room, &used), ARCHIVE_OK);
	for (unsigned i = 0; i < LIMIT_ATTACH_MEMBERS + 100; i++) {
		struct archive_entry *e = archive_entry_new();
		struct buf name;

		buf_init(&name, 20);
		buf_add_u64(&name, i);
		archive_entry_set_pathname(e, buf_cstr(&name));
		archive_entry_set_size(e, 0);
		archive_entry_set_filetype(e, AE_IFREG);
		assert_int_equal(archive_write_header(w, e), ARCHIVE_OK);
		archive_entry_free(e);
		buf_clear(&name);
	}
	(void)archive_write_free(w);
	text = span_of(to, used);
	source = mime_source_memory(&text);
	part.body_end = text.len;
	a = attach_new(&source, &part, ATTACH_INSIDE);
	while (attach_run(a, ATTACH_STEP_BYTES))
		;
	assert_int_equal(attach_facts(a)->member_count, LIMIT_ATTACH_MEMBERS);
	assert_int_equal(attach_facts(a)->flags, ATTACH_OVER);
	attach_free(&a);
	buf_clear(&bytes);
}

/* a dictionary of 1.5 GiB is not given */
static void test_windows(void **state)
{
	static const char xz[] = "\xfd" "7zXZ\0\0\4\xe6\xd6\xb4\x46\2\0\x21\1\x25\0\0\0\x00\x00\x00\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char lzma[] = "\x5d\0\0\0\x60\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0";

	(void)state;
	check_inside(span_of(xz, sizeof(xz) - 1), NULL, "xz 4 ");
	check_inside(span_of(lzma, sizeof(lzma) - 1), NULL, "lzma 4 ");
	check_inside(SPAN_LIT("LZIP\1\x1d\0\0\0\0\0\0"), NULL, "lz 4 ");
}

/* a message inside, in what RFC 2045 does not let be encoded or under another name */
static void test_messages(void **state)
{
	static const char text[] = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
				   "Q29udGVudC1UeXBlOiBhcHBsaWNhdGlvbi94OyBuYW1lPWV2aWwuZXhlCgp4Cg==\r\n";
	struct span whole = span_str(text);
	struct mime_source source = mime_source_memory(&whole);
	struct mime_scan *s = mime_scan_new(0);
	const struct mime *mime = mime_scan_source(s, &source);
	struct buf out;
	struct attach *a = look(&source, mime->parts, 1, &out);

	(void)state;
	test_span_eq(buf_span(&out), SPAN_LIT("message 2 1:-:evil.exe|"), "encoded");
	attach_free(&a);
	buf_clear(&out);
	mime_scan_free(&s);
	check_inside(SPAN_LIT("Subject: x\nContent-Type: text/plain; name=a.txt\n\nx"), NULL, "message 0 1:-:a.txt|");
}

/* only the type is asked for: a few bytes are read */
static void test_type_only(void **state)
{
	struct buf bytes;
	struct span text;
	struct mime_source source;
	struct mime_part part = {0};
	struct attach *a;

	(void)state;
	write_archive(&bytes, archive_write_set_format_zip, NULL, NULL, files, 3);
	text = buf_span(&bytes);
	source = mime_source_memory(&text);
	part.body_end = text.len;
	a = attach_new(&source, &part, ATTACH_TYPE);
	assert_false(attach_run(a, 1));
	assert_string_equal(attach_facts(a)->type->word, "zip");
	assert_int_equal(attach_facts(a)->member_count, 0);
	attach_free(&a);
	text.len = 20; /* the source breaks off */
	a = attach_new(&source, &part, ATTACH_INSIDE);
	while (attach_run(a, 1))
		;
	assert_true(attach_facts(a)->flags & ATTACH_CUT);
	attach_free(&a);
	buf_clear(&bytes);
}

/* In the sandbox of a worker no file can be opened or looked at and no program run: none of it is tried, whatever the kind of archive. */
static void look_in_sandbox(const struct buf *archives, size_t count)
{
	static const char *const calls[] = {"open", "openat", "openat2", "stat", "newfstatat", "statx", "access", "readlink", "execve", "execveat",
		"clone", "clone3", "fork", "vfork", "socket", "ioctl", "fcntl"};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, seccomp_syscall_resolve_name(calls[i]), 0) != 0)
			_exit(2);
	if (seccomp_load(filter) != 0)
		_exit(3);
	for (size_t i = 0; i < count; i++) {
		struct span text = buf_span(&archives[i]);
		struct mime_source source = mime_source_memory(&text);
		struct mime_part part = {.body_end = text.len};
		struct buf out;
		struct attach *a = look(&source, &part, 1, &out);

		if (attach_facts(a)->member_count == 0)
			_exit(4);
		attach_free(&a);
		buf_clear(&out);
	}
	_exit(0);
}

static void test_sandbox(void **state)
{
	static const char rar4[] = BYTES_RAR4, rar5[] = BYTES_RAR5, cab[] = BYTES_CAB, locked[] = BYTES_SEVENZIP_ENCRYPTED;
	const struct span others[] = {{(const uint8_t *)rar4, sizeof(rar4) - 1}, {(const uint8_t *)rar5, sizeof(rar5) - 1},
		{(const uint8_t *)cab, sizeof(cab) - 1}, {(const uint8_t *)locked, sizeof(locked) - 1}};
	enum { OTHERS = sizeof(others) / sizeof(others[0]), FORMATS = sizeof(formats) / sizeof(formats[0]), CUT = 1, ALL = FORMATS + OTHERS + CUT };
	struct buf archives[ALL];
	pid_t child;
	int status;

	(void)state;
	for (size_t i = 0; i < FORMATS; i++)
		write_archive(&archives[i], formats[i].format, formats[i].filter, NULL, files, 3);
	for (size_t i = 0; i < OTHERS; i++) {
		buf_init(&archives[FORMATS + i], 1 << 20);
		buf_add(&archives[FORMATS + i], others[i]);
	}
	write_archive(&archives[ALL - 1], archive_write_set_format_zip, NULL, NULL, files, 3); /* broken: its errors have to be told */
	archives[ALL - 1].len -= 50;
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		look_in_sandbox(archives, ALL);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the look inside ended with status %x", (unsigned)status);
	for (size_t i = 0; i < ALL; i++)
		buf_clear(&archives[i]);
}

static int prepare(void **state)
{
	(void)state;
	return attach_prepare(NULL) == RC_OK ? 0 : -1;
}

int test_attach(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_office),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_nested_large),
		cmocka_unit_test(test_zip_names),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_type_only),
		cmocka_unit_test(test_sandbox),
	};

	return cmocka_run_group_tests_name("attach", tests, prepare, NULL);
}
