/* msg_number - for tests that fill messages by the tables of messages.def: a number into a field of any width. */
#ifndef MAILROOM_TEST_MSG_NUMBER_H
#define MAILROOM_TEST_MSG_NUMBER_H

#include "ipc_messages.h"

/* `at`: the field itself; false: a field of that kind holds no number, nothing was written */
static inline bool msg_number_set(enum msg_kind kind, void *at, uint64_t n)
{
	switch (kind) {
	case MSG_FIELD_U8:
		*(uint8_t *)at = (uint8_t)n;
		return true;
	case MSG_FIELD_U16:
		*(uint16_t *)at = (uint16_t)n;
		return true;
	case MSG_FIELD_U32:
		*(uint32_t *)at = (uint32_t)n;
		return true;
	case MSG_FIELD_U64:
		*(uint64_t *)at = n;
		return true;
	case MSG_FIELD_BOOL:
		*(bool *)at = n & 1;
		return true;
	case MSG_FIELD_SPAN:
	case MSG_FIELD_LIST:
	case MSG_FIELD_FD:
		break;
	}
	return false;
}

#endif
