/* session_why - XWHY: asks the store what was refused to the account that this session signed in as, and gives the engine the answer. What
 * belongs to whom is the store's to say (role_store_why.c). */
#ifndef MAILROOM_ROLE_SESSION_WHY_H
#define MAILROOM_ROLE_SESSION_WHY_H

#include "role/worker.h"

struct smtp_ask;
void session_why_ask(struct session *s, const struct smtp_ask *ask);

#endif
