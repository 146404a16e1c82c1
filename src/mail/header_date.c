#include "mail/header.h"

#include <time.h>

void header_write_date(struct buf *out, int64_t wall_ms)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t sec = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
	struct tm tm;

	/* not strftime: these names are of the protocol, not of the locale */
	(void)gmtime_r(&sec, &tm);
	buf_printf(out, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
		tm.tm_hour, tm.tm_min, tm.tm_sec);
}
