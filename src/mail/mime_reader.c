#include "mail/mime_reader.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mail/words.h"

enum {
	MARK_FIRST_STEP = 64 << 10, /* decoded bytes between two marks; doubles when there are too many */
	MARKS_MAX = 512,
	OUT_ROOM = MIME_HOLD_BYTES + 8, /* the most that one byte of input can make */
};

enum { /* decoder states; 0 is the beginning */
	QP_TEXT = 0, QP_EQUALS, QP_HEX, QP_SOFT, QP_SOFT_CR, QP_CR,
	UU_LINE = 0, UU_WORD, UU_SKIP, UU_COUNT, UU_DATA, UU_DATA_SKIP, UU_END,
};

void mime_reader_init_range(struct mime_reader *r, const struct mime_source *source, uint64_t begin, uint64_t end, enum mime_encoding encoding)
{
	memset(r, 0, sizeof(*r));
	r->source = source;
	r->begin = r->in_at = begin;
	r->end = end;
	r->encoding = encoding;
	r->mark_step = MARK_FIRST_STEP;
}

void mime_reader_init(struct mime_reader *r, const struct mime_source *source, const struct mime_part *part)
{
	mime_reader_init_range(r, source, part->body_begin, part->body_end, part->encoding);
}

void mime_reader_clear(struct mime_reader *r)
{
	free(r->marks);
	r->marks = NULL;
	r->mark_count = r->mark_size = 0;
}

/* --- decoders: one byte in, a few out; room is there --- */

static void put(struct mime_reader *r, uint8_t b)
{
	r->out[r->out_len++] = b;
}

static const int8_t base64_values[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23,
	['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34,
	['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45,
	['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* padding ends a group; what follows it is more of the same, as programs read it that join encoded pieces */
static void step_base64(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;
	int v = base64_values[b] - 1;

	if (v < 0) {
		if (b == '=')
			d->count = 0;
		else if (b != '\r' && b != '\n' && b != ' ' && b != '\t')
			r->oddities = true;
		return;
	}
	d->bits = d->bits << 6 | (uint32_t)v;
	d->count = (uint8_t)(d->count + 6);
	if (d->count >= 8) {
		d->count = (uint8_t)(d->count - 8);
		put(r, (uint8_t)(d->bits >> d->count));
	}
}

static void hold_flush(struct mime_reader *r)
{
	for (unsigned i = 0; i < r->decoder.held; i++)
		put(r, r->decoder.hold[i]);
	r->decoder.held = 0;
}

static void qp_text(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;

	d->state = QP_TEXT;
	if (b == ' ' || b == '\t') {
		if (d->held == MIME_HOLD_BYTES)
			hold_flush(r);
		d->hold[d->held++] = b;
	} else if (b == '\r') {
		d->state = QP_CR;
	} else {
		if (b == '\n') /* blanks at the end of a line are not part of it, RFC 2045 6.7 (3) */
			d->held = 0;
		hold_flush(r);
		if (b == '=')
			d->state = QP_EQUALS;
		else
			put(r, b);
	}
}

/* behind "=": what is neither hex nor a soft line break stands for itself */
static void qp_equals(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;

	if (words_hex_value(b) >= 0) {
		d->left = b;
		d->state = QP_HEX;
	} else if (b == '\n') {
		d->state = QP_TEXT;
	} else if (b == '\r') {
		d->state = QP_SOFT_CR;
	} else if (b == ' ' || b == '\t') {
		d->state = QP_SOFT;
		d->hold[d->held++] = b;
	} else {
		r->oddities = true;
		put(r, '=');
		qp_text(r, b);
	}
}

/* behind "=" and blanks */
static void qp_soft(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;

	if ((b == ' ' || b == '\t') && d->held < MIME_HOLD_BYTES) {
		d->hold[d->held++] = b;
	} else if (b == '\r') {
		d->state = QP_SOFT_CR;
	} else if (b == '\n') {
		d->held = 0;
		d->state = QP_TEXT;
	} else {
		r->oddities = true;
		put(r, '=');
		hold_flush(r);
		qp_text(r, b);
	}
}

static void step_qp(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;

	switch (d->state) {
	case QP_EQUALS:
		qp_equals(r, b);
		break;
	case QP_HEX:
		if (words_hex_value(b) >= 0) {
			put(r, (uint8_t)(words_hex_value(d->left) << 4 | words_hex_value(b)));
			d->state = QP_TEXT;
		} else {
			r->oddities = true;
			put(r, '=');
			put(r, d->left);
			qp_text(r, b);
		}
		break;
	case QP_SOFT:
		qp_soft(r, b);
		break;
	case QP_SOFT_CR:
		d->held = 0;
		d->state = QP_TEXT;
		if (b != '\n')
			qp_text(r, b);
		break;
	case QP_CR:
		if (b == '\n') {
			d->held = 0;
			put(r, '\r');
			put(r, '\n');
			d->state = QP_TEXT;
		} else {
			hold_flush(r);
			put(r, '\r');
			qp_text(r, b);
		}
		break;
	default:
		qp_text(r, b);
	}
}

static void uu_data(struct mime_reader *r, uint8_t b)
{
	struct mime_decoder *d = &r->decoder;

	if (b == '\n') {
		d->state = UU_COUNT;
		return;
	}
	if (b == '\r' || d->left == 0)
		return;
	d->bits = d->bits << 6 | ((uint32_t)(b - ' ') & 63);
	d->count = (uint8_t)(d->count + 6);
	if (d->count >= 8) {
		d->count = (uint8_t)(d->count - 8);
		d->left--;
		put(r, (uint8_t)(d->bits >> d->count));
	}
}

static void step_uu(struct mime_reader *r, uint8_t b)
{
	static const char word[] = "begin ";
	struct mime_decoder *d = &r->decoder;

	switch (d->state) {
	case UU_LINE: /* held: how much of the word was seen */
		if (byte_lower(b) == (uint8_t)word[d->held]) {
			if (++d->held == sizeof(word) - 1)
				d->state = UU_WORD;
		} else {
			d->held = 0;
			d->state = b == '\n' ? UU_LINE : UU_SKIP;
		}
		break;
	case UU_SKIP:
		d->state = b == '\n' ? UU_LINE : UU_SKIP;
		break;
	case UU_WORD:
		d->state = b == '\n' ? UU_COUNT : UU_WORD;
		break;
	case UU_COUNT:
		if (b == '\r' || b == '\n')
			break;
		d->left = (uint8_t)((b - ' ') & 63);
		d->bits = d->count = 0;
		d->state = b < ' ' || b > '`' || d->left == 0 ? UU_END : UU_DATA;
		break;
	case UU_DATA:
		uu_data(r, b);
		break;
	default:
		break; /* behind the end */
	}
}

/* --- reading --- */

static bool in_fill(struct mime_reader *r)
{
	uint64_t left = r->end - r->in_at;
	size_t n;

	if (left == 0)
		return false;
	n = r->source->read_at(r->source->arg, r->in_at, r->in, left < sizeof(r->in) ? (size_t)left : sizeof(r->in));
	r->in_from = 0;
	r->in_len = n;
	if (n == 0)
		r->cut = true;
	return n > 0;
}

static void mark_take(struct mime_reader *r)
{
	uint64_t last = r->mark_count ? r->marks[r->mark_count - 1].out_at : 0;

	if (r->out_at < last + r->mark_step)
		return;
	if (r->mark_count == MARKS_MAX) { /* every second one goes */
		for (size_t i = 1; i < MARKS_MAX; i += 2)
			r->marks[i / 2] = r->marks[i];
		r->mark_count = MARKS_MAX / 2;
		r->mark_step *= 2;
		return;
	}
	if (r->mark_count == r->mark_size) {
		r->mark_size = r->mark_size ? r->mark_size * 2 : 16;
		r->marks = mem_realloc(r->marks, r->mark_size * sizeof(*r->marks));
	}
	r->marks[r->mark_count++] = (struct mime_mark){.in_at = r->in_at, .out_at = r->out_at, .decoder = r->decoder};
}

/* what is still held at the end */
static void out_end(struct mime_reader *r)
{
	struct mime_decoder *d = &r->decoder;

	if (r->encoding == MIME_QUOTED_PRINTABLE) {
		if (d->state == QP_HEX) {
			put(r, '=');
			put(r, d->left);
		}
		if (d->state == QP_CR)
			put(r, '\r');
		d->state = QP_TEXT;
		d->held = 0;
	}
	r->ended = true;
}

/* fills out[] as far as one look at the input goes */
static void out_fill(struct mime_reader *r)
{
	r->out_from = r->out_len = 0;
	mark_take(r);
	while (r->out_len + OUT_ROOM <= sizeof(r->out)) {
		uint8_t b;

		if (r->in_from == r->in_len && !in_fill(r)) {
			if (!r->ended)
				out_end(r);
			return;
		}
		b = r->in[r->in_from++];
		r->in_at++;
		switch (r->encoding) {
		case MIME_BASE64:
			step_base64(r, b);
			break;
		case MIME_QUOTED_PRINTABLE:
			step_qp(r, b);
			break;
		case MIME_UUENCODE:
			step_uu(r, b);
			break;
		case MIME_IDENTITY:
		case MIME_UNKNOWN:
			put(r, b);
			break;
		}
	}
}

struct span mime_reader_next(struct mime_reader *r)
{
	struct span got;

	while (r->out_from == r->out_len && !r->ended)
		out_fill(r);
	got = span_of(r->out + r->out_from, r->out_len - r->out_from);
	r->out_from = r->out_len;
	r->out_at += got.len;
	if (r->ended)
		r->bytes = r->out_at;
	return got;
}

size_t mime_reader_read(struct mime_reader *r, uint8_t *to, size_t max)
{
	struct span got = mime_reader_next(r);

	if (got.len > max) {
		r->out_from -= got.len - max;
		r->out_at -= got.len - max;
		got.len = max;
	}
	if (got.len > 0)
		memcpy(to, got.ptr, got.len);
	return got.len;
}

/* the last state at or before that offset */
static void mark_return(struct mime_reader *r, uint64_t offset)
{
	size_t i = r->mark_count;
	struct mime_mark mark = {.in_at = r->begin};

	while (i > 0 && r->marks[i - 1].out_at > offset)
		i--;
	if (i > 0)
		mark = r->marks[i - 1];
	r->in_at = mark.in_at;
	r->out_at = mark.out_at;
	r->decoder = mark.decoder;
	r->ended = false;
	r->out_from = r->out_len = r->in_from = r->in_len = 0;
}

uint64_t mime_reader_seek(struct mime_reader *r, uint64_t offset)
{
	if (offset < r->out_at) {
		if (r->out_at - offset <= r->out_from) { /* still in out[] */
			r->out_from -= (size_t)(r->out_at - offset);
			r->out_at = offset;
			return offset;
		}
		mark_return(r, offset);
	} else if (r->mark_count > 0 && offset > r->out_at + r->mark_step && r->marks[r->mark_count - 1].out_at > r->out_at) {
		mark_return(r, offset);
	}
	while (r->out_at < offset) {
		struct span got = mime_reader_next(r);

		if (got.len == 0)
			break;
		if (r->out_at > offset) {
			r->out_from -= (size_t)(r->out_at - offset);
			r->out_at = offset;
		}
	}
	return r->out_at;
}

uint64_t mime_reader_bytes(struct mime_reader *r)
{
	uint64_t at = r->out_at;

	if (r->bytes == 0 && !r->cut) {
		(void)mime_reader_seek(r, UINT64_MAX);
		(void)mime_reader_seek(r, at);
	}
	return r->bytes;
}
