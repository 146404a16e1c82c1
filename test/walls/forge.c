#include "forge.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "msg_number.h"

enum { FORGE_MEMORY_BYTES = 64 << 20, FORGE_LIST_FEW = 4, FORGE_SPAN_FEW = 200 };

static const char *const forge_words[] = {
	"", "victim@mailroom.test", "alice@mailroom.test", "bob@mailroom.test", "mallory@mailroom.test", "victim", "nobody@elsewhere.test", "<>", "127.0.0.1",
	"10.1.2.3", "::1", "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "pop3", "smtp", "../../auth/auth.db", "' OR 1=1 --", "%s%n%n", "\xff\xfe\x80",
	"victim+x@mailroom.test", "postmaster@mailroom.test", "n,,n=victim@mailroom.test,r=fyko+d2lbbFgONRvPx4", "p=tls-exporter,,n=victim@mailroom.test,r=abc",
	"c=biws,r=fyko,p=AAAA", "From: x\r\nReceived: y\r\n\r\n", "a\r\n.\r\nb\nc\rd",
};

void forge_init(struct forge *f, uint64_t seed)
{
	int pair[2];

	*f = (struct forge){.state = seed * 0x9e3779b97f4a7c15u + 1};
	buf_init(&f->memory, FORGE_MEMORY_BYTES);
	(void)buf_reserve(&f->memory, FORGE_MEMORY_BYTES); /* spans point into it: it must not move */
	(void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	f->junk[0] = pair[0];
	f->junk[1] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->junk[2] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	f->junk[3] = pair[1];
}

void forge_clear(struct forge *f)
{
	for (size_t i = 0; i < 4; i++)
		(void)close(f->junk[i]);
	buf_clear(&f->memory);
}

/* splitmix64 */
uint64_t forge_u64(struct forge *f)
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t forge_below(struct forge *f, uint32_t n)
{
	return n ? (uint32_t)(forge_u64(f) % n) : 0;
}

void forge_know_session(struct forge *f, uint64_t session)
{
	size_t at = f->session_count < FORGE_SESSIONS ? f->session_count++ : forge_below(f, FORGE_SESSIONS);

	f->sessions[at] = session;
}

uint64_t forge_session(struct forge *f)
{
	uint32_t kind = forge_below(f, 10);

	if (kind < 7 && f->session_count)
		return f->sessions[forge_below(f, (uint32_t)f->session_count)];
	return kind < 8 ? forge_below(f, 20) : kind < 9 ? forge_u64(f) >> 24 : forge_u64(f);
}

static uint64_t forge_number(struct forge *f)
{
	static const uint64_t edges[] = {0, 1, 2, 7, 8, 9, 255, 256, 65535, 65536, INT32_MAX, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX, 1700000000000};

	switch (forge_below(f, 4)) {
	case 0:
		return edges[forge_below(f, sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return forge_u64(f) >> forge_below(f, 64);
	default:
		return forge_below(f, 100);
	}
}

struct span forge_text(struct forge *f, uint32_t max)
{
	const char *word = forge_words[forge_below(f, sizeof(forge_words) / sizeof(forge_words[0]))];
	size_t at = f->memory.len;
	uint32_t len;

	if (forge_below(f, 3))
		return span_head(span_str(word), max);
	len = forge_below(f, (max < FORGE_SPAN_FEW ? max : FORGE_SPAN_FEW) + 1);
	for (uint32_t i = 0; i < len; i++)
		buf_add_byte(&f->memory, (uint8_t)forge_u64(f));
	return span_of(f->memory.ptr + at, f->memory.len - at);
}

static struct span forge_long(struct forge *f, uint32_t max)
{
	size_t at = f->memory.len;

	if (max > f->memory.max_bytes - at)
		return SPAN_NONE;
	memset(f->memory.ptr + at, 'x', max);
	f->memory.len += max;
	return span_of(f->memory.ptr + at, max);
}

static void forge_fields(struct forge *f, const struct msg_layout *layout, bool huge, void *to);

static void forge_list(struct forge *f, const struct msg_field *field, bool huge, struct msg_list *out)
{
	_Alignas(max_align_t) uint8_t record[RECORD_STRUCT_MAX_BYTES];
	uint32_t count = huge ? field->max : forge_below(f, FORGE_LIST_FEW);
	struct buf raw;

	buf_init(&raw, LIMIT_FRAME_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		memset(record, 0, sizeof(record));
		forge_fields(f, field->record, false, record);
		codec_record_add(field->record, &raw, record);
		out->count = i + 1;
	}
	out->raw = span_of(f->memory.ptr + f->memory.len, raw.len);
	if (raw.len <= f->memory.max_bytes - f->memory.len)
		buf_add(&f->memory, buf_span(&raw));
	else
		*out = (struct msg_list){.count = 0};
	buf_clear(&raw);
}

static void forge_fields(struct forge *f, const struct msg_layout *layout, bool huge, void *to)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct msg_field *field = &layout->fields[i];
		void *at = (uint8_t *)to + field->offset;
		uint64_t n = strcmp(field->name, "session") == 0 ? forge_session(f) : forge_number(f);

		if (msg_number_set(field->kind, at, n))
			continue;
		if (field->kind == MSG_FIELD_SPAN)
			*(struct span *)at = huge && forge_below(f, 2) ? forge_long(f, field->max) : forge_text(f, field->max);
		else if (field->kind == MSG_FIELD_LIST)
			forge_list(f, field, huge, at);
		else
			*(int *)at = f->junk[forge_below(f, 4)];
	}
}

void forge_message(struct forge *f, enum msg_type type, bool huge, union msg_any *out)
{
	f->memory.len = 0;
	memset(out, 0, sizeof(*out));
	forge_fields(f, &msg_infos[type].layout, huge, out);
}

enum msg_type forge_type(struct forge *f, enum role_id self, enum role_id peer, bool allowed)
{
	for (int i = 0; i < 1000; i++) {
		enum msg_type type = (enum msg_type)forge_below(f, MSG_COUNT);

		if (msg_known(type) && msg_allowed(type, self, peer) == allowed)
			return type;
	}
	return MSG_NONE;
}
