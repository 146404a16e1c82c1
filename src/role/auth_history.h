/* auth_history - what auth reports to the history (store/history.h): how sign-ins ended, with their true cause, and relay windows.
 *
 * What is reported, so that a flood stays a few lines: of one client address HISTORY_RATE_MINUTE failures a minute, then one summary
 * (role/history_rate.h). A sign-in to a mailbox that succeeds again from the same address within AUTH_HISTORY_SAME_MS (programs that look every
 * few minutes) is counted and told with the next one after that time, or after a failure; so are relay windows. A sign-in to send mail is
 * always told. */
#ifndef MAILROOM_ROLE_AUTH_HISTORY_H
#define MAILROOM_ROLE_AUTH_HISTORY_H

#include "role/auth_truth.h"

enum { AUTH_HISTORY_SAME_MS = 15 * 60 * 1000, AUTH_HISTORY_SEEN = 8192 /* accounts with their addresses; more, and all are told anew */ };

struct auth;
struct auth_history;
/* NULL: the configuration wants no history */
struct auth_history *auth_history_new(struct auth *a);
/* h NULL: nothing happens, here and below */
void auth_history_signin(struct auth_history *h, const struct auth_record *r);
/* a sign-in to a mailbox opened the relay window of its address or moved its end, or another account's sign-in closed it (open: false) */
void auth_history_window(struct auth_history *h, bool open, struct span peer, struct span account, struct span service);

#endif
