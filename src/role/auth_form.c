#include "role/auth_form.h"

#include "base/limits.h"

enum {
	FORM_MEM_BYTES = 128 << 10,
	FORM_TRIES = 24,      /* names looked up for one explanation */
	FORM_LOCALS = 4,      /* accounts named that have this name before the @ */
	FORM_SHOWN_BYTES = 100,
};

struct form {
	struct cred *cred;
	const char *default_domain;
	struct arena mem;
	struct span asked;    /* as it came, lower case */
	struct span found;    /* the account that was meant */
	unsigned tries;
	enum rc rc;           /* of the look-ups */
	struct err *err;
};

/* ---- making names */

static struct span form_join(struct form *f, struct span a, const char *between, struct span b)
{
	size_t middle = strlen(between), len = a.len + middle + b.len;
	uint8_t *p = arena_alloc(&f->mem, len ? len : 1);

	if (!p)
		return SPAN_NONE;
	if (a.len)
		memcpy(p, a.ptr, a.len);
	memcpy(p + a.len, between, middle);
	if (b.len)
		memcpy(p + a.len + middle, b.ptr, b.len);
	return span_of(p, len);
}

/* every `what` replaced by something that is not longer */
static struct span form_replace(struct form *f, struct span s, const char *what, const char *with)
{
	struct span needle = span_str(what);
	size_t n = 0, with_len = strlen(with);
	uint8_t *p = span_find_span(s, needle) < s.len ? arena_alloc(&f->mem, s.len) : NULL;

	if (!p)
		return s;
	while (s.len) {
		bool here = span_starts(s, needle);

		memcpy(p + n, here ? (const uint8_t *)with : s.ptr, here ? with_len : 1);
		n += here ? with_len : 1;
		s = span_from(s, here ? needle.len : 1);
	}
	return span_of(p, n);
}

static bool form_has(struct span s, const char *what)
{
	return span_find_span(s, span_str(what)) < s.len;
}

static size_t form_last(struct span s, uint8_t byte)
{
	size_t i = s.len;

	while (i > 0 && s.ptr[i - 1] != byte)
		i--;
	return i ? i - 1 : s.len;
}

/* What other programs make of @ . ' & -, or put where nothing belongs; no account's name is spelled with these. In this order. */
static const struct { const char *seen, *meant; } form_spellings[] = {
	{"&#39;", "'"}, {"&#039;", "'"}, {"&#x27;", "'"}, {"&apos;", "'"}, {"&amp;", "&"}, {"%27", "'"}, {"%26", "&"}, {"%2b", "+"}, {"%40", "@"}, {"=40", "@"},
	{"\xe2\x80\x99", "'"}, {"\xe2\x80\x98", "'"}, {"\xe2\x80\x9b", "'"}, {"\xe2\x80\xb2", "'"}, {"\xca\xbc", "'"}, {"\xc2\xb4", "'"}, {"\xef\xbc\x87", "'"},
	{"\\'", "'"}, {"''", "'"}, {"\xef\xbc\xa0", "@"}, {"\xef\xb9\xab", "@"}, {" at ", "@"}, {"(at)", "@"}, {"[at]", "@"}, {" dot ", "."}, {"(dot)", "."},
	{"\xef\xbc\x8e", "."}, {"\xe3\x80\x82", "."}, {"\xe2\x80\x90", "-"}, {"\xe2\x80\x91", "-"}, {"\xe2\x80\x93", "-"}, {"@@", "@"}, {"..", "."},
	{"\xc2\xa0", ""}, {"\xc2\xad", ""}, {"\xe2\x80\x8b", ""}, {"\xe2\x80\x8c", ""}, {"\xe2\x80\x8d", ""}, {"\xe2\x80\x8e", ""}, {"\xe2\x80\x8f", ""},
	{"\xef\xbb\xbf", ""}, {"\xe2\x80\x9c", "\""}, {"\xe2\x80\x9d", "\""},
};

/* lower case, no control characters; bytes that are no UTF-8 are taken for Latin-1, as old programs send it */
static struct span form_readable(struct form *f, struct span name)
{
	struct span s = span_head(name, LIMIT_LOGIN_BYTES);
	bool latin = !span_is_utf8(s);
	uint8_t *p = arena_alloc(&f->mem, 2 * s.len + 1);
	size_t n = 0;

	for (size_t i = 0; p && i < s.len; i++) {
		uint8_t c = byte_lower(s.ptr[i]);

		if (c < 0x20 || c == 0x7f) {
			continue;
		} else if (latin && c >= 0x80) {
			p[n++] = (uint8_t)(0xc0 | c >> 6);
			p[n++] = (uint8_t)(0x80 | (c & 0x3f));
		} else {
			p[n++] = c;
		}
	}
	return p ? span_of(p, n) : SPAN_NONE;
}

static bool form_is_wrapping(uint8_t c)
{
	return strchr("<>\"'`()[]{},;:. \t", c) && c;
}

/* without what stands around an address: mailto:, quotes, brackets, a name in front of <address> */
static struct span form_bare(struct span s)
{
	size_t open = span_find(s, '<');
	struct span inside = span_from(s, open + 1);

	if (open < s.len && span_find(inside, '>') < inside.len)
		s = span_head(inside, span_find(inside, '>'));
	for (;;) {
		if (s.len && form_is_wrapping(s.ptr[0]))
			s = span_from(s, 1);
		else if (s.len && form_is_wrapping(s.ptr[s.len - 1]))
			s = span_head(s, s.len - 1);
		else if (span_starts(s, SPAN_LIT("mailto:")))
			s = span_from(s, 7);
		else
			return s;
	}
}

/* ---- looking */

static bool form_try(struct form *f, struct span name)
{
	struct auth_login login;
	enum rc rc;

	if (f->rc != RC_OK || f->found.len || name.len == 0 || f->tries >= FORM_TRIES)
		return f->found.len != 0;
	f->tries++;
	rc = auth_login_find(f->cred, name, f->default_domain, &f->mem, &login, f->err);
	if (rc == RC_OK && login.found)
		f->found = login.row.address;
	else if (rc != RC_OK && rc != RC_BAD)
		f->rc = rc;
	return f->found.len != 0;
}

static bool form_try_at(struct form *f, struct span local, struct span domain)
{
	return local.len && span_find(domain, '.') < domain.len && form_try(f, form_join(f, local, "@", domain));
}

/* user%domain, user/domain, DOMAIN\user, host!user, user.domain */
static bool form_try_separators(struct form *f, struct span name)
{
	static const char separators[] = "%/\\!#:|=*";

	for (const char *sep = separators; *sep; sep++) {
		size_t at = form_last(name, (uint8_t)*sep);
		struct span left = span_head(name, at), right = span_from(name, at + 1);

		if (at >= name.len)
			continue;
		if (form_try_at(f, left, right) || form_try_at(f, right, left) || form_try(f, *sep == '\\' || *sep == '/' ? right : SPAN_NONE))
			return true;
	}
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '.' && form_try_at(f, span_head(name, i), span_from(name, i + 1)))
			return true;
	}
	return false;
}

/* local@domain with something too much, too little or exchanged */
static bool form_try_parts(struct form *f, struct span name)
{
	size_t at = form_last(name, '@'), first = span_find(name, '@');
	struct span local = span_head(name, at), domain = span_from(name, at + 1);
	size_t plus = form_last(local, '+');

	if (form_has(name, ",") && form_try(f, form_replace(f, name, ",", ".")))
		return true;
	if (form_has(name, "`") && form_try(f, form_replace(f, name, "`", "'")))
		return true;
	/* user@domain@domain, user@domain%host and the like */
	if (first < at && (form_try(f, span_head(name, at)) || form_try_at(f, span_head(name, first), domain)))
		return true;
	if (form_try_separators(f, local))
		return true;
	if (plus < local.len && form_try(f, form_join(f, span_head(local, plus), "@", domain)))
		return true;
	/* the name of the server for that of the domain: mail.example.org */
	if (form_try_at(f, local, span_from(domain, span_find(domain, '.') + 1)))
		return true;
	return form_has(local, "'") && form_try(f, form_join(f, form_replace(f, local, "'", ""), "@", domain));
}

static void form_seek(struct form *f, struct span name)
{
	struct span blankless, spelled = form_readable(f, name);

	if (form_try(f, spelled))
		return;
	for (size_t i = 0; i < sizeof(form_spellings) / sizeof(form_spellings[0]); i++)
		spelled = form_replace(f, spelled, form_spellings[i].seen, form_spellings[i].meant);
	spelled = form_bare(spelled);
	blankless = form_replace(f, spelled, " ", "");
	if (form_try(f, spelled) || form_try(f, blankless))
		return;
	(void)(span_find(blankless, '@') < blankless.len ? form_try_parts(f, blankless) : form_try_separators(f, blankless));
}

/* ---- saying */

static void form_say_found(const struct form *f, struct buf *out)
{
	buf_add_str(out, "the form would be ");
	buf_add(out, span_head(f->found, FORM_SHOWN_BYTES));
}

static void form_say_list(const struct span *addresses, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i == 0 ? "" : i + 1 == count ? " or " : ", ");
		buf_add(out, span_head(addresses[i], FORM_SHOWN_BYTES));
	}
}

/* a name without domain, which nobody in particular has */
static enum cause_id form_say_bare(struct form *f, const struct span *same, size_t count, struct buf *out)
{
	buf_add_byte(out, '"');
	buf_add(out, span_head(f->asked, FORM_SHOWN_BYTES));
	buf_add_byte(out, '"');
	if (count) {
		buf_add_str(out, " could be ");
		form_say_list(same, count, out);
		return CAUSE_AUTH_LOGIN_FORM;
	}
	if (f->default_domain && *f->default_domain)
		buf_printf(out, " is no account of %s, the default-domain, nor of any other", f->default_domain);
	else
		buf_add_str(out, " is no account of any domain (and there is no default-domain)");
	return CAUSE_AUTH_USER_UNKNOWN;
}

static enum cause_id form_say_address(struct form *f, bool domain_known, const struct span *same, size_t count, struct buf *out)
{
	struct span domain = span_from(f->asked, form_last(f->asked, '@') + 1);

	if (domain_known)
		buf_add_str(out, "no account has this address");
	else
		buf_add_str(out, "no account has an address in ");
	if (!domain_known)
		buf_add(out, domain.len ? span_head(domain, FORM_SHOWN_BYTES) : SPAN_LIT("the empty domain"));
	if (count) {
		buf_add_str(out, "; there is ");
		form_say_list(same, count, out);
	}
	return domain_known ? CAUSE_AUTH_USER_UNKNOWN : CAUSE_AUTH_DOMAIN_UNKNOWN;
}

enum rc auth_form_explain(struct cred *c, struct span name, const char *default_domain, enum cause_id *cause_out, struct buf *detail_out, struct err *err)
{
	struct form f = {.cred = c, .default_domain = default_domain, .rc = RC_OK, .err = err};
	struct span same[FORM_LOCALS];
	size_t count = 0, at;
	bool known = false;

	arena_init(&f.mem, FORM_MEM_BYTES);
	f.asked = span_trim(form_readable(&f, name));
	form_seek(&f, name);
	at = form_last(f.asked, '@');
	if (f.rc == RC_OK && f.found.len == 0)
		f.rc = cred_find_locals(c, span_head(f.asked, at), &f.mem, same, FORM_LOCALS, &count, err);
	if (f.rc == RC_OK && f.found.len == 0 && at < f.asked.len)
		f.rc = cred_domain_known(c, span_from(f.asked, at + 1), &known, err);
	if (f.rc == RC_OK && f.found.len) {
		form_say_found(&f, detail_out);
		*cause_out = CAUSE_AUTH_LOGIN_FORM;
	} else if (f.rc == RC_OK && f.asked.len == 0) {
		buf_add_str(detail_out, "the name is empty");
		*cause_out = CAUSE_AUTH_LOGIN_FORM;
	} else if (f.rc == RC_OK) {
		*cause_out = at < f.asked.len ? form_say_address(&f, known, same, count, detail_out) : form_say_bare(&f, same, count, detail_out);
	}
	arena_clear(&f.mem);
	return f.rc;
}
