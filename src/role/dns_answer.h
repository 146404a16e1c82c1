/* dns_answer - what the resolver hands over (a message of the DNS, RFC 1035 4) made into clean records for the roles that asked. Pure: no sockets, no clock, no
 * log. Nothing in the bytes is trusted: names that are no host names, addresses of a wrong length and the like are left out; where nothing good is left the
 * answer is FAILED, never "nothing there". At most DNS_RRS_MAX records, of MX the preferred ones; an alias is followed DNS_ALIASES_MAX times. */
#ifndef MAILROOM_ROLE_DNS_ANSWER_H
#define MAILROOM_ROLE_DNS_ANSWER_H

#include "base/buf.h"
#include "ipc_messages.h"
#include "role/names.h"

enum {
	DNS_NAME_BYTES = 253,       /* in text form, without the last dot */
	DNS_RRS_MAX = 100,          /* as name_is in messages.def; more: `cut` */
	DNS_DATA_BYTES = 16384,     /* of one record; a longer one is left out */
	DNS_ALIASES_MAX = 16,
	DNS_PACKET_RECORDS = 6000,  /* of one message: 64 KiB hold no more */
	DNS_WORDS_BYTES = 256,
};

struct dns_answer {
	struct msg_name_is is; /* `ask` is the caller's to set; spans point into this structure */
	struct buf rrs;
	char canonical[DNS_NAME_BYTES + 1];
	char words[DNS_WORDS_BYTES + 1];
};

void dns_answer_init(struct dns_answer *a);
void dns_answer_clear(struct dns_answer *a);
/* no records, and why; words are made printable and cut */
void dns_answer_fail(struct dns_answer *a, enum name_status status, struct span words);
/* `asked` in the form that dns_name_clean gives */
void dns_answer_read(struct dns_answer *a, enum name_type type, const char *asked, struct span packet);

/* The text form of a name that can be asked for: lower case, without the last dot. false: it is the root, a label is empty or longer than 63 bytes, the
 * name is too long, or it has bytes that no name of a host, service or reverse zone has. */
bool dns_name_clean(struct span text, char out[DNS_NAME_BYTES + 1]);
bool dns_type_known(unsigned type);
const char *dns_type_name(enum name_type type);
/* "mx", "MX"; 0: none of ours */
enum name_type dns_type_find(struct span text);
const char *dns_status_name(enum name_status status); /* "found", "nothing", "unknown", "failed", "bogus" */

#endif
