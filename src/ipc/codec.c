#include "ipc_messages.h"

#include <stddef.h>

#include "base/num.h"

static const size_t kind_bytes[] = {[MSG_FIELD_U8] = 1, [MSG_FIELD_U16] = 2, [MSG_FIELD_U32] = 4, [MSG_FIELD_U64] = 8, [MSG_FIELD_BOOL] = 1,
	[MSG_FIELD_SPAN] = 4, [MSG_FIELD_LIST] = 4, [MSG_FIELD_FD] = 0}; /* of the number that begins the field */

const char *role_name(enum role_id role)
{
	return (unsigned)role < ROLE_COUNT ? role_names[role] : "?";
}

bool msg_known(enum msg_type type)
{
	return (unsigned)type < MSG_COUNT && msg_infos[type].layout.name != NULL;
}

const char *msg_name(enum msg_type type)
{
	return msg_known(type) ? msg_infos[type].layout.name : "?";
}

bool msg_allowed(enum msg_type type, enum role_id from, enum role_id to)
{
	return msg_known(type) && (unsigned)from < ROLE_COUNT && (unsigned)to < ROLE_COUNT && msg_infos[type].from >> from & 1 && msg_infos[type].to >> to & 1;
}

bool msg_needs_grant(enum msg_type type)
{
	return msg_known(type) && msg_infos[type].grant;
}

bool msg_is_secret(enum msg_type type)
{
	return msg_known(type) && msg_infos[type].secret;
}

size_t msg_fd_count(enum msg_type type)
{
	return msg_known(type) ? msg_infos[type].fd_count : 0;
}

size_t msg_payload_max_bytes(enum msg_type type)
{
	return msg_known(type) ? msg_infos[type].payload_max_bytes : 0;
}

/* ---- encoding */

static void codec_add_list(struct buf *out, const struct msg_field *f, const struct msg_list *list)
{
	if (list->count > f->max || (list->count == 0) != (list->raw.len == 0))
		out->overflow = true;
	buf_add_le32(out, list->count);
	buf_add(out, list->raw);
}

static void codec_add_span(struct buf *out, const struct msg_field *f, const struct span *s)
{
	if (s->len > f->max)
		out->overflow = true;
	buf_add_le32(out, (uint32_t)s->len);
	buf_add(out, *s);
}

static void codec_add_fields(const struct msg_layout *layout, struct buf *out, const void *from)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct msg_field *f = &layout->fields[i];
		const void *at = (const uint8_t *)from + f->offset;

		switch (f->kind) {
		case MSG_FIELD_U8:
			buf_add_byte(out, *(const uint8_t *)at);
			break;
		case MSG_FIELD_BOOL:
			buf_add_byte(out, *(const bool *)at ? 1 : 0);
			break;
		case MSG_FIELD_U16:
			buf_add_le16(out, *(const uint16_t *)at);
			break;
		case MSG_FIELD_U32:
			buf_add_le32(out, *(const uint32_t *)at);
			break;
		case MSG_FIELD_U64:
			buf_add_le64(out, *(const uint64_t *)at);
			break;
		case MSG_FIELD_SPAN:
			codec_add_span(out, f, at);
			break;
		case MSG_FIELD_LIST:
			codec_add_list(out, f, at);
			break;
		case MSG_FIELD_FD:
			break;
		}
	}
}

void codec_record_add(const struct msg_layout *layout, struct buf *out, const void *record)
{
	codec_add_fields(layout, out, record);
}

void msg_encode(struct buf *out, enum msg_type type, const void *msg)
{
	size_t start = out->len, length;

	if (!msg_known(type)) {
		out->overflow = true;
		return;
	}
	buf_add_le32(out, 0);
	buf_add_le16(out, (uint16_t)type);
	buf_add_le16(out, (uint16_t)msg_fd_count(type));
	codec_add_fields(&msg_infos[type].layout, out, msg);
	if (out->overflow)
		return;
	length = out->len - start - 4;
	for (size_t i = 0; i < 4; i++)
		out->ptr[start + i] = (uint8_t)(length >> (8 * i));
}

/* ---- decoding */

struct codec_fds {
	const int *fds;
	size_t count, used;
};

static enum rc codec_read_fields(const struct msg_layout *layout, struct span *rest, struct codec_fds *fds, void *to) RC_WARN;

static enum rc codec_read_span(const struct msg_field *f, struct span *rest, uint64_t len, struct span *out)
{
	if (len > f->max || len > rest->len)
		return RC_BAD;
	*out = span_head(*rest, (size_t)len);
	*rest = span_from(*rest, (size_t)len);
	return RC_OK;
}

/* walks all records, so that rec_NAME_next cannot fail later */
static enum rc codec_read_list(const struct msg_field *f, struct span *rest, uint64_t count, struct msg_list *out)
{
	_Alignas(max_align_t) uint8_t scratch[RECORD_STRUCT_MAX_BYTES];
	struct span walk = *rest;

	if (count > f->max)
		return RC_BAD;
	for (uint64_t i = 0; i < count; i++)
		if (codec_read_fields(f->record, &walk, NULL, scratch))
			return RC_BAD;
	*out = (struct msg_list){span_head(*rest, rest->len - walk.len), (uint32_t)count};
	*rest = walk;
	return RC_OK;
}

static enum rc codec_read_field(const struct msg_field *f, struct span *rest, struct codec_fds *fds, void *at)
{
	size_t bytes = kind_bytes[f->kind];
	uint64_t n;

	if (rest->len < bytes)
		return RC_BAD;
	n = bytes ? num_le(rest->ptr, bytes) : 0;
	*rest = span_from(*rest, bytes);
	switch (f->kind) {
	case MSG_FIELD_U8:
		*(uint8_t *)at = (uint8_t)n;
		return RC_OK;
	case MSG_FIELD_BOOL:
		*(bool *)at = n == 1;
		return n <= 1 ? RC_OK : RC_BAD;
	case MSG_FIELD_U16:
		*(uint16_t *)at = (uint16_t)n;
		return RC_OK;
	case MSG_FIELD_U32:
		*(uint32_t *)at = (uint32_t)n;
		return RC_OK;
	case MSG_FIELD_U64:
		*(uint64_t *)at = n;
		return RC_OK;
	case MSG_FIELD_SPAN:
		return codec_read_span(f, rest, n, at);
	case MSG_FIELD_LIST:
		return codec_read_list(f, rest, n, at);
	case MSG_FIELD_FD:
		if (!fds || fds->used >= fds->count)
			return RC_BAD;
		*(int *)at = fds->fds[fds->used++];
		return RC_OK;
	}
	return RC_BAD;
}

static enum rc codec_read_fields(const struct msg_layout *layout, struct span *rest, struct codec_fds *fds, void *to)
{
	for (size_t i = 0; i < layout->field_count; i++)
		if (codec_read_field(&layout->fields[i], rest, fds, (uint8_t *)to + layout->fields[i].offset))
			return RC_BAD;
	return RC_OK;
}

bool codec_record_next(const struct msg_layout *layout, struct span *cursor, void *out)
{
	return cursor->len > 0 && codec_read_fields(layout, cursor, NULL, out) == RC_OK;
}

enum rc msg_decode(enum msg_type type, struct span payload, const int *fds, size_t fd_count, union msg_any *out)
{
	struct codec_fds left = {fds, fd_count, 0};
	union msg_any msg;

	if (!msg_known(type) || fd_count != msg_fd_count(type))
		return RC_BAD;
	memset(&msg, 0, sizeof(msg));
	if (codec_read_fields(&msg_infos[type].layout, &payload, &left, &msg) || payload.len != 0)
		return RC_BAD;
	*out = msg;
	return RC_OK;
}

int msg_fd(enum msg_type type, const void *msg, size_t i)
{
	if (!msg_known(type))
		return -1;
	for (size_t k = 0; k < msg_infos[type].layout.field_count; k++) {
		const struct msg_field *f = &msg_infos[type].layout.fields[k];

		if (f->kind == MSG_FIELD_FD && i-- == 0)
			return *(const int *)(const void *)((const uint8_t *)msg + f->offset);
	}
	return -1;
}

uint64_t msg_session(enum msg_type type, const union msg_any *msg)
{
	if (!msg_known(type) || msg_infos[type].session_offset == MSG_NO_SESSION)
		return 0;
	return *(const uint64_t *)(const void *)((const uint8_t *)msg + msg_infos[type].session_offset);
}
