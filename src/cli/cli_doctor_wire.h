/* cli_doctor_wire - one connection of the doctor, blocking with deadlines: TCP, then perhaps TLS. What the peer may send is bounded in
 * bytes a line, lines a reply, bytes a connection and time a reply and a connection, so that one who floods or drips only ends the
 * connection. Knows no protocol. */
#ifndef MAILROOM_CLI_CLI_DOCTOR_WIRE_H
#define MAILROOM_CLI_CLI_DOCTOR_WIRE_H

#include <openssl/ssl.h>

#include "cli/cli_doctor.h"

enum doctor_wire_rc {
	DOCTOR_WIRE_OK,
	DOCTOR_WIRE_CLOSED,
	DOCTOR_WIRE_SILENT, /* nothing, or nothing whole, within the time */
	DOCTOR_WIRE_FLOOD,
	DOCTOR_WIRE_PLAIN,  /* to TLS: the answer is no TLS; its first bytes are in `in` */
	DOCTOR_WIRE_FAILED, /* to TLS: refused; `reason` says why */
};

struct doctor_wire {
	int fd; /* -1: none */
	SSL_CTX *context;
	SSL *ssl;
	unsigned wait_ms;
	mono_ms end; /* of the connection, whatever is said on it */
	size_t taken_bytes;
	struct buf in, line;
	const char *reason; /* never NULL */
};

void doctor_wire_init(struct doctor_wire *w, unsigned wait_ms, mono_ms run_end);
void doctor_wire_clear(struct doctor_wire *w);
/* when an answer that is awaited from now on is too late */
mono_ms doctor_wire_deadline(const struct doctor_wire *w);
/* the addresses of the host one after another, until one takes the connection, all within connect_ms */
enum doctor_net doctor_wire_dial(struct doctor_wire *w, const struct doctor_host *host, uint16_t port, unsigned connect_ms);
enum doctor_wire_rc doctor_wire_tls(struct doctor_wire *w, const char *name);
/* the next line without its end, valid till the next call; `deadline` is that of the whole reply */
enum doctor_wire_rc doctor_wire_line(struct doctor_wire *w, mono_ms deadline, struct span *line_out);
/* all that comes until the peer closes, in `in`: OK */
enum doctor_wire_rc doctor_wire_rest(struct doctor_wire *w, mono_ms deadline);
enum doctor_wire_rc doctor_wire_send(struct doctor_wire *w, struct span bytes);

struct doctor_certificate {
	const char *slug; /* NULL: good */
	bool early, late; /* by the clock of this computer */
};
/* The certificate in words, and what is wrong with it. */
struct doctor_certificate doctor_wire_certificate(struct doctor_wire *w, const char *name, struct buf *words_out, struct buf *wrong_out);

#endif
