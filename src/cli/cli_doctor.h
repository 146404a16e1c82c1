/* cli_doctor - tries the servers of an address one connection at a time and says which one thing keeps mail from being sent. The probe
 * talks to one port and notes facts; find says where to look; say turns the facts into one verdict, words and JSON. Nothing here knows
 * the mail system of this machine: it works against any server. Times are milliseconds; what is kept of a peer's text is bounded and safe
 * to show (buf_add_safe), without the password. RFC 5321, 3207, 4954, 1939, 2595, 3501. */
#ifndef MAILROOM_CLI_CLI_DOCTOR_H
#define MAILROOM_CLI_CLI_DOCTOR_H

#include <stdio.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"

enum {
	DOCTOR_HOSTS = 3,
	DOCTOR_PORTS = 16,
	DOCTOR_ADDRESSES = 4, /* of one name that are tried */
	DOCTOR_CONNECT_MS = 5000,
	DOCTOR_WAIT_S = 10, /* for one reply */
	DOCTOR_WAIT_MOST_S = 300,
	DOCTOR_PEER_BYTES = 64 << 10, /* taken from one server in one connection */
	DOCTOR_REPLY_LINES = 100,
	DOCTOR_LINE_BYTES = 4096,
	DOCTOR_TEXT_BYTES = 512, /* of evidence kept */
};

enum doctor_security { DOCTOR_ANY, DOCTOR_NONE, DOCTOR_STARTTLS, DOCTOR_TLS };
enum doctor_protocol { DOCTOR_UNKNOWN, DOCTOR_SMTP, DOCTOR_POP3, DOCTOR_IMAP };
enum doctor_net { DOCTOR_OPEN, DOCTOR_REFUSED, DOCTOR_TIMED_OUT, DOCTOR_UNREACHABLE };
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
	int lookup; /* getaddrinfo's answer */
};

struct doctor_port {
	const char *host; /* the doctor_host's */
	uint16_t number;
	enum doctor_security wanted, security; /* as the mail program is set; as it worked */
	enum doctor_protocol protocol;
	enum doctor_net net;
	enum doctor_stage stage;
	bool fine, signed_in, recipient_taken, sent, starttls_offered;
	uint64_t size_bytes; /* SIZE, 0: not said */
	/* texts are kept by doctor_keep, and never NULL */
	const char *slug; /* "" where it is fine */
	const char *evidence, *certificate;
	const char *auth_clear, *auth_tls; /* mechanisms */
};

struct doctor {
	struct arena *mem;
	const char *address; /* "" where only a host was given */
	const char *login, *to;
	struct buf password; /* empty: none */
	bool send, allow_cleartext, ports_given;
	bool sent;	       /* one message is enough */
	bool password_refused; /* it is not tried a second time, which could lock the account */
	const char *refused_slug;
	unsigned wait_ms;
	struct doctor_host hosts[DOCTOR_HOSTS];
	size_t host_count;
	struct doctor_port ports[DOCTOR_HOSTS * DOCTOR_PORTS];
	size_t port_count;
};

/* as long as the command lives; of a text over DOCTOR_TEXT_BYTES the beginning */
const char *doctor_keep(struct doctor *d, const char *text);

/* find: `server` or NULL; fills and looks up the hosts. false: none could be found */
bool doctor_find_hosts(struct doctor *d, const char *server);
/* "587", "587/starttls", "465/tls", "25/none"; false: not of that form */
bool doctor_find_port(const char *text, uint16_t *number_out, enum doctor_security *wanted_out);
extern const uint16_t doctor_usual_ports[]; /* ends with 0 */

/* probe: one port, at most two connections after another; fills *port, whose host, number and wanted are set */
void doctor_probe(struct doctor *d, const struct doctor_host *host, struct doctor_port *port);

/* say: prints the verdict; the exit status */
int doctor_say(const struct doctor *d, bool json);
const char *doctor_security_name(enum doctor_security security);
void doctor_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a line on standard error */

extern const struct cli_option cli_doctor_options[];
int cli_doctor(struct cli *cli);

#endif
