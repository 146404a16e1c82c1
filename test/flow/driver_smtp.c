#include "flow.h"

#include "base/mem.h"
#include "fake_smtp.h"

#include <stdlib.h>

static void *driver_start(const char *listener, struct flow_peer *peer_out)
{
	bool mx = strcmp(listener, "mx") == 0, implicit = strcmp(listener, "submissions") == 0;
	struct fake_smtp *f;

	if (!mx && !implicit && strcmp(listener, "submission") != 0)
		return NULL;
	f = mem_zalloc(sizeof(*f));
	fake_smtp_init(f, mx ? SMTP_KIND_MX : SMTP_KIND_SUBMISSION);
	f->rules.starttls = !implicit;
	f->rules.early_refused = mx;
	fake_smtp_start(f);
	if (implicit)
		fake_smtp_tls(f);
	*peer_out = (struct flow_peer){.out = &f->out, .closed = &f->closed};
	return f;
}

static void driver_feed(void *session, struct span bytes)
{
	fake_smtp_feed(session, bytes);
}

static void driver_tick(void *session, uint64_t later_ms)
{
	fake_smtp_tick(session, later_ms);
}

static bool driver_tls_done(void *session)
{
	struct fake_smtp *f = session;

	if (!f->want_tls)
		return false;
	fake_smtp_tls(f);
	return true;
}

static void driver_stop(void *session)
{
	fake_smtp_clear(session);
	free(session);
}

const struct flow_driver flow_driver_smtp = {
	.name = "smtp",
	.start = driver_start,
	.feed = driver_feed,
	.tick = driver_tick,
	.tls_done = driver_tls_done,
	.stop = driver_stop,
};
