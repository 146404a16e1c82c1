/* conf - the configuration: read with libConfuse, checked whole, immutable afterwards. Each setting stands once, in conf/settings.def, with its
 * type, default and words; parser, sample config, man page and `mailroom check` come from there. */
#ifndef MAILROOM_CONF_CONF_H
#define MAILROOM_CONF_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"
#include "base/span.h"

enum conf_kind { CONF_MX, CONF_SUBMISSION, CONF_POP3 };
enum conf_tls { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
enum conf_early { CONF_EARLY_REFUSE, CONF_EARLY_ALLOW };
/* of mail that leaves. REQUIRED: encrypted, or it waits; whose certificate it is does not matter; VERIFIED: the certificate has to be the host's, too */
enum conf_out_tls { CONF_OUT_TLS_OPPORTUNISTIC, CONF_OUT_TLS_REQUIRED, CONF_OUT_TLS_VERIFIED, CONF_OUT_TLS_NEVER };

/* how many in 10 seconds, a minute, an hour, a day; 0: as many as one likes */
enum { CONF_RATE_PEAK, CONF_RATE_MINUTE, CONF_RATE_HOUR, CONF_RATE_DAY, CONF_RATE_WINDOWS };
struct conf_rates { uint32_t most[CONF_RATE_WINDOWS]; };

struct conf_listener {
	const char *name;        /* section title */
	enum conf_kind kind;
	const char *address;     /* IP address, "127.0.0.1" */
	uint16_t port;
	enum conf_tls tls;
	const char *certificate; /* title of a certificate section */
	uint16_t certificate_index;
	bool auth_without_tls;   /* offer sign-in in the clear */
	bool tls_required;       /* refuse MAIL before TLS (submission with starttls: on by default) */
	uint32_t connections_max, connections_per_address_max;
	bool auth;               /* sign-in is offered (pop3: always) */
	const char *relay_networks; /* titles, a blank between them; resolved: */
	const struct conf_network **networks; size_t network_count;
	bool relay_window;       /* pop3: opens it; mx, submission: heeds it */
	struct net_list deny, proxy_from;
	enum conf_early early;   /* mx: text behind a command whose answer has to be read first */
	uint32_t line;           /* where it stands in the file */
};

struct conf_network {
	const char *name;
	struct net_list addresses;
	const char *senders;     /* domains, a blank between them; "": any */
	struct conf_rates messages, recipients;
	uint32_t line;
};

/* served by the user role: people may send through it to elsewhere (mx: only where it says so) */
static inline bool conf_listener_relays(const struct conf_listener *l)
{
	return l->kind != CONF_MX || l->auth || l->network_count || l->relay_window;
}

struct conf_certificate { const char *name, *chain, *key; uint32_t line; }; /* absolute paths */

/* a server that takes all mail, whatever its recipients */
struct conf_smarthost {
	const char *name;
	const char *host;        /* a name, or an IP address without brackets */
	uint16_t port;
	enum conf_tls tls;
	bool verify;             /* the certificate */
	const char *login;       /* "": no sign-in */
	const char *password_file; /* absolute; read by the keys role only */
	bool auth_without_tls;
	uint32_t connections_max, per_minute; /* per_minute 0: no limit */
	uint32_t line;
};

struct conf_hop { struct span host; /* a name, or an IP address without brackets */ uint16_t port; bool is_address; };

/* where mail for some domains goes instead of to their MX */
struct conf_route {
	const char *name;
	const char *domains;     /* "example.org .example.net *", a blank between them */
	const char *to;          /* "host:port host2 [192.0.2.1]:2525"; resolved: */
	struct conf_hop *hops; size_t hop_count; /* tried in this order */
	const char *smarthost;   /* or that one, by title; resolved: */
	uint16_t smarthost_index; bool has_smarthost;
	enum conf_out_tls tls;
	uint32_t connections_max, per_minute;
	uint32_t line;
};

struct conf {
	const char *file;             /* where it was read from */
	const char *home;             /* absolute */
	const char *hostname;         /* of the server, in banners and Received: */
	const char *default_domain;   /* for bare login names; "" = none */
	struct conf_listener *listeners; size_t listener_count;
	struct conf_certificate *certificates; size_t certificate_count;
	struct conf_network *networks; size_t network_count;
	uint64_t relay_window_ms; struct net_list relay_window_networks; uint32_t relay_window_v6_bits; bool full_mailbox_sends;
	uint32_t workers_mx, workers_user, workers_relay; /* relay: 0 is none; the others: resolved: 0 in the file means one a core */
	uint32_t uid_base;            /* roles run as uid_base + role number where started as root */
	const char *log_file;         /* "" = standard error */
	int log_level;                /* enum log_level */
	bool sandbox_kill;
	const char *mechanisms;       /* "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" */
	/* limits and times, see settings.def for words and defaults */
	uint64_t message_max_bytes, default_quota_bytes;
	uint32_t rcpt_max, rcpt_open_max, domain_max, transaction_max, unauth_command_max, bad_command_max, noop_max, auth_failure_max, hops_max;
	uint64_t smtp_greeting_ms, smtp_command_ms, smtp_data_ms, smtp_session_ms, smtp_auth_ms, tls_handshake_ms;
	uint32_t data_rate_floor;
	uint64_t pop3_command_ms, pop3_login_ms, pop3_session_ms; /* session: 0 = no limit */
	uint64_t auth_failure_delay_ms; uint32_t auth_failures_per_address, auth_failures_per_account; uint64_t auth_failure_window_ms;
	uint32_t history_days; uint64_t history_max_bytes; /* days 0: no history */
	struct conf_rates rate_account_messages, rate_account_rcpts, rate_address_messages, rate_address_rcpts, rate_mailbox_messages;
	struct conf_rates rate_address_connections, rate_address_helo, rate_address_unknown, rate_address_unauth, rate_address_rcpt_failures; /* of a worker */
	/* mail that leaves (section delivery) */
	const char *delivery_hostname;
	const char *delivery_smarthost; /* title; "": by MX */
	uint16_t delivery_smarthost_index; bool delivery_has_smarthost;
	uint16_t delivery_port;
	uint32_t delivery_connections_max, delivery_hop_connections_max, delivery_hop_connections_first;
	uint32_t delivery_per_minute, delivery_messages_per_connection;
	uint64_t delivery_idle_ms, delivery_expire_ms, delivery_bounce_expire_ms, delivery_hopeless_ms, delivery_retry_first_ms, delivery_retry_most_ms;
	uint64_t delivery_delay_notice_ms; /* 0: none */
	enum conf_out_tls delivery_tls;
	bool delivery_dane, delivery_mta_sts, delivery_ipv6;
	const char *delivery_ca_file; /* "": the system's */
	uint16_t delivery_mta_sts_port;
	const char *delivery_ipv4_source, *delivery_ipv6_source; /* "": any */
	uint64_t delivery_connect_ms, delivery_greeting_ms, delivery_command_ms, delivery_data_ms, delivery_chunk_ms, delivery_end_ms;
	struct conf_smarthost *smarthosts; size_t smarthost_count;
	struct conf_route *routes; size_t route_count;
	const char *dns_resolvers, *dns_trust_anchor, *dns_root_hints, *dns_stub_zones, *dns_insecure_zones; /* lists, a blank between; resolvers "root": from the root on, "": /etc/resolv.conf's */
	bool dns_dnssec, dns_check_recipients; uint64_t dns_timeout_ms;
	uint64_t drain_ms;            /* how long old workers may finish after a reload or SIGTERM */
	const void *places;           /* where each setting stood, for conf_where */
	void *memory;                 /* what owns all of the above */
};

/* somebody asks for names: mail leaves, or whoever wrote the configuration named resolvers */
static inline bool conf_dns_wanted(const struct conf *c)
{
	return c->workers_relay || c->dns_resolvers[0];
}
static inline bool conf_dns_is_root(const struct conf *c)
{
	return strcmp(c->dns_resolvers, "root") == 0;
}

/* `file` NULL: HOME/mailroom.conf. RC_BAD: err names file, line, setting, what is wrong and what would be right; RC_NONE: no such file. */
enum rc conf_load(const char *file, const char *home, struct conf **out, struct err *err) RC_WARN;
/* from text already read (name: what to call it in messages); used by roles, which get the text from the parent. No includes; home NULL: the text says
 * it, as conf_write's does. */
enum rc conf_parse(struct span text, const char *name, const char *home, struct conf **out, struct err *err) RC_WARN;
void conf_free(struct conf **c);
/* where a setting stands, as "FILE:LINE"; where the default holds: where its section stands, else the file. title: "" for untitled sections */
void conf_where(const struct conf *c, const char *section, const char *title, const char *setting, struct buf *out);
/* a list of rates as settings and the command line take it ("100/min 2000/day", "" for none). RC_BAD with what would be right */
enum rc conf_rates_parse(struct span text, struct conf_rates *out, struct err *err) RC_WARN;
void conf_rates_write(const struct conf_rates *r, struct buf *out);
/* the route for mail to this domain, in any of its forms: exact names before the longest ".suffix" before "*"; NULL: none */
const struct conf_route *conf_route_find(const struct conf *c, struct span domain);
/* a list with a blank between its entries: cuts the first off; false: it is empty */
bool conf_list_next(const char **rest, struct span *out);
/* as conf_load, but the certificate files need not be there: for commands that do without them */
enum rc conf_read(const char *file, const char *home, struct conf **out, struct err *err) RC_WARN;
/* `serve --listen NAME=ADDRESS:PORT`: from now on every conf_load and conf_read of this process (reloads too) moves that listener there. RC_BAD: not of that form */
enum rc conf_override_listen(const char *name_address_port, struct err *err) RC_WARN;
/* the checked configuration as text that conf_parse reads to the same struct: what the parent hands to roles */
void conf_write(const struct conf *c, struct buf *out);
/* the sample configuration: every setting with its default and its words, commented out */
void conf_write_sample(struct buf *out);
/* the same with these two filled in (NULL: commented out as above), for `mailroom init` */
void conf_write_sample_for(struct buf *out, const char *hostname, const char *default_domain);
/* the settings part of mailroom.conf.5 (mdoc) */
void conf_write_man(struct buf *out);

#endif
