#include "mail/attach_internal.h"
#include "mail/mime_internal.h"

enum { TEXT_LOOK_BYTES = 4096, PDF_LOOK_BYTES = 1024, FAT_ARCHS_MAX = 20, JAVA_MAJOR_MIN = 45, TAR_HEADER_BYTES = 512 };

#define MAGIC(at, bytes, mime, word, flags) {at, {(const uint8_t *)("" bytes), sizeof(bytes) - 1}, {mime, word, flags}}

static const struct magic {
	size_t at;
	struct span bytes;
	struct attach_type type;
} magics[] = {
	MAGIC(0, "PK\3\4", "application/zip", "zip", ATTACH_IS_ARCHIVE),
	MAGIC(0, "PK\5\6", "application/zip", "zip", ATTACH_IS_ARCHIVE),
	MAGIC(0, "PK\7\10", "application/zip", "zip", ATTACH_IS_ARCHIVE),
	MAGIC(0, "Rar!\x1a\7\1\0", "application/vnd.rar", "rar5", ATTACH_IS_ARCHIVE),
	MAGIC(0, "Rar!\x1a\7\0", "application/vnd.rar", "rar", ATTACH_IS_ARCHIVE),
	MAGIC(0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", "7z", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\x1f\x8b", "application/gzip", "gz", ATTACH_IS_ARCHIVE),
	MAGIC(0, "BZh", "application/x-bzip2", "bz2", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\xfd" "7zXZ\0", "application/x-xz", "xz", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\x28\xb5\x2f\xfd", "application/zstd", "zst", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\x04\x22\x4d\x18", "application/x-lz4", "lz4", ATTACH_IS_ARCHIVE),
	MAGIC(0, "LZIP", "application/x-lzip", "lz", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\x5d\0\0", "application/x-lzma", "lzma", ATTACH_IS_ARCHIVE),
	MAGIC(0, "\x1f\x9d", "application/x-compress", "z", ATTACH_IS_ARCHIVE),
	MAGIC(257, "ustar", "application/x-tar", "tar", ATTACH_IS_ARCHIVE),
	MAGIC(0, "MSCF", "application/vnd.ms-cab-compressed", "cab", ATTACH_IS_ARCHIVE),
	MAGIC(32769, "CD001", "application/x-iso9660-image", "iso", ATTACH_IS_ARCHIVE),
	MAGIC(0, "070701", "application/x-cpio", "cpio", ATTACH_IS_ARCHIVE),
	MAGIC(0, "070702", "application/x-cpio", "cpio", ATTACH_IS_ARCHIVE),
	MAGIC(0, "070707", "application/x-cpio", "cpio", ATTACH_IS_ARCHIVE),
	MAGIC(0, "!<arch>\n", "application/x-archive", "ar", ATTACH_IS_ARCHIVE),
	/* libarchive reads it, but lets the archive name a charset, for which libc would open files */
	MAGIC(2, "-lh", "application/x-lzh-compressed", "lha", ATTACH_IS_SEALED),
	MAGIC(2, "-lz", "application/x-lzh-compressed", "lha", ATTACH_IS_SEALED),
	MAGIC(0, "WARC/", "application/warc", "warc", ATTACH_IS_ARCHIVE),
	MAGIC(0, "xar!", "application/x-xar", "xar", ATTACH_IS_SEALED),
	MAGIC(7, "**ACE**", "application/x-ace-compressed", "ace", ATTACH_IS_SEALED),
	MAGIC(0, "\x60\xea", "application/x-arj", "arj", ATTACH_IS_SEALED),
	MAGIC(0, "ZOO ", "application/x-zoo", "zoo", ATTACH_IS_SEALED),
	MAGIC(0, "\x89LZO\0", "application/x-lzop", "lzop", ATTACH_IS_SEALED),
	MAGIC(0, "StuffIt ", "application/x-stuffit", "sit", ATTACH_IS_SEALED),
	MAGIC(0, "SIT!", "application/x-stuffit", "sit", ATTACH_IS_SEALED),
	MAGIC(0, "\x78\x9f\x3e\x22", "application/vnd.ms-tnef", "tnef", ATTACH_IS_SEALED),
	MAGIC(0, "vhdxfile", "application/x-vhdx", "vhdx", ATTACH_IS_SEALED),
	MAGIC(0, "conectix", "application/x-vhd", "vhd", ATTACH_IS_SEALED),
	MAGIC(0, "MSWIM\0\0\0", "application/x-ms-wim", "wim", ATTACH_IS_SEALED),
	MAGIC(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", "ole2", 0),
	MAGIC(0, "{\\rt", "application/rtf", "rtf", 0),
	MAGIC(0, "%!PS", "application/postscript", "ps", 0),
	MAGIC(0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "application/onenote", "one", 0),
	MAGIC(0, "ITSF", "application/vnd.ms-htmlhelp", "chm", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\x7f" "ELF", "application/x-elf", "elf", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\xfe\xed\xfa\xce", "application/x-mach-binary", "macho", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\xfe\xed\xfa\xcf", "application/x-mach-binary", "macho", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\xce\xfa\xed\xfe", "application/x-mach-binary", "macho", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\xcf\xfa\xed\xfe", "application/x-mach-binary", "macho", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "dex\n03", "application/vnd.android.dex", "dex", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "\0asm", "application/wasm", "wasm", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "L\0\0\0\1\x14\2\0", "application/x-ms-shortcut", "lnk", ATTACH_IS_EXECUTABLE),
	MAGIC(0, "#!", "text/x-shellscript", "script", ATTACH_IS_EXECUTABLE | ATTACH_IS_TEXT),
	MAGIC(0, "\xff\xd8\xff", "image/jpeg", "jpeg", 0),
	MAGIC(0, "\x89PNG\r\n\x1a\n", "image/png", "png", 0),
	MAGIC(0, "GIF8", "image/gif", "gif", 0),
	MAGIC(0, "II*\0", "image/tiff", "tiff", 0),
	MAGIC(0, "MM\0*", "image/tiff", "tiff", 0),
	MAGIC(0, "\0\0\1\0", "image/vnd.microsoft.icon", "ico", 0),
	MAGIC(8, "WEBP", "image/webp", "webp", 0),
	MAGIC(8, "WAVE", "audio/wav", "wav", 0),
	MAGIC(8, "AVI ", "video/x-msvideo", "avi", 0),
	MAGIC(4, "ftyp", "video/mp4", "mp4", 0),
	MAGIC(0, "ID3", "audio/mpeg", "mp3", 0),
	MAGIC(0, "OggS", "audio/ogg", "ogg", 0),
	MAGIC(0, "fLaC", "audio/flac", "flac", 0),
	MAGIC(0, "\x1a\x45\xdf\xa3", "video/x-matroska", "mkv", 0),
};

static const struct attach_type type_exe = {"application/vnd.microsoft.portable-executable", "exe", ATTACH_IS_EXECUTABLE};
static const struct attach_type type_macho = {"application/x-mach-binary", "macho", ATTACH_IS_EXECUTABLE};
static const struct attach_type type_class = {"application/java-vm", "class", ATTACH_IS_EXECUTABLE};
static const struct attach_type type_tar = {"application/x-tar", "tar", ATTACH_IS_ARCHIVE};
static const struct attach_type type_pdf = {"application/pdf", "pdf", 0};
static const struct attach_type type_html = {"text/html", "html", ATTACH_IS_TEXT};
static const struct attach_type type_svg = {"image/svg+xml", "svg", ATTACH_IS_TEXT};
static const struct attach_type type_xml = {"application/xml", "xml", ATTACH_IS_TEXT};
static const struct attach_type type_url = {"application/x-mswinurl", "url", ATTACH_IS_EXECUTABLE | ATTACH_IS_TEXT};
static const struct attach_type type_message = {"message/rfc822", "message", ATTACH_IS_ARCHIVE | ATTACH_IS_TEXT};
static const struct attach_type type_text = {"text/plain", "text", ATTACH_IS_TEXT};
static const struct attach_type type_octets = {"application/octet-stream", "octets", 0};

/* what the names in a zip make of it; the first row that fits */
static const struct {
	const char *member; /* the beginning of a member's name, lower case */
	struct attach_type type;
} zips[] = {
	{"androidmanifest.xml", {"application/vnd.android.package-archive", "apk", ATTACH_IS_ARCHIVE | ATTACH_IS_EXECUTABLE}},
	{"word/", {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", ATTACH_IS_ARCHIVE}},
	{"xl/", {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", ATTACH_IS_ARCHIVE}},
	{"ppt/", {"application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx", ATTACH_IS_ARCHIVE}},
	{"[content_types].xml", {"application/vnd.openxmlformats-package", "ooxml", ATTACH_IS_ARCHIVE}},
	{"meta-inf/manifest.mf", {"application/java-archive", "jar", ATTACH_IS_ARCHIVE | ATTACH_IS_EXECUTABLE}},
	{"mimetype", {"application/vnd.oasis.opendocument", "odf", ATTACH_IS_ARCHIVE}},
};

static bool head_has(struct span head, size_t at, struct span bytes)
{
	return head.len >= at + bytes.len && memcmp(head.ptr + at, bytes.ptr, bytes.len) == 0;
}

const struct attach_type *attach_type_zip(struct span member, const struct attach_type *so_far)
{
	for (size_t i = 0; i < sizeof(zips) / sizeof(zips[0]); i++) {
		if (so_far == &zips[i].type)
			return so_far;
		if (span_starts_nocase(member, span_str(zips[i].member)))
			return &zips[i].type;
	}
	return so_far;
}

static uint32_t le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

/* the members that begin within the head say what kind of zip it is */
static const struct attach_type *type_of_zip(struct span head, const struct attach_type *zip)
{
	for (size_t at = 0; at + ZIP_LOCAL_BYTES < head.len;) {
		struct span rest = span_from(head, at);

		zip = attach_type_zip(span_head(span_from(rest, ZIP_LOCAL_BYTES), le16(rest.ptr + 26)), zip);
		at += 4 + span_find_span(span_from(rest, 4), SPAN_LIT("PK\3\4"));
	}
	return zip;
}

static bool text_starts_any(struct span s, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (span_starts_nocase(s, span_str(words[i])))
			return true;
	return false;
}

/* a header of a message: the first line is one of the fields that messages begin with */
static bool text_is_message(struct span text)
{
	static const char *const names[] = {"received", "return-path", "delivered-to", "from", "to", "subject", "date", "message-id", "mime-version",
		"content-type", "content-transfer-encoding", "content-disposition", "x-received", "x-original-to", "dkim-signature", "reply-to",
		"sender", "cc", "arc-seal", "authentication-results", "x-mailer", "user-agent", "importance", "thread-topic"};
	struct span line = span_head(text, span_find(text, '\n'));
	size_t name_len, colon;

	if (!mime_line_is_field(line, &name_len, &colon))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_nocase(span_head(line, name_len), span_str(names[i])))
			return true;
	return false;
}

static const struct attach_type *type_of_markup(struct span text)
{
	static const char *const html[] = {"<!doctype html", "<html", "<head", "<script", "<body", "<iframe", "<meta", "<title", "<table", "<div", "<a ",
		"<style", "<!--", "<hta:", "<form", "<p>", "<br"};
	struct span look = span_head(text, TEXT_LOOK_BYTES);

	if (text_starts_any(text, html, sizeof(html) / sizeof(html[0])))
		return &type_html;
	if (span_starts_nocase(text, SPAN_LIT("<svg")))
		return &type_svg;
	if (!span_starts_nocase(text, SPAN_LIT("<?xml")))
		return NULL;
	if (span_find_span(look, SPAN_LIT("<svg")) < look.len)
		return &type_svg;
	return span_find_span(look, SPAN_LIT("<html")) < look.len ? &type_html : &type_xml;
}

static const struct attach_type *type_of_text(struct span head)
{
	struct span text = head;
	const struct attach_type *type;

	if (span_starts(text, SPAN_LIT("\xff\xfe")) || span_starts(text, SPAN_LIT("\xfe\xff")))
		return &type_text; /* UTF-16 */
	if (span_starts(text, SPAN_LIT("\xef\xbb\xbf")))
		text = span_from(text, 3);
	while (text.len > 0 && (text.ptr[0] == ' ' || (text.ptr[0] >= '\t' && text.ptr[0] <= '\r')))
		text = span_from(text, 1);
	type = type_of_markup(text);
	if (type)
		return type;
	if (span_starts_nocase(text, SPAN_LIT("[InternetShortcut]")))
		return &type_url;
	head = span_head(head, TEXT_LOOK_BYTES);
	for (size_t i = 0; i < head.len; i++)
		if (head.ptr[i] < ' ' && (head.ptr[i] < '\t' || head.ptr[i] > '\r') && head.ptr[i] != 0x1b)
			return &type_octets;
	return text_is_message(text) ? &type_message : &type_text;
}

static const struct attach_type *type_of_program(struct span head)
{
	uint32_t count;

	if (span_starts(head, SPAN_LIT("MZ")) || span_starts(head, SPAN_LIT("ZM")))
		return &type_exe;
	if (head.len < 8 || !span_starts(head, SPAN_LIT("\xca\xfe\xba\xbe")))
		return NULL;
	count = (uint32_t)head.ptr[4] << 24 | (uint32_t)head.ptr[5] << 16 | (uint32_t)head.ptr[6] << 8 | head.ptr[7];
	return count < FAT_ARCHS_MAX || (count & 0xffff) < JAVA_MAJOR_MIN ? &type_macho : &type_class;
}

/* the magic numbers that also occur by chance */
static bool magic_holds(const struct magic *m, struct span head)
{
	if (span_eq(span_str(m->type.word), SPAN_LIT("lzma"))) /* dictionary a power of two or 1.5 of one, length known or all ones */
		return head.len > 13 && head.ptr[1] == 0 && le32(head.ptr + 1) >= 1 << 12 && (le32(head.ptr + 9) == 0 || le32(head.ptr + 9) == UINT32_MAX);
	if (m->at == 8)
		return span_starts(head, SPAN_LIT("RIFF"));
	if (m->at == 2) /* "-lh5-" */
		return head.len > 6 && head.ptr[6] == '-';
	if (span_eq(span_str(m->type.word), SPAN_LIT("bz2")))
		return head.len > 9 && byte_is_digit(head.ptr[3]) && (head_has(head, 4, SPAN_LIT("1AY&SY")) || head_has(head, 4, SPAN_LIT("\x17\x72\x45\x38\x50\x90")));
	if (span_eq(span_str(m->type.word), SPAN_LIT("arj")))
		return head.len > 10 && le16(head.ptr + 2) <= 2600 && le16(head.ptr + 2) > 0;
	return true;
}

/* a tar of before POSIX has no magic number, but the sum of its header */
static bool head_is_tar(struct span head)
{
	uint32_t sum = 0, want = 0;

	if (head.len < TAR_HEADER_BYTES || head.ptr[0] == 0)
		return false;
	for (size_t i = 0; i < TAR_HEADER_BYTES; i++) {
		bool in_sum = i >= 148 && i < 156;

		sum += in_sum ? ' ' : head.ptr[i];
		if (in_sum && head.ptr[i] >= '0' && head.ptr[i] <= '7')
			want = want * 8 + (head.ptr[i] - (uint32_t)'0');
	}
	return sum == want;
}

const struct attach_type *attach_type_of(struct span head)
{
	const struct attach_type *type = type_of_program(head);
	struct span look = span_head(head, PDF_LOOK_BYTES);

	if (type)
		return type;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		const struct magic *m = &magics[i];

		if (!head_has(head, m->at, m->bytes) || !magic_holds(m, head))
			continue;
		return span_eq(span_str(m->type.word), SPAN_LIT("zip")) ? type_of_zip(head, &m->type) : &m->type;
	}
	if (span_find_span(look, SPAN_LIT("%PDF-")) < look.len)
		return &type_pdf;
	if (head_is_tar(head))
		return &type_tar;
	return type_of_text(head);
}
