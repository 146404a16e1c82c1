#include "flow.h"

#include "base/mem.h"
#include "fake_smtp.h"

#include <stdlib.h>

static void *driver_start(const char *listener)
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
	return f;
}

static void driver_feed(void *session, struct span bytes)
{
	fake_smtp_feed(session, bytes);
}

static struct span driver_out(void *session)
{
	struct fake_smtp *f = session;

	return buf_span(&f->out);
}

static void driver_sent(void *session, size_t bytes)
{
	struct fake_smtp *f = session;

	buf_drop(&f->out, bytes);
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

static bool driver_closed(void *session)
{
	const struct fake_smtp *f = session;

	return f->closed;
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
	.out = driver_out,
	.sent = driver_sent,
	.tick = driver_tick,
	.tls_done = driver_tls_done,
	.closed = driver_closed,
	.stop = driver_stop,
};
