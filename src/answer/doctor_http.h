/* doctor_http - reads one answer of a web server and one URL, as far as fetching a small file takes. Pure; what it returns borrows from the
 * answer. No chunked bodies (it is asked in HTTP/1.0), no cookies, no compression. RFC 9110, 9112. */
#ifndef MAILROOM_ANSWER_DOCTOR_HTTP_H
#define MAILROOM_ANSWER_DOCTOR_HTTP_H

#include "answer/doctor_fact.h"

struct doctor_http {
	unsigned status;
	struct span location, date, type, body;
};
/* false: that is no whole answer of a web server */
bool doctor_http_read(struct span answer, struct doctor_http *out);

struct doctor_url {
	bool tls;
	uint16_t port;
	const char *host, *path; /* path with its "/" and the query */
};
/* absolute, http or https; false: anything else, or something that does not belong into a request line */
bool doctor_url_read(struct span text, struct arena *mem, struct doctor_url *out);

#endif
