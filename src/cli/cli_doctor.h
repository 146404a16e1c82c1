/* cli_doctor - tries the servers of an address one connection at a time and says which one thing keeps mail from being sent. find says
 * where to look (cli_doctor_dns asks for names, cli_doctor_fetch for the domain's autoconfig); the probe talks to one port and notes facts
 * (talk, sign and send are its steps); answer/doctor_weigh judges them; say and json print. Nothing here knows the mail system of this
 * machine: it works against any server. Times are milliseconds; what is kept of a peer's text is bounded and safe to show (buf_add_safe),
 * without the password. RFC 5321, 3207, 4954, 1939, 2595, 9051, 6186, 8314. */
#ifndef MAILROOM_CLI_CLI_DOCTOR_H
#define MAILROOM_CLI_CLI_DOCTOR_H

#include "answer/doctor_fact.h"
#include "answer/doctor_weigh.h"
#include "base/clock.h"
#include "cli/cli.h"

enum {
	DOCTOR_GIVEN_PORTS = 16,
	DOCTOR_CONNECT_MS = 5000,
	DOCTOR_CONNECT_DROPPED_MS = 1500, /* where DOCTOR_DROPS ports of that host did not answer */
	DOCTOR_DROPS = 3,
	DOCTOR_PAGES = 3,
	DOCTOR_NAME_MS = 5000, /* for one name */
	DOCTOR_WAIT_S = 10,    /* for one reply */
	DOCTOR_WAIT_MOST_S = 300,
	DOCTOR_RUN_S = 180, /* all of it */
	DOCTOR_RUN_MOST_S = 3600,
	DOCTOR_CONNECTION_WAITS = 4,  /* so many times the wait for one connection */
	DOCTOR_PEER_BYTES = 64 << 10, /* taken from one server in one connection */
	DOCTOR_REPLY_LINES = 100,
	DOCTOR_LINE_BYTES = 4096,
};

struct doctor_dns;

struct doctor {
	struct arena *mem;
	struct doctor_facts facts;
	const char *to;	     /* NULL: not given */
	const char *server;  /* the same */
	const char *program; /* of which the steps are wanted; NULL: none */
	const char *resolver;
	struct buf password; /* empty: none */
	bool send, allow_cleartext;
	bool sent;	       /* one message is enough */
	bool password_refused; /* it is not tried a second time, which could lock the account */
	const char *refused_slug;
	uint64_t size_bytes; /* of the message that is to be sent later; 0: not said */
	unsigned wait_ms;
	mono_ms end; /* of the whole run */
	struct doctor_dns *dns;
};

/* as long as the command lives; of a text over DOCTOR_TEXT_BYTES the beginning */
const char *doctor_keep(struct doctor *d, const char *text);
const char *doctor_keep_safe(struct doctor *d, struct span text);
const char *doctor_domain(const struct doctor *d); /* of the address; of a host the host */

/* find: fills and looks up hosts and services. `server`: NULL or the one that was given. false: no host has an address */
bool doctor_find(struct doctor *d, const char *server);
/* only what the domain itself names: services and their hosts */
void doctor_find_published(struct doctor *d);
/* a host by name, looked up unless it was; NULL: no room, or not a name */
const struct doctor_host *doctor_find_host(struct doctor *d, const char *name, enum doctor_source source, bool trusted);
/* "587", "587/starttls", "465/tls", "25/none"; false: not of that form */
bool doctor_find_port(const char *text, uint16_t *number_out, enum doctor_security *wanted_out);
void doctor_find_network(struct doctor_facts *f); /* does an interface of this computer lead anywhere? */

/* fetch: the autoconfig file of the domain; adds services. https and http, the two places where it may lie */
void doctor_fetch_autoconfig(struct doctor *d);
/* a second clock: a date that somebody else just said, in any text */
void doctor_note_date(struct doctor *d, struct span text, const char *whose);

/* probe: one port, at most two connections after another; fills *port, whose host, number and wanted are set */
void doctor_probe(struct doctor *d, struct doctor_port *port);

/* say: prints the verdict; the exit status */
int doctor_say(const struct doctor *d, bool json);
void doctor_say_json(const struct doctor *d, const struct doctor_verdict *v);
const char *doctor_tested(const struct doctor_port *port, const struct doctor_facts *f);

/* a line on standard error, where somebody watches */
void doctor_progress_on(bool lines, bool terminal);
void doctor_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void doctor_progress_end(void);

extern const struct cli_option cli_doctor_options[];
int cli_doctor(struct cli *cli);

#endif
