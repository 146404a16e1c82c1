/* What single commands and tests check beyond their shape, and the checks that also serve when a text is only known at run time. */
#include "policy/sieve_compile.h"

#include "mail/address.h"
#include "policy/sieve_exec.h"

bool sieve_field_name_ok(struct span name)
{
	return name.len > 0 && name.len <= 200 && span_is_vchar(name) && span_find(name, ':') == name.len;
}

static bool has_control(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

const char *sieve_folder_fault(struct span folder)
{
	if (folder.len == 0)
		return "the name of the folder is empty";
	if (folder.len > LIMIT_FOLDER_BYTES)
		return "the name of the folder is too long";
	if (has_control(folder) || !span_is_utf8(folder))
		return "the name of the folder holds control characters or is no UTF-8";
	return NULL;
}

const char *sieve_redirect_fault(struct span address)
{
	struct arena mem;
	struct address a;
	enum address_fault fault;

	arena_init(&mem, 4096);
	fault = address_parse(address, ADDRESS_UTF8, &mem, &a);
	arena_clear(&mem);
	return fault == ADDRESS_OK ? NULL : address_fault_name(fault);
}

const char *sieve_addheader_fault(struct span name)
{
	static const char *const ours[] = {"Received", "Return-Path", "Delivered-To", "Authentication-Results", "Content-Type",
		"Content-Transfer-Encoding", "MIME-Version"};

	if (!sieve_field_name_ok(name))
		return "this is no name of a header field; \"X-Name\" would be one";
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (span_eq_nocase(name, span_str(ours[i])))
			return "this header field is only for servers to write; \"X-Name\" would be fine";
	return NULL;
}

bool sieve_variable_name_ok(struct span name)
{
	if (name.len == 0 || name.len > LIMIT_SIEVE_NAME_BYTES || !sieve_word_start(name.ptr[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!sieve_word_byte(name.ptr[i]))
			return false;
	return true;
}

/* "what: text" at the command; always false */
static bool bad_text(struct sieve_compile *c, const char *verb, struct span text, const char *why)
{
	struct buf shown;

	buf_init(&shown, 512);
	(void)sieve_compile_bad(c, "%s \"%s\": %s", verb, sieve_show(text, &shown), why);
	buf_clear(&shown);
	return false;
}

/* --- commands --- */

static bool unknown_ext(struct sieve_compile *c, struct span name)
{
	const char *near = sieve_ext_near(name);
	struct buf shown;

	if (!near)
		return bad_text(c, "require", name, "this server does not know that extension");
	buf_init(&shown, 512);
	(void)sieve_compile_bad(c, "unknown extension \"%s\"; \"%s\" would be one", sieve_show(name, &shown), near);
	buf_clear(&shown);
	return false;
}

bool sieve_check_require(struct sieve_compile *c, struct sieve_node *n)
{
	static const struct {
		unsigned refuse;
		uint32_t ext;
	} refusals[] = {
		{SIEVE_REFUSE_VACATION, SIEVE_EXT(VACATION) | SIEVE_EXT(SECONDS)},
		{SIEVE_REFUSE_ADDHEADER, SIEVE_EXT(EDITHEADER)},
	};

	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct span name = sieve_string_span(&n->args[0].strings[i]);
		unsigned e = 0;

		while (e < SIEVE_EXT_COUNT && !span_eq(name, span_str(sieve_ext_names[e])))
			e++;
		for (size_t k = 0; k < sizeof(refusals) / sizeof(*refusals); k++)
			if (e < SIEVE_EXT_COUNT && c->refuse & refusals[k].refuse && refusals[k].ext >> e & 1)
				return sieve_compile_bad(c, "\"%s\" is not to be had on this server", sieve_ext_names[e]);
		if (e < SIEVE_EXT_COUNT) {
			c->ext |= (uint32_t)1 << e | (e == SIEVE_EXT_SECONDS ? SIEVE_EXT(VACATION) : 0); /* RFC 6131 2 */
			continue;
		}
		return unknown_ext(c, name);
	}
	return true;
}

bool sieve_check_fileinto(struct sieve_compile *c, struct sieve_node *n)
{
	struct span folder = sieve_string_span(n->args[0].strings);
	const char *fault = n->args[0].strings->vars ? NULL : sieve_folder_fault(folder);

	return fault ? bad_text(c, "fileinto", folder, fault) : sieve_check_flags(c, n);
}

bool sieve_check_redirect(struct sieve_compile *c, struct sieve_node *n)
{
	struct span address = sieve_string_span(n->args[0].strings);
	const char *fault = n->args[0].strings->vars ? NULL : sieve_redirect_fault(address);

	if (c->refuse & SIEVE_REFUSE_REDIRECT)
		return sieve_compile_bad(c, "\"redirect\" is not to be had on this server");
	if (n->args[0].strings->vars || c->ext & SIEVE_EXT(ENCODED) || span_find(address, '"') < address.len || span_find(address, '\\') < address.len)
		c->needs |= SIEVE_NEEDS_REDIRECT_ANY;
	return fault ? bad_text(c, "redirect", address, fault) : true;
}

static bool reason_check(struct sieve_compile *c, struct sieve_node *n)
{
	if (n->args[0].strings->len > LIMIT_SIEVE_REASON_BYTES)
		return sieve_compile_limit(c, "the text of \"%s\" is too long; %d bytes are the most", n->verb->name, LIMIT_SIEVE_REASON_BYTES);
	return true;
}

bool sieve_check_reason(struct sieve_compile *c, struct sieve_node *n)
{
	if (n->args[0].strings->len == 0)
		return sieve_compile_bad(c, "\"%s\" needs a reason that a person can read", n->verb->name);
	return reason_check(c, n);
}

/* a variable that the script sets: known to all that follows; slots are shared by name */
static bool declare(struct sieve_compile *c, const struct sieve_string *s)
{
	struct span name = sieve_string_span(s);

	if (s->vars || !sieve_variable_name_ok(name))
		return bad_text(c, "variable", name, "a name is made of letters, digits and _ and does not begin with a digit");
	for (unsigned i = 0; i < c->variable_count; i++)
		if (span_eq_nocase(c->variables[i], name))
			return true;
	if (c->variable_count == LIMIT_SIEVE_VARIABLES)
		return sieve_compile_limit(c, "the script has more than %d variables", LIMIT_SIEVE_VARIABLES);
	c->variables[c->variable_count++] = name;
	return true;
}

/* keep, fileinto, hasflag and the commands that set flags */
bool sieve_check_flags(struct sieve_compile *c, struct sieve_node *n)
{
	const struct sieve_value *names = *n->verb->args == '?' ? &n->args[0] : NULL;

	if (sieve_node_has(n, SIEVE_TAG_FLAGS))
		c->needs |= SIEVE_NEEDS_FLAGS;
	if (names && names->kind && !(c->ext & SIEVE_EXT(VARIABLES)))
		return sieve_compile_bad(c, "\"%s\" with a variable needs this line at the beginning: require \"variables\";", n->verb->name);
	for (unsigned i = 0; names && names->kind && i < names->count; i++)
		if (!declare(c, &names->strings[i]))
			return false;
	return n->verb->flags & SIEVE_VERB_TEST ? sieve_check_match(c, n) : true;
}

bool sieve_check_set(struct sieve_compile *c, struct sieve_node *n)
{
	return declare(c, n->args[0].strings);
}

bool sieve_check_loop(struct sieve_compile *c, struct sieve_node *n)
{
	const struct sieve_value *name = sieve_node_param(n, SIEVE_TAG_LOOP_NAME);

	if (c->loop_count == LIMIT_SIEVE_LOOPS)
		return sieve_compile_limit(c, "more than %d \"foreverypart\" inside each other", LIMIT_SIEVE_LOOPS);
	if (name && (name->strings->vars || name->strings->len == 0))
		return sieve_compile_bad(c, "the name of a loop is a plain word: foreverypart :name \"parts\" { ... }");
	return true;
}

bool sieve_check_break(struct sieve_compile *c, struct sieve_node *n)
{
	const struct sieve_value *name = sieve_node_param(n, SIEVE_TAG_LOOP_NAME), *loop;

	if (c->loop_count == 0)
		return sieve_compile_bad(c, "\"break\" stands inside a \"foreverypart\"");
	for (unsigned i = c->loop_count; i > 0 && !n->target; i--) {
		loop = sieve_node_param(c->loops[i - 1], SIEVE_TAG_LOOP_NAME);
		if (!name || (loop && span_eq(sieve_string_span(loop->strings), sieve_string_span(name->strings))))
			n->target = c->loops[i - 1];
	}
	return n->target ? true : bad_text(c, "break :name", sieve_string_span(name->strings), "no \"foreverypart\" around it has that name");
}

bool sieve_check_addheader(struct sieve_compile *c, struct sieve_node *n)
{
	struct span name = sieve_string_span(n->args[0].strings);
	const char *fault = n->args[0].strings->vars ? NULL : sieve_addheader_fault(name);

	return fault ? bad_text(c, "addheader", name, fault) : true;
}

bool sieve_check_vacation(struct sieve_compile *c, struct sieve_node *n)
{
	const struct sieve_value *from = sieve_node_param(n, SIEVE_TAG_FROM);

	if (from && !from->strings->vars) {
		struct span address = sieve_string_span(from->strings);
		const char *fault = sieve_redirect_fault(address);

		if (fault)
			return bad_text(c, "vacation :from", address, fault);
	}
	return reason_check(c, n);
}

/* --- tests --- */

/* comparator and match type; RFC 5228 2.7, 5231, 4790 */
bool sieve_check_match(struct sieve_compile *c, struct sieve_node *n)
{
	static const struct {
		const char *name;
		enum sieve_comparator comparator;
		uint32_t ext;
	} comparators[] = {
		{"i;ascii-casemap", SIEVE_ASCII_CASEMAP, 0},
		{"i;octet", SIEVE_OCTET, 0},
		{"i;ascii-numeric", SIEVE_ASCII_NUMERIC, SIEVE_EXT(NUMERIC)},
		{"i;unicode-casemap", SIEVE_UNICODE_CASEMAP, SIEVE_EXT(UNICODE)},
	};
	static const char *const relations[] = {"gt", "ge", "lt", "le", "eq", "ne"};
	const struct sieve_value *v = sieve_node_param(n, SIEVE_TAG_COMPARATOR);
	size_t i = 0;

	if (v) {
		while (i < 4 && !span_eq(sieve_string_span(v->strings), span_str(comparators[i].name)))
			i++;
		if (i == 4)
			return bad_text(c, ":comparator", sieve_string_span(v->strings),
				"unknown; there are i;ascii-casemap, i;octet, i;ascii-numeric and i;unicode-casemap");
		if (comparators[i].ext & ~c->ext)
			return sieve_compile_bad(c, "\"%s\" needs this line at the beginning: require \"comparator-%s\";", comparators[i].name,
				comparators[i].name);
		n->comparator = (uint8_t)comparators[i].comparator;
	}
	if (n->comparator == SIEVE_ASCII_NUMERIC && (n->tags & (SIEVE_TAG(CONTAINS) | SIEVE_TAG(MATCHES))))
		return sieve_compile_bad(c, "i;ascii-numeric compares numbers; it has no :contains and no :matches");
	v = sieve_node_has(n, SIEVE_TAG_COUNT) ? sieve_node_param(n, SIEVE_TAG_COUNT) : sieve_node_param(n, SIEVE_TAG_VALUE);
	if (!v)
		return true;
	for (i = 0; i < 6; i++)
		if (span_eq_nocase(sieve_string_span(v->strings), span_str(relations[i]))) {
			n->relation = (uint8_t)i;
			return true;
		}
	return bad_text(c, sieve_node_has(n, SIEVE_TAG_COUNT) ? ":count" : ":value", sieve_string_span(v->strings),
		"how to compare is one of \"gt\", \"ge\", \"lt\", \"le\", \"eq\", \"ne\"");
}

/* names of header fields, where they are known already */
static bool fields_check(struct sieve_compile *c, const struct sieve_node *n, const struct sieve_value *names)
{
	for (unsigned i = 0; i < names->count; i++) {
		struct span name = sieve_string_span(&names->strings[i]);

		if (!names->strings[i].vars && !sieve_field_name_ok(name))
			return bad_text(c, n->verb->name, name, "this is no name of a header field; \"Subject\" would be one, without colon and blanks");
	}
	return true;
}

static bool mime_check(struct sieve_compile *c, const struct sieve_node *n)
{
	uint64_t need = SIEVE_TAG(ANYCHILD) | SIEVE_TAG(TYPE) | SIEVE_TAG(SUBTYPE) | SIEVE_TAG(CONTENTTYPE) | SIEVE_TAG(PARAM);

	if (n->tags & need && !sieve_node_has(n, SIEVE_TAG_MIME))
		return sieve_compile_bad(c, "\":mime\" has to stand before what looks into MIME parts: %s :mime ...", n->verb->name);
	if (sieve_node_has(n, SIEVE_TAG_MIME))
		c->needs |= SIEVE_NEEDS_PARTS;
	return true;
}

static bool index_check(struct sieve_compile *c, const struct sieve_node *n)
{
	const struct sieve_value *index = sieve_node_param(n, SIEVE_TAG_INDEX);

	if (sieve_node_has(n, SIEVE_TAG_INDEX_LAST) && !index)
		return sieve_compile_bad(c, "\":last\" stands behind \":index\" and counts from the last one: :index 1 :last");
	if (index && index->number == 0)
		return sieve_compile_bad(c, "\":index\" counts from 1");
	return true;
}

bool sieve_check_fields(struct sieve_compile *c, struct sieve_node *n)
{
	return fields_check(c, n, &n->args[0]) && mime_check(c, n) && index_check(c, n) && sieve_check_match(c, n);
}

/* RFC 5228 5.1: only fields that hold addresses */
bool sieve_check_address(struct sieve_compile *c, struct sieve_node *n)
{
	static const char *const known[] = {"from", "to", "cc", "bcc", "sender", "reply-to", "resent-from", "resent-to", "resent-cc",
		"resent-bcc", "resent-sender", "return-path", "delivered-to", "errors-to", "disposition-notification-to", "return-receipt-to",
		"envelope-to", "mail-from", "mail-reply-to", "mail-followup-to", "apparently-to", "list-owner", "list-post"};

	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct span name = sieve_string_span(&n->args[0].strings[i]);
		bool there = n->args[0].strings[i].vars || span_starts_nocase(name, SPAN_LIT("x-"));

		for (size_t k = 0; k < sizeof(known) / sizeof(*known) && !there; k++)
			there = span_eq_nocase(name, span_str(known[k]));
		if (!there)
			return bad_text(c, "address", name, "this header field holds no addresses; the test \"header\" looks into every field");
	}
	return sieve_check_fields(c, n);
}

bool sieve_check_envelope(struct sieve_compile *c, struct sieve_node *n)
{
	for (unsigned i = 0; i < n->args[0].count; i++) {
		struct span name = sieve_string_span(&n->args[0].strings[i]);

		if (!n->args[0].strings[i].vars && !span_eq_nocase(name, SPAN_LIT("from")) && !span_eq_nocase(name, SPAN_LIT("to")) &&
		    !span_eq_nocase(name, SPAN_LIT("auth")))
			return bad_text(c, "envelope", name, "the envelope has \"from\", \"to\" and \"auth\"");
	}
	return sieve_check_match(c, n);
}

bool sieve_check_size(struct sieve_compile *c, struct sieve_node *n)
{
	if (n->tags & (SIEVE_TAG(OVER) | SIEVE_TAG(UNDER)))
		return true;
	return sieve_compile_bad(c, "\"size\" needs \":over\" or \":under\"; it is written: %s", n->verb->shape);
}

bool sieve_check_body(struct sieve_compile *c, struct sieve_node *n)
{
	if (!sieve_node_has(n, SIEVE_TAG_BODY_RAW))
		c->needs |= SIEVE_NEEDS_PARTS;
	return sieve_check_match(c, n);
}

bool sieve_check_date(struct sieve_compile *c, struct sieve_node *n)
{
	bool header = n->verb->args[1] == 's' && n->verb->args[2] == 'l';
	const struct sieve_string *part = n->args[header ? 1 : 0].strings;
	const struct sieve_value *zone = sieve_node_param(n, SIEVE_TAG_ZONE);
	struct buf scratch;
	int minutes;
	bool known;

	buf_init(&scratch, 256);
	known = part->vars || sieve_date_part(sieve_string_span(part), 0, 0, &scratch);
	buf_clear(&scratch);
	if (!known)
		return bad_text(c, n->verb->name, sieve_string_span(part),
			"no part of a date; there are year month day date julian hour minute second time iso8601 std11 zone weekday");
	if (zone && !zone->strings->vars && !sieve_zone_parse(sieve_string_span(zone->strings), &minutes))
		return bad_text(c, ":zone", sieve_string_span(zone->strings), "a zone is written like \"+0100\"");
	if (header && !fields_check(c, n, &n->args[0]))
		return false;
	c->needs |= SIEVE_NEEDS_TIME;
	return index_check(c, n) && sieve_check_match(c, n);
}

bool sieve_check_attachment(struct sieve_compile *c, struct sieve_node *n)
{
	uint64_t facts = SIEVE_TAG(UNREADABLE) | SIEVE_TAG(ENCRYPTED);

	if (n->tags & SIEVE_TAG(FILE_CONTENT))
		c->needs |= SIEVE_NEEDS_CONTENT;
	if (n->tags & (SIEVE_TAG(FILE_INSIDE) | facts))
		c->needs |= SIEVE_NEEDS_INSIDE;
	if (n->tags & facts && (n->tags & ~facts || n->args[0].kind))
		return sieve_compile_bad(c, "\":unreadable\" and \":encrypted\" stand alone: attachment :encrypted");
	if (!(n->tags & facts) && !n->args[0].kind)
		return sieve_compile_bad(c, "\"attachment\" needs the names or types to look for; it is written: %s", n->verb->shape);
	return sieve_check_match(c, n);
}
