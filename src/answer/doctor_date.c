/* A date in a greeting or a Date field: a second clock to hold that of this computer against. */
#include "answer/doctor_reply.h"

#include "base/num.h"

static bool date_number(struct span text, uint64_t least, uint64_t most, int64_t *out)
{
	uint64_t n;

	if (num_parse(text, most, &n) != RC_OK || n < least)
		return false;
	*out = (int64_t)n;
	return true;
}

static bool date_month(struct span text, int64_t *out)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (int64_t i = 0; text.len == 3 && i < 12; i++)
		if (span_eq_nocase(text, span_of(names + i * 3, 3))) {
			*out = i + 1;
			return true;
		}
	return false;
}

/* days since 1970 of the civil calendar (Howard Hinnant's way of counting, years from March) */
static int64_t date_days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool date_time(struct span text, int64_t *seconds_out)
{
	int64_t h, m, s = 0;
	struct span rest = text, hours = span_cut(&rest, ':'), minutes = span_cut(&rest, ':');

	if (hours.len != 2 || minutes.len != 2 || (rest.ptr && rest.len != 2) || !date_number(hours, 0, 23, &h) ||
	    !date_number(minutes, 0, 59, &m) || (rest.ptr && !date_number(rest, 0, 60, &s)))
		return false;
	*seconds_out = h * 3600 + m * 60 + s;
	return true;
}

static int64_t date_zone(struct span text)
{
	int64_t h, m;

	if (text.len < 5 || (text.ptr[0] != '+' && text.ptr[0] != '-') || !date_number(span_of(text.ptr + 1, 2), 0, 14, &h) ||
	    !date_number(span_of(text.ptr + 3, 2), 0, 59, &m))
		return 0;
	return (text.ptr[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
}

static bool date_read(struct span day_text, struct span rest, int64_t *wall_ms_out)
{
	int64_t day, month, year, seconds;
	struct span word;

	if (day_text.len > 2 || !date_number(day_text, 1, 31, &day) || !date_month(span_cut(&rest, ' '), &month))
		return false;
	word = span_cut(&rest, ' ');
	if (word.len != 4 || !date_number(word, 1970, 9999, &year) || !date_time(span_cut(&rest, ' '), &seconds))
		return false;
	*wall_ms_out = (date_days(year, month, day) * 86400 + seconds - date_zone(rest)) * 1000;
	return true;
}

bool doctor_date_find(struct span text, int64_t *wall_ms_out)
{
	for (struct span rest = text; rest.ptr;)
		if (date_read(span_cut(&rest, ' '), rest, wall_ms_out))
			return true;
	return false;
}
