/* frame - what the tables made from messages.def look like: fields of a message or record, and who may send what to whom. */
#ifndef MAILROOM_IPC_FRAME_H
#define MAILROOM_IPC_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "ipc/key_scheme.h"

enum {
	FRAME_HEADER_BYTES = 8, /* u32 length of what follows it, u16 type, u16 number of descriptors */
	RECORD_STRUCT_MAX_BYTES = 128, /* the C struct of a record */
};
#define MSG_NO_SESSION SIZE_MAX

/* A list inside a message: `raw` holds `count` records as they travel; read them with rec_NAME_next, build them with rec_NAME_add. */
struct msg_list {
	struct span raw;
	uint32_t count;
};

enum msg_kind { MSG_FIELD_U8, MSG_FIELD_U16, MSG_FIELD_U32, MSG_FIELD_U64, MSG_FIELD_BOOL, MSG_FIELD_SPAN, MSG_FIELD_LIST, MSG_FIELD_FD };

struct msg_layout;
struct msg_field {
	const char *name;
	enum msg_kind kind;
	uint32_t max;  /* span: bytes; list: records */
	size_t offset; /* in the C struct */
	const struct msg_layout *record;
};
struct msg_layout {
	const char *name;
	const struct msg_field *fields;
	size_t field_count;
	size_t struct_bytes;
};
struct msg_info {
	struct msg_layout layout;
	unsigned from, to; /* bits 1 << enum role_id */
	bool grant, secret;
	size_t fd_count;
	size_t payload_max_bytes;
	size_t session_offset; /* MSG_NO_SESSION: names none */
};

#endif
