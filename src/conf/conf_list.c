/* Settings that hold several values with blanks between them: networks, rates, names of sections, domains. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "conf/conf_setting.h"
#include "mail/address.h"

static struct span conf_word(struct span *rest)
{
	struct span word = SPAN_NONE;

	while (rest->ptr && word.len == 0)
		word = span_cut(rest, ' ');
	return word;
}

bool conf_list_next(const char **rest, struct span *out)
{
	struct span all = span_str(*rest), word = conf_word(&all);

	*rest = all.ptr ? (const char *)all.ptr : "";
	*out = word;
	return word.len > 0;
}

/* ---- networks */

static enum rc conf_prefix_read(struct span word, struct net_prefix *out, struct err *err)
{
	enum rc rc = net_prefix_parse(word, out);

	if (rc == RC_LIMIT)
		return conf_bad(err, word, "has bits behind its prefix", "the first address of the network, as in 10.0.0.0/8,");
	if (rc != RC_OK)
		return conf_bad(err, word, "is no address and no network", "one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48");
	return RC_OK;
}

static enum rc conf_networks_read(struct span text, struct arena *mem, struct net_list *to, struct err *err)
{
	struct net_prefix *list = mem_array(CONF_PREFIXES, sizeof(*list)), *copy;
	struct span rest = text, word;
	enum rc rc = RC_OK;
	size_t n = 0;

	while (rc == RC_OK && (word = conf_word(&rest)).len) {
		if (n == CONF_PREFIXES)
			rc = conf_bad(err, word, "is one network too many", "at most 1024 in one setting");
		else
			rc = conf_prefix_read(word, &list[n++], err);
	}
	if (rc == RC_OK && to) {
		copy = arena_alloc(mem, (n + 1) * sizeof(*copy));
		if (copy) {
			memcpy(copy, list, n * sizeof(*copy));
			*to = (struct net_list){copy, n};
		}
	}
	free(list);
	return rc;
}

static void conf_networks_write(const struct net_list *l, struct buf *out)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < l->count; i++) {
		buf_add_str(out, i ? " " : "");
		net_prefix_write(out, &l->at[i]);
	}
	buf_add_byte(out, '"');
}

/* ---- rates: "30/10s 100/min 500/h 2000/day" */

static const struct {
	const char *name, *other;
} conf_rate_words[CONF_RATE_WINDOWS] = {{"10s", "10sec"}, {"min", "minute"}, {"h", "hour"}, {"day", "d"}};

static int conf_rate_window(struct span word)
{
	for (int i = 0; i < CONF_RATE_WINDOWS; i++)
		if (span_eq_nocase(word, span_str(conf_rate_words[i].name)) || span_eq_nocase(word, span_str(conf_rate_words[i].other)))
			return i;
	return -1;
}

enum rc conf_rates_parse(struct span text, struct conf_rates *out, struct err *err)
{
	struct conf_rates r = {{0}};
	struct span rest = text, word;

	while ((word = conf_word(&rest)).len) {
		size_t slash = span_find(word, '/');
		int window = conf_rate_window(span_from(word, slash + 1));
		uint64_t n = 0;

		if (window < 0 || num_parse(span_head(word, slash), UINT32_MAX / 2, &n) != RC_OK || n == 0)
			return conf_bad(err, word, "is no rate", "a number with /10s, /min, /h or /day behind it, such as 100/min,");
		if (r.most[window])
			return conf_bad(err, word, "is there twice", "each span of time once");
		r.most[window] = (uint32_t)n;
	}
	*out = r;
	return RC_OK;
}

void conf_rates_write(const struct conf_rates *r, struct buf *out)
{
	const char *blank = "";

	for (int i = 0; i < CONF_RATE_WINDOWS; i++)
		if (r->most[i]) {
			buf_printf(out, "%s%u/%s", blank, r->most[i], conf_rate_words[i].name);
			blank = " ";
		}
}

/* ---- names and domains: kept as text, one blank between them */

static bool conf_pattern_ok(struct span word)
{
	return span_eq(word, SPAN_LIT("*")) || conf_host_ok(word.ptr[0] == '.' ? span_from(word, 1) : word);
}

enum rc conf_hop_read(struct span word, struct conf_hop *out, struct err *err)
{
	struct span rest = word, host;
	struct net_address address;
	bool bracket = word.len && word.ptr[0] == '[';
	uint64_t port = 0;

	if (bracket)
		rest = span_from(rest, 1);
	host = span_cut(&rest, bracket ? ']' : ':');
	if (bracket && rest.len && rest.ptr[0] == ':')
		rest = span_from(rest, 1);
	else if (bracket && (rest.len || !rest.ptr))
		return conf_bad(err, word, "is not a server", "[192.0.2.1] or [2001:db8::1]:2525");
	if (rest.ptr && (rest.len || !bracket) && (num_parse(rest, 65535, &port) != RC_OK || port == 0))
		return conf_bad(err, word, "is not a server", "one with a port from 1 to 65535 behind it");
	if (bracket ? net_parse(host, &address) != RC_OK : !conf_host_ok(host))
		return conf_bad(err, word, "is not a server", "mail.example.org, mail.example.org:2525 or [192.0.2.1]:2525");
	*out = (struct conf_hop){.host = host, .port = (uint16_t)port, .is_address = bracket};
	return RC_OK;
}

/* ADDRESS or ADDRESS@PORT, as name servers are given */
static bool conf_server_ok(struct span word)
{
	size_t at = span_find(word, '@');
	struct net_address address;
	uint64_t port = 1;

	if (at < word.len && (num_parse(span_from(word, at + 1), 65535, &port) != RC_OK || port == 0))
		return false;
	return net_parse(span_head(word, at), &address) == RC_OK;
}

static enum rc conf_server_read(enum conf_type type, struct span all, struct span word, struct err *err)
{
	size_t at = span_find(word, '@');

	if (type == CONF_STUBS && (!conf_host_ok(span_head(word, at)) || !conf_server_ok(span_from(word, at + 1))))
		return conf_bad(err, word, "is not a zone and its server", "example.org@192.0.2.53 or example.org@192.0.2.53@5353");
	if (type == CONF_SERVERS && span_eq(word, SPAN_LIT("root")) && span_trim(all).len != word.len)
		return conf_bad(err, word, "has other resolvers beside it", "it alone, or only addresses");
	if (type == CONF_SERVERS && !span_eq(word, SPAN_LIT("root")) && !conf_server_ok(word))
		return conf_bad(err, word, "is not the address of a resolver", "192.0.2.53, 192.0.2.53@5353 or root");
	return RC_OK;
}

/* A name of a host with letters beyond ASCII as its A-labels, by which it is looked up; a dot in front and what follows ":" or "@" stay. In `room`, or the word
 * itself. */
static struct span conf_word_ascii(struct span word, struct buf *room)
{
	struct span name = word.ptr[0] == '.' ? span_from(word, 1) : word;
	size_t end = span_find(name, ':') < span_find(name, '@') ? span_find(name, ':') : span_find(name, '@');

	buf_reset(room);
	if (span_is_ascii(word))
		return word;
	if (word.ptr[0] == '.')
		buf_add_byte(room, '.');
	if (!address_domain_ascii(room, span_head(name, end)))
		return word;
	buf_add(room, span_from(name, end));
	return room->overflow ? word : buf_span(room);
}

static enum rc conf_words_read(enum conf_type type, struct span text, struct arena *mem, const char **to, struct err *err)
{
	struct span rest = text, word;
	struct buf words, ascii;
	enum rc rc = RC_OK;
	char *copy;

	buf_init(&words, CONF_VALUE_BYTES + 1);
	buf_init(&ascii, CONF_VALUE_BYTES);
	while (rc == RC_OK && (word = conf_word(&rest)).len) {
		struct conf_hop hop;

		if (type != CONF_NAMES)
			word = conf_word_ascii(word, &ascii);
		if (type == CONF_NAMES && !conf_name_ok(word))
			rc = conf_bad(err, word, "is not a name", "up to 32 letters, digits, dots and hyphens");
		else if (type == CONF_DOMAINS && !conf_host_ok(word))
			rc = conf_bad(err, word, "is not a domain", "one such as example.org");
		else if (type == CONF_PATTERNS && !conf_pattern_ok(word))
			rc = conf_bad(err, word, "is not a domain", "one such as example.org, .example.org for all below it, or *");
		else if (type == CONF_HOPS_LIST)
			rc = conf_hop_read(word, &hop, err);
		else if (type == CONF_SERVERS || type == CONF_STUBS)
			rc = conf_server_read(type, text, word, err);
		buf_add_str(&words, words.len ? " " : "");
		for (size_t i = 0; i < word.len; i++)
			buf_add_byte(&words, type != CONF_NAMES ? byte_lower(word.ptr[i]) : word.ptr[i]);
	}
	copy = rc == RC_OK ? arena_str(mem, buf_span(&words)) : NULL;
	if (copy && to)
		*to = copy;
	buf_clear(&ascii);
	buf_clear(&words);
	return rc;
}

/* ---- by type */

enum rc conf_list_read(enum conf_type type, struct span text, struct arena *mem, void *at, struct err *err)
{
	struct conf_rates rates;

	if (type == CONF_NETWORKS)
		return conf_networks_read(text, mem, at, err);
	if (type != CONF_RATES)
		return conf_words_read(type, text, mem, at, err);
	if (conf_rates_parse(text, &rates, err) != RC_OK)
		return RC_BAD;
	if (at)
		*(struct conf_rates *)at = rates;
	return RC_OK;
}

void conf_list_write(enum conf_type type, const void *at, struct buf *out)
{
	if (type == CONF_NETWORKS) {
		conf_networks_write(at, out);
		return;
	}
	buf_add_byte(out, '"');
	conf_rates_write(at, out);
	buf_add_byte(out, '"');
}
