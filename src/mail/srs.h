/* srs - the Sender Rewriting Scheme: mail that is forwarded leaves with an envelope sender of our own domain, so that SPF of the next server passes, and a
 * bounce to that address finds its way back. Pure: the key and the day come as arguments; who is forwarded, and who may use such an address, is decided
 * elsewhere. No RFC; the format is the one of libsrs2 and Postsrsd: SRS0=HHHHHHHH=TT=domain=local and SRS1=HHHHHHHH=domain==..., where H is an HMAC and T the
 * day. Servers on the way may change the case of local parts, so nothing depends on it. */
#ifndef MAILROOM_MAIL_SRS_H
#define MAILROOM_MAIL_SRS_H

#include "base/buf.h"

enum {
	SRS_KEY_BYTES = 32,
	SRS_VALID_DAYS = 21,       /* longer than any server keeps mail in its queue */
	SRS_LOCAL_BYTES = 200,     /* longest local part that is made */
};

/* does the local part say that it was rewritten (by us or by anybody)? */
bool srs_is_rewritten(struct span local);
/* Appends what goes in front of "@ourdomain" for mail of `sender` ("local@domain", as address_write spells it). False: it cannot be done (no domain, or
 * too long); nothing was appended. day: since 1970. */
bool srs_forward(struct buf *out, const uint8_t key[SRS_KEY_BYTES], int64_t day, struct span sender);

enum srs_back { SRS_BACK_OK, SRS_BACK_NOT /* no such local part */, SRS_BACK_FORGED /* not made with this key, or changed since */, SRS_BACK_OLD };
/* appends the address that this local part was made of */
enum srs_back srs_reverse(struct buf *out, const uint8_t key[SRS_KEY_BYTES], int64_t day, struct span local);

#endif
