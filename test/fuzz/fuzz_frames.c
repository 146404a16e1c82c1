/* Frames as a hostile peer would send them. Bytes 0-1: the type, byte 2: how many descriptors come; the rest is the payload. Whatever is
 * decoded keeps its limits, its lists can be walked to the end, and encoding it again gives the same bytes. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/num.h"
#include "ipc_messages.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_list(const struct msg_field *f, const struct msg_list *list)
{
	_Alignas(max_align_t) uint8_t record[RECORD_STRUCT_MAX_BYTES];
	struct span cursor = list->raw;
	uint32_t count = 0;
	struct buf again;

	buf_init(&again, LIMIT_FRAME_BYTES);
	must(list->count <= f->max);
	while (codec_record_next(f->record, &cursor, record)) {
		count++;
		codec_record_add(f->record, &again, record);
	}
	must(count == list->count && cursor.len == 0);
	must(span_eq(buf_span(&again), list->raw));
	buf_clear(&again);
}

static void check_fields(enum msg_type type, const union msg_any *msg)
{
	const struct msg_layout *layout = &msg_infos[type].layout;

	for (size_t i = 0; i < layout->field_count; i++) {
		const struct msg_field *f = &layout->fields[i];
		const void *at = (const uint8_t *)msg + f->offset;

		if (f->kind == MSG_FIELD_SPAN)
			must(((const struct span *)at)->len <= f->max);
		if (f->kind == MSG_FIELD_LIST)
			check_list(f, at);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int fds[LIMIT_FRAME_FDS] = {10, 11, 12, 13};
	enum msg_type type;
	union msg_any msg;
	struct span payload;
	struct buf frame;
	size_t fd_count;

	if (size < 3)
		return 0;
	type = (enum msg_type)num_le(data, 2);
	fd_count = data[2] % (LIMIT_FRAME_FDS + 1u);
	payload = span_of(data + 3, size - 3);
	if (msg_decode(type, payload, fds, fd_count, &msg))
		return 0;
	must(fd_count == msg_fd_count(type) && payload.len <= msg_payload_max_bytes(type));
	for (size_t i = 0; i < fd_count; i++)
		must(msg_fd(type, &msg, i) == fds[i]);
	check_fields(type, &msg);
	buf_init(&frame, LIMIT_FRAME_BYTES);
	msg_encode(&frame, type, &msg);
	must(!frame.overflow);
	must(span_eq(span_from(buf_span(&frame), FRAME_HEADER_BYTES), payload));
	buf_clear(&frame);
	return 0;
}
