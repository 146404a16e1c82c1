/* An event as bytes: u16 length of what follows, u8 kind, 48 bits of time, then fields that are there: u8 tag, LEB128 number or LEB128 length and bytes. */
#include "base/buf.h"
#include "base/num.h"
#include "mail/address.h"
#include "store/history.h"

enum { HISTORY_HEAD_BYTES = 7, HISTORY_TIME_BYTES = 6, HISTORY_LEB_BYTES = 10, HISTORY_TAGS = 64, HISTORY_KEY_BYTES = 1024 };

/* Tags are kept in files: never change or use one again. What a newer program wrote is skipped, so the tag says how: 1..31 numbers, 32..63 texts. */
struct history_field_row {
	uint8_t tag;
	const char *name;
	size_t offset;
};
#define FIELD(tag, name) {tag, #name, offsetof(struct history_event, name)}
static const struct history_field_row history_fields[] = {
	FIELD(1, session), FIELD(32, service), FIELD(33, listener), FIELD(34, peer), FIELD(35, tls), FIELD(36, account), FIELD(37, login),
	FIELD(38, mechanism), FIELD(39, helo), FIELD(40, command), FIELD(41, sender), FIELD(42, rcpt), FIELD(2, mailbox), FIELD(3, code),
	FIELD(43, cause), FIELD(44, shown), FIELD(45, rule), FIELD(46, detail), FIELD(47, limit), FIELD(48, retry), FIELD(4, message),
	FIELD(5, bytes), FIELD(6, ms), FIELD(7, more), FIELD(8, next_ms),
};
enum { HISTORY_FIELDS = sizeof(history_fields) / sizeof(history_fields[0]), HISTORY_FIRST_TEXT = 32 };

static bool history_is_text(const struct history_field_row *f)
{
	return f->tag >= HISTORY_FIRST_TEXT;
}

static uint64_t history_number(const struct history_event *e, const struct history_field_row *f)
{
	return *(const uint64_t *)(const void *)((const char *)e + f->offset);
}

static struct span history_text(const struct history_event *e, const struct history_field_row *f)
{
	return *(const struct span *)(const void *)((const char *)e + f->offset);
}

const char *history_kind_name(enum history_kind k)
{
	static const char *const names[HISTORY_KIND_COUNT] = {"", "session-end", "signin-ok", "signin-failed", "refused", "accepted", "queued", "window-opened",
		"window-closed", "more", "lost", "delivered", "deferred", "failed", "expired", "held", "released", "retried", "removed"};

	return (unsigned)k < HISTORY_KIND_COUNT ? names[k] : "";
}

bool history_field(const struct history_event *e, size_t i, const char **name_out, struct span *text_out, uint64_t *number_out, bool *is_text_out)
{
	const struct history_field_row *f;

	if (i >= HISTORY_FIELDS)
		return false;
	f = &history_fields[i];
	*name_out = f->name;
	*is_text_out = history_is_text(f);
	*text_out = *is_text_out ? history_text(e, f) : SPAN_NONE;
	*number_out = *is_text_out ? 0 : history_number(e, f);
	return true;
}

static uint8_t *history_put_leb(uint8_t *to, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		*to++ = (uint8_t)(n | 0x80);
	*to++ = (uint8_t)n;
	return to;
}

static uint8_t *history_put_field(uint8_t *to, const struct history_event *e, const struct history_field_row *f)
{
	struct span text;

	if (!history_is_text(f)) {
		uint64_t n = history_number(e, f);

		if (n == 0)
			return to;
		*to++ = f->tag;
		return history_put_leb(to, n);
	}
	text = span_head(history_text(e, f), HISTORY_TEXT_BYTES);
	if (text.len == 0)
		return to;
	*to++ = f->tag;
	to = history_put_leb(to, text.len);
	memcpy(to, text.ptr, text.len);
	return to + text.len;
}

/* every accepted message comes through here: room is made once, for the longest that these fields can get */
void history_encode(struct buf *out, const struct history_event *e)
{
	size_t most = 2 + HISTORY_HEAD_BYTES + HISTORY_FIELDS * (1 + HISTORY_LEB_BYTES), bytes;
	uint8_t *start, *to;

	for (size_t i = 0; i < HISTORY_FIELDS; i++)
		if (history_is_text(&history_fields[i]))
			most += span_head(history_text(e, &history_fields[i]), HISTORY_TEXT_BYTES).len;
	start = to = buf_reserve(out, most);
	if (!start)
		return;
	to += 2;
	*to++ = (uint8_t)e->kind;
	for (unsigned i = 0; i < HISTORY_TIME_BYTES; i++)
		*to++ = (uint8_t)((uint64_t)e->at_ms >> (8 * i));
	for (size_t i = 0; i < HISTORY_FIELDS; i++)
		to = history_put_field(to, e, &history_fields[i]);
	bytes = (size_t)(to - start);
	start[0] = (uint8_t)(bytes - 2);
	start[1] = (uint8_t)((bytes - 2) >> 8);
	out->len += bytes;
}

static bool history_cut_leb(struct span *rest, uint64_t *out)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HISTORY_LEB_BYTES && i < rest->len; i++) {
		n |= (uint64_t)(rest->ptr[i] & 0x7f) << (7 * i);
		if (rest->ptr[i] & 0x80)
			continue;
		*rest = span_from(*rest, i + 1);
		*out = n;
		return true;
	}
	return false;
}

static const struct history_field_row *history_field_by_tag(uint8_t tag)
{
	static uint8_t places[HISTORY_TAGS]; /* 1 + index */

	if (!places[history_fields[0].tag])
		for (size_t i = 0; i < HISTORY_FIELDS; i++)
			places[history_fields[i].tag] = (uint8_t)(i + 1);
	return tag < HISTORY_TAGS && places[tag] ? &history_fields[places[tag] - 1] : NULL;
}

static bool history_cut_field(struct span *rest, struct history_event *e)
{
	uint8_t tag = rest->ptr[0];
	const struct history_field_row *f = history_field_by_tag(tag);
	uint64_t n;

	*rest = span_from(*rest, 1);
	if (tag >= HISTORY_TAGS || !history_cut_leb(rest, &n))
		return false;
	if (tag < HISTORY_FIRST_TEXT) {
		if (f)
			*(uint64_t *)(void *)((char *)e + f->offset) = n;
		return true;
	}
	if (n > rest->len)
		return false;
	if (f)
		*(struct span *)(void *)((char *)e + f->offset) = span_head(*rest, (size_t)n);
	*rest = span_from(*rest, (size_t)n);
	return true;
}

size_t history_peek(struct span bytes, int64_t *at_ms_out)
{
	size_t len = bytes.len < 2 ? 0 : (size_t)num_le(bytes.ptr, 2);

	if (len < HISTORY_HEAD_BYTES || len > bytes.len - 2)
		return 0;
	*at_ms_out = (int64_t)num_le(bytes.ptr + 3, HISTORY_TIME_BYTES);
	return 2 + len;
}

enum rc history_decode(struct span *rest, struct history_event *out)
{
	struct history_event e = {0};
	struct span fields;
	size_t bytes;

	if (rest->len == 0)
		return RC_NONE;
	bytes = history_peek(*rest, &e.at_ms);
	if (bytes == 0)
		return RC_BAD;
	e.kind = (enum history_kind)rest->ptr[2];
	fields = span_of(rest->ptr + 2 + HISTORY_HEAD_BYTES, bytes - 2 - HISTORY_HEAD_BYTES);
	while (fields.len)
		if (!history_cut_field(&fields, &e))
			return RC_BAD;
	*rest = span_from(*rest, bytes);
	*out = e;
	return RC_OK;
}

/* ---- what is asked for */

/* events have addresses as they were given; this is for those few whose domain is beyond ASCII */
static struct span history_ascii(struct span address, uint8_t room[HISTORY_KEY_BYTES])
{
	struct span key = span_is_ascii(address) ? SPAN_NONE : address_text_key(address, room, HISTORY_KEY_BYTES);

	return key.len ? key : address;
}

/* "alice@example.org" also as "alice+lists@example.org" */
static bool history_is_address(struct span have, struct span want)
{
	uint8_t have_room[HISTORY_KEY_BYTES], want_room[HISTORY_KEY_BYTES];
	size_t plus, at;

	if (span_eq_nocase(have, want))
		return true;
	have = history_ascii(have, have_room);
	want = history_ascii(want, want_room);
	if (span_eq_nocase(have, want))
		return true;
	at = have.len;
	plus = span_find(have, '+');
	while (at > 0 && have.ptr[at - 1] != '@')
		at--;
	if (at == 0 || plus >= at || plus == 0 || want.len != plus + have.len - (at - 1))
		return false;
	return span_eq_nocase(span_head(have, plus), span_head(want, plus)) && span_eq_nocase(span_from(have, at - 1), span_from(want, plus));
}

static bool history_is_about(const struct history_filter *f, const struct history_event *e)
{
	if (f->mailbox && e->mailbox == f->mailbox)
		return true;
	for (size_t i = 0; i < f->address_count; i++) {
		struct span want = f->addresses[i];

		if (address_text_same(e->account, want) || address_text_same(e->login, want) || history_is_address(e->sender, want) || history_is_address(e->rcpt, want))
			return true;
	}
	return false;
}

bool history_matches(const struct history_filter *f, const struct history_event *e)
{
	struct net_address peer;

	if ((f->since_ms && e->at_ms < f->since_ms) || (f->until_ms && e->at_ms >= f->until_ms))
		return false;
	if ((f->session && e->session != f->session) || (f->message && e->message != f->message))
		return false;
	if (f->sessions && (!e->session || !map_get(f->sessions, e->session)))
		return false;
	if (f->kinds && ((unsigned)e->kind >= HISTORY_KIND_COUNT || !(f->kinds >> e->kind & 1)))
		return false;
	if (f->cause.len && !span_eq(e->cause, f->cause) && !span_eq(e->shown, f->cause))
		return false;
	if ((f->address_count || f->mailbox) && !history_is_about(f, e))
		return false;
	return !f->peer || (net_parse(e->peer, &peer) == RC_OK && net_prefix_has(f->peer, &peer));
}
