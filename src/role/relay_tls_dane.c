#include <openssl/err.h>

#include "role/relay_tls_internal.h"

enum { TLSA_HEAD_BYTES = 3, TLSA_USAGE_TA = 2, TLSA_USAGE_EE = 3 };

static const char *dane_base(const struct relay_tls_host *h)
{
	return h->base_is_canonical ? h->canonical : h->name;
}

/* OpenSSL says itself which selectors, matching types and data it can use */
static bool dane_add(SSL *ssl, const struct relay_tlsa *r)
{
	int rc = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data.ptr, r->data.len);

	ERR_clear_error();
	return rc > 0;
}

void relay_dane_take(struct relay_tls_host *h, const struct msg_name_is *answer)
{
	struct span cursor = answer->rrs.raw;
	SSL *probe = SSL_new(h->dest->tls->ctx);
	struct rec_name_rr rr;

	if (!probe || SSL_dane_enable(probe, dane_base(h)) <= 0) {
		SSL_free(probe);
		ERR_clear_error();
		return;
	}
	while (h->tlsa_count < RELAY_TLSA_MAX && rec_name_rr_next(&cursor, &rr)) {
		struct relay_tlsa *r = &h->tlsa[h->tlsa_count];

		/* RFC 7672 3.1.3: PKIX-TA(0) and PKIX-EE(1) are of no use to SMTP */
		if (rr.data.len <= TLSA_HEAD_BYTES || (rr.data.ptr[0] != TLSA_USAGE_TA && rr.data.ptr[0] != TLSA_USAGE_EE))
			continue;
		*r = (struct relay_tlsa){rr.data.ptr[0], rr.data.ptr[1], rr.data.ptr[2], span_from(rr.data, TLSA_HEAD_BYTES)};
		if (!dane_add(probe, r))
			continue;
		r->data = arena_copy(&h->mem, r->data);
		if (r->data.ptr)
			h->tlsa_count++;
	}
	SSL_free(probe);
}

bool relay_dane_set(const struct relay_tls_host *h, SSL *ssl)
{
	size_t added = 0;

	if (SSL_dane_enable(ssl, dane_base(h)) <= 0) /* SNI is that name, too: RFC 7672 8.1 */
		return false;
	/* RFC 7672 3.1.1: with DANE-EE(3) neither names nor dates count. 3.2.3: the names for DANE-TA(2) */
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	if (!SSL_add1_host(ssl, h->name) || (h->dest->by_mx && h->mx_secure && h->dest->domain[0] && !SSL_add1_host(ssl, h->dest->domain)))
		return false;
	for (size_t i = 0; i < h->tlsa_count; i++)
		added += dane_add(ssl, &h->tlsa[i]);
	return added > 0;
}
