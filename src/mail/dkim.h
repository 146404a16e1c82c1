/* dkim - making DKIM signatures (RFC 6376, 8463, 8301): what is signed, in which form; the DNS record of a key. Relaxed/relaxed canonical form, SHA-256. Pure:
 * private keys are elsewhere (the keys role signs the digest), times come as numbers. Does not verify.
 *
 *     dkim_body_add(body, piece) ...; dkim_body_end(body, hash);
 *     dkim_field(&what, head, &field, digest);        the field up to "b=", and what has to be signed
 *     dkim_field_end(&field, signature);              "b=..." folded, CRLF
 *
 * Fields that a reader sees, or that decide how the text is shown, are signed once more than they stand there (oversigned): nobody can add another
 * From, To, Cc, Subject, Date, Reply-To, Message-ID, MIME-Version or Content-Type on the way. */
#ifndef MAILROOM_MAIL_DKIM_H
#define MAILROOM_MAIL_DKIM_H

#include "base/buf.h"
#include "base/err.h"

/* Numbers travel in frames. */
enum dkim_algorithm { DKIM_RSA_SHA256 = 1, DKIM_ED25519_SHA256 = 2 };
enum { DKIM_DIGEST_BYTES = 32, DKIM_SELECTOR_BYTES = 63, DKIM_FIELD_BYTES = 4096 };

const char *dkim_algorithm_name(enum dkim_algorithm a); /* "rsa-sha256" */
/* a label of the DNS (letters, digits, hyphens; RFC 6376 3.1 allows dots: not here, one label names one key file) */
bool dkim_selector_ok(struct span selector);

struct dkim_body;
struct dkim_body *dkim_body_new(void);
void dkim_body_add(struct dkim_body *b, struct span bytes); /* the body in order, CRLF line ends, in any pieces */
/* the bh= value's bytes; frees b. RC_IO: OpenSSL failed */
enum rc dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_DIGEST_BYTES]) RC_WARN;
void dkim_body_free(struct dkim_body **b);

struct dkim_sign {
	struct span domain, selector;  /* d=, s= */
	enum dkim_algorithm algorithm;
	const uint8_t *body_hash;      /* DKIM_DIGEST_BYTES */
	int64_t at_s, expire_s;        /* t=, x= (0: none): seconds since 1970 */
};
/* head: the header block, fields with CRLF, with or without its empty line. field_out: ceiling DKIM_FIELD_BYTES at least; digest_out: what is to be signed.
 * RC_BAD: no From field, or more than one; RC_LIMIT: field_out is full */
enum rc dkim_field(const struct dkim_sign *s, struct span head, struct buf *field_out, uint8_t digest_out[DKIM_DIGEST_BYTES]) RC_WARN;
void dkim_field_end(struct buf *field, struct span signature);

/* The text of the key's record at SELECTOR._domainkey.DOMAIN. key: RSA: SubjectPublicKeyInfo in DER; Ed25519: the 32 bytes of the key (RFC 8463 4) */
void dkim_record(struct buf *out, enum dkim_algorithm a, struct span key);

#endif
