#include "mail/dkim.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/mem.h"
#include "mail/header_field.h"

enum { DKIM_LINE_BYTES = 76, DKIM_PIECE_BYTES = 1024 };

/* oversigned: signed once more than there are. From has to be there (RFC 6376 5.4); the others are what people see, or how the text is read. */
static const struct {
	const char *name;
	bool once_more;
} dkim_fields[] = {
	{"from", true}, {"to", true}, {"cc", true}, {"subject", true}, {"date", true}, {"reply-to", true}, {"message-id", true}, {"mime-version", true},
	{"content-type", true}, {"content-transfer-encoding", true}, {"sender", false}, {"in-reply-to", false}, {"references", false}, {"list-id", false},
	{"list-help", false}, {"list-unsubscribe", false}, {"list-unsubscribe-post", false}, {"list-subscribe", false}, {"list-post", false},
	{"list-owner", false}, {"list-archive", false}, {"resent-date", false}, {"resent-from", false}, {"resent-to", false}, {"resent-cc", false},
};
enum { DKIM_FIELDS = sizeof(dkim_fields) / sizeof(dkim_fields[0]), DKIM_INSTANCES = 32 /* of one name */ };

const char *dkim_algorithm_name(enum dkim_algorithm a)
{
	return a == DKIM_ED25519_SHA256 ? "ed25519-sha256" : "rsa-sha256";
}

bool dkim_selector_ok(struct span s)
{
	if (s.len == 0 || s.len > DKIM_SELECTOR_BYTES || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!byte_is_alnum(s.ptr[i]) && s.ptr[i] != '-')
			return false;
	return true;
}

/* ---- a hash that takes text byte by byte */

struct dkim_hash {
	EVP_MD_CTX *ctx;
	size_t len;
	bool failed;
	uint8_t piece[DKIM_PIECE_BYTES];
};

static void dkim_hash_begin(struct dkim_hash *h)
{
	h->ctx = EVP_MD_CTX_new();
	h->len = 0;
	h->failed = !h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1;
}

static void dkim_hash_flush(struct dkim_hash *h)
{
	if (!h->failed && h->len && EVP_DigestUpdate(h->ctx, h->piece, h->len) != 1)
		h->failed = true;
	h->len = 0;
}

static void dkim_hash_byte(struct dkim_hash *h, uint8_t c)
{
	if (h->len == sizeof(h->piece))
		dkim_hash_flush(h);
	h->piece[h->len++] = c;
}

static void dkim_hash_add(struct dkim_hash *h, struct span s)
{
	while (s.len) {
		size_t n = sizeof(h->piece) - h->len;

		n = s.len < n ? s.len : n;
		memcpy(h->piece + h->len, s.ptr, n);
		h->len += n;
		s = span_from(s, n);
		if (h->len == sizeof(h->piece))
			dkim_hash_flush(h);
	}
}

static enum rc dkim_hash_end(struct dkim_hash *h, uint8_t out[DKIM_DIGEST_BYTES])
{
	unsigned len = DKIM_DIGEST_BYTES;

	dkim_hash_flush(h);
	if (!h->failed && EVP_DigestFinal_ex(h->ctx, out, &len) != 1)
		h->failed = true;
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
	return h->failed ? RC_IO : RC_OK;
}

/* ---- the body (RFC 6376 3.4.4): blanks at the end of lines go, runs of blanks become one, empty lines at the end go */

struct dkim_body {
	struct dkim_hash hash;
	uint64_t empty_lines; /* not yet hashed: perhaps the last ones */
	bool blank, cr, in_line; /* blank: a run of blanks waits; cr: a CR waits; in_line: the line has bytes */
};

struct dkim_body *dkim_body_new(void)
{
	struct dkim_body *b = mem_zalloc(sizeof(*b));

	dkim_hash_begin(&b->hash);
	return b;
}

/* bytes that mean themselves */
static void dkim_body_text(struct dkim_body *b, struct span run)
{
	for (; b->empty_lines; b->empty_lines--)
		dkim_hash_add(&b->hash, SPAN_LIT("\r\n"));
	if (b->blank)
		dkim_hash_byte(&b->hash, ' ');
	b->blank = false;
	b->in_line = true;
	dkim_hash_add(&b->hash, run);
}

static void dkim_body_line_end(struct dkim_body *b)
{
	b->blank = false;
	if (b->in_line)
		dkim_hash_add(&b->hash, SPAN_LIT("\r\n"));
	else
		b->empty_lines++;
	b->in_line = false;
}

static bool dkim_body_special(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

void dkim_body_add(struct dkim_body *b, struct span bytes)
{
	for (size_t i = 0, from; i < bytes.len;) {
		uint8_t c = bytes.ptr[i];

		if (b->cr) {
			b->cr = false;
			if (c == '\n') {
				dkim_body_line_end(b);
				i++;
				continue;
			}
			dkim_body_text(b, SPAN_LIT("\r"));
		}
		for (from = i; i < bytes.len && !dkim_body_special(bytes.ptr[i]); i++)
			continue;
		if (i > from) {
			dkim_body_text(b, span_of(bytes.ptr + from, i - from));
			continue;
		}
		b->cr = c == '\r';
		b->blank |= !b->cr;
		i++;
	}
}

enum rc dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_DIGEST_BYTES])
{
	enum rc rc;

	if ((*b)->cr)
		dkim_body_text(*b, SPAN_LIT("\r"));
	if ((*b)->in_line)
		dkim_body_line_end(*b); /* a body that does not end with CRLF gets one */
	rc = dkim_hash_end(&(*b)->hash, out);
	free(*b);
	*b = NULL;
	return rc;
}

void dkim_body_free(struct dkim_body **b)
{
	if (!*b)
		return;
	EVP_MD_CTX_free((*b)->hash.ctx);
	free(*b);
	*b = NULL;
}

/* ---- the header (RFC 6376 3.4.2) */

/* "name:value", unfolded, runs of blanks one blank, none around the colon and at the end */
static void dkim_hash_field(struct dkim_hash *h, struct span name, struct span value)
{
	bool blank = false, begun = false;

	for (size_t i = 0; i < name.len; i++)
		dkim_hash_byte(h, byte_lower(name.ptr[i]));
	dkim_hash_byte(h, ':');
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			blank = true;
			continue;
		}
		if (blank && begun)
			dkim_hash_byte(h, ' ');
		blank = false;
		begun = true;
		dkim_hash_byte(h, c);
	}
}

/* Hashes the fields of that name, the last one first (RFC 6376 5.4.2), and names each in h=. Returns how many there are. */
static size_t dkim_sign_name(struct dkim_hash *h, struct span head, size_t which, struct buf *names)
{
	struct span found[DKIM_INSTANCES], rest = head;
	struct header_field f;
	size_t n = 0;

	while (header_field_next(&rest, &f)) {
		if (!header_field_is(&f, dkim_fields[which].name))
			continue;
		found[n % DKIM_INSTANCES] = f.value;
		n++;
	}
	for (size_t i = 0; i < n && i < DKIM_INSTANCES; i++) {
		dkim_hash_field(h, span_str(dkim_fields[which].name), found[(n - 1 - i) % DKIM_INSTANCES]);
		dkim_hash_add(h, SPAN_LIT("\r\n"));
		buf_printf(names, "%s%s", names->len ? ":" : "", dkim_fields[which].name);
	}
	if (dkim_fields[which].once_more && n < DKIM_INSTANCES)
		buf_printf(names, "%s%s", names->len ? ":" : "", dkim_fields[which].name);
	return n;
}

/* breaks text into lines, after colons where it has such */
static void dkim_fold(struct buf *out, struct span text, bool at_colons)
{
	size_t line = out->len;

	for (size_t i = 0; i < out->len; i++)
		if (out->ptr[i] == '\n')
			line = out->len - i - 1;
	while (text.len) {
		size_t n = at_colons ? span_find(text, ':') + 1 : DKIM_LINE_BYTES - 1 - (line < DKIM_LINE_BYTES - 1 ? line : 0);
		struct span piece = span_head(text, n);

		if (at_colons && line + piece.len > DKIM_LINE_BYTES) {
			buf_add_str(out, "\r\n\t");
			line = 1;
		}
		buf_add(out, piece);
		line += piece.len;
		text = span_from(text, piece.len);
		if (!at_colons && text.len) {
			buf_add_str(out, "\r\n\t");
			line = 1;
		}
	}
}

enum rc dkim_field(const struct dkim_sign *s, struct span head, struct buf *field_out, uint8_t digest_out[DKIM_DIGEST_BYTES])
{
	struct dkim_hash h;
	struct buf names, body;
	size_t from;
	enum rc rc;

	dkim_hash_begin(&h);
	buf_init(&names, DKIM_FIELD_BYTES);
	buf_init(&body, 128);
	from = dkim_sign_name(&h, head, 0, &names);
	for (size_t i = 1; i < DKIM_FIELDS; i++)
		(void)dkim_sign_name(&h, head, i, &names);
	buf_printf(field_out, "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed;\r\n\td=%.*s; s=%.*s;\r\n\tt=%lld;", dkim_algorithm_name(s->algorithm), SPAN_FMT(s->domain),
		SPAN_FMT(s->selector), (long long)s->at_s);
	if (s->expire_s)
		buf_printf(field_out, " x=%lld;", (long long)s->expire_s);
	b64_encode(&body, span_of(s->body_hash, DKIM_DIGEST_BYTES));
	buf_add_str(field_out, " bh=");
	buf_add(field_out, buf_span(&body));
	buf_add_str(field_out, ";\r\n\th=");
	dkim_fold(field_out, buf_span(&names), true);
	buf_add_str(field_out, ";\r\n\tb=");
	/* the field itself comes last, without a line end and with an empty b= (RFC 6376 3.7) */
	dkim_hash_field(&h, SPAN_LIT("dkim-signature"), span_from(buf_span(field_out), sizeof("DKIM-Signature:") - 1));
	rc = dkim_hash_end(&h, digest_out);
	if (rc == RC_OK && from != 1)
		rc = RC_BAD;
	if (rc == RC_OK && (field_out->overflow || names.overflow))
		rc = RC_LIMIT;
	buf_clear(&names);
	buf_clear(&body);
	return rc;
}

void dkim_field_end(struct buf *field, struct span signature)
{
	struct buf text;

	buf_init(&text, DKIM_FIELD_BYTES);
	b64_encode(&text, signature);
	dkim_fold(field, buf_span(&text), false);
	buf_add_str(field, "\r\n");
	buf_clear(&text);
}

void dkim_record(struct buf *out, enum dkim_algorithm a, struct span key)
{
	buf_printf(out, "v=DKIM1; k=%s; p=", a == DKIM_ED25519_SHA256 ? "ed25519" : "rsa");
	b64_encode(out, key);
}
