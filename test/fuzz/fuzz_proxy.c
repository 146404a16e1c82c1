/* The PROXY protocol header. First byte: how the rest is cut. Holds: the same verdict and fields however the bytes come; nothing behind the
 * header is taken, and whoever reads only what is wanted never reads past it. */
#include <stdlib.h>

#include "proto/proxy/proxy_v2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static size_t run(struct proxy_v2 *p, struct span text, size_t step)
{
	size_t taken = 0;

	proxy_v2_init(p);
	while (taken < text.len && p->state == PROXY_MORE) {
		size_t wants = proxy_v2_wants(p), n = step && step < wants ? step : wants, got;

		must(wants > 0);
		got = proxy_v2_feed(p, span_head(span_from(text, taken), n));
		must(got > 0 && got <= n);
		taken += got;
	}
	must((proxy_v2_wants(p) > 0) == (p->state == PROXY_MORE));
	must((p->why != NULL) == (p->state == PROXY_BAD));
	must(p->state == PROXY_DONE || !p->has_client);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proxy_v2 whole, cut;
	struct span text;
	size_t taken;

	if (size < 1)
		return 0;
	text = span_of(data + 1, size - 1);
	taken = run(&whole, text, 0);
	must(run(&cut, text, 1 + data[0] % 32) <= taken || whole.state == PROXY_BAD);
	must(whole.state == cut.state && whole.has_client == cut.has_client && whole.local == cut.local);
	must(net_eq(&whole.source, &cut.source) && whole.source_port == cut.source_port);
	proxy_v2_init(&cut); /* all at once, with what comes behind */
	must(proxy_v2_feed(&cut, text) <= text.len && cut.state == whole.state);
	if (cut.state == PROXY_DONE)
		must(cut.have == taken);
	return 0;
}
