#include "conf/conf_setting.h"

#include <arpa/inet.h>

#include "base/num.h"
#include "mail/address.h"

const char *const conf_kinds[] = {"mx", "submission", "pop3", NULL};
const char *const conf_tls_names[] = {"none", "starttls", "implicit", NULL};
const char *const conf_early_names[] = {"refuse", "allow", NULL};
const char *const conf_out_tls_names[] = {"opportunistic", "required", "verified", "never", NULL};
const char *const conf_log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const conf_mechanisms[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", NULL};

const struct conf_section conf_sections[CONF_SECTION_COUNT] = {
#define SECTION(id, name, titled, words) [CONF_SECTION_##id] = {name, titled, words},
#define SETTING(...)
#define LISTENER(...)
#define CERTIFICATE(...)
#define NETWORK(...)
#define SMARTHOST(...)
#define ROUTE(...)
#include "conf/settings.def"
};

#define CONF_ROW(structure, sec, nm, ty, field, df, lo, hi, ch, wd)                                                                   \
	{.section = CONF_SECTION_##sec, .name = nm, .type = CONF_##ty, .offset = offsetof(structure, field),                          \
		.width = sizeof(((structure *)NULL)->field), .def = df, .least = lo, .most = hi, .choices = ch, .words = wd},
const struct conf_setting conf_settings[] = {
#define SECTION(...)
#define SETTING(...) CONF_ROW(struct conf, __VA_ARGS__)
#define LISTENER(...) CONF_ROW(struct conf_listener, __VA_ARGS__)
#define CERTIFICATE(...) CONF_ROW(struct conf_certificate, __VA_ARGS__)
#define NETWORK(...) CONF_ROW(struct conf_network, __VA_ARGS__)
#define SMARTHOST(...) CONF_ROW(struct conf_smarthost, __VA_ARGS__)
#define ROUTE(...) CONF_ROW(struct conf_route, __VA_ARGS__)
#include "conf/settings.def"
};
const size_t conf_setting_count = sizeof(conf_settings) / sizeof(conf_settings[0]);
_Static_assert(sizeof(conf_settings) / sizeof(conf_settings[0]) <= CONF_SETTINGS_MAX, "raise CONF_SETTINGS_MAX");

const struct conf_setting *conf_setting_find(enum conf_section_id section, const char *name)
{
	for (size_t i = 0; i < conf_setting_count; i++)
		if (conf_settings[i].section == section && strcmp(conf_settings[i].name, name) == 0)
			return &conf_settings[i];
	return NULL;
}

/* ---- writing */

struct conf_unit {
	uint64_t factor;
	const char *name;
};

static const struct conf_unit conf_duration_units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
static const struct conf_unit conf_size_units[] = {{1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "KB"}, {1, ""}};

static void conf_unit_write(struct buf *out, uint64_t n, const struct conf_unit *units)
{
	while (units->factor > 1 && n % units->factor != 0)
		units++;
	buf_add_u64(out, n / units->factor);
	buf_add_str(out, units->name);
}

static void conf_number_write(struct buf *out, enum conf_type type, uint64_t n)
{
	if (type == CONF_DURATION)
		conf_unit_write(out, n, n ? conf_duration_units : conf_duration_units + 3);
	else if (type == CONF_SIZE)
		conf_unit_write(out, n, n ? conf_size_units : conf_size_units + 3);
	else
		buf_add_u64(out, n);
}

void conf_quote(struct buf *out, struct span text)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"' || text.ptr[i] == '\\' || text.ptr[i] == '$')
			buf_add_byte(out, '\\');
		buf_add_byte(out, text.ptr[i]);
	}
	buf_add_byte(out, '"');
}

static uint64_t conf_number_get(const struct conf_setting *s, const void *base)
{
	const void *at = (const char *)base + s->offset;

	return num_le(at, s->width); /* fields are little-endian integers on every machine this runs on */
}

void conf_setting_write(const struct conf_setting *s, const void *base, struct buf *out)
{
	const void *at = (const char *)base + s->offset;

	switch (s->type) {
	case CONF_INT: case CONF_DURATION: case CONF_SIZE: case CONF_PORT:
		conf_number_write(out, s->type, conf_number_get(s, base));
		break;
	case CONF_BOOL:
		buf_add_str(out, *(const bool *)at ? "yes" : "no");
		break;
	case CONF_CHOICE:
		buf_add_str(out, s->choices[*(const int *)at]);
		break;
	case CONF_IP: case CONF_HOST: case CONF_DOMAIN: case CONF_PATH: case CONF_NAME: case CONF_MECHANISMS: case CONF_TEXT: case CONF_HOP: case CONF_NAMES: case CONF_DOMAINS:
	case CONF_PATTERNS: case CONF_HOPS_LIST: case CONF_SERVERS: case CONF_STUBS:
		conf_quote(out, span_str(*(const char *const *)at));
		break;
	case CONF_NETWORKS: case CONF_RATES:
		conf_list_write(s->type, at, out);
		break;
	}
}

/* ---- reading */

enum rc conf_bad(struct err *err, struct span text, const char *is, const char *right)
{
	struct buf shown;

	buf_init(&shown, 1024);
	buf_add_safe(&shown, text, 80);
	err_set(err, RC_BAD, "\"%s\" %s; %s would be right", buf_cstr(&shown), is, right);
	buf_clear(&shown);
	return RC_BAD;
}

static const char *conf_range(const struct conf_setting *s, struct buf *words)
{
	conf_number_write(words, s->type, s->least);
	buf_add_str(words, " to ");
	conf_number_write(words, s->type, s->most);
	return buf_cstr(words);
}

static enum rc conf_number_read(const struct conf_setting *s, struct span text, uint64_t *out, struct err *err)
{
	uint64_t n = 0;
	enum rc rc;
	struct buf words;

	if (s->type == CONF_DURATION)
		rc = num_parse_duration_ms(text, &n);
	else if (s->type == CONF_SIZE)
		rc = num_parse_size_bytes(text, &n);
	else
		rc = num_parse(text, UINT64_MAX, &n);
	if (rc == RC_OK && n >= s->least && n <= s->most) {
		*out = n;
		return RC_OK;
	}
	buf_init(&words, 256);
	if (s->type == CONF_PORT)
		conf_bad(err, text, "is not a port", conf_range(s, &words));
	else if (rc == RC_BAD && s->type == CONF_DURATION)
		conf_bad(err, text, "is not a duration", "a number with ms, s, min, h or d behind it, such as 5min,");
	else if (rc == RC_BAD && s->type == CONF_SIZE)
		conf_bad(err, text, "is not a size", "a number with KB, MB or GB behind it, such as 25MB,");
	else if (rc == RC_BAD)
		conf_bad(err, text, "is not a whole number", conf_range(s, &words));
	else
		conf_bad(err, text, rc == RC_OK && n < s->least ? "is too little" : "is too much", conf_range(s, &words));
	buf_clear(&words);
	return RC_BAD;
}

static enum rc conf_bool_read(struct span text, bool *out, struct err *err)
{
	static const char *const words[] = {"no", "false", "off", "yes", "true", "on"};

	for (size_t i = 0; i < 6; i++)
		if (span_eq_nocase(text, span_str(words[i]))) {
			*out = i >= 3;
			return RC_OK;
		}
	return conf_bad(err, text, "is neither yes nor no", "yes or no");
}

/* index of text in a NULL-ended list; -1 with words */
static int conf_choice_read(const char *const *choices, struct span text, struct err *err)
{
	struct buf words;

	for (int i = 0; choices[i]; i++)
		if (span_eq_nocase(text, span_str(choices[i])))
			return i;
	buf_init(&words, 256);
	for (size_t i = 0; choices[i]; i++)
		buf_printf(&words, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
	conf_bad(err, text, "is not one of the choices", buf_cstr(&words));
	buf_clear(&words);
	return -1;
}

bool conf_name_ok(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!byte_is_alnum(text.ptr[i]) && text.ptr[i] != '-' && text.ptr[i] != '_' && text.ptr[i] != '.')
			return false;
	return text.len > 0 && text.len <= CONF_NAME_BYTES;
}

/* labels of letters, digits and inner hyphens (RFC 1123 2.1), at most 63 octets each */
bool conf_host_ok(struct span text)
{
	struct span rest = text;

	if (text.len == 0 || text.len > 255)
		return false;
	while (rest.ptr) {
		struct span label = span_cut(&rest, '.');

		if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!byte_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
				return false;
	}
	return true;
}

/* the canonical spelling, so that one address written in two ways is still seen to be one */
static const char *conf_ip_read(struct span text, struct arena *mem, struct err *err)
{
	char in[64], canonical[INET6_ADDRSTRLEN];
	unsigned char raw[16];

	if (text.len > 0 && text.len < sizeof(in)) {
		memcpy(in, text.ptr, text.len);
		in[text.len] = '\0';
		for (int i = 0; i < 2; i++) {
			int family = i ? AF_INET6 : AF_INET;

			if (inet_pton(family, in, raw) == 1 && inet_ntop(family, raw, canonical, sizeof(canonical)))
				return arena_str(mem, span_str(canonical));
		}
	}
	conf_bad(err, text, "is not an IP address", "one such as 127.0.0.1, 0.0.0.0 or ::1");
	return NULL;
}

static const char *conf_path_read(struct span text, const char *home, struct arena *mem, struct err *err)
{
	struct buf path;
	char *copy;

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return conf_bad(err, text, "has a control character in it", "a plain file name"), NULL;
	if (text.len == 0 || text.ptr[0] == '/')
		return arena_str(mem, text);
	buf_init(&path, 2 * CONF_VALUE_BYTES);
	buf_printf(&path, "%s/", home);
	buf_add(&path, text);
	copy = path.overflow ? NULL : arena_str(mem, buf_span(&path));
	buf_clear(&path);
	if (!copy)
		conf_bad(err, text, "is too long with the home directory before it", "a shorter name");
	return copy;
}

static const char *conf_mechanisms_read(struct span text, struct arena *mem, struct err *err)
{
	unsigned seen = 0;
	struct buf words;
	struct span rest = text;
	char *copy;

	buf_init(&words, 256);
	while (rest.ptr) {
		struct span word = span_cut(&rest, ' ');
		int at = word.len ? conf_choice_read(conf_mechanisms, word, err) : 0;

		if (at < 0 || (word.len && seen & 1U << at)) {
			if (at >= 0)
				conf_bad(err, word, "is there twice", "each mechanism once");
			buf_clear(&words);
			return NULL;
		}
		if (word.len)
			buf_printf(&words, "%s%s", seen ? " " : "", conf_mechanisms[at]);
		seen |= word.len ? 1U << at : 0;
	}
	copy = seen ? arena_str(mem, buf_span(&words)) : NULL;
	buf_clear(&words);
	if (!copy)
		conf_bad(err, text, "names no mechanism", "PLAIN, or several with blanks between them");
	return copy;
}

static const char *conf_host_read(struct span text, const char *is, struct arena *mem, struct err *err)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct span name = address_domain_key(text, room); /* by its A-labels, however it is written */

	if (text.len && !conf_host_ok(name))
		return conf_bad(err, text, is, "one such as mail.example.org"), NULL;
	return arena_str(mem, name);
}

/* text of any kind without control characters */
static const char *conf_plain_read(const struct conf_setting *s, struct span text, struct arena *mem, struct err *err)
{
	struct buf words;

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return conf_bad(err, text, "has a control character in it", "plain text"), NULL;
	if (text.len <= s->most)
		return arena_str(mem, text);
	buf_init(&words, 64);
	buf_printf(&words, "at most %u bytes", (unsigned)s->most);
	conf_bad(err, text, "is too long", buf_cstr(&words));
	buf_clear(&words);
	return NULL;
}

static const char *conf_text_read(const struct conf_setting *s, struct span text, const char *home, struct arena *mem, struct err *err)
{
	if (s->type == CONF_IP)
		return text.len == 0 && s->def && !s->def[0] ? arena_str(mem, text) : conf_ip_read(text, mem, err);
	if (s->type == CONF_TEXT)
		return conf_plain_read(s, text, mem, err);
	if (s->type == CONF_HOP)
		return text.len == 0 || !span_is_ascii(text) || conf_host_ok(text) ? conf_host_read(text, "is not a host name", mem, err) : conf_ip_read(text, mem, err);
	if (s->type == CONF_PATH)
		return conf_path_read(text, home, mem, err);
	if (s->type == CONF_MECHANISMS)
		return conf_mechanisms_read(text, mem, err);
	if (s->type == CONF_HOST)
		return conf_host_read(text, "is not a host name", mem, err);
	if (s->type == CONF_DOMAIN)
		return conf_host_read(text, "is not a domain", mem, err);
	if (text.len && !conf_name_ok(text))
		return conf_bad(err, text, "is not a name", "up to 32 letters, digits, dots and hyphens"), NULL;
	return arena_str(mem, text);
}

enum rc conf_setting_read(const struct conf_setting *s, struct span text, const char *home, struct arena *mem, void *base, struct err *err)
{
	void *at = base ? conf_setting_at(s, base) : NULL;
	const char *copy;
	bool flag;
	uint64_t n;
	int index;

	if (text.len > CONF_VALUE_BYTES)
		return conf_bad(err, text, "is too long", "at most 4096 bytes");
	switch (s->type) {
	case CONF_INT: case CONF_DURATION: case CONF_SIZE: case CONF_PORT:
		if (conf_number_read(s, text, &n, err) != RC_OK)
			return RC_BAD;
		if (at)
			memcpy(at, &n, s->width);
		return RC_OK;
	case CONF_BOOL:
		if (conf_bool_read(text, &flag, err) != RC_OK)
			return RC_BAD;
		if (at)
			*(bool *)at = flag;
		return RC_OK;
	case CONF_CHOICE:
		index = conf_choice_read(s->choices, text, err);
		if (index >= 0 && at)
			*(int *)at = index;
		return index < 0 ? RC_BAD : RC_OK;
	case CONF_IP: case CONF_HOST: case CONF_DOMAIN: case CONF_PATH: case CONF_NAME: case CONF_MECHANISMS: case CONF_TEXT: case CONF_HOP:
		copy = conf_text_read(s, text, home, mem, err);
		if (copy && at)
			*(const char **)at = copy;
		return copy ? RC_OK : RC_BAD;
	case CONF_NETWORKS: case CONF_RATES: case CONF_NAMES: case CONF_DOMAINS: case CONF_PATTERNS: case CONF_HOPS_LIST:
	case CONF_SERVERS: case CONF_STUBS:
		return conf_list_read(s->type, text, mem, at, err);
	}
	return RC_BAD;
}

/* ---- suggestions */

/* edit distance of two short names; anything longer counts as far */
static unsigned conf_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[64], corner, above;

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		corner = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = corner + (a[i - 1] != b[j - 1]);

			above = row[j];
			best = above + 1 < best ? above + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			corner = above;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *conf_nearest(const char *text, const char *const *names, size_t count)
{
	const char *best = NULL;
	unsigned least = (unsigned)strlen(text) / 3 + 2;

	for (size_t i = 0; i < count; i++) {
		unsigned d = conf_distance(text, names[i]);

		if (d < least) {
			least = d;
			best = names[i];
		}
	}
	return best;
}
