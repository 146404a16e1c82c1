/* listener_rules - what the configuration says of a listener, in the words of the engines. The workers and `mailroom would-accept` run the engines with the same. */
#ifndef MAILROOM_ROLE_LISTENER_RULES_H
#define MAILROOM_ROLE_LISTENER_RULES_H

#include "conf/conf.h"
#include "proto/pop3/pop3_in.h"
#include "proto/smtp/smtp_in.h"

/* strings are borrowed from the configuration */
void listener_smtp_rules(const struct conf *c, const struct conf_listener *l, struct smtp_rules *out);
void listener_pop3_rules(const struct conf *c, const struct conf_listener *l, struct pop3_rules *out);

#endif
