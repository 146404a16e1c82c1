/* names - the DNS as a role asks it: questions to the dns role over its channel, answers to a function. One for each role that needs names (relay, mx, user,
 * fetch). Not responsible for caching: the dns role has the cache. RFC 1035, 4033 (security), 6698 (TLSA), 7505 (null MX). */
#ifndef MAILROOM_ROLE_NAMES_H
#define MAILROOM_ROLE_NAMES_H

#include "ipc/chan.h"
#include "loop/loop.h"

enum name_type { NAME_A = 1, NAME_CNAME = 5, NAME_PTR = 12, NAME_MX = 15, NAME_TXT = 16, NAME_AAAA = 28, NAME_TLSA = 52 };
/* Numbers travel in frames. NOTHING: the name is there, records of this type are not. */
enum name_status { NAME_FOUND = 1, NAME_NOTHING, NAME_UNKNOWN /* NXDOMAIN */, NAME_FAILED /* SERVFAIL, refused, nobody answers */, NAME_BOGUS /* DNSSEC says forged */ };
enum name_security { NAME_INSECURE, NAME_SECURE };

struct names;
/* valid until the function returns. msg->rrs as in messages.def; iterate with msg_name_rr_next or the like of ipc_messages.h. dead: the dns role is gone and status is FAILED. */
typedef void names_answer(void *arg, const struct msg_name_is *answer);

struct names *names_new(struct loop *loop, enum role_id self);
/* what to do when the channel to the dns role has ended (role_lost, so that a new one comes) */
void names_on_lost(struct names *n, void (*lost)(void *arg, const struct chan *c), void *arg);
void names_free(struct names **n);           /* open questions are forgotten, their functions not called */
/* a channel to the dns role (again after it was respawned): takes fd. Questions that were open are asked again, once. */
void names_peer(struct names *n, uint32_t worker, int fd);
/* Calls `answer` once, later (never inside this call), within the dns role's own time limits, at most NAMES_WAIT_MS; no dns role for that long: NAME_FAILED.
 * Returns a number for names_cancel, never 0. `name` is copied; one that cannot be in the DNS (too long, empty label) is answered NAME_UNKNOWN. */
enum { NAMES_WAIT_MS = 30000, NAMES_OPEN_MAX = 4096 /* more are answered NAME_FAILED */ };
uint32_t names_ask(struct names *n, enum name_type type, struct span name, names_answer *answer, void *arg);
void names_cancel(struct names *n, uint32_t question);

#endif
