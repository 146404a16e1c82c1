/* Frames of messages.def: there and back, damaged in every way, at and over each limit; who may send what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/num.h"
#include "frames.h"

static const int some_fds[LIMIT_FRAME_FDS] = {100, 101, 102, 103};

static struct span payload_of(const struct buf *frame)
{
	return span_from(buf_span(frame), FRAME_HEADER_BYTES);
}

static void encode(struct buf *frame, enum msg_type type, const union msg_any *msg)
{
	buf_reset(frame);
	msg_encode(frame, type, msg);
	assert_false(frame->overflow);
	assert_int_equal(num_le(frame->ptr, 4), frame->len - 4);
	assert_int_equal(num_le(frame->ptr + 4, 2), type);
	assert_int_equal(num_le(frame->ptr + 6, 2), msg_fd_count(type));
	assert_true(payload_of(frame).len <= msg_payload_max_bytes(type));
}

static void check_round_trip(struct chance *c, enum msg_type type, bool full)
{
	union msg_any msg, again;
	struct arena mem;
	struct buf frame;

	arena_init(&mem, 64 << 20);
	buf_init(&frame, LIMIT_FRAME_BYTES);
	frame_fill(c, type, full, some_fds, &mem, &msg);
	encode(&frame, type, &msg);
	assert_int_equal(msg_decode(type, payload_of(&frame), some_fds, msg_fd_count(type), &again), RC_OK);
	assert_true(frame_same(type, &msg, &again));
	for (size_t i = 0; i < msg_fd_count(type); i++)
		assert_int_equal(msg_fd(type, &again, i), some_fds[i]);
	assert_int_equal(msg_fd(type, &again, msg_fd_count(type)), -1);
	buf_clear(&frame);
	arena_clear(&mem);
}

void test_round_trip(void **state)
{
	struct chance c = {1};

	(void)state;
	for (enum msg_type type = MSG_NONE + 1; type < MSG_COUNT; type++) {
		for (int round = 0; round < 50; round++)
			check_round_trip(&c, type, false);
		check_round_trip(&c, type, true);
	}
}

/* a copy of exactly that length on the heap, so that a sanitizer sees each byte read too far */
static enum rc decode_copy(enum msg_type type, struct span payload, size_t fds)
{
	uint8_t *copy = malloc(payload.len + 1);
	union msg_any before, msg;
	enum rc rc;

	memset(&before, 0x5a, sizeof(before));
	memset(&msg, 0x5a, sizeof(msg));
	copy = realloc(copy, payload.len ? payload.len : 1);
	if (payload.len)
		memcpy(copy, payload.ptr, payload.len);
	rc = msg_decode(type, span_of(copy, payload.len), some_fds, fds, &msg);
	assert_true(rc == RC_OK || memcmp(&msg, &before, sizeof(msg)) == 0); /* untouched */
	free(copy);
	return rc;
}

void test_damaged(void **state)
{
	struct chance c = {2};

	(void)state;
	for (enum msg_type type = MSG_NONE + 1; type < MSG_COUNT; type++)
		for (int round = 0; round < 5; round++) {
			union msg_any msg;
			struct arena mem;
			struct buf frame;
			struct span payload;

			arena_init(&mem, 1 << 20);
			buf_init(&frame, 1 << 20);
			frame_fill(&c, type, false, some_fds, &mem, &msg);
			encode(&frame, type, &msg);
			payload = payload_of(&frame);
			assert_int_equal(decode_copy(type, payload, msg_fd_count(type)), RC_OK);
			for (size_t len = 0; len < payload.len; len++)
				assert_int_equal(decode_copy(type, span_head(payload, len), msg_fd_count(type)), RC_BAD);
			for (size_t fds = 0; fds <= LIMIT_FRAME_FDS; fds++)
				if (fds != msg_fd_count(type))
					assert_int_equal(decode_copy(type, payload, fds), RC_BAD);
			buf_add_byte(&frame, 0);
			assert_int_equal(decode_copy(type, payload_of(&frame), msg_fd_count(type)), RC_BAD);
			buf_clear(&frame);
			arena_clear(&mem);
		}
	assert_int_equal(decode_copy(MSG_NONE, SPAN_NONE, 0), RC_BAD);
	assert_int_equal(decode_copy(MSG_COUNT, SPAN_NONE, 0), RC_BAD);
	assert_int_equal(decode_copy((enum msg_type)65535, SPAN_NONE, 0), RC_BAD);
}

/* sets one field one over its limit: the encoder refuses it, and made by hand the decoder refuses it, too */
static void check_over(struct chance *c, enum msg_type type, const struct msg_field *f)
{
	union msg_any msg;
	struct arena mem;
	struct buf frame;
	void *at;

	arena_init(&mem, 64 << 20);
	buf_init(&frame, LIMIT_FRAME_BYTES);
	frame_fill(c, type, false, some_fds, &mem, &msg);
	at = (uint8_t *)&msg + f->offset;
	if (f->kind == MSG_FIELD_SPAN)
		*(struct span *)at = span_of(arena_zalloc(&mem, f->max + 1), f->max + 1);
	else
		((struct msg_list *)at)->count = f->max + 1;
	msg_encode(&frame, type, &msg);
	assert_true(frame.overflow);
	buf_clear(&frame);
	arena_clear(&mem);
}

static void add_zeros(struct buf *b, size_t n)
{
	uint8_t *to = buf_reserve(b, n);

	memset(to, 0, n);
	b->len += n;
}

/* the message with all numbers 0, all spans and lists empty, but field `odd`, whose number is n with `bytes` zero bytes behind it */
static enum rc decode_odd(enum msg_type type, size_t odd, uint64_t n, size_t bytes)
{
	static const size_t widths[] = {[MSG_FIELD_U8] = 1, [MSG_FIELD_U16] = 2, [MSG_FIELD_U32] = 4, [MSG_FIELD_U64] = 8, [MSG_FIELD_BOOL] = 1,
		[MSG_FIELD_SPAN] = 4, [MSG_FIELD_LIST] = 4, [MSG_FIELD_FD] = 0};
	const struct msg_layout *layout = &msg_infos[type].layout;
	struct buf payload;
	enum rc rc;

	buf_init(&payload, LIMIT_FRAME_BYTES + 4096);
	for (size_t i = 0; i < layout->field_count; i++) {
		add_zeros(&payload, widths[layout->fields[i].kind]);
		if (i != odd)
			continue;
		for (size_t k = 0; k < widths[layout->fields[i].kind]; k++)
			payload.ptr[payload.len - widths[layout->fields[i].kind] + k] = (uint8_t)(n >> (8 * k));
		add_zeros(&payload, bytes);
	}
	rc = decode_copy(type, buf_span(&payload), msg_fd_count(type));
	buf_clear(&payload);
	return rc;
}

static size_t record_bytes(const struct msg_layout *record)
{
	struct buf raw;
	_Alignas(max_align_t) uint8_t zero[RECORD_STRUCT_MAX_BYTES] = {0};
	size_t len;

	buf_init(&raw, 1000);
	codec_record_add(record, &raw, zero);
	len = raw.len;
	buf_clear(&raw);
	return len;
}

void test_limits(void **state)
{
	struct chance c = {3};

	(void)state;
	for (enum msg_type type = MSG_NONE + 1; type < MSG_COUNT; type++)
		for (size_t i = 0; i < msg_infos[type].layout.field_count; i++) {
			const struct msg_field *f = &msg_infos[type].layout.fields[i];
			size_t each = f->kind == MSG_FIELD_LIST ? record_bytes(f->record) : 1;

			assert_int_equal(decode_odd(type, i, 0, 0), RC_OK);
			if (f->kind == MSG_FIELD_BOOL) {
				assert_int_equal(decode_odd(type, i, 1, 0), RC_OK);
				assert_int_equal(decode_odd(type, i, 2, 0), RC_BAD);
				assert_int_equal(decode_odd(type, i, 255, 0), RC_BAD);
			} else if (f->kind == MSG_FIELD_SPAN || f->kind == MSG_FIELD_LIST) {
				check_over(&c, type, f);
				assert_int_equal(decode_odd(type, i, f->max, f->max * each), RC_OK);
				assert_int_equal(decode_odd(type, i, f->max + 1, (f->max + 1) * each), RC_BAD);
				assert_int_equal(decode_odd(type, i, f->max, f->max * each - 1), RC_BAD);
				assert_int_equal(decode_odd(type, i, UINT32_MAX, 0), RC_BAD);
			}
		}
}

void test_lists(void **state)
{
	struct rec_rcpt in[3] = {{7, 1, SPAN_LIT("a@mailroom.test"), SPAN_LIT("")}, {UINT64_MAX, 255, SPAN_LIT(""), SPAN_LIT("rfc822;x")}, {0, 0, SPAN_NONE, SPAN_NONE}};
	struct rec_rcpt out;
	struct msg_accept msg = {.session = 9};
	union msg_any got;
	struct span cursor;
	struct buf raw, frame;

	(void)state;
	buf_init(&raw, 1000);
	buf_init(&frame, 1000);
	for (size_t i = 0; i < 3; i++)
		rec_rcpt_add(&raw, &in[i]);
	msg.rcpts = (struct msg_list){buf_span(&raw), 3};
	msg_encode(&frame, MSG_ACCEPT, &msg);
	assert_int_equal(msg_decode(MSG_ACCEPT, payload_of(&frame), NULL, 0, &got), RC_OK);
	assert_int_equal(got.accept.rcpts.count, 3);
	assert_int_equal(msg_session(MSG_ACCEPT, &got), 9);
	cursor = got.accept.rcpts.raw;
	for (size_t i = 0; i < 3; i++) {
		assert_true(rec_rcpt_next(&cursor, &out));
		assert_true(out.tag == in[i].tag && out.notify == in[i].notify);
		assert_true(span_eq(out.address, in[i].address) && span_eq(out.orcpt, in[i].orcpt));
	}
	assert_false(rec_rcpt_next(&cursor, &out));
	/* a count that does not fit the records */
	for (uint32_t count = 0; count <= 5; count++) {
		buf_reset(&frame);
		msg.rcpts.count = count;
		msg_encode(&frame, MSG_ACCEPT, &msg);
		if (count == 0)
			assert_true(frame.overflow);
		else
			assert_int_equal(msg_decode(MSG_ACCEPT, payload_of(&frame), NULL, 0, &got), count == 3 ? RC_OK : RC_BAD);
	}
	buf_clear(&raw);
	buf_clear(&frame);
}

static const struct {
	enum msg_type type;
	enum role_id from, to;
	bool allowed;
} permissions[] = {
	{MSG_ACCEPT, ROLE_MX, ROLE_STORE, true}, {MSG_ACCEPT, ROLE_USER, ROLE_STORE, true}, {MSG_ACCEPT, ROLE_STORE, ROLE_MX, false},
	{MSG_ACCEPT, ROLE_AUTH, ROLE_STORE, false}, {MSG_ACCEPT, ROLE_MX, ROLE_AUTH, false}, {MSG_GRANT, ROLE_AUTH, ROLE_STORE, true},
	{MSG_GRANT, ROLE_MX, ROLE_STORE, false}, {MSG_GRANT, ROLE_USER, ROLE_STORE, false}, {MSG_MAIL_FETCH, ROLE_MX, ROLE_STORE, false},
	{MSG_MAIL_FETCH, ROLE_USER, ROLE_STORE, true}, {MSG_AUTH_START, ROLE_MX, ROLE_AUTH, false}, {MSG_PEER, ROLE_MX, ROLE_STORE, false},
	{MSG_PEER, ROLE_PARENT, ROLE_STORE, true}, {MSG_SIGN, ROLE_AUTH, ROLE_KEYS, false}, {MSG_SIGN, ROLE_MX, ROLE_KEYS, true},
	{MSG_NONE, ROLE_PARENT, ROLE_MX, false}, {MSG_COUNT, ROLE_PARENT, ROLE_MX, false}, {MSG_START, ROLE_COUNT, ROLE_MX, false},
	{MSG_START, ROLE_PARENT, ROLE_NONE, false}, {(enum msg_type)40000, ROLE_PARENT, ROLE_MX, false},
};

void test_tables(void **state)
{
	union msg_any msg = {.start = {true}};

	(void)state;
	for (size_t i = 0; i < sizeof(permissions) / sizeof(permissions[0]); i++)
		assert_int_equal(msg_allowed(permissions[i].type, permissions[i].from, permissions[i].to), permissions[i].allowed);
	for (enum msg_type type = MSG_NONE; type <= MSG_COUNT; type++)
		for (enum role_id role = ROLE_NONE; role <= ROLE_COUNT; role++)
			assert_false(msg_allowed(type, role, role)); /* nobody talks to its own kind */
	assert_string_equal(msg_name(MSG_RCPT_CHECK), "RCPT_CHECK");
	assert_string_equal(msg_name(MSG_NONE), "?");
	assert_string_equal(msg_name((enum msg_type)9999), "?");
	assert_string_equal(role_name(ROLE_STORE), "store");
	assert_string_equal(role_name(ROLE_COUNT), "?");
	assert_true(msg_needs_grant(MSG_MAIL_FETCH) && msg_needs_grant(MSG_MBOX_COMMIT) && msg_needs_grant(MSG_MBOX_OPEN));
	assert_false(msg_needs_grant(MSG_ACCEPT) || msg_needs_grant(MSG_NONE));
	assert_true(msg_is_secret(MSG_AUTH_START) && msg_is_secret(MSG_AUTH_STEP));
	assert_int_equal(msg_fd_count(MSG_SPOOL_LENT), 1);
	assert_int_equal(msg_fd_count(MSG_ACCEPT), 0);
	assert_int_equal(msg_session(MSG_START, &msg), 0);
}
