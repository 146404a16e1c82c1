#include "mail/srs.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

enum {
	SRS_HASH_DIGITS = 8,  /* 40 bits: a guess costs one connection or more */
	SRS_DAY_DIGITS = 2,
	SRS_DAYS = 1 << 10,   /* after which a day's two digits come again */
	SRS_TAG_BYTES = 5,    /* "SRS0=" */
};

static const char srs_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648 6 */

static bool srs_is(struct span local, char kind)
{
	/* some put "-" or "+" behind the tag */
	return local.len > SRS_TAG_BYTES && span_starts_nocase(local, SPAN_LIT("SRS")) && local.ptr[3] == (uint8_t)kind &&
		(local.ptr[4] == '=' || local.ptr[4] == '-' || local.ptr[4] == '+');
}

bool srs_is_rewritten(struct span local)
{
	return srs_is(local, '0') || srs_is(local, '1');
}

/* over what the hash protects, in lower case */
static bool srs_hash(const uint8_t key[SRS_KEY_BYTES], char kind, struct span text, uint8_t out[SRS_HASH_DIGITS])
{
	uint8_t lower[1 + SRS_LOCAL_BYTES], mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	uint64_t bits = 0;

	if (text.len > SRS_LOCAL_BYTES)
		return false;
	lower[0] = (uint8_t)kind;
	for (size_t i = 0; i < text.len; i++)
		lower[1 + i] = byte_lower(text.ptr[i]);
	if (!HMAC(EVP_sha256(), key, SRS_KEY_BYTES, lower, 1 + text.len, mac, &len) || len < 5)
		return false;
	for (size_t i = 0; i < 5; i++)
		bits = bits << 8 | mac[i];
	for (size_t i = 0; i < SRS_HASH_DIGITS; i++, bits <<= 5)
		out[i] = (uint8_t)srs_digits[bits >> 35 & 31];
	return true;
}

static bool srs_hash_is(const uint8_t key[SRS_KEY_BYTES], char kind, struct span text, struct span hash)
{
	uint8_t want[SRS_HASH_DIGITS], have[SRS_HASH_DIGITS];

	if (hash.len != SRS_HASH_DIGITS || !srs_hash(key, kind, text, want))
		return false;
	for (size_t i = 0; i < SRS_HASH_DIGITS; i++)
		have[i] = byte_upper(hash.ptr[i]);
	return CRYPTO_memcmp(want, have, SRS_HASH_DIGITS) == 0;
}

static int srs_digit(uint8_t c)
{
	const char *at = c ? strchr(srs_digits, byte_upper(c)) : NULL;

	return at ? (int)(at - srs_digits) : -1;
}

static bool srs_split(struct span address, struct span *local_out, struct span *domain_out)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	if (at < 2 || at == address.len)
		return false;
	*local_out = span_head(address, at - 1);
	*domain_out = span_from(address, at);
	return true;
}

bool srs_forward(struct buf *out, const uint8_t key[SRS_KEY_BYTES], int64_t day, struct span sender)
{
	uint8_t hash[SRS_HASH_DIGITS];
	struct span local, domain;
	struct buf body; /* behind the hash */
	char kind = '0';
	bool ok;

	if (!srs_split(sender, &local, &domain) || local.ptr[0] == '"' || span_find(domain, '=') < domain.len)
		return false;
	buf_init(&body, SRS_LOCAL_BYTES - SRS_TAG_BYTES - SRS_HASH_DIGITS - 1);
	if (srs_is(local, '1')) { /* of a chain only the first and the last forwarder are kept: the hash of the one between goes */
		struct span rest = span_from(local, SRS_TAG_BYTES);

		kind = '1';
		(void)span_cut(&rest, '=');
		buf_add(&body, rest);
	} else if (srs_is(local, '0')) {
		kind = '1';
		buf_add(&body, domain);
		buf_add_byte(&body, '=');
		buf_add(&body, span_from(local, 4)); /* with its separator */
	} else {
		uint64_t d = (uint64_t)day % SRS_DAYS;

		buf_add_byte(&body, (uint8_t)srs_digits[d >> 5]);
		buf_add_byte(&body, (uint8_t)srs_digits[d & 31]);
		buf_add_byte(&body, '=');
		buf_add(&body, domain);
		buf_add_byte(&body, '=');
		buf_add(&body, local);
	}
	ok = !body.overflow && body.len > 0 && srs_hash(key, kind, buf_span(&body), hash);
	if (ok) {
		buf_add_str(out, kind == '0' ? "SRS0=" : "SRS1=");
		buf_add(out, span_of(hash, sizeof(hash)));
		buf_add_byte(out, '=');
		buf_add(out, buf_span(&body));
	}
	buf_clear(&body);
	return ok;
}

static bool srs_is_recent(struct span digits, int64_t day)
{
	int high = digits.len == SRS_DAY_DIGITS ? srs_digit(digits.ptr[0]) : -1, low = digits.len == SRS_DAY_DIGITS ? srs_digit(digits.ptr[1]) : -1;
	int64_t age;

	if (high < 0 || low < 0)
		return false;
	age = (day % SRS_DAYS - (high << 5 | low) + SRS_DAYS) % SRS_DAYS;
	return age <= SRS_VALID_DAYS || age == SRS_DAYS - 1; /* the clock of another of our machines may be ahead */
}

enum srs_back srs_reverse(struct buf *out, const uint8_t key[SRS_KEY_BYTES], int64_t day, struct span local)
{
	struct span rest, hash, body, when, domain;
	bool first = srs_is(local, '0');

	if (!srs_is_rewritten(local))
		return SRS_BACK_NOT;
	rest = span_from(local, SRS_TAG_BYTES);
	hash = span_cut(&rest, '=');
	body = rest;
	if (!srs_hash_is(key, first ? '0' : '1', body, hash))
		return SRS_BACK_FORGED;
	when = first ? span_cut(&rest, '=') : SPAN_NONE;
	domain = span_cut(&rest, '=');
	if (domain.len == 0 || rest.len == 0) /* our own hash over nonsense: somebody had us rewrite it */
		return SRS_BACK_FORGED;
	if (first && !srs_is_recent(when, day))
		return SRS_BACK_OLD;
	if (!first)
		buf_add_str(out, "SRS0");
	buf_add(out, rest);
	buf_add_byte(out, '@');
	buf_add(out, domain);
	return SRS_BACK_OK;
}
