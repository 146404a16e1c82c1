/* Variables (RFC 5229) and flags (RFC 5232), which are kept as words with blanks between them. */
#include "policy/sieve_exec.h"

#include "policy/sieve_compile.h"

static struct span slot_span(const struct sieve_slot *s)
{
	return span_of(s->ptr, s->len);
}

/* at most `max` bytes, never half a character */
static struct span cut_utf8(struct span s, size_t max)
{
	if (s.len <= max)
		return s;
	while (max > 0 && (s.ptr[max] & 0xc0) == 0x80)
		max--;
	return span_head(s, max);
}

bool sieve_slot_set(struct sieve_run *r, struct sieve_slot *slot, struct span value)
{
	value = cut_utf8(value, LIMIT_SIEVE_VALUE_BYTES);
	if (value.len > slot->size) {
		size_t size = 64;

		while (size < value.len)
			size *= 2;
		slot->ptr = arena_alloc(r->mem, size);
		if (!slot->ptr) {
			*slot = (struct sieve_slot){.len = 0};
			return sieve_run_full(r, NULL);
		}
		slot->size = size;
	}
	if (value.len > 0)
		memmove(slot->ptr, value.ptr, value.len);
	slot->len = value.len;
	return true;
}

/* the value that "${name}" stands for; false: it is plain text */
static bool reference(struct sieve_run *r, struct span name, struct span *out)
{
	uint64_t n = 0;
	bool number = name.len > 0;
	int at;

	for (size_t i = 0; i < name.len && number; i++) {
		number = byte_is_digit(name.ptr[i]);
		n = n >= SIEVE_MATCHES ? n : n * 10 + (uint64_t)(name.ptr[i] - '0');
	}
	if (number && n < SIEVE_MATCHES) {
		*out = slot_span(&r->matches[n]);
		return true;
	}
	if (!sieve_variable_name_ok(name))
		return false;
	at = sieve_script_variable(r->script, name);
	*out = at < 0 ? SPAN_NONE : slot_span(&r->variables[at]);
	return true;
}

static void add_cut(struct buf *to, struct span s)
{
	buf_add(to, cut_utf8(s, to->max_bytes - to->len));
}

struct span sieve_expand(struct sieve_run *r, const struct sieve_node *at, const struct sieve_string *s)
{
	struct span text = sieve_string_span(s), value, done;
	struct buf out;

	if (!s->vars || !sieve_run_spend(r, at, SIEVE_STEPS_EXPAND + text.len))
		return text;
	buf_init(&out, LIMIT_SIEVE_VALUE_BYTES);
	while (text.len > 0) {
		size_t dollar = span_find_span(text, SPAN_LIT("${"));
		struct span name = span_from(text, dollar + 2);
		size_t close = span_find(name, '}');

		add_cut(&out, span_head(text, dollar));
		text = span_from(text, dollar);
		if (close < name.len && reference(r, span_head(name, close), &value)) {
			(void)sieve_run_spend(r, at, SIEVE_STEPS_VALUE + r->script->variable_count);
			add_cut(&out, value);
			text = span_from(text, close + 3);
		} else {
			add_cut(&out, span_head(text, 2));
			text = span_from(text, 2);
		}
	}
	(void)sieve_run_spend(r, at, out.len);
	done = arena_copy(&r->scratch, buf_span(&out));
	if (!done.ptr)
		(void)sieve_run_full(r, at);
	buf_clear(&out);
	return done;
}

/* --- set --- */

static void turn_case(struct buf *b, size_t count, uint8_t (*turn)(uint8_t))
{
	for (size_t i = 0; i < count && i < b->len; i++)
		b->ptr[i] = turn(b->ptr[i]);
}

static size_t characters(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.ptr[i] & 0xc0) != 0x80;
	return n;
}

/* RFC 5229 4.1, the modifiers in their order of precedence */
static void set_modify(const struct sieve_node *n, struct span value, struct buf *out)
{
	struct buf quoted;

	buf_add(out, value);
	if (n->tags & (SIEVE_TAG(LOWER) | SIEVE_TAG(UPPER)))
		turn_case(out, out->len, sieve_node_has(n, SIEVE_TAG_UPPER) ? byte_upper : byte_lower);
	if (n->tags & (SIEVE_TAG(LOWERFIRST) | SIEVE_TAG(UPPERFIRST)))
		turn_case(out, 1, sieve_node_has(n, SIEVE_TAG_UPPERFIRST) ? byte_upper : byte_lower);
	if (sieve_node_has(n, SIEVE_TAG_QUOTEWILDCARD)) {
		buf_init(&quoted, (size_t)LIMIT_SIEVE_VALUE_BYTES * 2);
		for (size_t i = 0; i < out->len; i++) {
			if (strchr("*?\\", out->ptr[i]) && out->ptr[i])
				buf_add_byte(&quoted, '\\');
			buf_add_byte(&quoted, out->ptr[i]);
		}
		buf_reset(out);
		buf_add(out, buf_span(&quoted));
		buf_clear(&quoted);
	}
	if (sieve_node_has(n, SIEVE_TAG_LENGTH)) {
		size_t count = characters(buf_span(out));

		buf_reset(out);
		buf_add_u64(out, count);
	}
}

enum sieve_flow sieve_do_set(struct sieve_run *r, const struct sieve_node *n)
{
	struct span value = cut_utf8(sieve_expand(r, n, &n->args[1].strings[0]), LIMIT_SIEVE_VALUE_BYTES);
	int at = sieve_script_variable(r->script, sieve_string_span(n->args[0].strings));
	struct buf out;
	bool good;

	if (r->ended || at < 0)
		return SIEVE_FLOW_STOP;
	buf_init(&out, (size_t)LIMIT_SIEVE_VALUE_BYTES * 2);
	set_modify(n, value, &out);
	good = sieve_run_spend(r, n, out.len) && sieve_slot_set(r, &r->variables[at], buf_span(&out));
	buf_clear(&out);
	return good ? SIEVE_FLOW_NEXT : SIEVE_FLOW_STOP;
}

/* RFC 5229 5 */
bool sieve_test_string(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_match m;

	if (!sieve_match_init(r, n, &n->args[1], &m))
		return false;
	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct span source = sieve_expand(r, n, &n->args[0].strings[i]);

		if (sieve_node_has(n, SIEVE_TAG_COUNT) && source.len == 0)
			continue;
		if (r->ended || sieve_match_value(r, &m, source))
			return !r->ended;
	}
	return sieve_match_end(r, &m);
}

/* --- flags --- */

/* a keyword is an atom (RFC 3501 9); of the system flags these can be set. Others are passed over (RFC 5232 2). */
static bool flag_ok(struct span flag)
{
	static const char *const system[] = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};

	if (flag.len > 0 && flag.ptr[0] == '\\') {
		for (size_t i = 0; i < sizeof(system) / sizeof(*system); i++)
			if (span_eq_nocase(flag, span_str(system[i])))
				return true;
		return false;
	}
	for (size_t i = 0; i < flag.len; i++)
		if (flag.ptr[i] <= ' ' || flag.ptr[i] > '~' || strchr("(){%*\"\\]", flag.ptr[i]))
			return false;
	return flag.len > 0 && flag.len <= LIMIT_SIEVE_NAME_BYTES;
}

/* the next word; false: none is left */
static bool flag_next(struct span *words, struct span *out)
{
	while (words->len > 0) {
		*out = span_cut(words, ' ');
		if (out->len > 0)
			return true;
	}
	return false;
}

static bool flag_in(struct span words, struct span flag)
{
	struct span one;

	while (flag_next(&words, &one))
		if (span_eq_nocase(one, flag))
			return true;
	return false;
}

static void flags_add(struct sieve_run *r, const struct sieve_node *at, struct buf *to, struct span words)
{
	struct span one;

	while (flag_next(&words, &one) && sieve_run_spend(r, at, SIEVE_STEPS_FLAG + to->len)) {
		if (!flag_ok(one) || flag_in(buf_span(to), one) || to->len + one.len + 1 > to->max_bytes)
			continue;
		if (to->len > 0)
			buf_add_byte(to, ' ');
		buf_add(to, one);
	}
}

enum flag_do { FLAG_SET, FLAG_ADD, FLAG_REMOVE };

static enum sieve_flow change_flags(struct sieve_run *r, const struct sieve_node *n, enum flag_do what)
{
	struct sieve_slot *slot = &r->flags;
	struct buf old, given;
	struct span words, one;
	bool good;

	if (n->args[0].kind)
		slot = &r->variables[sieve_script_variable(r->script, sieve_string_span(n->args[0].strings))];
	buf_init(&old, LIMIT_SIEVE_VALUE_BYTES);
	buf_init(&given, LIMIT_SIEVE_VALUE_BYTES);
	if (what == FLAG_ADD)
		flags_add(r, n, &old, slot_span(slot));
	for (unsigned i = 0; i < n->args[1].count; i++)
		flags_add(r, n, what == FLAG_REMOVE ? &given : &old, sieve_expand(r, n, &n->args[1].strings[i]));
	for (words = what == FLAG_REMOVE ? slot_span(slot) : SPAN_NONE; flag_next(&words, &one);)
		if (sieve_run_spend(r, n, given.len) && !flag_in(buf_span(&given), one))
			flags_add(r, n, &old, one);
	good = sieve_run_spend(r, n, old.len + given.len) && sieve_slot_set(r, slot, buf_span(&old));
	buf_clear(&old);
	buf_clear(&given);
	return good ? SIEVE_FLOW_NEXT : SIEVE_FLOW_STOP;
}

enum sieve_flow sieve_do_setflag(struct sieve_run *r, const struct sieve_node *n)
{
	return change_flags(r, n, FLAG_SET);
}

enum sieve_flow sieve_do_addflag(struct sieve_run *r, const struct sieve_node *n)
{
	return change_flags(r, n, FLAG_ADD);
}

enum sieve_flow sieve_do_removeflag(struct sieve_run *r, const struct sieve_node *n)
{
	return change_flags(r, n, FLAG_REMOVE);
}

/* a string may hold several flags, here as well (RFC 5232 2) */
static bool split_keys(struct sieve_run *r, const struct sieve_node *n, struct sieve_match *m)
{
	struct span *keys, words, one;
	unsigned count = 0;

	for (unsigned i = 0; i < m->key_count; i++)
		for (words = m->keys[i]; flag_next(&words, &one);)
			count++;
	if (!sieve_run_spend(r, n, count))
		return false;
	keys = arena_zalloc(&r->scratch, (count ? count : 1) * sizeof(*keys));
	if (!keys)
		return sieve_run_full(r, n);
	count = 0;
	for (unsigned i = 0; i < m->key_count; i++)
		for (words = m->keys[i]; flag_next(&words, &one);)
			keys[count++] = one;
	m->keys = keys;
	m->key_count = count;
	return true;
}

bool sieve_test_hasflag(struct sieve_run *r, const struct sieve_node *n)
{
	unsigned sources = n->args[0].kind ? n->args[0].count : 1;
	struct sieve_match m;

	if (!sieve_match_init(r, n, &n->args[1], &m) || !split_keys(r, n, &m))
		return false;
	for (unsigned i = 0; i < sources; i++) {
		struct sieve_slot *slot = &r->flags;
		struct span words, one;

		if (n->args[0].kind)
			slot = &r->variables[sieve_script_variable(r->script, sieve_string_span(&n->args[0].strings[i]))];
		for (words = slot_span(slot); flag_next(&words, &one);)
			if (r->ended || sieve_match_value(r, &m, one))
				return !r->ended;
	}
	return sieve_match_end(r, &m);
}

static bool action_has(const struct sieve_action *a, struct span flag)
{
	for (size_t i = 0; i < a->flag_count; i++)
		if (span_eq_nocase(a->flags[i], flag))
			return true;
	return false;
}

/* adds the words that the action does not have yet */
static bool take_words(struct sieve_run *r, const struct sieve_node *at, struct span words, struct span *flags, struct sieve_action *a)
{
	struct span one;

	while (flag_next(&words, &one)) {
		if (!sieve_run_spend(r, at, SIEVE_STEPS_FLAG + a->flag_count))
			return false;
		if (!flag_ok(one) || action_has(a, one) || a->flag_count == LIMIT_SIEVE_FLAGS)
			continue;
		one = arena_copy(r->mem, one);
		if (!one.ptr)
			return sieve_run_full(r, at);
		flags[a->flag_count++] = one;
	}
	return true;
}

bool sieve_flags_take(struct sieve_run *r, const struct sieve_node *at, const struct sieve_value *list, struct sieve_action *a)
{
	struct span *flags;
	bool good = true;

	if (!list && r->flags.len == 0)
		return !r->ended;
	flags = arena_zalloc(r->mem, LIMIT_SIEVE_FLAGS * sizeof(*flags));
	if (!flags)
		return sieve_run_full(r, at);
	if (a->flag_count > 0)
		memcpy(flags, a->flags, a->flag_count * sizeof(*flags));
	a->flags = flags;
	if (!list)
		return take_words(r, at, slot_span(&r->flags), flags, a);
	for (unsigned i = 0; i < list->count && good; i++)
		good = take_words(r, at, sieve_expand(r, at, &list->strings[i]), flags, a);
	return good && !r->ended;
}
