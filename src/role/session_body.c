#include "role/session_body.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum { BODY_TEXT_MAX_BYTES = LIMIT_HEADER_BYTES + LIMIT_BODY_INLINE_BYTES + (256 << 10) }; /* and what one read may bring on top */

struct session_body {
	struct buf text;      /* from the start on; all of it while there is no file */
	uint64_t bytes;       /* in all */
	uint64_t spool;       /* 0: none */
	uint64_t spool_bytes;
	EVP_MD_CTX *hash;
	enum cause_id cause;  /* why it cannot be kept; NONE: it can */
	int fd;
	bool waiting;
};

static const EVP_MD *body_sha256(void)
{
	static EVP_MD *md;

	if (!md)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	return md;
}

struct session_body *session_body_new(void)
{
	struct session_body *b = mem_zalloc(sizeof(*b));

	b->fd = -1;
	buf_init(&b->text, BODY_TEXT_MAX_BYTES);
	b->hash = EVP_MD_CTX_new();
	if (!b->hash || EVP_DigestInit_ex(b->hash, body_sha256(), NULL) != 1)
		abort();
	return b;
}

void session_body_close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

uint64_t session_body_free(struct session_body **b)
{
	uint64_t spool;

	if (!*b)
		return 0;
	spool = (*b)->spool;
	session_body_close_fd((*b)->fd);
	buf_clear(&(*b)->text);
	EVP_MD_CTX_free((*b)->hash);
	free(*b);
	*b = NULL;
	return spool;
}

static void body_write(struct session_body *b, struct span bytes)
{
	while (bytes.len > 0 && b->cause == CAUSE_NONE) {
		ssize_t n = pwrite(b->fd, bytes.ptr, bytes.len, (off_t)b->spool_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			b->cause = n < 0 && errno != ENOSPC && errno != EDQUOT ? CAUSE_SERVER_TEMP_ERROR : CAUSE_SERVER_STORAGE_FULL;
			return;
		}
		b->spool_bytes += (uint64_t)n;
		bytes = span_from(bytes, (size_t)n);
	}
}

void session_body_add(struct session_body *b, struct span bytes)
{
	if (b->cause != CAUSE_NONE)
		return;
	b->bytes += bytes.len;
	(void)EVP_DigestUpdate(b->hash, bytes.ptr, bytes.len);
	if (b->fd >= 0) {
		body_write(b, bytes);
		return;
	}
	buf_add(&b->text, bytes);
	if (b->text.overflow)
		b->cause = CAUSE_SERVER_TEMP_ERROR;
}

uint64_t session_body_bytes(const struct session_body *b)
{
	return b->bytes;
}

bool session_body_wants_spool(const struct session_body *b, const struct header_facts *h)
{
	if (b->fd >= 0 || b->waiting || b->cause != CAUSE_NONE)
		return false;
	if (!h->ended)
		return b->text.len >= LIMIT_HEADER_BYTES;
	return b->text.len > h->header_bytes && b->text.len - h->header_bytes > LIMIT_BODY_INLINE_BYTES;
}

void session_body_waits(struct session_body *b)
{
	b->waiting = true;
}

bool session_body_is_waiting(const struct session_body *b)
{
	return b->waiting;
}

void session_body_refuse(struct session_body *b, enum cause_id cause)
{
	b->waiting = false;
	b->cause = cause;
	buf_clear(&b->text);
}

enum cause_id session_body_cause(const struct session_body *b)
{
	return b->cause;
}

/* where header and rest part; a header block over its limit counts as body beyond it */
static size_t body_head_bytes(const struct session_body *b, const struct header_facts *h)
{
	size_t head = h->header_bytes < LIMIT_HEADER_BYTES ? (size_t)h->header_bytes : LIMIT_HEADER_BYTES;

	return head < b->text.len ? head : b->text.len;
}

void session_body_lend(struct session_body *b, const struct header_facts *h, uint64_t spool, int fd)
{
	size_t head = body_head_bytes(b, h);

	b->waiting = false;
	b->spool = spool;
	b->fd = fd;
	body_write(b, span_from(buf_span(&b->text), head));
	b->text.len = head;
}

struct span session_body_head(const struct session_body *b, const struct header_facts *h)
{
	return span_head(buf_span(&b->text), b->fd >= 0 ? b->text.len : body_head_bytes(b, h));
}

void session_body_finish(struct session_body *b, const struct header_facts *h, struct span *head_out, struct span *body_out, uint64_t *spool_out,
	uint64_t *spool_bytes_out, uint8_t digest_out[32])
{
	(void)EVP_DigestFinal_ex(b->hash, digest_out, NULL);
	*head_out = session_body_head(b, h);
	*body_out = span_from(buf_span(&b->text), head_out->len);
	*spool_out = b->spool;
	*spool_bytes_out = b->spool_bytes;
}

static size_t body_read_at(void *arg, uint64_t offset, uint8_t *to, size_t max)
{
	const struct session_body *b = arg;
	struct span part;
	ssize_t n;

	if (offset < b->text.len) {
		part = span_head(span_from(buf_span(&b->text), (size_t)offset), max);
		memcpy(to, part.ptr, part.len);
		return part.len;
	}
	if (b->fd < 0)
		return 0;
	do
		n = pread(b->fd, to, max, (off_t)(offset - b->text.len));
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

struct mime_source session_body_source(const struct session_body *b)
{
	return (struct mime_source){.read_at = body_read_at, .arg = (void *)(uintptr_t)b, .bytes = b->text.len + (b->fd >= 0 ? b->spool_bytes : 0)};
}

uint64_t session_body_take_spool(struct session_body *b)
{
	uint64_t spool = b ? b->spool : 0;

	if (b)
		b->spool = 0;
	return spool;
}
