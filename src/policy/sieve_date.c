/* Dates: RFC 5322 3.3 to seconds, and the parts of RFC 5260 4.2. Proleptic Gregorian, no leap seconds. */
#include "policy/sieve_exec.h"

#include <inttypes.h>

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct civil {
	int64_t year;
	int month, day, hour, minute, second, weekday; /* month from 1, weekday 0: Sunday */
};

/* days since 1970-01-01; the year begins in March, so that the leap day is its last */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static struct civil civil_of(int64_t seconds)
{
	int64_t days = floor_div(seconds, 86400), rest = seconds - days * 86400, z = days + 719468, era = floor_div(z, 146097);
	int64_t of_era = z - era * 146097, year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
	struct civil c = {.day = (int)(of_year - (153 * m + 2) / 5 + 1), .month = (int)(m < 10 ? m + 3 : m - 9)};

	c.year = year + era * 400 + (c.month <= 2);
	c.hour = (int)(rest / 3600);
	c.minute = (int)(rest / 60 % 60);
	c.second = (int)(rest % 60);
	c.weekday = (int)(((days + 4) % 7 + 7) % 7);
	return c;
}

/* --- reading --- */

/* folds, blanks and comments */
static void skip_gap(struct span *s)
{
	unsigned depth = 0;

	while (s->len > 0 && (depth > 0 || strchr(" \t\r\n(", s->ptr[0])) && s->ptr[0]) {
		if (s->ptr[0] == '\\' && s->len > 1)
			*s = span_from(*s, 1);
		else if (s->ptr[0] == '(')
			depth++;
		else if (s->ptr[0] == ')')
			depth--;
		*s = span_from(*s, 1);
	}
}

/* 1..max digits */
static bool read_number(struct span *s, size_t max, int *out, size_t *digits_out)
{
	size_t i = 0;
	int n = 0;

	skip_gap(s);
	for (; i < s->len && i < max && byte_is_digit(s->ptr[i]); i++)
		n = n * 10 + (s->ptr[i] - '0');
	*out = n;
	*digits_out = i;
	*s = span_from(*s, i);
	return i > 0;
}

static bool read_mark(struct span *s, uint8_t mark)
{
	skip_gap(s);
	if (s->len == 0 || s->ptr[0] != mark)
		return false;
	*s = span_from(*s, 1);
	return true;
}

static bool read_month(struct span *s, int *out)
{
	skip_gap(s);
	for (int m = 0; m < 12; m++)
		if (span_starts_nocase(*s, span_str(months[m]))) {
			*s = span_from(*s, 3);
			*out = m + 1;
			return true;
		}
	return false;
}

bool sieve_zone_parse(struct span text, int *zone_out)
{
	int n = 0;

	if (text.len != 5 || (text.ptr[0] != '+' && text.ptr[0] != '-'))
		return false;
	for (size_t i = 1; i < 5; i++) {
		if (!byte_is_digit(text.ptr[i]))
			return false;
		n = n * 10 + (text.ptr[i] - '0');
	}
	if (n % 100 > 59)
		return false;
	n = n / 100 * 60 + n % 100;
	*zone_out = text.ptr[0] == '-' ? -n : n;
	return true;
}

/* RFC 5322 4.3; what is not known there is UTC */
static int zone_named(struct span s)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = {{"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5}, {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}};

	for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++)
		if (span_starts_nocase(s, span_str(zones[i].name)))
			return zones[i].hours * 60;
	return 0;
}

static bool read_day(struct span *s, struct civil *c)
{
	size_t comma = span_find(*s, ','), digits;
	int year;

	if (comma < s->len && comma < 12)
		*s = span_from(*s, comma + 1); /* the day of the week is not looked at */
	if (!read_number(s, 2, &c->day, &digits) || !read_month(s, &c->month) || !read_number(s, 4, &year, &digits) || digits < 2)
		return false;
	c->year = digits == 2 ? year + (year < 50 ? 2000 : 1900) : digits == 3 ? year + 1900 : year; /* RFC 5322 4.3 */
	return c->day >= 1 && c->day <= 31;
}

static bool read_clock(struct span *s, struct civil *c)
{
	size_t digits;

	if (!read_number(s, 2, &c->hour, &digits) || !read_mark(s, ':') || !read_number(s, 2, &c->minute, &digits))
		return false;
	if (read_mark(s, ':') && !read_number(s, 2, &c->second, &digits))
		return false;
	return c->hour < 24 && c->minute < 60 && c->second <= 60;
}

bool sieve_date_parse(struct span text, int64_t *seconds_out, int *zone_out)
{
	struct civil c = {.year = 0};
	int zone;

	if (!read_day(&text, &c) || !read_clock(&text, &c))
		return false;
	skip_gap(&text);
	if (!sieve_zone_parse(span_head(text, 5), &zone))
		zone = zone_named(text);
	*seconds_out = days_of(c.year, c.month, c.day) * 86400 + c.hour * 3600 + c.minute * 60 + c.second - (int64_t)zone * 60;
	*zone_out = zone;
	return true;
}

/* --- parts --- */

static void write_zone(struct buf *out, int zone, const char *between)
{
	int z = zone < 0 ? -zone : zone;

	buf_printf(out, "%c%02d%s%02d", zone < 0 ? '-' : '+', z / 60, between, z % 60);
}

bool sieve_date_part(struct span part, int64_t seconds, int zone, struct buf *out)
{
	static const char *const names[] = {"year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone",
		"weekday"};
	struct civil c = civil_of(seconds + (int64_t)zone * 60);
	size_t i = 0, count = sizeof(names) / sizeof(*names);

	while (i < count && !span_eq_nocase(part, span_str(names[i])))
		i++;
	buf_reset(out);
	switch (i) {
	case 0:
		buf_printf(out, "%04" PRId64, c.year);
		return true;
	case 1:
	case 2:
		buf_printf(out, "%02d", i == 1 ? c.month : c.day);
		return true;
	case 3:
		buf_printf(out, "%04" PRId64 "-%02d-%02d", c.year, c.month, c.day);
		return true;
	case 4: /* modified Julian day, in the zone asked for */
		buf_printf(out, "%" PRId64, days_of(c.year, c.month, c.day) + 40587);
		return true;
	case 5:
	case 6:
	case 7:
		buf_printf(out, "%02d", i == 5 ? c.hour : i == 6 ? c.minute : c.second);
		return true;
	case 8:
		buf_printf(out, "%02d:%02d:%02d", c.hour, c.minute, c.second);
		return true;
	case 9:
		buf_printf(out, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
		write_zone(out, zone, ":");
		return true;
	case 10:
		buf_printf(out, "%s, %02d %s %04" PRId64 " %02d:%02d:%02d ", weekdays[c.weekday], c.day, months[c.month - 1], c.year, c.hour, c.minute,
			c.second);
		write_zone(out, zone, "");
		return true;
	case 11:
		write_zone(out, zone, "");
		return true;
	case 12:
		buf_printf(out, "%d", c.weekday);
		return true;
	default:
		return false;
	}
}

/* --- tests --- */

/* the zone that the node asks for; `original` is the one of the date itself */
static int zone_of(struct sieve_run *r, const struct sieve_node *n, int original)
{
	const struct sieve_value *zone = sieve_node_param(n, SIEVE_TAG_ZONE);
	int minutes;

	if (sieve_node_has(n, SIEVE_TAG_ORIGINALZONE))
		return original;
	if (zone && sieve_zone_parse(sieve_expand(r, n, zone->strings), &minutes))
		return minutes;
	return r->m->zone_minutes;
}

static bool match_date(struct sieve_run *r, struct sieve_match *m, const struct sieve_string *part, int64_t seconds, int zone)
{
	struct span value;
	struct buf out;
	bool there;

	buf_init(&out, 128);
	there = sieve_date_part(sieve_expand(r, m->node, part), seconds, zone, &out);
	value = there ? arena_copy(&r->scratch, buf_span(&out)) : SPAN_NONE;
	buf_clear(&out);
	if (there && !value.ptr)
		return sieve_run_full(r, m->node);
	return there && sieve_match_value(r, m, value);
}

/* what stands for the date in a field: all of it, or what is behind the last semicolon (Received) */
static struct span date_in(struct span value)
{
	size_t at = value.len;

	while (at > 0 && value.ptr[at - 1] != ';')
		at--;
	return span_from(value, at);
}

bool sieve_test_date(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_match m;
	struct sieve_field field;
	struct sieve_walk w;
	unsigned part;

	if (!sieve_match_init(r, n, &n->args[2], &m))
		return false;
	sieve_walk_begin(r, n, sieve_expand(r, n, n->args[0].strings), &w);
	while (sieve_walk_next(&w, &field, &part)) {
		int64_t seconds;
		int zone;

		if (sieve_date_parse(date_in(field.raw), &seconds, &zone) &&
		    match_date(r, &m, n->args[1].strings, seconds, zone_of(r, n, zone)))
			return !r->ended;
	}
	return sieve_match_end(r, &m);
}

bool sieve_test_currentdate(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_match m;

	return sieve_match_init(r, n, &n->args[1], &m) &&
	       (match_date(r, &m, n->args[0].strings, floor_div(r->m->now_ms, 1000), zone_of(r, n, 0)) || sieve_match_end(r, &m)) && !r->ended;
}
