#include "mail/mta_sts.h"

#include "base/num.h"

enum { STS_LABEL_BYTES = 63, STS_NAME_BYTES = 253, STS_KEY_BYTES = 32 };

static const char *const sts_mode_names[] = {"none", "testing", "enforce"};

const char *mta_sts_mode_name(enum mta_sts_mode mode)
{
	return sts_mode_names[mode];
}

/* sts-ext-name, RFC 8461 3.1 */
static bool sts_is_key(struct span key)
{
	if (key.len == 0 || key.len > STS_KEY_BYTES || !byte_is_alnum(key.ptr[0]))
		return false;
	for (size_t i = 1; i < key.len; i++)
		if (!byte_is_alnum(key.ptr[i]) && key.ptr[i] != '_' && key.ptr[i] != '-' && key.ptr[i] != '.')
			return false;
	return true;
}

static bool sts_is_id(struct span id)
{
	if (id.len == 0 || id.len > MTA_STS_ID_BYTES)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!byte_is_alnum(id.ptr[i]))
			return false;
	return true;
}

enum rc mta_sts_record(struct span txt, struct span *id_out)
{
	struct span rest = txt, version = span_trim(span_cut(&rest, ';')), id = SPAN_NONE;

	if (!span_starts(txt, SPAN_LIT("v=STSv1")) || !span_eq(version, SPAN_LIT("v=STSv1")))
		return RC_NONE;
	while (rest.ptr) {
		struct span value = span_trim(span_cut(&rest, ';')), key;

		if (value.len == 0 && rest.len == 0)
			break; /* a delimiter may end the record */
		key = span_cut(&value, '=');
		if (!sts_is_key(key) || !span_is_vchar(value) || value.len == 0 || span_find(value, '=') < value.len)
			return RC_BAD;
		if (!span_eq(key, SPAN_LIT("id")))
			continue;
		if (id.ptr || !sts_is_id(value))
			return RC_BAD;
		id = value;
	}
	if (!id.ptr)
		return RC_BAD;
	*id_out = id;
	return RC_OK;
}

/* a name of letters, digits, "-" and "_", with a wildcard for its first label where that is let */
static bool sts_is_host(struct span host, bool wildcard)
{
	struct span rest = host;

	if (wildcard && span_starts(rest, SPAN_LIT("*.")))
		rest = span_from(rest, 2);
	if (rest.len == 0 || rest.len > STS_NAME_BYTES)
		return false;
	while (rest.ptr) {
		struct span label = span_cut(&rest, '.');

		if (label.len == 0 || label.len > STS_LABEL_BYTES)
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!byte_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
				return false;
	}
	return true;
}

struct sts_reader {
	struct mta_sts policy;
	struct span *mx;
	bool version, mode, age;
	struct err *err;
};

static enum rc sts_take_version(struct sts_reader *r, struct span value)
{
	r->version = true;
	return span_eq(value, SPAN_LIT("STSv1")) ? RC_OK : err_set(r->err, RC_BAD, "its version is not STSv1");
}

static enum rc sts_take_mode(struct sts_reader *r, struct span value)
{
	r->mode = true;
	for (size_t i = 0; i < sizeof(sts_mode_names) / sizeof(sts_mode_names[0]); i++) {
		if (!span_eq(value, span_str(sts_mode_names[i])))
			continue;
		r->policy.mode = (enum mta_sts_mode)i;
		return RC_OK;
	}
	return err_set(r->err, RC_BAD, "its mode is none of enforce, testing, none");
}

static enum rc sts_take_age(struct sts_reader *r, struct span value)
{
	uint64_t age = MTA_STS_AGE_MAX_S;
	enum rc rc = value.len > 10 ? RC_BAD : num_parse(value, MTA_STS_AGE_MAX_S, &age);

	r->age = true;
	if (rc != RC_OK && rc != RC_LIMIT)
		return err_set(r->err, RC_BAD, "its max_age is not a number of seconds");
	r->policy.max_age_s = (uint32_t)age;
	return RC_OK;
}

static enum rc sts_take_mx(struct sts_reader *r, struct span value)
{
	if (!sts_is_host(value, true))
		return err_set(r->err, RC_BAD, "one of its mx lines is not a host name");
	if (r->policy.mx_count == MTA_STS_MX_MAX)
		return err_set(r->err, RC_LIMIT, "it has more than %d mx lines", MTA_STS_MX_MAX);
	r->mx[r->policy.mx_count++] = value;
	return RC_OK;
}

/* RFC 8461 3.2: of a field that is not mx the first counts; those we do not know are passed over */
static enum rc sts_take_line(struct sts_reader *r, struct span line)
{
	struct span value = line, key = span_cut(&value, ':');

	if (!value.ptr || !sts_is_key(key))
		return err_set(r->err, RC_BAD, "one of its lines is not a name, a colon and a value");
	value = span_trim(value);
	if (span_eq(key, SPAN_LIT("mx")))
		return sts_take_mx(r, value);
	if (span_eq(key, SPAN_LIT("version")) && !r->version)
		return sts_take_version(r, value);
	if (span_eq(key, SPAN_LIT("mode")) && !r->mode)
		return sts_take_mode(r, value);
	if (span_eq(key, SPAN_LIT("max_age")) && !r->age)
		return sts_take_age(r, value);
	return RC_OK;
}

static enum rc sts_check(const struct sts_reader *r)
{
	if (!r->version)
		return err_set(r->err, RC_BAD, "it has no version line");
	if (!r->mode)
		return err_set(r->err, RC_BAD, "it has no mode line");
	if (!r->age)
		return err_set(r->err, RC_BAD, "it has no max_age line");
	if (r->policy.mx_count == 0 && r->policy.mode != MTA_STS_NONE)
		return err_set(r->err, RC_BAD, "it has no mx line");
	return RC_OK;
}

/* no more patterns than this can be in it */
static size_t sts_mx_room(struct span text)
{
	size_t lines = 1;

	for (size_t i = 0; i < text.len && lines < MTA_STS_MX_MAX; i++)
		lines += text.ptr[i] == '\n';
	return lines;
}

enum rc mta_sts_parse(struct span text, struct arena *mem, struct mta_sts *out, struct err *err)
{
	struct sts_reader r = {.err = err};
	struct span rest = text;
	enum rc rc = RC_OK;

	if (text.len > MTA_STS_TEXT_BYTES)
		return err_set(err, RC_LIMIT, "it is longer than %d KiB", MTA_STS_TEXT_BYTES >> 10);
	if (span_find(text, '\0') < text.len)
		return err_set(err, RC_BAD, "there is a NUL in it");
	r.mx = arena_alloc(mem, sts_mx_room(text) * sizeof(*r.mx));
	if (!r.mx)
		return err_set(err, RC_LIMIT, "there is no room for it");
	while (rest.len > 0 && rc == RC_OK) {
		struct span line = span_cut(&rest, '\n');

		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (span_trim(line).len > 0)
			rc = sts_take_line(&r, line);
	}
	if (rc == RC_OK)
		rc = sts_check(&r);
	if (rc != RC_OK)
		return rc;
	r.policy.mx = r.mx;
	*out = r.policy;
	return RC_OK;
}

bool mta_sts_match(const struct mta_sts *p, struct span host)
{
	struct span parent;

	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	if (!sts_is_host(host, false))
		return false;
	parent = span_from(host, span_find(host, '.') + 1);
	for (size_t i = 0; i < p->mx_count; i++) {
		struct span mx = p->mx[i];

		if (span_starts(mx, SPAN_LIT("*.")) ? parent.len > 0 && span_eq_nocase(span_from(mx, 2), parent) : span_eq_nocase(mx, host))
			return true;
	}
	return false;
}
