/* mime_try - shows what the MIME scanner and the look into attachments make of message files: one line a part (mime_write), below it what
 * its bytes are and what is in it. For the differential test (mime_diff.py) and for looking by hand.
 *
 * usage: mime_try [--json] [--lf] FILE ... */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mail/attach.h"

enum { FILE_MAX_BYTES = 256 << 20 };

static struct span file_read(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = NULL;
	size_t len = 0, size = 1 << 16, n = 1;

	while (f && n > 0 && len < FILE_MAX_BYTES) {
		bytes = mem_realloc(bytes, size *= 2);
		n = fread(bytes + len, 1, size - len, f);
		len += n;
	}
	if (!f) {
		perror(path);
		exit(1);
	}
	(void)fclose(f);
	return span_of(bytes, len);
}

static void print_json(struct span s)
{
	putchar('"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < ' ' || s.ptr[i] == '"' || s.ptr[i] == '\\' || s.ptr[i] >= 0x7f)
			printf("\\u%04x", s.ptr[i]); /* bytes, one by one */
		else
			putchar(s.ptr[i]);
	}
	putchar('"');
}

static void json_part(const struct mime_part *p)
{
	printf("%s{\"depth\": %u, \"type\": ", p->index ? ", " : "", p->depth);
	print_json(p->type);
	printf(", \"subtype\": ");
	print_json(p->subtype);
	printf(", \"body\": [%llu, %llu], \"flags\": %u, \"names\": [", (unsigned long long)p->body_begin, (unsigned long long)p->body_end, p->flags);
	for (const struct mime_name *n = p->names; n; n = n->next) {
		print_json(n->text);
		printf("%s", n->next ? ", " : "");
	}
	printf("]}");
}

static void show_attachment(const struct mime_source *source, const struct mime_part *part)
{
	struct attach *a = attach_new(source, part, ATTACH_INSIDE);
	const struct attach_facts *f = attach_facts(a);
	struct buf line;
	unsigned steps = 1;

	while (attach_run(a, ATTACH_STEP_BYTES))
		steps++;
	printf("  part %u: %s (%s) flags %x members %u in %llu out %llu steps %u\n", part->index, f->type->mime, f->type->word, f->flags,
		f->member_count, (unsigned long long)f->bytes_in, (unsigned long long)f->bytes_out, steps);
	buf_init(&line, 1 << 16);
	for (const struct attach_member *m = f->members; m; m = m->next) {
		buf_reset(&line);
		buf_add_safe(&line, m->name, 4096);
		printf("    %u %s %s %llu\n", m->depth, m->type ? m->type->word : "-", buf_cstr(&line), (unsigned long long)m->bytes);
	}
	buf_clear(&line);
	attach_free(&a);
}

int main(int argc, char **argv)
{
	unsigned flags = 0;
	bool json = false;

	if (attach_prepare(NULL) != RC_OK) {
		fputs("libarchive cannot be loaded\n", stderr);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		struct span text;
		struct mime_source source;
		struct mime_scan *scan;
		const struct mime *mime;
		struct buf out;

		if (argv[i][0] == '-') {
			json |= span_eq(span_str(argv[i]), SPAN_LIT("--json"));
			flags |= span_eq(span_str(argv[i]), SPAN_LIT("--lf")) ? MIME_LF : 0;
			continue;
		}
		text = file_read(argv[i]);
		source = mime_source_memory(&text);
		scan = mime_scan_new(flags);
		mime = mime_scan_source(scan, &source);
		buf_init(&out, 64 << 20);
		if (json) {
			printf("[");
			for (const struct mime_part *p = mime->parts; p; p = p->next)
				json_part(p);
			printf("]\n");
		} else {
			mime_write(&out, mime);
			printf("%s", buf_cstr(&out));
			for (const struct mime_part *p = mime->parts; p; p = p->next)
				if (!mime_part_is_multipart(p) || (p->flags & MIME_ENCODED))
					show_attachment(&source, p);
		}
		buf_clear(&out);
		mime_scan_free(&scan);
		free((void *)(uintptr_t)text.ptr);
	}
	return 0;
}
