/* A message out of tables, for the tests of the Sieve engine and for its fuzz target. */
#ifndef MAILROOM_TEST_SIEVE_MESSAGE_H
#define MAILROOM_TEST_SIEVE_MESSAGE_H

#include "policy/sieve.h"

struct test_field {
	unsigned part;
	const char *name, *raw, *decoded; /* decoded NULL: as raw */
};

struct test_part {
	unsigned end;
	const char *type, *subtype;
	bool multipart;
	const char *content, *text; /* text NULL: none */
};

struct test_param {
	unsigned part;
	const char *field, *name, *value;
};

#define TS(s) {(const uint8_t *)(s), sizeof(s) - 1}

static const struct test_field test_fields[] = {
	{0, "Return-Path", "<bounce+4711@lists.example.org>", NULL},
	{0, "Received", "from a by b; Tue, 01 Sep 2026 08:59:59 +0000", NULL},
	{0, "Received", "from c by a; Tue, 01 Sep 2026 08:59:30 +0000", NULL},
	{0, "From", "\"Bob (the real one)\" <Bob@Example.COM>", NULL},
	{0, "To", "Team: Ann Lee <ann+work@example.org>, root@example.net;, tim@example.org", NULL},
	{0, "Cc", "carol@example.org", NULL},
	{0, "Subject", "=?utf-8?q?Gr=C3=BC=C3=9Fe?= from the LOTTERY", "Gr\xc3\xbc\xc3\x9f" "e from the LOTTERY"},
	{0, "Date", "Tue, 01 Sep 2026 10:58:00 +0200", NULL},
	{0, "X-Spam-Score", "7", NULL},
	{0, "X-Empty", "", NULL},
	{0, "X-Note", "first", NULL},
	{0, "X-Note", "second", NULL},
	{0, "X-Note", "third", NULL},
	{0, "List-Id", "[dev] <dev.lists.example.org>", NULL},
	{0, "Content-Type", "multipart/mixed; boundary=b", NULL},
	{1, "Content-Type", "Text/Plain; charset=utf-8", NULL},
	{2, "Content-Type", "text/html; charset=utf-8", NULL},
	{3, "Content-Type", "application/zip; name=\"invoice.zip\"", NULL},
	{3, "Content-Disposition", "attachment; filename=\"invoice.zip\"", NULL},
	{4, "Content-Type", "multipart/related; boundary=c", NULL},
	{5, "Content-Type", "image/png", NULL},
	{6, "Content-Type", "image/gif", NULL},
};

static const struct test_part test_parts[] = {
	{7, "multipart", "mixed", true, "", NULL},
	{2, "text", "plain", false, "Hello Ann,\r\nyou have won the jackpot.\r\n", "Hello Ann,\r\nyou have won the jackpot.\r\n"},
	{3, "text", "html", false, "<p>Hello <b>Ann</b></p>", "Hello Ann"},
	{4, "application", "zip", false, "PK\003\004", NULL},
	{7, "multipart", "related", true, "", NULL},
	{6, "image", "png", false, "\211PNG", NULL},
	{7, "image", "gif", false, "GIF89a", NULL},
};

static const struct test_param test_params[] = {
	{1, "content-type", "charset", "utf-8"},
	{2, "content-type", "charset", "utf-8"},
	{3, "content-type", "name", "invoice.zip"},
	{3, "content-disposition", "filename", "invoice.zip"},
};

static const struct span test_names[] = {TS("invoice.zip"), TS("Invoice.ZIP ")};
static const struct span test_content[] = {TS("application/zip"), TS("application/java-archive")};
static const struct span test_inside[] = {TS("readme.txt"), TS("inner.zip"), TS("inner.zip/run.EXE"), TS("run.EXE")};
static const struct span test_names2[] = {TS("dot.png")};
static const struct span test_content2[] = {TS("image/png")};

static const struct sieve_attachment test_attachments[] = {
	{test_names, 2, TS("application/zip"), test_content, 2, test_inside, 4, false, true},
	{test_names2, 1, TS("image/png"), test_content2, 1, NULL, 0, false, false},
};

#define TEST_COUNT(a) (sizeof(a) / sizeof(*(a)))

static bool test_field_get(void *owner, unsigned part, struct span name, unsigned nth, struct sieve_field *out)
{
	(void)owner;
	for (size_t i = 0; i < TEST_COUNT(test_fields); i++) {
		const struct test_field *f = &test_fields[i];

		if (f->part != part || !span_eq_nocase(name, span_str(f->name)) || nth-- > 0)
			continue;
		out->raw = span_str(f->raw);
		out->decoded = span_str(f->decoded ? f->decoded : f->raw);
		return true;
	}
	return false;
}

static bool test_part_get(void *owner, unsigned part, struct sieve_part *out)
{
	(void)owner;
	if (part >= TEST_COUNT(test_parts))
		return false;
	*out = (struct sieve_part){.end = test_parts[part].end, .type = span_str(test_parts[part].type), .subtype = span_str(test_parts[part].subtype),
		.multipart = test_parts[part].multipart};
	return true;
}

static bool test_param_get(void *owner, unsigned part, struct span field, struct span param, struct span *out)
{
	(void)owner;
	for (size_t i = 0; i < TEST_COUNT(test_params); i++) {
		const struct test_param *p = &test_params[i];

		if (p->part == part && span_eq_nocase(field, span_str(p->field)) && span_eq_nocase(param, span_str(p->name))) {
			*out = span_str(p->value);
			return true;
		}
	}
	return false;
}

static bool test_body_get(void *owner, unsigned part, enum sieve_body form, struct span *out)
{
	const char *text;

	(void)owner;
	if (part >= TEST_COUNT(test_parts))
		return false;
	text = form == SIEVE_BODY_RAW ? "--b\r\nContent-Type: text/plain\r\n\r\nHello=20Ann\r\n--b--\r\n"
	     : form == SIEVE_BODY_TEXT ? test_parts[part].text : test_parts[part].content;
	*out = span_str(text);
	return text != NULL;
}

static bool test_attachment_get(void *owner, unsigned nth, struct sieve_attachment *out)
{
	(void)owner;
	if (nth >= TEST_COUNT(test_attachments))
		return false;
	*out = test_attachments[nth];
	return true;
}

static const struct sieve_ops test_ops = {test_field_get, test_part_get, test_param_get, test_body_get, test_attachment_get, NULL};

static const struct sieve_message test_message = {
	.ops = &test_ops,
	.from = TS("bob@example.com"),
	.to = TS("ann+work@example.org"),
	.auth = TS("bob"),
	.size_bytes = 10000,
	.now_ms = 1788253200000, /* Tue, 1 Sep 2026 09:00:00 +0000 */
	.zone_minutes = 120,
};

#endif
