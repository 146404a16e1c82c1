/* Answers of the DNS, and names. First byte: the type that was asked for. Holds: what comes out fits its frame, every record has the form of its type, and no
 * records go with anything but "found". */
#include <stdlib.h>

#include "role/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void must_be_name(struct span text)
{
	char again[DNS_NAME_BYTES + 1];

	must(dns_name_clean(text, again) && span_eq(text, span_str(again)));
}

static void must_fit(enum name_type type, const struct rec_name_rr *rr)
{
	must(rr->data.len <= DNS_DATA_BYTES);
	if (type == NAME_A || type == NAME_AAAA)
		must(rr->data.len == (type == NAME_A ? 4 : 16));
	else if (type == NAME_TLSA)
		must(rr->data.len > 3);
	else if (type == NAME_CNAME || type == NAME_PTR || (type == NAME_MX && rr->data.len))
		must_be_name(rr->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum name_type types[] = {NAME_A, NAME_CNAME, NAME_PTR, NAME_MX, NAME_TXT, NAME_AAAA, NAME_TLSA};
	struct dns_answer a;
	struct span cursor;
	struct rec_name_rr rr;
	enum name_type type;
	char name[DNS_NAME_BYTES + 1];
	unsigned before = 0, count = 0;

	if (size < 1)
		return 0;
	type = types[data[0] % 7];
	if (dns_name_clean(span_of(data + 1, size - 1), name))
		must_be_name(span_str(name));
	dns_answer_init(&a);
	dns_answer_read(&a, type, "example.org", span_of(data + 1, size - 1));
	for (cursor = a.is.rrs.raw; rec_name_rr_next(&cursor, &rr); count++) {
		must_fit(type, &rr);
		must(type != NAME_MX || rr.preference >= before);
		before = rr.preference;
	}
	must(count == a.is.rrs.count && count <= DNS_RRS_MAX);
	must((count > 0) == (a.is.status == NAME_FOUND));
	must((a.is.words.len > 0) == (a.is.status == NAME_FAILED));
	must(a.is.canonical.len <= DNS_NAME_BYTES && a.is.words.len <= DNS_WORDS_BYTES);
	dns_answer_clear(&a);
	return 0;
}
