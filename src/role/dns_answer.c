#include "role/dns_answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
	DNS_HEADER_BYTES = 12,
	DNS_RR_FIXED_BYTES = 10, /* type, class, TTL, length */
	DNS_CLASS_IN = 1,
	DNS_TYPE_SOA = 6,
	DNS_LABEL_BYTES = 63,
	DNS_WIRE_NAME_BYTES = 255,
	DNS_JUMPS_MAX = 128,     /* compression pointers in one name */
	DNS_RRS_BYTES = DNS_RRS_MAX * (DNS_DATA_BYTES + 16),
	DNS_SOA_NUMBERS_BYTES = 20,
};

static const struct {
	enum name_type type;
	const char *name;
} dns_types[] = {{NAME_A, "A"}, {NAME_CNAME, "CNAME"}, {NAME_PTR, "PTR"}, {NAME_MX, "MX"}, {NAME_TXT, "TXT"}, {NAME_AAAA, "AAAA"}, {NAME_TLSA, "TLSA"}};

enum name_type dns_type_find(struct span text)
{
	for (size_t i = 0; i < sizeof(dns_types) / sizeof(dns_types[0]); i++)
		if (span_eq_nocase(text, span_str(dns_types[i].name)))
			return dns_types[i].type;
	return (enum name_type)0;
}

const char *dns_type_name(enum name_type type)
{
	for (size_t i = 0; i < sizeof(dns_types) / sizeof(dns_types[0]); i++)
		if (dns_types[i].type == type)
			return dns_types[i].name;
	return "?";
}

bool dns_type_known(unsigned type)
{
	for (size_t i = 0; i < sizeof(dns_types) / sizeof(dns_types[0]); i++)
		if ((unsigned)dns_types[i].type == type)
			return true;
	return false;
}

const char *dns_status_name(enum name_status status)
{
	switch (status) {
	case NAME_FOUND:
		return "found";
	case NAME_NOTHING:
		return "nothing";
	case NAME_UNKNOWN:
		return "unknown";
	case NAME_FAILED:
		return "failed";
	case NAME_BOGUS:
		return "bogus";
	}
	return "?";
}

/* ---- names */

/* '_' for services (RFC 8552), '/' for parts of a reverse zone (RFC 2317) */
static bool dns_byte_ok(uint8_t c)
{
	return byte_is_alnum(c) || c == '-' || c == '_' || c == '/';
}

bool dns_name_clean(struct span text, char out[DNS_NAME_BYTES + 1])
{
	struct span rest = text;
	size_t label = 0;

	if (rest.len && rest.ptr[rest.len - 1] == '.')
		rest.len--;
	if (rest.len == 0 || rest.len > DNS_NAME_BYTES)
		return false;
	for (size_t i = 0; i < rest.len; i++) {
		bool dot = rest.ptr[i] == '.';

		if (dot ? label == 0 : !dns_byte_ok(rest.ptr[i]) || label == DNS_LABEL_BYTES)
			return false;
		label = dot ? 0 : label + 1;
		out[i] = (char)byte_lower(rest.ptr[i]);
	}
	if (label == 0)
		return false;
	out[rest.len] = '\0';
	return true;
}

/* ---- the message */

struct dns_rr {
	uint16_t type;
	uint16_t preference;
	uint32_t ttl_s;
	size_t owner;       /* offset */
	size_t data, bytes; /* offset, length */
	unsigned place;     /* keeps the order of equal preferences */
};

struct dns_packet {
	struct span all;
	size_t at;
	struct dns_rr *rrs; /* of the answer section */
	size_t count;
	bool short_of;      /* it ends where it should not */
};

static uint16_t dns_be16(const struct dns_packet *p, size_t at)
{
	return (uint16_t)(p->all.ptr[at] << 8 | p->all.ptr[at + 1]);
}

static uint32_t dns_be32(const struct dns_packet *p, size_t at)
{
	return (uint32_t)dns_be16(p, at) << 16 | dns_be16(p, at + 2);
}

/* RFC 2181 8: a TTL with its highest bit set counts as 0 */
static uint32_t dns_ttl(uint32_t ttl)
{
	return ttl >> 31 ? 0 : ttl;
}

/* Reads the name at `at`, compressed or not. Returns the offset behind it, 0: it does not end within the message. clean_out: it is one of dns_name_clean's
 * form, and in out; otherwise what it is does not matter to us. */
static size_t dns_name_read(const struct dns_packet *p, size_t at, char out[DNS_NAME_BYTES + 1], bool *clean_out)
{
	size_t behind = 0, len = 0, wire = 0;
	unsigned jumps = 0;
	bool clean = true;

	while (at < p->all.len) {
		size_t label = p->all.ptr[at];

		if ((label & 0xc0) == 0xc0) {
			if (at + 2 > p->all.len || ++jumps > DNS_JUMPS_MAX)
				return 0;
			behind = behind ? behind : at + 2;
			at = dns_be16(p, at) & 0x3fff;
			continue;
		}
		wire += 1 + label;
		if (label > DNS_LABEL_BYTES || wire > DNS_WIRE_NAME_BYTES || at + 1 + label > p->all.len)
			return 0;
		at++;
		if (label == 0) {
			out[clean ? len : 0] = '\0';
			*clean_out = clean;
			return behind ? behind : at;
		}
		clean = clean && len + (len > 0) + label <= DNS_NAME_BYTES;
		if (clean && len)
			out[len++] = '.';
		for (size_t i = 0; i < label && clean; i++) {
			clean = dns_byte_ok(p->all.ptr[at + i]);
			out[len++] = (char)byte_lower(p->all.ptr[at + i]);
		}
		at += label;
	}
	return 0;
}

/* false: the message ends before the record does */
static bool dns_rr_read(struct dns_packet *p, struct dns_rr *out)
{
	char name[DNS_NAME_BYTES + 1];
	bool clean;
	size_t at = dns_name_read(p, p->at, name, &clean);

	if (!at || p->all.len - at < DNS_RR_FIXED_BYTES)
		return false;
	*out = (struct dns_rr){.type = dns_be16(p, at), .ttl_s = dns_ttl(dns_be32(p, at + 4)), .owner = p->at, .data = at + DNS_RR_FIXED_BYTES,
		.bytes = dns_be16(p, at + 8)};
	if (dns_be16(p, at + 2) != DNS_CLASS_IN)
		out->type = 0;
	if (p->all.len - out->data < out->bytes)
		return false;
	p->at = out->data + out->bytes;
	return true;
}

static bool dns_packet_read(struct dns_packet *p)
{
	char name[DNS_NAME_BYTES + 1];
	unsigned questions, answers;
	bool clean;

	if (p->all.len < DNS_HEADER_BYTES)
		return false;
	questions = dns_be16(p, 4);
	answers = dns_be16(p, 6);
	p->at = DNS_HEADER_BYTES;
	for (unsigned i = 0; i < questions; i++) {
		p->at = dns_name_read(p, p->at, name, &clean);
		if (!p->at || p->all.len - p->at < 4)
			return false;
		p->at += 4;
	}
	if (answers > DNS_PACKET_RECORDS)
		return false;
	p->rrs = mem_array(answers + 1, sizeof(*p->rrs));
	for (; p->count < answers; p->count++) {
		if (!dns_rr_read(p, &p->rrs[p->count]))
			return false;
		p->rrs[p->count].place = (unsigned)p->count;
	}
	return true;
}

/* how long "there is nothing" may be believed (RFC 2308 5); 0: nobody said */
static uint32_t dns_negative_ttl(struct dns_packet *p)
{
	unsigned count = dns_be16(p, 8);
	struct dns_rr rr;

	for (unsigned i = 0; i < count && dns_rr_read(p, &rr); i++) {
		uint32_t minimum;

		if (rr.type != DNS_TYPE_SOA || rr.bytes < DNS_SOA_NUMBERS_BYTES)
			continue;
		minimum = dns_ttl(dns_be32(p, rr.data + rr.bytes - 4));
		return minimum < rr.ttl_s ? minimum : rr.ttl_s;
	}
	return 0;
}

static bool dns_rr_is_of(const struct dns_packet *p, const struct dns_rr *rr, unsigned type, const char *owner)
{
	char name[DNS_NAME_BYTES + 1];
	bool clean;

	return rr->type == type && dns_name_read(p, rr->owner, name, &clean) && clean && strcmp(name, owner) == 0;
}

/* ---- records */

/* a name that ends where the record does */
static bool dns_target(const struct dns_packet *p, const struct dns_rr *rr, size_t skip, struct buf *out)
{
	char name[DNS_NAME_BYTES + 1];
	bool clean;

	if (rr->bytes <= skip || dns_name_read(p, rr->data + skip, name, &clean) != rr->data + rr->bytes || !clean)
		return false;
	buf_add_str(out, name);
	return true;
}

/* the strings joined, as RFC 7208 3.3, 6376 3.6.2.2 and 8461 3.1 want it */
static bool dns_strings(struct span data, struct buf *out)
{
	while (data.len) {
		size_t n = data.ptr[0];

		if (n + 1 > data.len)
			return false;
		buf_add(out, span_of(data.ptr + 1, n));
		data = span_from(data, n + 1);
	}
	return true;
}

/* false: the record is no good */
static bool dns_data(const struct dns_packet *p, const struct dns_rr *rr, struct buf *out)
{
	struct span data = span_of(p->all.ptr + rr->data, rr->bytes);

	buf_reset(out);
	switch ((int)rr->type) {
	case NAME_A:
		buf_add(out, data);
		return data.len == 4;
	case NAME_AAAA:
		buf_add(out, data);
		return data.len == 16;
	case NAME_MX:
		return dns_target(p, rr, 2, out);
	case NAME_CNAME: case NAME_PTR:
		return dns_target(p, rr, 0, out) && out->len > 0;
	case NAME_TXT:
		return dns_strings(data, out) && !out->overflow;
	case NAME_TLSA:
		buf_add(out, data);
		return data.len > 3 && !out->overflow;
	default:
		return false;
	}
}

static int dns_by_preference(const void *a, const void *b)
{
	const struct dns_rr *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

/* what the asked name is an alias of, step by step; false: it goes round, or on for too long */
static bool dns_follow(struct dns_answer *a, const struct dns_packet *p)
{
	struct buf next;
	size_t i = 0;
	unsigned steps = 0;

	buf_init(&next, DNS_NAME_BYTES + 1);
	while (i < p->count && steps <= DNS_ALIASES_MAX) {
		if (!dns_rr_is_of(p, &p->rrs[i], NAME_CNAME, a->canonical)) {
			i++;
			continue;
		}
		buf_reset(&next);
		if (!dns_target(p, &p->rrs[i], 0, &next) || !next.len)
			break;
		(void)memcpy(a->canonical, next.ptr, next.len);
		a->canonical[next.len] = '\0';
		a->is.ttl_s = p->rrs[i].ttl_s < a->is.ttl_s ? p->rrs[i].ttl_s : a->is.ttl_s;
		i = 0;
		steps++;
	}
	buf_clear(&next);
	return i == p->count && steps <= DNS_ALIASES_MAX;
}

/* returns how many there were, good or not */
static size_t dns_collect(struct dns_answer *a, struct dns_packet *p, enum name_type type)
{
	size_t seen = 0;
	struct buf data;

	for (size_t i = 0; i < p->count; i++)
		if (p->rrs[i].type == NAME_MX && p->rrs[i].bytes >= 2)
			p->rrs[i].preference = dns_be16(p, p->rrs[i].data);
	if (type == NAME_MX)
		qsort(p->rrs, p->count, sizeof(*p->rrs), dns_by_preference);
	buf_init(&data, DNS_DATA_BYTES);
	for (size_t i = 0; i < p->count; i++) {
		if (!dns_rr_is_of(p, &p->rrs[i], type, a->canonical))
			continue;
		seen++;
		if (!dns_data(p, &p->rrs[i], &data))
			continue;
		if (a->is.rrs.count == DNS_RRS_MAX) {
			a->is.cut = true;
			break;
		}
		rec_name_rr_add(&a->rrs, &(struct rec_name_rr){.preference = p->rrs[i].preference, .data = buf_span(&data)});
		a->is.rrs.count++;
		a->is.ttl_s = p->rrs[i].ttl_s < a->is.ttl_s ? p->rrs[i].ttl_s : a->is.ttl_s;
	}
	buf_clear(&data);
	return seen;
}

static void dns_answer_code(struct dns_answer *a, unsigned code)
{
	static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
	char words[64];

	(void)snprintf(words, sizeof(words), "the name server says %s (%u)", code < sizeof(names) / sizeof(names[0]) ? names[code] : "an error", code);
	dns_answer_fail(a, NAME_FAILED, span_str(words));
}

static void dns_answer_take(struct dns_answer *a, enum name_type type, struct dns_packet *p)
{
	unsigned code;
	size_t seen;

	if (!dns_packet_read(p)) {
		dns_answer_fail(a, NAME_FAILED, SPAN_LIT("the answer cannot be read"));
		return;
	}
	code = p->all.ptr[3] & 0xf;
	if (code != 0 && code != 3) {
		dns_answer_code(a, code);
		return;
	}
	if (type != NAME_CNAME && !dns_follow(a, p)) {
		dns_answer_fail(a, NAME_FAILED, SPAN_LIT("the name is an alias that leads round in a circle, too far, or to no host name"));
		return;
	}
	seen = code ? 0 : dns_collect(a, p, type);
	if (seen && !a->is.rrs.count) {
		dns_answer_fail(a, NAME_FAILED, SPAN_LIT("there are records, but none that is well-formed"));
		return;
	}
	if (!seen) {
		uint32_t ttl = dns_negative_ttl(p);

		a->is.ttl_s = ttl < a->is.ttl_s ? ttl : a->is.ttl_s;
	}
	a->is.status = code ? NAME_UNKNOWN : seen ? NAME_FOUND : NAME_NOTHING;
	a->is.canonical = span_str(a->canonical);
	a->is.rrs.raw = buf_span(&a->rrs);
}

/* ---- */

void dns_answer_init(struct dns_answer *a)
{
	*a = (struct dns_answer){.is = {.status = NAME_FAILED}};
	buf_init(&a->rrs, DNS_RRS_BYTES);
}

void dns_answer_clear(struct dns_answer *a)
{
	buf_clear(&a->rrs);
}

void dns_answer_fail(struct dns_answer *a, enum name_status status, struct span words)
{
	struct buf safe;

	buf_init(&safe, 8 * DNS_WORDS_BYTES);
	buf_add_safe(&safe, words, DNS_WORDS_BYTES);
	(void)snprintf(a->words, sizeof(a->words), "%s", buf_cstr(&safe));
	buf_clear(&safe);
	buf_reset(&a->rrs);
	a->is = (struct msg_name_is){.status = (uint8_t)status, .words = span_str(a->words)};
}

void dns_answer_read(struct dns_answer *a, enum name_type type, const char *asked, struct span packet)
{
	struct dns_packet p = {.all = packet};

	buf_reset(&a->rrs);
	a->is = (struct msg_name_is){.ttl_s = INT32_MAX};
	(void)snprintf(a->canonical, sizeof(a->canonical), "%s", asked);
	dns_answer_take(a, type, &p);
	if (a->is.ttl_s == INT32_MAX)
		a->is.ttl_s = 0;
	free(p.rrs);
}
