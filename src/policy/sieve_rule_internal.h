/* sieve_rule_internal - what the two files of sieve_rule share. */
#ifndef MAILROOM_POLICY_SIEVE_RULE_INTERNAL_H
#define MAILROOM_POLICY_SIEVE_RULE_INTERNAL_H

#include "policy/sieve_rule.h"

#define SIEVE_RULE_BEGIN "# mailroom rule \""
#define SIEVE_RULE_END "# mailroom end"
#define SIEVE_RULE_REQUIRE "# mailroom: the rules need this"

bool sieve_rule_name_ok(struct span name);
/* extensions that the rule's text needs: bits of enum sieve_ext */
uint32_t sieve_rule_ext(const struct sieve_rule *rule);
/* the rule that such a text (with its comment lines) was written from; false: it was not written by sieve_rule_write */
bool sieve_rule_read(struct span block, struct arena *mem, struct sieve_rule *out);

#endif
