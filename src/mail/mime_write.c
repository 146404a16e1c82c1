#include "mail/mime.h"

void mime_write(struct buf *out, const struct mime *mime)
{
	static const char *const encodings[] = {"identity", "base64", "quoted-printable", "uuencode", "unknown"};

	for (const struct mime_part *p = mime->parts; p; p = p->next) {
		buf_printf(out, "%u-%u depth %u of %d children %u: header %llu-%llu body %llu-%llu lines %llu+%llu ", p->index, p->end, p->depth,
			p->parent ? (int)p->parent->index : -1, p->child_count, (unsigned long long)p->header_begin, (unsigned long long)p->header_end,
			(unsigned long long)p->body_begin, (unsigned long long)p->body_end, (unsigned long long)p->header_lines,
			(unsigned long long)p->body_lines);
		buf_add_safe(out, p->type, 100);
		buf_add_byte(out, '/');
		buf_add_safe(out, p->subtype, 100);
		buf_printf(out, " %s flags %x disposition '", encodings[p->encoding], p->flags);
		buf_add_safe(out, p->disposition, 100);
		buf_add_str(out, "'");
		for (const struct mime_param *q = p->params; q; q = q->next) {
			buf_printf(out, " %u:", q->from);
			buf_add_safe(out, q->name, 100);
			buf_add_str(out, "='");
			buf_add_safe(out, q->value, 1000);
			buf_add_byte(out, '\'');
		}
		for (const struct mime_name *n = p->names; n; n = n->next) {
			buf_printf(out, " name(%u) '", n->from);
			buf_add_safe(out, n->text, 1000);
			buf_add_str(out, "' -> '");
			buf_add_safe(out, n->key, 1000);
			buf_add_byte(out, '\'');
		}
		buf_add_byte(out, '\n');
	}
}
