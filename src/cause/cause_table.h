/* cause_table - the generated table, one row an enum cause_id, sorted by slug; row 0 is CAUSE_NONE. Only for src/cause. */
#ifndef MAILROOM_CAUSE_CAUSE_TABLE_H
#define MAILROOM_CAUSE_CAUSE_TABLE_H

#include "cause/cause.h"

extern const struct cause cause_table[CAUSE_COUNT];

#endif
