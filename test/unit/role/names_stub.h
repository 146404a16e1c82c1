/* names_stub - the DNS for tests of the relay: names.h over a table that the test fills. */
#ifndef MAILROOM_TEST_NAMES_STUB_H
#define MAILROOM_TEST_NAMES_STUB_H

#include "role/names.h"

struct stub_record {
	enum name_type type;
	char name[256];
	enum name_status status;
	enum name_security security;
	struct buf rrs; /* rec_name_rr */
	uint32_t count;
	unsigned asked;
	bool silent;    /* never answers */
};

void names_stub_clear(void); /* no records: every name is unknown, insecurely */
/* a record for (type, name); more data for the same: names_stub_add again */
struct stub_record *names_stub_add(enum name_type type, const char *name, enum name_security security, struct span data);
struct stub_record *names_stub_fail(enum name_type type, const char *name, enum name_status status);
unsigned names_stub_asked(enum name_type type); /* questions of that type so far */

#endif
