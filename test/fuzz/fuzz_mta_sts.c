/* Policies and records of MTA-STS. Holds: what is taken stays within its limits, every pattern without a wildcard matches itself, a wildcard matches one label
 * and never two, line ends do not matter. */
#include <stdlib.h>

#include "base/buf.h"
#include "mail/mta_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_mx(const struct mta_sts *p, struct span mx)
{
	struct buf host;

	buf_init(&host, 1000);
	if (!span_starts(mx, SPAN_LIT("*."))) {
		must(mta_sts_match(p, mx));
	} else if (mx.len < 200) {
		buf_printf(&host, "x.%.*s", SPAN_FMT(span_from(mx, 2)));
		must(mta_sts_match(p, buf_span(&host)));
		must(p->mx_count > 1 || !mta_sts_match(p, span_from(mx, 2)));
		buf_reset(&host);
		buf_printf(&host, "x.y.%.*s", SPAN_FMT(span_from(mx, 2)));
		must(p->mx_count > 1 || !mta_sts_match(p, buf_span(&host)));
	}
	buf_clear(&host);
}

/* the same with CRLF for every LF */
static void check_crlf(struct span text, const struct mta_sts *p)
{
	struct mta_sts again;
	struct arena mem;
	struct buf crlf;

	arena_init(&mem, 1 << 20);
	buf_init(&crlf, 4 * MTA_STS_TEXT_BYTES);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r'))
			buf_add_byte(&crlf, '\r');
		buf_add_byte(&crlf, text.ptr[i]);
	}
	if (crlf.len <= MTA_STS_TEXT_BYTES) {
		must(mta_sts_parse(buf_span(&crlf), &mem, &again, NULL) == RC_OK);
		must(again.mode == p->mode && again.max_age_s == p->max_age_s && again.mx_count == p->mx_count);
	}
	buf_clear(&crlf);
	arena_clear(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), id;
	struct mta_sts p;
	struct arena mem;
	struct err err;

	if (mta_sts_record(text, &id) == RC_OK)
		must(id.len > 0 && id.len <= MTA_STS_ID_BYTES);
	arena_init(&mem, 1 << 20);
	if (mta_sts_parse(text, &mem, &p, &err) == RC_OK) {
		must(p.max_age_s <= MTA_STS_AGE_MAX_S && p.mx_count <= MTA_STS_MX_MAX && p.mode <= MTA_STS_ENFORCE);
		must(p.mx_count > 0 || p.mode == MTA_STS_NONE);
		for (size_t i = 0; i < p.mx_count && i < 16; i++)
			check_mx(&p, p.mx[i]);
		check_crlf(text, &p);
	}
	(void)mta_sts_match(&(struct mta_sts){.mode = MTA_STS_ENFORCE}, text);
	arena_clear(&mem);
	return 0;
}
