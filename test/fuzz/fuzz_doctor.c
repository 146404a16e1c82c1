/* What the doctor reads of strangers: first byte says which. Holds: what comes out is bounded and printable, nothing is read beyond. */
#include <stdlib.h>

#include "answer/doctor_autoconfig.h"
#include "answer/doctor_http.h"
#include "answer/doctor_record.h"
#include "answer/doctor_reply.h"
#include "answer/doctor_xwhy.h"

enum { MEMORY_BYTES = 1 << 20, SERVICES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void read_autoconfig(struct span text, struct arena *mem)
{
	struct doctor_service out[SERVICES];
	size_t count = 0;

	if (!doctor_autoconfig_read(text, "alice@example.org", mem, out, SERVICES, &count))
		return;
	must(count <= SERVICES);
	for (size_t i = 0; i < count; i++)
		must(out[i].port && out[i].protocol && out[i].host[0] && span_is_vchar(span_str(out[i].host)) &&
		     span_is_vchar(span_str(out[i].login)));
}

static void read_replies(struct span text)
{
	for (enum doctor_protocol p = DOCTOR_SMTP; p <= DOCTOR_IMAP; p++) {
		struct doctor_offer o;
		bool last;

		doctor_offer_init(&o);
		doctor_offer_read(&o, p, text);
		must(o.auth.len <= DOCTOR_AUTH_BYTES && !o.auth.overflow);
		(void)doctor_reply_code(p, text, &last);
		doctor_offer_clear(&o);
	}
	must(span_is_ascii(doctor_greeting_host(text)));
	(void)doctor_greeting_protocol(doctor_greeting_kind(text));
}

static void read_events(struct span text, struct arena *mem)
{
	struct doctor_event e[DOCTOR_EVENTS];
	size_t count = doctor_xwhy_read(text, mem, e, DOCTOR_EVENTS);

	must(count <= DOCTOR_EVENTS);
	for (size_t i = 0; i < count; i++) {
		must(span_is_vchar(span_str(e[i].slug)) && strlen(e[i].slug) <= DOCTOR_SLUG_BYTES && e[i].code <= 599);
		for (const char *c = e[i].detail; *c; c++)
			must(*c >= ' ' && *c <= '~');
	}
}

static void read_records(struct span data, struct arena *mem)
{
	struct doctor_record r = {.target = ""};

	if (doctor_record_srv(data, mem, &r) || doctor_record_mx(data, mem, &r))
		must(!r.target[0] || span_is_vchar(span_str(r.target)));
}

static void read_web(struct span text, struct arena *mem)
{
	struct doctor_http http;
	struct doctor_url url;
	int64_t ms;

	if (doctor_http_read(text, &http))
		must(http.body.ptr >= text.ptr && http.body.ptr + http.body.len <= text.ptr + text.len);
	if (doctor_url_read(text, mem, &url))
		must(url.host[0] && url.path[0] == '/' && url.port);
	if (doctor_date_find(text, &ms))
		must(ms % 1000 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text;
	struct arena mem;

	if (size < 1)
		return 0;
	text = span_of(data + 1, size - 1);
	arena_init(&mem, MEMORY_BYTES);
	switch (data[0] % 5) {
	case 0:
		read_autoconfig(text, &mem);
		break;
	case 1:
		read_replies(text);
		break;
	case 2:
		read_events(text, &mem);
		break;
	case 3:
		read_records(text, &mem);
		break;
	default:
		read_web(text, &mem);
		break;
	}
	arena_clear(&mem);
	return 0;
}
