/* The compiled form as text again. What it writes compiles to the same tree. */
#include "policy/sieve_tree.h"

/* bytes that a script cannot hold as they are stand as encoded characters; only a script that may write them can have them */
static bool as_hex(struct span s, size_t i, bool utf8, bool encoded)
{
	uint8_t c = s.ptr[i];

	if (!encoded)
		return false;
	return c == 0 || c == '\r' || (c >= 0x80 && !utf8) || (c == '$' && i + 1 < s.len && s.ptr[i + 1] == '{');
}

static void print_string(const struct sieve_script *script, const struct sieve_string *string, struct buf *out)
{
	struct span s = sieve_string_span(string);
	bool utf8 = span_is_utf8(s), encoded = script->ext & SIEVE_EXT(ENCODED);

	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (as_hex(s, i, utf8, encoded)) {
			buf_printf(out, "${hex:%02x}", s.ptr[i]);
			continue;
		}
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, s.ptr[i]);
	}
	buf_add_byte(out, '"');
}

static void print_value(const struct sieve_script *script, const struct sieve_value *v, struct buf *out)
{
	if (v->kind == 0)
		return;
	buf_add_byte(out, ' ');
	if (v->kind == 'n') {
		buf_add_u64(out, v->number);
		return;
	}
	if (v->count > 1)
		buf_add_byte(out, '[');
	for (unsigned i = 0; i < v->count; i++) {
		if (i > 0)
			buf_add_str(out, ", ");
		print_string(script, &v->strings[i], out);
	}
	if (v->count > 1)
		buf_add_byte(out, ']');
}

static void print_head(const struct sieve_script *script, const struct sieve_node *n, struct buf *out);

static void print_tests(const struct sieve_script *script, const struct sieve_node *n, struct buf *out)
{
	bool list = n->verb->flags & SIEVE_VERB_TAKES_TESTS;

	buf_add_str(out, list ? " (" : " ");
	for (const struct sieve_node *t = n->tests; t; t = t->next) {
		if (t != n->tests)
			buf_add_str(out, ", ");
		print_head(script, t, out);
	}
	if (list)
		buf_add_byte(out, ')');
}

static void print_head(const struct sieve_script *script, const struct sieve_node *n, struct buf *out)
{
	unsigned count = sieve_verb_arg_count(n->verb);

	buf_add_str(out, n->verb->name);
	for (unsigned t = 0; t < SIEVE_TAGS; t++) {
		if (!(n->tags >> t & 1))
			continue;
		buf_add_byte(out, ' ');
		buf_add_str(out, sieve_tags[t].name);
		if (sieve_tags[t].param)
			print_value(script, sieve_node_param(n, t), out);
	}
	for (unsigned i = 0; i < count; i++)
		print_value(script, &n->args[i], out);
	if (n->tests)
		print_tests(script, n, out);
}

static void print_block(const struct sieve_script *script, const struct sieve_node *first, unsigned depth, struct buf *out)
{
	for (const struct sieve_node *n = first; n; n = n->next) {
		for (unsigned i = 0; i < depth; i++)
			buf_add_byte(out, '\t');
		print_head(script, n, out);
		if (!(n->verb->flags & SIEVE_VERB_BLOCK)) {
			buf_add_str(out, ";\n");
			continue;
		}
		buf_add_str(out, " {\n");
		print_block(script, n->block, depth + 1, out);
		for (unsigned i = 0; i < depth; i++)
			buf_add_byte(out, '\t');
		buf_add_str(out, "}\n");
	}
}

void sieve_print(const struct sieve_script *script, struct buf *out)
{
	const char *between = "require [";

	for (unsigned e = 0; e < SIEVE_EXT_COUNT; e++) {
		if (!(script->ext >> e & 1))
			continue;
		buf_add_str(out, between);
		buf_printf(out, "\"%s\"", sieve_ext_names[e]);
		between = ", ";
	}
	if (script->ext)
		buf_add_str(out, "];\n");
	print_block(script, script->first, 0, out);
}

void sieve_write_extensions(const struct sieve_rules *rules, struct buf *out)
{
	unsigned refuse = rules ? rules->refuse : 0;
	const char *between = "";

	for (unsigned e = 0; e < SIEVE_EXT_COUNT; e++) {
		if (((e == SIEVE_EXT_VACATION || e == SIEVE_EXT_SECONDS) && refuse & SIEVE_REFUSE_VACATION) || (e == SIEVE_EXT_EDITHEADER && refuse & SIEVE_REFUSE_ADDHEADER))
			continue;
		buf_add_str(out, between);
		buf_add_str(out, sieve_ext_names[e]);
		between = " ";
	}
}
