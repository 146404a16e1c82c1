#include "policy/sieve_compile.h"

/* The parser: recursive descent over the table of verbs, as deep as LIMIT_SIEVE_DEPTH. What a single command checks beyond its shape
 * is in sieve_check.c. */

void *sieve_compile_alloc(struct sieve_compile *c, size_t bytes)
{
	void *p = NULL;

	if (bytes <= c->max_bytes && c->mem->used_bytes - c->mem_before <= c->max_bytes - bytes)
		p = arena_zalloc(c->mem, bytes);
	if (!p) {
		c->rc = RC_LIMIT;
		(void)sieve_lex_fault(&c->lex, c->lex.start, "the script is too large; compiled it may have %zu bytes", c->max_bytes);
	}
	return p;
}

const char *sieve_show(struct span s, struct buf *scratch)
{
	buf_reset(scratch);
	buf_add_safe(scratch, s, 60);
	return buf_cstr(scratch);
}

/* --- arguments --- */

struct args {
	struct sieve_value given[3]; /* positional, as they stand */
	size_t given_at[3];
	unsigned count;
	struct sieve_value params[SIEVE_TAGS];
	uint64_t tags;
};

/* a fault that names what stands there instead */
static bool unexpected(struct sieve_compile *c, size_t at, const char *fmt, const char *a, const char *b)
{
	struct buf shown, words;

	buf_init(&shown, 256);
	buf_init(&words, sizeof(c->lex.fault->why.words));
	buf_printf(&words, fmt, a, b);
	(void)sieve_lex_fault(&c->lex, at, "%s, and not %s", buf_cstr(&words), sieve_lex_say(&c->lex, &shown));
	buf_clear(&shown);
	buf_clear(&words);
	return false;
}

static bool parse_list(struct sieve_compile *c, struct sieve_value *out)
{
	size_t start = c->lex.start;
	unsigned n = 0;
	struct sieve_string *strings;
	bool more = true;

	if (!sieve_lex_next(&c->lex))
		return false;
	if (sieve_lex_is(&c->lex, ']'))
		return sieve_lex_fault(&c->lex, start, "an empty list; at least one string has to be in it");
	while (more) {
		if (c->lex.token != SIEVE_TOKEN_STRING)
			return unexpected(c, c->lex.start, "a list holds strings%s%s", "", "");
		if (n == LIMIT_SIEVE_LIST) {
			c->rc = RC_LIMIT;
			return sieve_lex_fault(&c->lex, start, "this list has more than %d strings", LIMIT_SIEVE_LIST);
		}
		if (!sieve_compile_string(c, &c->list[n++]) || !sieve_lex_next(&c->lex))
			return false;
		more = sieve_lex_is(&c->lex, ',');
		if (more && !sieve_lex_next(&c->lex))
			return false;
	}
	if (!sieve_lex_is(&c->lex, ']'))
		return unexpected(c, c->lex.before, "\",\" or \"]\" is missing in this list%s%s", "", "");
	strings = sieve_compile_alloc(c, n * sizeof(*strings));
	if (!strings)
		return false;
	memcpy(strings, c->list, n * sizeof(*strings));
	*out = (struct sieve_value){.kind = 'l', .count = n, .strings = strings};
	return sieve_lex_next(&c->lex);
}

/* a string, list or number; a single string serves where a list is wanted (RFC 5228 2.4.2.1) */
static bool parse_value(struct sieve_compile *c, struct sieve_value *out)
{
	struct sieve_string *s;

	if (sieve_lex_is(&c->lex, '['))
		return parse_list(c, out);
	if (c->lex.token == SIEVE_TOKEN_NUMBER) {
		*out = (struct sieve_value){.kind = 'n', .number = c->lex.number};
		return sieve_lex_next(&c->lex);
	}
	s = sieve_compile_alloc(c, sizeof(*s));
	if (!s || !sieve_compile_string(c, s))
		return false;
	*out = (struct sieve_value){.kind = 's', .count = 1, .strings = s};
	return sieve_lex_next(&c->lex);
}

static bool value_fits(const struct sieve_value *v, char want)
{
	return v->kind == want || (v->kind == 's' && want == 'l');
}

static const char *kind_words(char kind)
{
	return kind == 'n' ? "a number" : kind == 's' ? "a string" : "a string or a list of strings";
}

/* the tag of that name among those that the verb may have, SIEVE_TAGS: none */
static unsigned tag_find(const struct sieve_verb *verb, struct span word)
{
	for (unsigned t = 0; t < SIEVE_TAGS; t++)
		if (verb->tags >> t & 1 && span_eq_nocase(word, span_str(sieve_tags[t].name)))
			return t;
	return SIEVE_TAGS;
}

static bool tag_unknown(struct sieve_compile *c, const struct sieve_verb *verb)
{
	const char *near = sieve_tag_near(c->lex.word, verb->tags);
	struct span word = span_head(c->lex.word, 40);

	if (near)
		return sieve_lex_fault(&c->lex, c->lex.start, "\"%s\" does not know \"%.*s\"; \"%s\" would be one", verb->name, SPAN_FMT(word), near);
	return sieve_lex_fault(&c->lex, c->lex.start, "\"%s\" does not know \"%.*s\"; it is written: %s", verb->name, SPAN_FMT(word), verb->shape);
}

/* the extension that a verb or tag needs is required; `what` is its name */
static bool ext_there(struct sieve_compile *c, uint32_t ext, const char *what)
{
	unsigned e = 0;

	if (ext == 0 || c->ext & ext)
		return true;
	while (!(ext >> e & 1))
		e++;
	return sieve_lex_fault(&c->lex, c->lex.start, "\"%s\" needs this line at the beginning: require \"%s\";", what, sieve_ext_names[e]);
}

static bool parse_tag(struct sieve_compile *c, const struct sieve_verb *verb, struct args *a)
{
	size_t start = c->lex.start;
	unsigned t = tag_find(verb, c->lex.word);

	if (a->count > 0)
		return sieve_lex_fault(&c->lex, start, "\"%.*s\" has to stand before the strings and numbers of \"%s\"", SPAN_FMT(span_head(c->lex.word, 40)),
			verb->name);
	if (t == SIEVE_TAGS)
		return tag_unknown(c, verb);
	if (!ext_there(c, sieve_tags[t].ext, sieve_tags[t].name))
		return false;
	for (unsigned other = 0; other < SIEVE_TAGS; other++) {
		if (!(a->tags >> other & 1))
			continue;
		if (other == t)
			return sieve_lex_fault(&c->lex, start, "\"%s\" stands here twice", sieve_tags[t].name);
		if (sieve_tags[t].group && sieve_tags[t].group == sieve_tags[other].group)
			return sieve_lex_fault(&c->lex, start, "\"%s\" and \"%s\" exclude each other", sieve_tags[other].name, sieve_tags[t].name);
	}
	a->tags |= (uint64_t)1 << t;
	if (!sieve_lex_next(&c->lex))
		return false;
	if (!sieve_tags[t].param)
		return true;
	if (c->lex.token != SIEVE_TOKEN_STRING && c->lex.token != SIEVE_TOKEN_NUMBER && !sieve_lex_is(&c->lex, '['))
		return unexpected(c, c->lex.start, "behind \"%s\" stands %s", sieve_tags[t].name, kind_words(sieve_tags[t].param));
	if (!parse_value(c, &a->params[t]))
		return false;
	if (!value_fits(&a->params[t], sieve_tags[t].param))
		return sieve_lex_fault(&c->lex, start, "behind \"%s\" stands %s", sieve_tags[t].name, kind_words(sieve_tags[t].param));
	return true;
}

static bool parse_args(struct sieve_compile *c, const struct sieve_verb *verb, struct args *a)
{
	for (;;) {
		if (c->lex.token == SIEVE_TOKEN_TAG) {
			if (!parse_tag(c, verb, a))
				return false;
		} else if (c->lex.token == SIEVE_TOKEN_STRING || c->lex.token == SIEVE_TOKEN_NUMBER || sieve_lex_is(&c->lex, '[')) {
			if (a->count == sieve_verb_arg_count(verb))
				return unexpected(c, c->lex.start, "\"%s\" is complete here; it is written: %s", verb->name, verb->shape);
			a->given_at[a->count] = c->lex.start;
			if (!parse_value(c, &a->given[a->count++]))
				return false;
		} else {
			return true;
		}
	}
}

/* what was given to the places that the verb has, and the parameters of tags to the node */
static bool place_args(struct sieve_compile *c, struct args *a, struct sieve_node *n)
{
	unsigned want = sieve_verb_arg_count(n->verb), params = 0, from = 0;
	struct sieve_value *args, *to;
	const char *spec = n->verb->args;
	bool optional = strchr(spec, '?') != NULL;

	if (a->count < want - optional)
		return unexpected(c, c->lex.start, "\"%s\" needs more behind it; it is written: %s", n->verb->name, n->verb->shape);
	for (unsigned t = 0; t < SIEVE_TAGS; t++)
		params += a->params[t].kind != 0;
	n->tags = a->tags;
	if (want + params == 0)
		return true;
	args = sieve_compile_alloc(c, (want + params) * sizeof(*args));
	if (!args)
		return false;
	for (unsigned i = 0; i < want; i++, spec++) {
		bool skip = *spec == '?' && a->count < want;

		spec += *spec == '?';
		if (skip)
			continue;
		if (!value_fits(&a->given[from], *spec))
			return sieve_lex_fault(&c->lex, a->given_at[from], "\"%s\" takes %s here; it is written: %s", n->verb->name, kind_words(*spec),
				n->verb->shape);
		args[i] = a->given[from++];
	}
	to = args + want;
	for (unsigned t = 0; t < SIEVE_TAGS; t++)
		if (a->params[t].kind)
			*to++ = a->params[t];
	n->args = args;
	n->params = args + want;
	return true;
}

/* --- commands and tests --- */

static bool parse_block(struct sieve_compile *c, const struct sieve_node **out);

static bool verb_unknown(struct sieve_compile *c, bool test)
{
	struct span word = span_head(c->lex.word, 40);
	const char *what = test ? "test" : "command", *near = sieve_verb_near(word, test);

	if (span_eq_nocase(word, SPAN_LIT("deleteheader")))
		return sieve_lex_fault(&c->lex, c->lex.start, "\"deleteheader\" is not to be had: what arrived is kept as it is; addheader adds a field");
	if (sieve_verb_find(word, !test))
		return sieve_lex_fault(&c->lex, c->lex.start, test ? "\"%.*s\" is a command, here stands a test: true, header, address, not ..."
								   : "\"%.*s\" is a test; it stands behind \"if\"",
			SPAN_FMT(word));
	if (near)
		return sieve_lex_fault(&c->lex, c->lex.start, "unknown %s \"%.*s\"; \"%s\" would be one", what, SPAN_FMT(word), near);
	return sieve_lex_fault(&c->lex, c->lex.start, "unknown %s \"%.*s\"", what, SPAN_FMT(word));
}

/* the token is where a command or test begins: which one */
static const struct sieve_verb *parse_verb(struct sieve_compile *c, bool test)
{
	const struct sieve_verb *verb;

	c->node_at = c->lex.start;
	if (c->lex.token != SIEVE_TOKEN_WORD) {
		(void)unexpected(c, c->lex.start, "here stands a %s%s", test ? "test" : "command", "");
		return NULL;
	}
	verb = sieve_verb_find(c->lex.word, test);
	if (!verb) {
		(void)verb_unknown(c, test);
		return NULL;
	}
	if (!ext_there(c, verb->ext, verb->name))
		return NULL;
	if (++c->nodes > LIMIT_SIEVE_COMMANDS) {
		(void)sieve_compile_limit(c, "the script has more than %d commands and tests", LIMIT_SIEVE_COMMANDS);
		return NULL;
	}
	return verb;
}

static bool enter(struct sieve_compile *c)
{
	if (c->depth == LIMIT_SIEVE_DEPTH) {
		c->rc = RC_LIMIT;
		return sieve_lex_fault(&c->lex, c->lex.start, "more than %d blocks and tests inside each other", LIMIT_SIEVE_DEPTH);
	}
	c->depth++;
	return true;
}

static bool parse_test(struct sieve_compile *c, struct sieve_node **out);

static bool parse_tests(struct sieve_compile *c, struct sieve_node *n)
{
	const struct sieve_node **to = &n->tests;
	struct sieve_node *test;
	bool list = n->verb->flags & SIEVE_VERB_TAKES_TESTS;

	if (!enter(c))
		return false;
	if (list && !sieve_lex_is(&c->lex, '('))
		return unexpected(c, c->lex.start, "tests in ( ) stand behind \"%s\": %s", n->verb->name, n->verb->shape);
	if (!list && c->lex.token != SIEVE_TOKEN_WORD)
		return unexpected(c, c->lex.start, "a test stands behind \"%s\": %s", n->verb->name, n->verb->shape);
	do {
		if ((list && !sieve_lex_next(&c->lex)) || !parse_test(c, &test))
			return false;
		*to = test;
		to = &test->next;
	} while (list && sieve_lex_is(&c->lex, ','));
	if (list && !sieve_lex_is(&c->lex, ')'))
		return unexpected(c, c->lex.before, "\",\" or \")\" is missing behind a test of \"%s\"%s", n->verb->name, "");
	c->depth--;
	return !list || sieve_lex_next(&c->lex);
}

/* name, arguments and tests: what commands and tests have in common */
static bool parse_head(struct sieve_compile *c, bool test, struct sieve_node **out)
{
	const struct sieve_verb *verb = parse_verb(c, test);
	struct sieve_node *n = verb ? sieve_compile_alloc(c, sizeof(*n)) : NULL;
	struct args a = {.count = 0};

	if (!n)
		return false;
	n->verb = verb;
	n->line = c->lex.token_line;
	if (!sieve_lex_next(&c->lex) || !parse_args(c, verb, &a) || !place_args(c, &a, n))
		return false;
	c->needs |= verb->needs;
	*out = n;
	return verb->flags & (SIEVE_VERB_TAKES_TEST | SIEVE_VERB_TAKES_TESTS) ? parse_tests(c, n) : true;
}

static bool parse_test(struct sieve_compile *c, struct sieve_node **out)
{
	size_t at = c->lex.start;

	if (!parse_head(c, true, out))
		return false;
	c->node_at = at;
	return !(*out)->verb->check || (*out)->verb->check(c, *out);
}

static bool parse_body(struct sieve_compile *c, struct sieve_node *n)
{
	bool loop = n->verb->flags & SIEVE_VERB_LOOP, good;

	if (!sieve_lex_is(&c->lex, '{'))
		return unexpected(c, c->lex.start, "\"{\" opens what \"%s\" is for: %s", n->verb->name, n->verb->shape);
	if (loop)
		c->loops[c->loop_count++] = n;
	good = enter(c) && sieve_lex_next(&c->lex) && parse_block(c, &n->block);
	if (loop)
		c->loop_count--;
	if (!good)
		return false;
	c->depth--;
	if (!sieve_lex_is(&c->lex, '}'))
		return unexpected(c, c->lex.start, "\"}\" is missing: the block of \"%s\" is not closed%s", n->verb->name, "");
	return sieve_lex_next(&c->lex);
}

static bool parse_command(struct sieve_compile *c, struct sieve_node **out)
{
	size_t at = c->lex.start;
	struct sieve_node *n;

	if (!parse_head(c, false, out))
		return false;
	n = *out;
	c->node_at = at;
	if (n->verb->flags & SIEVE_VERB_FIRST && c->begun)
		return sieve_compile_bad(c, "\"%s\" stands before all other commands", n->verb->name);
	c->begun |= !(n->verb->flags & SIEVE_VERB_FIRST);
	if (n->verb->check && !n->verb->check(c, n))
		return false;
	if (n->verb->flags & SIEVE_VERB_BLOCK)
		return parse_body(c, n);
	if (!sieve_lex_is(&c->lex, ';'))
		return unexpected(c, c->lex.before, "\";\" is missing behind \"%s\"; it is written: %s", n->verb->name, n->verb->shape);
	return sieve_lex_next(&c->lex);
}

/* commands up to "}" or the end */
static bool parse_block(struct sieve_compile *c, const struct sieve_node **out)
{
	const struct sieve_verb *before = NULL;

	while (c->lex.token != SIEVE_TOKEN_END && !sieve_lex_is(&c->lex, '}')) {
		size_t at = c->lex.start;
		struct sieve_node *n;

		if (c->lex.token == SIEVE_TOKEN_WORD && span_eq_nocase(c->lex.word, SPAN_LIT("else")) && before && before->flags & SIEVE_VERB_IF) {
			struct sieve_lex ahead = c->lex;

			if (sieve_lex_next(&ahead) && ahead.token == SIEVE_TOKEN_WORD && span_eq_nocase(ahead.word, SPAN_LIT("if")))
				return sieve_lex_fault(&c->lex, at, "\"else if\" is written \"elsif\"");
		}
		if (!parse_command(c, &n))
			return false;
		if (n->verb->flags & SIEVE_VERB_AFTER_IF && !(before && before->flags & SIEVE_VERB_IF))
			return sieve_lex_fault(&c->lex, at, "\"%s\" stands behind the block of an \"if\" or \"elsif\"", n->verb->name);
		before = n->verb;
		if (!n->verb->command && n->verb->flags & SIEVE_VERB_FIRST)
			continue; /* require: done */
		*out = n;
		out = &n->next;
	}
	return true;
}

static bool compile_script(struct sieve_compile *c, struct sieve_script *s)
{
	const struct sieve_node *first = NULL;

	if (!sieve_lex_next(&c->lex) || !parse_block(c, &first))
		return false;
	if (c->lex.token != SIEVE_TOKEN_END)
		return sieve_lex_fault(&c->lex, c->lex.start, "\"}\" closes nothing; there is one too many");
	s->variables = sieve_compile_alloc(c, (c->variable_count ? c->variable_count : 1) * sizeof(*s->variables));
	if (!s->variables)
		return false;
	memcpy(s->variables, c->variables, c->variable_count * sizeof(*s->variables));
	s->variable_count = c->variable_count;
	s->first = first;
	s->ext = c->ext;
	s->needs = c->needs;
	s->bytes = c->mem->used_bytes - c->mem_before;
	return true;
}

enum rc sieve_compile(struct span text, const struct sieve_rules *rules, struct arena *mem, const struct sieve_script **out,
	struct sieve_fault *fault)
{
	struct sieve_compile c = {.mem = mem, .mem_before = mem->used_bytes, .max_bytes = LIMIT_SIEVE_COMPILED_BYTES, .rc = RC_BAD};
	struct sieve_script *s;

	*fault = (struct sieve_fault){.line = 0};
	if (rules && rules->compiled_bytes)
		c.max_bytes = rules->compiled_bytes;
	c.refuse = rules ? rules->refuse : 0;
	if (text.len > LIMIT_SIEVE_SCRIPT_BYTES)
		return err_set(&fault->why, RC_LIMIT, "the script has %zu bytes; %d is the most", text.len, LIMIT_SIEVE_SCRIPT_BYTES);
	if (!sieve_lex_init(&c.lex, text, fault))
		return RC_BAD;
	s = sieve_compile_alloc(&c, sizeof(*s));
	if (!s || !compile_script(&c, s))
		return c.rc;
	*out = s;
	return RC_OK;
}

unsigned sieve_script_needs(const struct sieve_script *script)
{
	return script->needs;
}

size_t sieve_script_bytes(const struct sieve_script *script)
{
	return script->bytes;
}
