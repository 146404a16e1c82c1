#include "answer/doctor_http.h"

#include "base/num.h"

enum { URL_BYTES = 1024, HOST_BYTES = 255 };

static struct span http_line(struct span *rest)
{
	struct span line = span_cut(rest, '\n');

	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

bool doctor_http_read(struct span answer, struct doctor_http *out)
{
	const struct {
		struct span name;
		struct span *to;
	} fields[] = {{SPAN_LIT("location"), &out->location}, {SPAN_LIT("date"), &out->date}, {SPAN_LIT("content-type"), &out->type}};
	struct span rest = answer, line = http_line(&rest);
	uint64_t status;

	if (!span_starts(line, SPAN_LIT("HTTP/1.")) || line.len < 12 || num_parse(span_of(line.ptr + 9, 3), 999, &status) != RC_OK)
		return false;
	*out = (struct doctor_http){.status = (unsigned)status};
	while (rest.ptr) {
		struct span value = http_line(&rest), name;

		if (!value.len) {
			out->body = rest;
			return rest.ptr != NULL;
		}
		name = span_cut(&value, ':');
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (span_eq_nocase(name, fields[i].name))
				*fields[i].to = span_trim(value);
	}
	return false;
}

static bool url_is_host(struct span host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!byte_is_alnum(host.ptr[i]) && host.ptr[i] != '-' && host.ptr[i] != '.' && host.ptr[i] != '_')
			return false;
	return host.len && host.len <= HOST_BYTES;
}

bool doctor_url_read(struct span text, struct arena *mem, struct doctor_url *out)
{
	struct doctor_url url = {.tls = span_starts_nocase(text, SPAN_LIT("https://"))};
	struct span rest, host, port;
	uint64_t number = url.tls ? 443 : 80;
	size_t slash;

	if ((!url.tls && !span_starts_nocase(text, SPAN_LIT("http://"))) || text.len > URL_BYTES || !span_is_vchar(text))
		return false;
	rest = span_from(text, url.tls ? 8 : 7);
	rest = span_head(rest, span_find(rest, '#'));
	slash = span_find(rest, '/');
	port = span_head(rest, slash);
	host = span_cut(&port, ':');
	if (!url_is_host(host) || (port.ptr && (num_parse(port, UINT16_MAX, &number) != RC_OK || !number)))
		return false;
	url.port = (uint16_t)number;
	url.host = arena_str(mem, host);
	url.path = slash < rest.len ? arena_str(mem, span_from(rest, slash)) : "/";
	if (!url.host || !url.path)
		return false;
	*out = url;
	return true;
}
