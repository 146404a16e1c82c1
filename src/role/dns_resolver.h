/* dns_resolver - libunbound under this program's event loop: asks the configured resolvers, or from the root, validates DNSSEC, caches. Everything that opens
 * files (trust anchor, root hints, resolv.conf) happens in dns_resolver_new. Used by the dns role and by `mailroom dns`. Not responsible for limits of time and
 * number: its owner has those. RFC 1035, 4033-4035, 6891, 9156. */
#ifndef MAILROOM_ROLE_DNS_RESOLVER_H
#define MAILROOM_ROLE_DNS_RESOLVER_H

#include <event2/event.h>

#include "conf/conf.h"
#include "role/dns_answer.h"

enum {
	DNS_SERVERS_MAX = 32,      /* that are asked first; further ones are left out */
	DNS_PORT = 53,
	/* Questions on their way at one time, each with a socket and a port of its own, where the system allows so many descriptors. More would wait for those
	 * before them, which a name server that never answers can make long. */
	DNS_OUTGOING_UDP = 4096,
	DNS_OUTGOING_TCP = 40,
	DNS_FDS_SPARE = 1200, /* channels: as many workers as there may be, of two generations */
};

struct dns_resolver;
/* the answer's spans are valid until the function returns */
typedef void dns_resolver_answer(void *arg, struct dns_answer *answer);

/* resolv_conf: NULL is /etc/resolv.conf. say: gets the library's complaints (no line end); NULL: nobody does */
enum rc dns_resolver_new(const struct conf *conf, struct event_base *base, const char *resolv_conf, void (*say)(const char *words), struct dns_resolver **out,
	struct err *err) RC_WARN;
/* questions that are open are never answered; NULL is fine */
void dns_resolver_free(struct dns_resolver **r);
/* `name` as dns_name_clean gives it. `answer` is called once, when the library has come to an end, which may be before this returns or after a minute. */
void dns_resolver_ask(struct dns_resolver *r, enum name_type type, const char *name, dns_resolver_answer *answer, void *arg);
/* whom it asks, for people: "10.0.0.1, 10.0.0.2 (/etc/resolv.conf)", "the root servers" */
const char *dns_resolver_servers(const struct dns_resolver *r);
/* where the trust anchor came from; "off" */
const char *dns_resolver_anchor(const struct dns_resolver *r);
/* the descriptors that the library may need, and DNS_FDS_SPARE; at most what the system allows */
size_t dns_resolver_fds(void);
/* the TCP ports that it connects to, at most `most` */
size_t dns_resolver_ports(const struct dns_resolver *r, uint16_t *out, size_t most);

#endif
