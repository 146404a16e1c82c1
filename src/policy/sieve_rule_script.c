/* The rules in a script: found by their comment lines, added, removed and moved as blocks of lines. */
#include "policy/sieve_rule_internal.h"

#include "base/limits.h"
#include "policy/sieve_lex.h"
#include "policy/sieve_tree.h"

/* the line at `at` without its end; *next: where the one after it begins */
static struct span line_at(struct span script, size_t at, size_t *next)
{
	struct span line = span_head(span_from(script, at), span_find(span_from(script, at), '\n'));

	*next = at + line.len < script.len ? at + line.len + 1 : script.len;
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* the name in the comment line that begins a rule; false: it is none */
static bool begin_line(struct span line, struct span *name_out)
{
	struct span name;

	if (!span_starts(line, SPAN_LIT(SIEVE_RULE_BEGIN)))
		return false;
	name = span_from(line, sizeof(SIEVE_RULE_BEGIN) - 1);
	*name_out = span_head(name, span_find(name, '"'));
	return name_out->len + 1 == name.len && sieve_rule_name_ok(*name_out);
}

static void count_rules(struct span script, size_t *count_out)
{
	struct span name;
	size_t at = 0;

	*count_out = 0;
	while (at < script.len)
		*count_out += begin_line(line_at(script, at, &at), &name);
}

enum rc sieve_rule_list(struct span script, struct arena *mem, struct sieve_rule_entry **out, size_t *count_out, struct err *err)
{
	struct sieve_rule_entry *list;
	size_t most, count = 0, at = 0, next;
	unsigned line_number = 1;
	struct span name, line;
	bool open = false;

	count_rules(script, &most);
	if (most > LIMIT_SIEVE_RULES)
		return err_set(err, RC_LIMIT, "the script has more than %d rules", LIMIT_SIEVE_RULES);
	list = arena_zalloc(mem, (most ? most : 1) * sizeof(*list));
	if (!list)
		return err_set(err, RC_LIMIT, "the script is too large");
	for (; at < script.len; at = next, line_number++) {
		line = line_at(script, at, &next);
		if (begin_line(line, &name)) { /* one without its end stays the owner's text */
			list[count] = (struct sieve_rule_entry){.name = name, .line = line_number, .begin = at};
			open = true;
		} else if (open && span_eq(line, SPAN_LIT(SIEVE_RULE_END))) {
			list[count++].end = next;
			open = false;
		}
	}
	for (size_t i = 0; i < count; i++) {
		list[i].rule.name = list[i].name;
		list[i].edited = !sieve_rule_read(span_head(span_from(script, list[i].begin), list[i].end - list[i].begin), mem, &list[i].rule);
		if (mem->overflow)
			return err_set(err, RC_LIMIT, "the script is too large");
	}
	*out = list;
	*count_out = count;
	return RC_OK;
}

static struct sieve_rule_entry *find_entry(struct sieve_rule_entry *list, size_t count, struct span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_eq_nocase(list[i].name, name))
			return &list[i];
	return NULL;
}

/* --- the line that requires what rules need --- */

static bool is_require_line(struct span line)
{
	struct span comment = SPAN_LIT(SIEVE_RULE_REQUIRE);

	return span_starts(line, SPAN_LIT("require ")) && line.len > comment.len && span_eq(span_from(line, line.len - comment.len), comment);
}

/* extensions that the line names */
static uint32_t require_ext(struct span line)
{
	const struct sieve_script *script;
	struct sieve_fault fault;
	struct arena mem;
	uint32_t ext = 0;

	arena_init(&mem, LIMIT_SIEVE_COMPILED_BYTES);
	if (sieve_compile(line, NULL, &mem, &script, &fault) == RC_OK)
		ext = script->ext;
	arena_clear(&mem);
	return ext;
}

static void write_require(struct buf *out, uint32_t ext)
{
	const char *between = "require [\"";

	for (unsigned e = 0; e < SIEVE_EXT_COUNT; e++) {
		if (!(ext >> e & 1))
			continue;
		buf_add_str(out, between);
		buf_add_str(out, sieve_ext_names[e]);
		between = "\", \"";
	}
	if (ext)
		buf_add_str(out, "\"]; " SIEVE_RULE_REQUIRE "\n");
}

/* --- changing --- */

enum { EDIT_BYTES = 16 << 20 }; /* of the rules of one script while it is changed */

struct edit {
	struct arena mem;
	struct span script;        /* without our line */
	uint32_t ext;              /* that it named */
	struct sieve_rule_entry *list;
	size_t count;
};

static enum rc edit_open(struct edit *e, struct span script, struct err *err)
{
	struct span line;
	size_t next;

	*e = (struct edit){.script = script};
	arena_init(&e->mem, EDIT_BYTES);
	if (script.len > LIMIT_SIEVE_SCRIPT_BYTES)
		return err_set(err, RC_LIMIT, "the script has %zu bytes; %d is the most", script.len, LIMIT_SIEVE_SCRIPT_BYTES);
	line = line_at(script, 0, &next);
	if (is_require_line(line)) {
		e->ext = require_ext(line);
		e->script = span_from(script, next);
	}
	return sieve_rule_list(e->script, &e->mem, &e->list, &e->count, err);
}

/* behind the last "require ...;" of the owner, at a place where a line begins or could */
static size_t behind_requires(struct span script)
{
	struct sieve_fault fault;
	struct sieve_lex lex;
	size_t at = 0;

	if (!sieve_lex_init(&lex, script, &fault))
		return 0;
	while (sieve_lex_next(&lex) && lex.token == SIEVE_TOKEN_WORD && span_eq_nocase(lex.word, SPAN_LIT("require"))) {
		while (!sieve_lex_is(&lex, ';'))
			if (!sieve_lex_next(&lex) || lex.token == SIEVE_TOKEN_END)
				return at;
		at = lex.at;
	}
	if (at > 0) {
		size_t next;
		struct span rest = span_trim(line_at(script, at, &next));

		if (rest.len == 0 || rest.ptr[0] == '#')
			return next;
	}
	return at;
}

/* the rules of `body` decide what our line says; then all of it has to compile */
static enum rc edit_finish(struct edit *e, struct span body, const struct sieve_rules *rules, struct buf *out, struct err *err)
{
	const struct sieve_script *script;
	struct sieve_fault fault;
	uint32_t ext = 0;
	enum rc rc;

	arena_clear(&e->mem);
	rc = sieve_rule_list(body, &e->mem, &e->list, &e->count, err);
	for (size_t i = 0; i < e->count && rc == RC_OK; i++)
		ext |= e->list[i].edited ? e->ext : sieve_rule_ext(&e->list[i].rule);
	if (rc != RC_OK)
		return rc;
	write_require(out, ext);
	buf_add(out, body);
	if (out->overflow)
		return err_set(err, RC_LIMIT, "the script would be too large; %d bytes are the most", LIMIT_SIEVE_SCRIPT_BYTES);
	arena_clear(&e->mem);
	rc = sieve_compile(buf_span(out), rules, &e->mem, &script, &fault);
	if (rc == RC_OK)
		return RC_OK;
	buf_reset(out);
	return fault.line ? err_set(err, rc, "the script would not be a good one, at line %u: %s", fault.line, fault.why.words)
			  : err_set(err, rc, "the script would not be a good one: %s", fault.why.words);
}

/* text with `block` put in where the rule of that place stands */
static void insert(struct span text, const struct sieve_rule_entry *list, size_t count, size_t place, struct span block, struct buf *out)
{
	size_t at = place < count ? list[place].begin : count > 0 ? list[count - 1].end : behind_requires(text);

	buf_add(out, span_head(text, at));
	if (at > 0 && text.ptr[at - 1] != '\n')
		buf_add_byte(out, '\n');
	buf_add(out, block);
	buf_add(out, span_from(text, at));
}

/* "rule1", "rule2" ...: the first that is free */
static void free_name(const struct edit *e, struct buf *name)
{
	unsigned n = 1;

	do {
		buf_reset(name);
		buf_printf(name, "rule%u", n++);
	} while (find_entry(e->list, e->count, buf_span(name)));
}

enum rc sieve_rule_add(struct span script, const struct sieve_rule *rule, size_t place, const struct sieve_rules *rules, struct buf *out,
	struct err *err)
{
	struct sieve_rule named = *rule;
	struct buf name, block, body;
	struct edit e;
	enum rc rc = sieve_rule_check(rule, err);

	if (rc != RC_OK)
		return rc;
	buf_init(&name, LIMIT_SIEVE_NAME_BYTES);
	buf_init(&block, LIMIT_SIEVE_SCRIPT_BYTES);
	buf_init(&body, (size_t)LIMIT_SIEVE_SCRIPT_BYTES * 2);
	rc = edit_open(&e, script, err);
	if (rc == RC_OK && rule->name.len == 0) {
		free_name(&e, &name);
		named.name = buf_span(&name);
	}
	if (rc == RC_OK && find_entry(e.list, e.count, named.name))
		rc = err_set(err, RC_EXISTS, "there is a rule \"%.*s\" already", SPAN_FMT(named.name));
	if (rc == RC_OK) {
		sieve_rule_write(&named, &block);
		insert(e.script, e.list, e.count, place, buf_span(&block), &body);
		rc = block.overflow ? err_set(err, RC_LIMIT, "the rule is too large") : edit_finish(&e, buf_span(&body), rules, out, err);
	}
	arena_clear(&e.mem);
	buf_clear(&name);
	buf_clear(&block);
	buf_clear(&body);
	return rc;
}

/* takes the rule out of the text; its lines to block, when that is wanted */
static enum rc cut(struct edit *e, struct span name, struct buf *without, struct buf *block, struct err *err)
{
	const struct sieve_rule_entry *entry = find_entry(e->list, e->count, name);

	if (!entry)
		return err_set(err, RC_NONE, "there is no rule of that name");
	buf_add(without, span_head(e->script, entry->begin));
	buf_add(without, span_from(e->script, entry->end));
	if (block) {
		buf_add(block, span_head(span_from(e->script, entry->begin), entry->end - entry->begin));
		if (block->len > 0 && block->ptr[block->len - 1] != '\n')
			buf_add_byte(block, '\n');
	}
	return RC_OK;
}

enum rc sieve_rule_remove(struct span script, struct span name, const struct sieve_rules *rules, struct buf *out, struct err *err)
{
	struct buf without;
	struct edit e;
	enum rc rc = edit_open(&e, script, err);

	buf_init(&without, LIMIT_SIEVE_SCRIPT_BYTES);
	if (rc == RC_OK)
		rc = cut(&e, name, &without, NULL, err);
	if (rc == RC_OK)
		rc = edit_finish(&e, buf_span(&without), rules, out, err);
	arena_clear(&e.mem);
	buf_clear(&without);
	return rc;
}

enum rc sieve_rule_move(struct span script, struct span name, size_t place, const struct sieve_rules *rules, struct buf *out, struct err *err)
{
	struct buf without, block, body;
	struct edit e;
	enum rc rc = edit_open(&e, script, err);

	buf_init(&without, LIMIT_SIEVE_SCRIPT_BYTES);
	buf_init(&block, (size_t)LIMIT_SIEVE_SCRIPT_BYTES + 1);
	buf_init(&body, (size_t)LIMIT_SIEVE_SCRIPT_BYTES * 2);
	if (rc == RC_OK)
		rc = cut(&e, name, &without, &block, err);
	if (rc == RC_OK) {
		arena_clear(&e.mem);
		rc = sieve_rule_list(buf_span(&without), &e.mem, &e.list, &e.count, err);
	}
	if (rc == RC_OK) {
		insert(buf_span(&without), e.list, e.count, place, buf_span(&block), &body);
		rc = edit_finish(&e, buf_span(&body), rules, out, err);
	}
	arena_clear(&e.mem);
	buf_clear(&without);
	buf_clear(&block);
	buf_clear(&body);
	return rc;
}
