/* doctor_fact - what `mailroom doctor` found out about the servers of an account, and what the parts of it that do no I/O read and write.
 * Who talks to servers fills these; doctor_weigh judges them. Texts are never NULL, safe to show (buf_add_safe) and without passwords;
 * they and all other pointers live as long as the arena of whoever filled them. Times are milliseconds, sizes bytes. */
#ifndef MAILROOM_ANSWER_DOCTOR_FACT_H
#define MAILROOM_ANSWER_DOCTOR_FACT_H

#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"

enum {
	DOCTOR_HOSTS = 16,
	DOCTOR_PORTS = 48,
	DOCTOR_ADDRESSES = 4, /* of one name that are tried */
	DOCTOR_SERVICES = 16, /* named by SRV, autoconfig or the provider */
	DOCTOR_EVENTS = 16,   /* of XWHY */
	DOCTOR_NOTES = 12,
	DOCTOR_TEXT_BYTES = 512, /* of evidence kept */
	DOCTOR_SLUG_BYTES = 32,
};

enum doctor_security { DOCTOR_ANY, DOCTOR_NONE, DOCTOR_STARTTLS, DOCTOR_TLS };
enum doctor_protocol { DOCTOR_UNKNOWN, DOCTOR_SMTP, DOCTOR_POP3, DOCTOR_IMAP };
enum doctor_net { DOCTOR_OPEN, DOCTOR_REFUSED, DOCTOR_TIMED_OUT, DOCTOR_UNREACHABLE, DOCTOR_NOT_TRIED };
enum doctor_lookup {
	DOCTOR_FOUND,
	DOCTOR_NO_NAME,	    /* the name does not exist */
	DOCTOR_NO_ADDRESS,  /* it does, without what was asked for */
	DOCTOR_DNS_FAILED,  /* the resolver answers that it cannot tell */
	DOCTOR_DNS_SILENT,  /* no resolver answers */
	DOCTOR_NO_RESOLVER, /* none is set up */
};
/* who says that this is a server of the account */
enum doctor_source { DOCTOR_GIVEN, DOCTOR_SRV, DOCTOR_AUTOCONFIG, DOCTOR_PROVIDER, DOCTOR_MX, DOCTOR_GUESS };
/* what the first bytes of a server look like */
enum doctor_greeting {
	DOCTOR_GREETING_NONE,
	DOCTOR_GREETING_SMTP,
	DOCTOR_GREETING_MASKED, /* SMTP whose words a box in between has written over */
	DOCTOR_GREETING_POP3,
	DOCTOR_GREETING_IMAP,
	DOCTOR_GREETING_HTTP,
	DOCTOR_GREETING_FTP,
	DOCTOR_GREETING_SSH,
	DOCTOR_GREETING_TLS,
	DOCTOR_GREETING_OTHER,
};
/* how far a port let us come; the verdict is that of the port that let us come farthest */
enum doctor_stage {
	DOCTOR_AT_CONNECT,
	DOCTOR_AT_GREETING,
	DOCTOR_AT_TLS,
	DOCTOR_AT_OFFER,
	DOCTOR_AT_SIGN_IN,
	DOCTOR_AT_SENDER,
	DOCTOR_AT_RECIPIENT,
	DOCTOR_AT_MESSAGE,
	DOCTOR_AT_END,
};

struct doctor_host {
	const char *name;
	struct sockaddr_storage address[DOCTOR_ADDRESSES];
	socklen_t address_bytes[DOCTOR_ADDRESSES];
	size_t address_count;
	enum doctor_lookup lookup;
	enum doctor_source source;
	bool trusted; /* the password may go there: nobody on the way could have put another's name in */
};

/* a server that the domain or its provider names */
struct doctor_service {
	enum doctor_protocol protocol;
	enum doctor_security security;
	enum doctor_source source;
	uint16_t port;
	bool secure;	   /* it was named over a way that cannot be forged */
	const char *host;  /* "": decidedly none */
	const char *login; /* "": not said */
};

struct doctor_port {
	const struct doctor_host *host;
	uint16_t number;
	enum doctor_security wanted, security; /* as the mail program is set; as it worked */
	enum doctor_protocol protocol;
	enum doctor_greeting greeting;
	enum doctor_net net;
	enum doctor_stage stage;
	bool fine, signed_in, recipient_taken, relayed, sent;
	bool starttls_offered, masked; /* masked: keywords of its offer were written over */
	bool cert_early, cert_late;    /* by the clock of this computer */
	bool password_held;	       /* back, as the host is not trusted */
	bool second;		       /* tried only to find out why the given ones fail */
	bool server_said;	       /* the cause is from the server's own XWHY */
	uint64_t size_bytes;	       /* SIZE, 0: not said */
	const char *slug;	       /* "" where it is fine */
	const char *evidence, *certificate;
	const char *banner, *banner_host;
	const char *auth_clear, *auth_tls; /* mechanisms */
};

/* one line of XWHY: what the server itself refused this account */
struct doctor_event {
	const char *slug, *at, *session, *command, *detail, *limit, *retry;
	unsigned code;
};

struct doctor_facts {
	const char *address, *login; /* login "": none */
	bool ports_given, server_given, password_given;
	bool has_network; /* an interface with an address, and a way out of it */
	bool out_of_time;
	const char *proxy;    /* of the environment; "": none */
	const char *resolver; /* who was asked for names */
	const char *portal;   /* what shows that the web is answered by somebody else; "": nothing */
	bool clock_known;
	int64_t clock_ahead_ms; /* of this computer, against the servers' own dates */
	const char *clock_from;
	struct doctor_host hosts[DOCTOR_HOSTS];
	size_t host_count;
	struct doctor_service services[DOCTOR_SERVICES];
	size_t service_count;
	struct doctor_port ports[DOCTOR_PORTS];
	size_t port_count;
	struct doctor_event events[DOCTOR_EVENTS];
	size_t event_count;
};

#endif
