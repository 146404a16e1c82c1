#include "answer/doctor_autoconfig.h"

#include "base/num.h"

enum { XML_VALUE_BYTES = 512, XML_NAME_BYTES = 64 };

struct xml {
	struct span rest;
	struct span open[DOCTOR_XML_DEPTH]; /* names of the elements around */
	size_t depth;
	const char *address;
	struct arena *mem;
	struct buf value; /* text of the innermost element */
	bool seen;	  /* the outermost element */
	bool server;	  /* inside of one */
	struct doctor_service at;
	struct doctor_service *out;
	size_t max, count;
};

/* ---- text */

static bool xml_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span xml_trim(struct span s)
{
	while (s.len && xml_is_blank(s.ptr[0]))
		s = span_from(s, 1);
	while (s.len && xml_is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static void xml_add_rune(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_byte(out, (uint8_t)c);
	} else if (c < 0x800) {
		buf_add_byte(out, (uint8_t)(0xc0 | c >> 6));
		buf_add_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_add_byte(out, (uint8_t)(0xe0 | c >> 12));
		buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_add_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_add_byte(out, (uint8_t)(0xf0 | c >> 18));
		buf_add_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_add_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* "#65", "#x41" */
static bool xml_number(struct span digits, uint32_t *out)
{
	bool hex = digits.len > 1 && digits.ptr[1] == 'x';
	uint32_t n = 0;
	size_t at = hex ? 2 : 1;

	if (at >= digits.len || digits.len - at > 7)
		return false;
	for (; at < digits.len; at++) {
		uint8_t c = byte_lower(digits.ptr[at]);

		if (byte_is_digit(c))
			n = n * (hex ? 16 : 10) + (uint32_t)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			n = n * 16 + (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = n;
	return n >= 0x20 && n <= 0x10ffff && (n < 0xd800 || n > 0xdfff);
}

static bool xml_entity(struct buf *out, struct span name)
{
	static const struct {
		const char *name;
		uint8_t c;
	} known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
	uint32_t rune;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_eq(name, span_str(known[i].name))) {
			buf_add_byte(out, known[i].c);
			return true;
		}
	if (!span_starts(name, SPAN_LIT("#")) || !xml_number(name, &rune))
		return false;
	xml_add_rune(out, rune);
	return true;
}

static bool xml_text(struct xml *x, struct span text)
{
	while (text.len) {
		size_t mark = span_find(text, '&'), end;

		buf_add(&x->value, span_head(text, mark));
		text = span_from(text, mark);
		if (!text.len)
			break;
		end = span_find(text, ';');
		if (end == text.len || !xml_entity(&x->value, span_of(text.ptr + 1, end - 1)))
			return false;
		text = span_from(text, end + 1);
	}
	return true;
}

/* ---- what it means */

static struct span xml_replace(const struct xml *x, struct span name)
{
	const char *at = strrchr(x->address, '@'); /* the last one parts them */
	struct span address = span_str(x->address), domain = span_str(at ? at + 1 : ""),
		    local = span_head(address, address.len - domain.len - (at ? 1 : 0));

	if (span_eq(name, SPAN_LIT("EMAILADDRESS")))
		return address;
	if (span_eq(name, SPAN_LIT("EMAILLOCALPART")))
		return local;
	return span_eq(name, SPAN_LIT("EMAILDOMAIN")) ? domain : SPAN_NONE;
}

/* the value with its place holders filled; "" where it is too long or not fit to be shown or sent */
static const char *xml_value(const struct xml *x, struct span value)
{
	const char *kept = NULL;
	struct buf text;

	buf_init(&text, XML_VALUE_BYTES);
	while (value.len) {
		size_t mark = span_find(value, '%'), end = span_find(span_from(value, mark + 1), '%');
		struct span filled = mark < value.len ? xml_replace(x, span_of(value.ptr + mark + 1, end)) : SPAN_NONE;

		buf_add(&text, span_head(value, mark + (filled.ptr || mark == value.len ? 0 : 1)));
		buf_add(&text, filled);
		value = span_from(value, filled.ptr ? mark + end + 2 : mark + 1);
	}
	if (!text.overflow && span_is_vchar(buf_span(&text)))
		kept = arena_str(x->mem, buf_span(&text));
	buf_clear(&text);
	return kept ? kept : "";
}

static enum doctor_security xml_security(struct span value)
{
	if (span_eq_nocase(value, SPAN_LIT("SSL")) || span_eq_nocase(value, SPAN_LIT("TLS")))
		return DOCTOR_TLS;
	return span_eq_nocase(value, SPAN_LIT("STARTTLS")) ? DOCTOR_STARTTLS : DOCTOR_NONE;
}

static void xml_field(struct xml *x, struct span name)
{
	struct span value = xml_trim(buf_span(&x->value));
	uint64_t port;

	if (x->value.overflow)
		return;
	if (span_eq(name, SPAN_LIT("hostname")))
		x->at.host = xml_value(x, value);
	else if (span_eq(name, SPAN_LIT("username")))
		x->at.login = xml_value(x, value);
	else if (span_eq(name, SPAN_LIT("socketType")))
		x->at.security = xml_security(value);
	else if (span_eq(name, SPAN_LIT("port")) && num_parse(value, UINT16_MAX, &port) == RC_OK)
		x->at.port = (uint16_t)port;
}

static enum doctor_protocol xml_protocol(struct span type)
{
	static const char *const names[] = {[DOCTOR_SMTP] = "smtp", [DOCTOR_POP3] = "pop3", [DOCTOR_IMAP] = "imap"};

	for (enum doctor_protocol p = DOCTOR_SMTP; p <= DOCTOR_IMAP; p++)
		if (span_eq_nocase(type, span_str(names[p])))
			return p;
	return DOCTOR_UNKNOWN;
}

static bool xml_is_server(struct span name)
{
	return span_eq(name, SPAN_LIT("incomingServer")) || span_eq(name, SPAN_LIT("outgoingServer"));
}

/* ---- elements */

static bool xml_name(struct span *s, struct span *name_out)
{
	size_t len = 0;

	while (len < s->len &&
	       (byte_is_alnum(s->ptr[len]) || s->ptr[len] == '_' || s->ptr[len] == '-' || s->ptr[len] == '.' || s->ptr[len] == ':'))
		len++;
	*name_out = span_head(*s, len);
	*s = span_of(s->ptr + len, s->len - len);
	return len && len <= XML_NAME_BYTES;
}

/* name="value" ... up to the end of the tag; type_out gets the one called "type" */
static bool xml_attributes(struct span s, struct span *type_out)
{
	for (s = xml_trim(s); s.len; s = xml_trim(s)) {
		struct span name;
		size_t end;

		if (!xml_name(&s, &name))
			return false;
		s = xml_trim(s);
		if (!span_starts(s, SPAN_LIT("=")))
			return false;
		s = xml_trim(span_from(s, 1));
		if (s.len < 2 || (s.ptr[0] != '"' && s.ptr[0] != '\''))
			return false;
		end = span_find(span_from(s, 1), s.ptr[0]);
		if (end + 1 == s.len)
			return false;
		if (span_eq(name, SPAN_LIT("type")))
			*type_out = span_of(s.ptr + 1, end);
		s = span_from(s, end + 2);
	}
	return true;
}

static bool xml_close(struct xml *x, struct span name)
{
	if (!x->depth || !span_eq(x->open[x->depth - 1], name))
		return false;
	x->depth--;
	if (x->server && xml_is_server(name)) {
		if (x->at.protocol && x->at.port && x->at.host[0] && x->count < x->max)
			x->out[x->count++] = x->at;
		x->server = false;
	} else if (x->server && xml_is_server(x->open[x->depth - 1])) {
		xml_field(x, name);
	}
	buf_reset(&x->value);
	return true;
}

static bool xml_open(struct xml *x, struct span tag)
{
	bool empty = tag.len && tag.ptr[tag.len - 1] == '/';
	struct span name, type = SPAN_NONE;

	tag.len -= empty;
	if (x->depth == DOCTOR_XML_DEPTH || !xml_name(&tag, &name) || (tag.len && !xml_is_blank(tag.ptr[0])) || !xml_attributes(tag, &type))
		return false;
	if (!x->depth && (x->seen || !span_eq(name, SPAN_LIT("clientConfig"))))
		return false;
	x->seen = true;
	x->open[x->depth++] = name;
	buf_reset(&x->value);
	if (xml_is_server(name) && !x->server) {
		x->server = true;
		x->at = (struct doctor_service){
			.protocol = xml_protocol(type), .security = DOCTOR_NONE, .source = DOCTOR_AUTOCONFIG, .host = "", .login = ""};
	}
	return !empty || xml_close(x, name);
}

/* where the tag ends: the first ">" outside of quotes */
static size_t xml_tag_end(struct span s)
{
	uint8_t quote = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (quote)
			quote = s.ptr[i] == quote ? 0 : quote;
		else if (s.ptr[i] == '"' || s.ptr[i] == '\'')
			quote = s.ptr[i];
		else if (s.ptr[i] == '>')
			return i;
	}
	return s.len;
}

/* what begins with "<"; false: malformed */
static bool xml_markup(struct xml *x)
{
	static const struct {
		const char *begin, *end;
	} skipped[] = {{"<?", "?>"}, {"<!--", "-->"}, {"<![CDATA[", "]]>"}};
	struct span tag;
	size_t end;

	for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
		struct span inside = span_from(x->rest, strlen(skipped[i].begin));

		if (!span_starts(x->rest, span_str(skipped[i].begin)))
			continue;
		end = span_find_span(inside, span_str(skipped[i].end));
		if (end == inside.len)
			return false;
		if (i == 2)
			buf_add(&x->value, span_head(inside, end));
		x->rest = span_from(inside, end + strlen(skipped[i].end));
		return true;
	}
	end = xml_tag_end(x->rest);
	if (end == x->rest.len || end < 2 || span_starts(x->rest, SPAN_LIT("<!")))
		return false;
	tag = span_of(x->rest.ptr + 1, end - 1);
	x->rest = span_from(x->rest, end + 1);
	return tag.ptr[0] == '/' ? xml_close(x, xml_trim(span_from(tag, 1))) : xml_open(x, tag);
}

bool doctor_autoconfig_read(struct span text, const char *address, struct arena *mem, struct doctor_service *out, size_t max,
			    size_t *count_out)
{
	struct xml x = {.rest = xml_trim(text), .address = address, .mem = mem, .out = out, .max = max};
	bool fine = text.len && text.len <= DOCTOR_XML_BYTES;

	if (span_starts(x.rest, SPAN_LIT("\xef\xbb\xbf")))
		x.rest = span_from(x.rest, 3);
	buf_init(&x.value, XML_VALUE_BYTES);
	while (fine && x.rest.len) {
		size_t mark = span_find(x.rest, '<');
		struct span before = span_head(x.rest, mark);

		fine = x.depth ? xml_text(&x, before) : !xml_trim(before).len;
		x.rest = span_from(x.rest, mark);
		if (fine && x.rest.len)
			fine = xml_markup(&x);
	}
	buf_clear(&x.value);
	fine = fine && x.seen && !x.depth;
	if (fine)
		*count_out = x.count;
	return fine;
}
