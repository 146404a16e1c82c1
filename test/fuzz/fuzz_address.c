/* What address_parse takes, address_write writes so that address_parse takes it again, as the same address. The first byte chooses the flags. */
#include "fuzz.h"

#include <stdlib.h>

#include "mail/address.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_again(const struct address *a, unsigned flags, struct arena *mem)
{
	struct address again;
	struct buf text, second, key;

	buf_init(&text, 600);
	buf_init(&second, 600);
	buf_init(&key, 600);
	must(a->local.len <= 64 && a->domain.len <= 255);
	must(span_is_utf8(a->local) && span_is_utf8(a->domain));
	address_write(&text, a);
	must(!text.overflow && text.len <= 254);
	for (size_t i = 0; i < text.len; i++)
		must(text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
	must(address_parse(buf_span(&text), flags, mem, &again) == ADDRESS_OK);
	must(span_eq(again.local, a->local) && span_eq(again.domain, a->domain));
	must(again.literal == a->literal && again.utf8 == a->utf8);
	address_write(&second, &again);
	must(span_eq(buf_span(&text), buf_span(&second)));
	address_key(&key, a);
	must(!key.overflow);
	buf_clear(&text);
	buf_clear(&second);
	buf_clear(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), rest;
	struct address a;
	struct arena mem;
	unsigned flags;

	if (size == 0)
		return 0;
	flags = data[0] & 15u;
	text = span_of(data + 1, size - 1);
	arena_init(&mem, 16384);
	if (address_parse(text, flags, &mem, &a) == ADDRESS_OK)
		check_again(&a, flags, &mem);
	if (address_parse_path(text, flags, &mem, &a, &rest) == ADDRESS_OK) {
		must(rest.len <= text.len);
		check_again(&a, flags, &mem);
	}
	/* an IPv4 address without brackets is spelled like a domain */
	must(address_helo_ok(text) || !address_is_ip(text) || span_find(text, ':') < text.len);
	must(!mem.overflow);
	arena_clear(&mem);
	return 0;
}
