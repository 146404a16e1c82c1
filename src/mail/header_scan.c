#include "mail/header.h"

#include "base/limits.h"

enum scan_state {
	SCAN_LINE,  /* a line begins */
	SCAN_CR,    /* it began with CR */
	SCAN_NAME,  /* in the field name */
	SCAN_COLON, /* blanks between name and colon (RFC 5322 4.5, obsolete but seen) */
	SCAN_VALUE, /* behind the colon, or in a continuation line */
	SCAN_ENDED,
};

enum { SCAN_NAME_BYTES = 16 }; /* longer than any name that is looked for */

struct header_scan {
	struct arena *mem;
	struct header_facts facts;
	enum scan_state state;
	uint64_t offset;          /* bytes consumed */
	uint64_t line_at;         /* where the line at hand begins */
	uint64_t field_at;        /* where the field at hand begins */
	uint64_t colon_at;        /* behind its colon */
	uint64_t value_at;        /* its first value byte that is not blank */
	const struct field *field; /* what it is; NULL: none at hand, or not of interest */
	bool in_field;            /* a field is at hand (and may be continued) */
	bool field_8bit;
	bool keep;                /* its value goes into `value` */
	bool last_cr;             /* the value byte before was CR; false again behind each CRLF */
	bool unended;             /* no CRLF behind the last line */
	uint8_t name[SCAN_NAME_BYTES];
	size_t name_len;          /* counts on past the room */
	uint8_t *value;           /* LIMIT_HEADER_FIELD_BYTES */
	size_t value_len;
	const struct span *watch;
	size_t watch_count;
	struct span host;
	unsigned delivered_count;
};

static bool byte_is_blank(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

struct field {
	const char *name;
	void (*done)(struct header_scan *s, struct span value);
	bool keep;
};

/* the next word of a Received field; comments (RFC 5322 3.2.2) are skipped. Empty at its ";" or its end */
static struct span received_word(struct span *rest)
{
	struct span in = *rest;
	unsigned depth = 0;
	size_t from = 0, to;

	for (; from < in.len && (depth > 0 || in.ptr[from] == '(' || byte_is_blank(in.ptr[from])); from++) {
		if (in.ptr[from] == '(')
			depth++;
		else if (in.ptr[from] == ')')
			depth--;
		else if (in.ptr[from] == '\\')
			from++;
	}
	for (to = from; to < in.len && !byte_is_blank(in.ptr[to]) && in.ptr[to] != '(' && in.ptr[to] != ';'; to++)
		continue;
	*rest = span_from(in, to);
	return to > from ? span_of(in.ptr + from, to - from) : SPAN_NONE;
}

/* RFC 5321 4.4: "by" and the name of the server that wrote the field */
static bool received_is_by(struct span value, struct span host)
{
	struct span word;

	do
		word = received_word(&value);
	while (word.len > 0 && !span_eq_nocase(word, SPAN_LIT("by")));
	return word.len > 0 && span_eq_nocase(received_word(&value), host);
}

static void done_received(struct header_scan *s, struct span value)
{
	s->facts.received_count++;
	if (s->host.len > 0)
		s->facts.received_by_us += received_is_by(value, s->host);
}

static void done_date(struct header_scan *s, struct span value)
{
	(void)value;
	s->facts.date_count++;
}

static void done_sender(struct header_scan *s, struct span value)
{
	(void)value;
	s->facts.sender_count++;
}

static void done_from(struct header_scan *s, struct span value)
{
	if (s->facts.from_count++ > 0)
		return;
	s->facts.from = arena_copy(s->mem, value);
	s->facts.from_at = value.len > 0 ? s->value_at : s->colon_at;
	s->facts.from_bytes = s->line_at - (s->unended ? 0 : 2) - s->facts.from_at;
}

static void done_message_id(struct header_scan *s, struct span value)
{
	if (s->facts.message_id_count++ == 0)
		s->facts.message_id = arena_copy(s->mem, value);
}

static void done_subject(struct header_scan *s, struct span value)
{
	if (!s->facts.subject.ptr)
		s->facts.subject = arena_copy(s->mem, value);
}

static void done_delivered_to(struct header_scan *s, struct span value)
{
	if (s->delivered_count++ >= HEADER_DELIVERED_MAX)
		return;
	if (value.len >= 2 && value.ptr[0] == '<' && value.ptr[value.len - 1] == '>')
		value = span_of(value.ptr + 1, value.len - 2);
	for (size_t i = 0; i < s->watch_count && !s->facts.delivered_to_us; i++)
		s->facts.delivered_to_us = span_eq_nocase(value, s->watch[i]);
}

static const struct field fields[] = {
	{"received", done_received, true},
	{"from", done_from, true},
	{"date", done_date, false},
	{"sender", done_sender, false},
	{"message-id", done_message_id, true},
	{"subject", done_subject, true},
	{"delivered-to", done_delivered_to, true},
};

struct header_scan *header_scan_new(struct arena *mem)
{
	struct header_scan *s = arena_zalloc(mem, sizeof(*s));
	uint8_t *value = arena_alloc(mem, LIMIT_HEADER_FIELD_BYTES);

	if (!s || !value)
		return NULL;
	s->mem = mem;
	s->value = value;
	return s;
}

void header_scan_host(struct header_scan *s, struct span host)
{
	s->host = host;
}

void header_scan_watch(struct header_scan *s, const struct span *addresses, size_t count)
{
	s->watch = addresses;
	s->watch_count = count;
}

/* the field at hand is whole: line_at is behind it */
static void field_done(struct header_scan *s)
{
	struct span value = span_of(s->value, s->value_len);

	if (!s->in_field)
		return;
	while (value.len > 0 && byte_is_blank(value.ptr[value.len - 1]))
		value.len--;
	s->facts.has_8bit |= s->field_8bit;
	if (s->field)
		s->field->done(s, value);
	s->in_field = false;
	s->field = NULL;
}

static void scan_end_at(struct header_scan *s, uint64_t offset)
{
	s->facts.header_bytes = offset;
	s->facts.ended = true;
	s->state = SCAN_ENDED;
}

static void field_begin(struct header_scan *s)
{
	field_done(s);
	s->field_at = s->line_at;
	s->name_len = 0;
	s->value_len = 0;
	s->field_8bit = false;
	s->state = SCAN_NAME;
}

static void field_colon(struct header_scan *s)
{
	struct span name = span_of(s->name, s->name_len < SCAN_NAME_BYTES ? s->name_len : SCAN_NAME_BYTES);

	s->in_field = true;
	s->colon_at = s->value_at = s->offset;
	s->state = SCAN_VALUE;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && !s->field; i++)
		if (span_eq(name, span_str(fields[i].name)))
			s->field = &fields[i];
	s->keep = s->field && s->field->keep;
}

static bool bytes_have_8bit(struct span s)
{
	uint64_t seen = 0, word;
	size_t i = 0;

	for (; s.len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, s.ptr + i, sizeof(word));
		seen |= word;
	}
	for (; i < s.len; i++)
		seen |= s.ptr[i];
	return (seen & 0x8080808080808080u) != 0;
}

static void value_keep(struct header_scan *s, struct span bytes)
{
	size_t room;

	if (s->value_len == 0) {
		while (bytes.len > 0 && byte_is_blank(bytes.ptr[0])) {
			bytes = span_from(bytes, 1);
			s->value_at++;
		}
	}
	room = LIMIT_HEADER_FIELD_BYTES - s->value_len;
	bytes = span_head(bytes, room);
	if (bytes.len > 0)
		memcpy(s->value + s->value_len, bytes.ptr, bytes.len);
	s->value_len += bytes.len;
}

/* bytes of a value up to the end of the line or of the chunk; returns how many */
static size_t scan_value(struct header_scan *s, struct span bytes)
{
	size_t lf = span_find(bytes, '\n');
	bool whole = lf < bytes.len;
	struct span part = span_head(bytes, lf + whole);
	bool crlf = whole && (lf > 0 ? bytes.ptr[lf - 1] == '\r' : s->last_cr);

	s->field_8bit |= bytes_have_8bit(part);
	if (s->keep)
		value_keep(s, part);
	s->last_cr = part.ptr[part.len - 1] == '\r';
	s->offset += part.len;
	if (crlf) {
		s->line_at = s->facts.header_bytes = s->offset;
		s->state = SCAN_LINE;
	}
	return part.len;
}

/* bytes of a field name up to its colon; a line that is no field ends the block before it */
static size_t scan_name(struct header_scan *s, struct span bytes)
{
	size_t i = 0;

	for (; i < bytes.len && (s->state == SCAN_NAME || s->state == SCAN_COLON); i++) {
		uint8_t b = bytes.ptr[i];

		s->offset++;
		if (b == ':' && s->name_len > 0) {
			field_colon(s);
		} else if ((b == ' ' || b == '\t') && s->name_len > 0 && s->offset - s->line_at <= LIMIT_HEADER_FIELD_BYTES) {
			s->state = SCAN_COLON;
		} else if (s->state == SCAN_COLON || b <= ' ' || b >= 0x7f || b == ':' ||
			s->offset - s->line_at > LIMIT_HEADER_FIELD_BYTES) {
			scan_end_at(s, s->line_at);
		} else {
			if (s->name_len < SCAN_NAME_BYTES)
				s->name[s->name_len] = byte_lower(b);
			s->name_len++;
		}
	}
	return i;
}

/* one byte at the beginning of a line; returns how many it took */
static size_t scan_line(struct header_scan *s, uint8_t b)
{
	if (s->state == SCAN_CR) {
		field_done(s);
		scan_end_at(s, b == '\n' ? s->line_at + 2 : s->line_at);
		return 1;
	}
	if (b == '\r') {
		s->state = SCAN_CR;
		s->offset++;
		return 1;
	}
	if (b != ' ' && b != '\t') {
		field_begin(s);
	} else if (s->in_field) {
		s->state = SCAN_VALUE;
	} else {
		scan_end_at(s, s->line_at);
	}
	return 0;
}

/* the block reached its limit and goes on with byte b: it ends before the field that does not fit */
static void scan_limit(struct header_scan *s, uint8_t b)
{
	if (s->state == SCAN_VALUE || (s->state == SCAN_LINE && s->in_field && (b == ' ' || b == '\t'))) {
		scan_end_at(s, s->field_at);
	} else {
		field_done(s);
		scan_end_at(s, s->line_at);
	}
	s->facts.too_long = true;
}

void header_scan_feed(struct header_scan *s, struct span bytes)
{
	while (bytes.len > 0 && s->state != SCAN_ENDED) {
		struct span part = span_head(bytes, (size_t)(LIMIT_HEADER_BYTES - s->offset));
		size_t taken = 0;

		if (part.len == 0)
			scan_limit(s, bytes.ptr[0]);
		else if (s->state == SCAN_VALUE)
			taken = scan_value(s, part);
		else if (s->state == SCAN_NAME || s->state == SCAN_COLON)
			taken = scan_name(s, part);
		else
			taken = scan_line(s, part.ptr[0]);
		bytes = span_from(bytes, taken);
	}
}

const struct header_facts *header_scan_end(struct header_scan *s)
{
	if (s->state == SCAN_VALUE) { /* a last line without CRLF is a field all the same */
		s->unended = true;
		s->line_at = s->facts.header_bytes = s->offset;
	}
	if (s->state != SCAN_ENDED)
		field_done(s);
	if (s->state == SCAN_NAME || s->state == SCAN_COLON || s->state == SCAN_CR)
		scan_end_at(s, s->line_at);
	s->state = SCAN_ENDED;
	return &s->facts;
}

const struct header_facts *header_scan_facts(const struct header_scan *s)
{
	return &s->facts;
}
