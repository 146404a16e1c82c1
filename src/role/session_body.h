/* session_body - the text of one message while it comes in: the first part in memory, the rest of a large one in a spool file that the store lends. Counts
 * and hashes what the client sent. */
#ifndef MAILROOM_ROLE_SESSION_BODY_H
#define MAILROOM_ROLE_SESSION_BODY_H

#include "cause/cause.h"
#include "mail/header.h"
#include "mail/mime.h"

struct session_body;

struct session_body *session_body_new(void);
/* closes the file; returns the number of the spool that the store has to be told to drop, or 0 */
uint64_t session_body_free(struct session_body **b);
/* takes all of it; trouble (disk full) is remembered for session_body_cause */
void session_body_add(struct session_body *b, struct span bytes);
uint64_t session_body_bytes(const struct session_body *b);

/* true when memory holds as much as it should and no file was asked for yet */
bool session_body_wants_spool(const struct session_body *b, const struct header_facts *h);
void session_body_waits(struct session_body *b);            /* the file was asked for */
bool session_body_is_waiting(const struct session_body *b); /* take nothing more meanwhile */
void session_body_lend(struct session_body *b, const struct header_facts *h, uint64_t spool, int fd); /* takes fd; what is past the header block moves there */
void session_body_refuse(struct session_body *b, enum cause_id cause);
enum cause_id session_body_cause(const struct session_body *b);
void session_body_close_fd(int fd);

/* the header block, once the message is whole */
struct span session_body_head(const struct session_body *b, const struct header_facts *h);
/* the message is whole: its header block, the rest in memory or in the spool; borrowed until session_body_free */
void session_body_finish(struct session_body *b, const struct header_facts *h, struct span *head_out, struct span *body_out, uint64_t *spool_out,
	uint64_t *spool_bytes_out, uint8_t digest_out[32]);
/* the whole message as it came, for looking at; while b lives */
struct mime_source session_body_source(const struct session_body *b);
/* the spool is the store's business from now on */
uint64_t session_body_take_spool(struct session_body *b);

#endif
