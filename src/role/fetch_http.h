/* fetch_http - files by HTTPS, with libcurl on our loop: one answer of one server, at addresses that were looked up before; no redirects, proxies, cookies,
 * compression or kept connections; TLS 1.2 or later, a certificate for that host by somebody in the CA file. The only place where libcurl is used; part of the
 * fetch role. Not responsible for names, queues or what the file means. RFC 8461 3.3, RFC 9110. */
#ifndef MAILROOM_ROLE_FETCH_HTTP_H
#define MAILROOM_ROLE_FETCH_HTTP_H

#include "base/net.h"
#include "loop/loop.h"

struct fetch_http_rules {
	const char *ca_file;         /* PEM; "": the system's, and none where it has none */
	uint16_t port;
	uint64_t connect_ms, all_ms; /* time limits: for the connection and its TLS, and for everything */
};
enum { FETCH_HTTP_ADDRESSES = 8, FETCH_HTTP_HEAD_BYTES = 64 << 10 /* of a response */ };

struct fetch_http;
struct fetch_http_job;
/* status: of HTTP, 0: no whole answer came, and words say why. With a status words are empty, or a remark. Spans end with the call. */
typedef void fetch_http_done(void *arg, unsigned status, struct span body, struct span words);

/* before the walls: reads the CA file, has libcurl make what it needs. RC_BAD, RC_IO: err names the file */
enum rc fetch_http_new(struct loop *loop, const struct fetch_http_rules *rules, struct fetch_http **out, struct err *err) RC_WARN;
void fetch_http_free(struct fetch_http **h); /* after its jobs */
/* May host and path be asked for: a host name of letters, digits and "-", a path that begins with "/" and is printable? */
bool fetch_http_is_sound(struct span host, struct span path);
/* Begins; host and path are sound. `done` is called once, later, never inside this call or fetch_http_cancel; the job is gone then. count: 1 to
 * FETCH_HTTP_ADDRESSES. A body longer than max is as no answer. */
struct fetch_http_job *fetch_http_get(struct fetch_http *h, struct span host, struct span path, const struct net_address *at, size_t count, size_t max,
	fetch_http_done *done, void *arg);
void fetch_http_cancel(struct fetch_http_job **job);

#endif
