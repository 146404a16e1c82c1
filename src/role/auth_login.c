#include "role/auth_login.h"

#include "base/limits.h"
#include "mail/address.h"

static enum rc login_lower(struct span name, struct arena *mem, struct span *out)
{
	struct span s = span_trim(name);
	uint8_t *p;

	if (s.len == 0 || s.len > LIMIT_LOGIN_BYTES || !span_is_utf8(s))
		return RC_BAD;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return RC_BAD;
	}
	p = arena_alloc(mem, s.len);
	if (!p)
		return RC_LIMIT;
	for (size_t i = 0; i < s.len; i++)
		p[i] = byte_lower(s.ptr[i]);
	*out = span_of(p, s.len);
	return RC_OK;
}

static size_t span_find_last(struct span s, uint8_t byte)
{
	for (size_t i = s.len; i > 0; i--) {
		if (s.ptr[i - 1] == byte)
			return i - 1;
	}
	return s.len;
}

/* a dot inside, and nothing but letters, digits, hyphens and non-ASCII */
static bool looks_like_domain(struct span s)
{
	size_t dot = span_find(s, '.');

	if (s.len < 3 || dot == 0 || dot >= s.len - 1 || s.ptr[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (!byte_is_alnum(c) && c != '-' && c != '.' && c < 0x80)
			return false;
		if (c == '.' && s.ptr[i + 1] == '.')
			return false;
	}
	return true;
}

static struct span login_join(struct span local, struct span domain, struct arena *mem)
{
	uint8_t *p = arena_alloc(mem, local.len + 1 + domain.len);

	if (!p)
		return SPAN_NONE;
	memcpy(p, local.ptr, local.len);
	p[local.len] = '@';
	memcpy(p + local.len + 1, domain.ptr, domain.len);
	return span_of(p, local.len + 1 + domain.len);
}

/* user+domain as user@domain; empty when it does not look like that */
static struct span login_plus(struct span name, struct arena *mem)
{
	size_t plus = span_find_last(name, '+');

	if (plus == 0 || plus >= name.len || !looks_like_domain(span_from(name, plus + 1)))
		return SPAN_NONE;
	return login_join(span_head(name, plus), span_from(name, plus + 1), mem);
}

static struct span login_default(struct span name, const char *default_domain, struct arena *mem)
{
	struct span domain = span_str(default_domain), lower;

	if (domain.len == 0 || login_lower(domain, mem, &lower) != RC_OK)
		return SPAN_NONE;
	return login_join(name, lower, mem);
}

/* "john doe"@domain as its bytes are kept; anything else as it is */
static struct span login_unquote(struct span name, struct arena *mem)
{
	struct address a;
	struct buf key;
	struct span bare = name;

	if (name.len == 0 || name.ptr[0] != '"' || address_parse(name, ADDRESS_UTF8, mem, &a) != ADDRESS_OK)
		return name;
	buf_init(&key, LIMIT_LOGIN_BYTES);
	address_key(&key, &a);
	if (key.len && !key.overflow)
		bare = arena_copy(mem, buf_span(&key));
	buf_clear(&key);
	return bare;
}

/* one form for its domain: A-labels */
static struct span login_ascii(struct span name, struct arena *mem)
{
	uint8_t room[LIMIT_LOGIN_BYTES];
	struct span key = SPAN_NONE;

	if (!span_is_ascii(name) && span_find(name, '@') < name.len)
		key = arena_copy(mem, address_text_key(name, room, sizeof(room)));
	return key.len ? key : name;
}

enum rc auth_login_canonical(struct span name, const char *default_domain, struct arena *mem, struct span *out)
{
	struct span lower, other = SPAN_NONE;
	enum rc rc = login_lower(name, mem, &lower);

	if (rc != RC_OK)
		return rc;
	lower = login_unquote(lower, mem);
	if (span_find(lower, '@') == lower.len)
		other = login_plus(lower, mem);
	if (span_find(lower, '@') == lower.len && other.len == 0)
		other = login_default(lower, default_domain, mem);
	*out = login_ascii(other.len ? other : lower, mem);
	return RC_OK;
}

static enum rc login_try(struct cred *c, struct span address, struct arena *mem, struct auth_login *out, struct err *err)
{
	enum rc rc;

	if (address.len == 0)
		return RC_NONE;
	rc = cred_get(c, login_ascii(address, mem), mem, &out->row, err);
	out->found = rc == RC_OK;
	return rc;
}

/* names without an @, in the order in which they may be meant */
static enum rc login_find_bare(struct cred *c, struct span name, const char *default_domain, struct arena *mem, struct auth_login *out, struct err *err)
{
	struct span address = SPAN_NONE;
	enum rc rc;

	rc = login_try(c, login_plus(name, mem), mem, out, err);
	if (rc == RC_NONE)
		rc = login_try(c, login_default(name, default_domain, mem), mem, out, err);
	if (rc != RC_NONE || (default_domain && *default_domain))
		return rc;
	rc = cred_find_local(c, name, mem, &address, err);
	if (rc == RC_OK)
		rc = login_try(c, address, mem, out, err);
	return rc == RC_BUSY ? RC_NONE : rc; /* several: nobody in particular */
}

enum rc auth_login_find(struct cred *c, struct span name, const char *default_domain, struct arena *mem, struct auth_login *out, struct err *err)
{
	struct auth_login login = {0};
	struct span lower;
	enum rc rc = auth_login_canonical(name, default_domain, mem, &login.canonical);

	if (rc == RC_OK)
		rc = login_lower(name, mem, &lower);
	if (rc != RC_OK)
		return rc;
	lower = login_unquote(lower, mem);
	rc = span_find(lower, '@') < lower.len ? login_try(c, lower, mem, &login, err) : login_find_bare(c, lower, default_domain, mem, &login, err);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*out = login;
	return RC_OK;
}
