/* sieve_mail - a stored message as the Sieve engine wants to see it: fields, parts, bodies and attachments found with mail/mime.h, words.h and
 * attach.h. What a script needs is prepared in bounded pieces before it runs; bodies are decoded when a test asks, at most
 * LIMIT_SIEVE_BODIES_BYTES of them. Opens nothing: the message comes through a mime_source (attach_prepare has to have been called).
 *
 *     m = sieve_mail_new(&source, NULL, sieve_script_needs(script));
 *     while (sieve_mail_step(m))
 *             ;                              (or once per turn of the loop)
 *     sieve_mail_message(m, &message);       then from, to, auth, now_ms, zone_minutes
 *     sieve_run(script, &message, LIMIT_SIEVE_STEPS, mem, &result);
 *     sieve_mail_free(&m);
 *
 * One of these serves all scripts that run over the message (several recipients): give it the needs of all. */
#ifndef MAILROOM_POLICY_SIEVE_MAIL_H
#define MAILROOM_POLICY_SIEVE_MAIL_H

#include "mail/mime.h"
#include "policy/sieve.h"

struct sieve_mail; /* heap */

/* The source has to outlive it. mime: the structure where it is known already (outlives it as well), else NULL: it is scanned. */
struct sieve_mail *sieve_mail_new(const struct mime_source *source, const struct mime *mime, unsigned needs);
void sieve_mail_free(struct sieve_mail **m);
/* a piece of the preparation, about a mebibyte; true: there is more to do */
bool sieve_mail_step(struct sieve_mail *m);
/* after the last step: ops, owner and size_bytes are set, all else is zero */
void sieve_mail_message(struct sieve_mail *m, struct sieve_message *out);

/* The words of an HTML text: without tags, comments, scripts and style sheets, with the common character references resolved. */
void sieve_mail_strip_html(struct span html, struct buf *out);

#endif
