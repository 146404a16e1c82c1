/* The domain's own word on its servers: config-v1.1.xml, from autoconfig.DOMAIN and from DOMAIN itself, first encrypted, then not. */
#include "answer/doctor_autoconfig.h"
#include "answer/doctor_http.h"
#include "answer/doctor_record.h"
#include "answer/doctor_reply.h"
#include "cli/cli_doctor_dns.h"
#include "cli/cli_doctor_wire.h"

enum { FETCH_REDIRECTS = 3, FETCH_REQUEST_BYTES = 2048, FETCH_WAIT_MS = 5000, FETCH_URL_BYTES = 1024 };

void doctor_note_date(struct doctor *d, struct span text, const char *whose)
{
	int64_t wall_ms;

	if (!doctor_date_find(text, &wall_ms))
		return;
	d->facts.clock_known = true;
	d->facts.clock_ahead_ms = clock_wall_ms() - wall_ms;
	d->facts.clock_from = doctor_keep(d, whose);
}

/* one request over w; the answer is in w->in */
static bool fetch_ask(struct doctor_wire *w, const struct doctor_host *host, const struct doctor_url *url)
{
	struct buf request, words, wrong;
	bool fine = true;

	buf_init(&request, FETCH_REQUEST_BYTES);
	buf_init(&words, DOCTOR_TEXT_BYTES * 2);
	buf_init(&wrong, DOCTOR_TEXT_BYTES * 2);
	if (doctor_wire_dial(w, host, url->port, DOCTOR_CONNECT_DROPPED_MS) != DOCTOR_OPEN)
		fine = false;
	/* a certificate that is not good says nothing about the mail servers: the file is only not taken */
	if (fine && url->tls)
		fine = doctor_wire_tls(w, url->host) == DOCTOR_WIRE_OK && !doctor_wire_certificate(w, url->host, &words, &wrong).slug;
	buf_printf(&request, "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: mailroom-doctor\r\nAccept: text/xml, application/xml\r\n\r\n",
		   url->path, url->host);
	fine = fine && !request.overflow && doctor_wire_send(w, buf_span(&request)) == DOCTOR_WIRE_OK &&
	       doctor_wire_rest(w, doctor_wire_deadline(w)) == DOCTOR_WIRE_OK;
	buf_clear(&request);
	buf_clear(&words);
	buf_clear(&wrong);
	return fine;
}

/* A page of somebody else where the file was looked for: the network's own sign-in page. Only what went in the clear can be caught so. */
static void fetch_note_portal(struct doctor *d, const char *asked, const struct doctor_url *got, const struct doctor_http *http)
{
	bool page = http->status == 200 && span_starts_nocase(http->type, SPAN_LIT("text/html")) &&
		    !doctor_is_below(got->host, doctor_domain(d));
	struct buf words;

	if (d->facts.portal[0] || (!page && http->status != 511)) /* RFC 6585 6 */
		return;
	buf_init(&words, DOCTOR_TEXT_BYTES);
	buf_printf(&words, "a request to http://%s was answered with a page of %s", asked, http->status == 511 ? "the network" : got->host);
	d->facts.portal = doctor_keep(d, buf_cstr(&words));
	buf_clear(&words);
}

static void fetch_take(struct doctor *d, struct span xml, bool secure)
{
	struct doctor_facts *f = &d->facts;
	struct doctor_service *to = &f->services[f->service_count];
	size_t count = 0;

	if (!doctor_autoconfig_read(xml, f->address, d->mem, to, DOCTOR_SERVICES - f->service_count, &count))
		return;
	for (size_t i = 0; i < count; i++)
		to[i].secure = secure;
	f->service_count += count;
}

/* true: something was taken */
static bool fetch_url(struct doctor *d, const char *text)
{
	size_t before = d->facts.service_count;
	struct doctor_url url, to;
	bool secure = true, again = doctor_url_read(span_str(text), d->mem, &url);
	const char *asked = again ? url.host : "";

	for (int hop = 0; again && hop <= FETCH_REDIRECTS && clock_mono_ms() < d->end; hop++) {
		struct doctor_host host = {.name = url.host};
		struct doctor_http http = {0};
		struct doctor_wire w;

		again = false;
		doctor_progress("fetching the settings that %s publishes", url.host);
		doctor_dns_addresses(d->dns, &host);
		if (!host.address_count)
			break;
		secure = secure && url.tls;
		doctor_wire_init(&w, d->wait_ms < FETCH_WAIT_MS ? d->wait_ms : FETCH_WAIT_MS, d->end);
		if (fetch_ask(&w, &host, &url) && doctor_http_read(buf_span(&w.in), &http)) {
			doctor_note_date(d, http.date, url.host);
			again = http.status / 100 == 3 && doctor_url_read(http.location, d->mem, &to);
			if (http.status == 200)
				fetch_take(d, http.body, secure);
			if (!secure)
				fetch_note_portal(d, asked, &url, &http);
		}
		doctor_wire_clear(&w);
		if (again)
			url = to;
	}
	return d->facts.service_count > before;
}

void doctor_fetch_autoconfig(struct doctor *d)
{
	static const char *const places[] = {
		"https://autoconfig.%s/mail/config-v1.1.xml", "https://%s/.well-known/autoconfig/mail/config-v1.1.xml",
		"http://autoconfig.%s/mail/config-v1.1.xml", "http://%s/.well-known/autoconfig/mail/config-v1.1.xml"};
	char url[FETCH_URL_BYTES];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(url, sizeof(url), places[i], doctor_domain(d)) < (int)sizeof(url) && fetch_url(d, url))
			return;
}
