#include "conf/conf_internal.h"

/* ---- the configuration itself */

static void conf_write_section(enum conf_section_id id, const void *base, struct buf *out)
{
	for (size_t i = 0; i < conf_setting_count; i++) {
		if (conf_settings[i].section != id)
			continue;
		if (conf_settings[i].type == CONF_BOOL && conf_settings[i].offset == offsetof(struct conf_listener, tls_required) && id == CONF_SECTION_LISTENER &&
			((const struct conf_listener *)base)->kind == CONF_POP3)
			continue; /* not a setting of these */
		if (id == CONF_SECTION_LISTENER && strcmp(conf_settings[i].name, "auth") == 0 && ((const struct conf_listener *)base)->kind == CONF_POP3)
			continue;
		if (id == CONF_SECTION_LISTENER && strcmp(conf_settings[i].name, "certificate") == 0 && ((const struct conf_listener *)base)->tls == CONF_TLS_NONE)
			continue;
		buf_printf(out, "%s%s = ", id == CONF_SECTION_TOP ? "" : "\t", conf_settings[i].name);
		conf_setting_write(&conf_settings[i], base, out);
		buf_add_byte(out, '\n');
	}
}

static void conf_write_titled(enum conf_section_id id, const char *title, const void *base, struct buf *out)
{
	buf_printf(out, "%s ", conf_sections[id].name);
	conf_quote(out, span_str(title));
	buf_add_str(out, " {\n");
	conf_write_section(id, base, out);
	buf_add_str(out, "}\n");
}

void conf_write(const struct conf *c, struct buf *out)
{
	conf_write_section(CONF_SECTION_TOP, c, out);
	for (int i = 1; i < CONF_SECTION_COUNT; i++) {
		if (conf_sections[i].titled)
			continue;
		buf_printf(out, "%s {\n", conf_sections[i].name);
		conf_write_section((enum conf_section_id)i, c, out);
		buf_add_str(out, "}\n");
	}
	for (size_t i = 0; i < c->certificate_count; i++)
		conf_write_titled(CONF_SECTION_CERTIFICATE, c->certificates[i].name, &c->certificates[i], out);
	for (size_t i = 0; i < c->network_count; i++)
		conf_write_titled(CONF_SECTION_NETWORK, c->networks[i].name, &c->networks[i], out);
	for (size_t i = 0; i < c->smarthost_count; i++)
		conf_write_titled(CONF_SECTION_SMARTHOST, c->smarthosts[i].name, &c->smarthosts[i], out);
	for (size_t i = 0; i < c->route_count; i++)
		conf_write_titled(CONF_SECTION_ROUTE, c->routes[i].name, &c->routes[i], out);
	for (size_t i = 0; i < c->listener_count; i++)
		conf_write_titled(CONF_SECTION_LISTENER, c->listeners[i].name, &c->listeners[i], out);
}

/* ---- words about it */

static bool conf_type_quoted(enum conf_type type)
{
	return type >= CONF_IP && type != CONF_PORT;
}

/* the default as one would write it */
static void conf_default_write(const struct conf_setting *s, const char *value, struct buf *out)
{
	if (conf_type_quoted(s->type))
		conf_quote(out, span_str(value));
	else
		buf_add_str(out, value);
}

/* text in lines of at most 100 columns, each after prefix */
static void conf_wrap(struct buf *out, const char *prefix, const char *text)
{
	size_t column = 0;
	struct span rest = span_str(text);

	while (rest.ptr) {
		struct span word = span_cut(&rest, ' ');

		if (column == 0 || column + word.len + 1 > 100) {
			buf_printf(out, "%s%s ", column ? "\n" : "", prefix);
			column = strlen(prefix) + 1;
		} else {
			buf_add_byte(out, ' ');
			column++;
		}
		buf_add(out, word);
		column += word.len;
	}
	buf_add_byte(out, '\n');
}

/* what may stand there: "64KB to 4GB", "yes or no", ... ; false: words of the type say enough */
static bool conf_range_write(const struct conf_setting *s, struct buf *out)
{
	struct { uint64_t n; } least = {s->least}, most = {s->most};
	struct conf_setting as_number = *s;

	if (s->type == CONF_BOOL) {
		buf_add_str(out, "yes or no");
	} else if (s->type == CONF_CHOICE) {
		for (size_t i = 0; s->choices[i]; i++)
			buf_printf(out, "%s%s", i == 0 ? "" : s->choices[i + 1] ? ", " : " or ", s->choices[i]);
	} else if (!conf_type_quoted(s->type)) {
		as_number.offset = 0;
		as_number.width = sizeof(uint64_t);
		conf_setting_write(&as_number, &least, out);
		buf_add_str(out, " to ");
		conf_setting_write(&as_number, &most, out);
	} else {
		return false;
	}
	return true;
}

static void conf_sample_setting(const struct conf_setting *s, const char *indent, const char *value, struct buf *out)
{
	char prefix[8];
	struct buf words;

	(void)snprintf(prefix, sizeof(prefix), "%s#", indent);
	buf_init(&words, 2048);
	buf_add_str(&words, s->words);
	buf_add_str(&words, " (");
	if (conf_range_write(s, &words))
		buf_add_byte(&words, ')');
	else
		words.len -= 2;
	conf_wrap(out, prefix, buf_cstr(&words));
	buf_clear(&words);
	buf_printf(out, "%s%s%s = ", indent, value ? "" : "#", s->name);
	if (!value && !s->def[0] && !conf_type_quoted(s->type))
		buf_add_str(out, s->type == CONF_CHOICE ? s->choices[0] : s->type == CONF_PORT ? "25" : "yes");
	else
		conf_default_write(s, value ? value : s->def, out);
	buf_add_byte(out, '\n');
}

static void conf_sample_listeners(struct buf *out)
{
	buf_add_str(out, "# The listeners that are used as long as this file names none:\n");
	for (size_t i = 0; i < conf_default_listener_count; i++) {
		const struct conf_listener *l = &conf_default_listeners[i];

		buf_printf(out, "#listener %s { kind = %s address = 127.0.0.1 port = %u tls = %s }\n", l->name, conf_kinds[l->kind], l->port, conf_tls_names[l->tls]);
	}
	buf_add_str(out, "#\n# A public server has these instead:\n"
		"#listener mx { kind = mx address = 0.0.0.0 port = 25 }\n"
		"#listener submissions { kind = submission address = 0.0.0.0 port = 465 tls = implicit }\n"
		"#listener submission { kind = submission address = 0.0.0.0 port = 587 }\n"
		"#listener pop3s { kind = pop3 address = 0.0.0.0 port = 995 tls = implicit }\n\n"
		"# All that a listener can say:\n");
}

void conf_write_sample_for(struct buf *out, const char *hostname, const char *default_domain)
{
	buf_add_str(out, "# mailroom.conf - every setting with its default. A line that begins with # is a comment: a setting that is left\n"
		"# so has its default. `mailroom check` reads this file and says what is wrong with it. See mailroom.conf(5).\n"
		"# Durations have a unit (ms s min h d), sizes may have one (KB MB GB, powers of 1024).\n"
		"# include(\"more.conf\") reads another file, named relative to this one.\n\n");
	for (int id = 0; id < CONF_SECTION_COUNT; id++) {
		bool titled = conf_sections[id].titled;

		if (id != CONF_SECTION_TOP)
			conf_wrap(out, "#", conf_sections[id].words);
		if (id == CONF_SECTION_LISTENER)
			conf_sample_listeners(out);
		if (id != CONF_SECTION_TOP)
			buf_printf(out, "%s%s%s {\n", titled ? "#" : "", conf_sections[id].name, titled ? id == CONF_SECTION_CERTIFICATE ? " default" : " NAME" : "");
		for (size_t i = 0; i < conf_setting_count; i++) {
			const struct conf_setting *s = &conf_settings[i];
			const char *value = NULL;

			if ((int)s->section != id || !s->words[0])
				continue;
			if (strcmp(s->name, "hostname") == 0)
				value = hostname;
			else if (strcmp(s->name, "default-domain") == 0)
				value = default_domain;
			conf_sample_setting(s, titled ? "#\t" : id == CONF_SECTION_TOP ? "" : "\t", value, out);
		}
		if (id != CONF_SECTION_TOP)
			buf_printf(out, "%s}\n", titled ? "#" : "");
		buf_add_byte(out, '\n');
	}
}

void conf_write_sample(struct buf *out)
{
	conf_write_sample_for(out, NULL, NULL);
}

/* ---- manual page: mdoc text, one line a sentence, nothing that troff would take for its own */

static void conf_man_text(struct buf *out, const char *text)
{
	struct span rest = span_str(text);
	size_t column = 0;
	bool ended = false;

	while (rest.ptr) {
		struct span word = span_cut(&rest, ' ');

		if (column && (column + word.len > 72 || (ended && word.len && word.ptr[0] >= 'A' && word.ptr[0] <= 'Z')))
			column = 0;
		buf_add_str(out, out->len == 0 || out->ptr[out->len - 1] == '\n' ? "" : column ? " " : "\n");
		for (size_t i = 0; i < word.len; i++) {
			if (word.ptr[i] == '-' || word.ptr[i] == '\\')
				buf_add_byte(out, '\\');
			buf_add_byte(out, word.ptr[i] == '\\' ? 'e' : word.ptr[i]);
		}
		column += word.len + 1;
		ended = word.len && word.ptr[word.len - 1] == '.';
	}
	buf_add_byte(out, '\n');
}

static void conf_man_setting(const struct conf_setting *s, struct buf *out)
{
	static const char *const kinds[] = {[CONF_INT] = "number", [CONF_BOOL] = "yes | no", [CONF_DURATION] = "duration", [CONF_SIZE] = "size", [CONF_CHOICE] = "word",
		[CONF_IP] = "address", [CONF_PORT] = "port", [CONF_HOST] = "host", [CONF_DOMAIN] = "domain", [CONF_PATH] = "file", [CONF_NAME] = "name",
		[CONF_MECHANISMS] = "names", [CONF_NETWORKS] = "networks", [CONF_RATES] = "rates", [CONF_NAMES] = "names", [CONF_DOMAINS] = "domains",
		[CONF_TEXT] = "text", [CONF_HOP] = "host", [CONF_PATTERNS] = "domains", [CONF_HOPS_LIST] = "hosts", [CONF_SERVERS] = "addresses",
		[CONF_STUBS] = "zones"};
	struct buf value;

	buf_init(&value, 2048);
	buf_printf(out, ".It Ic %s No = Ar %s\n", s->name, kinds[s->type]);
	conf_man_text(out, s->words);
	buf_add_str(&value, "Takes ");
	if (conf_range_write(s, &value)) {
		buf_add_byte(&value, '.');
		conf_man_text(out, buf_cstr(&value));
	}
	if (s->def[0]) {
		buf_reset(&value);
		buf_add_str(&value, "Default: ");
		conf_default_write(s, s->def, &value);
		buf_add_byte(&value, '.');
		conf_man_text(out, buf_cstr(&value));
	}
	buf_clear(&value);
}

void conf_write_man(struct buf *out)
{
	for (int id = 0; id < CONF_SECTION_COUNT; id++) {
		const struct conf_section *section = &conf_sections[id];

		if (id == CONF_SECTION_TOP)
			buf_add_str(out, ".Ss Outside of all sections\n");
		else
			buf_printf(out, ".Ss %s%s { ... }\n", section->name, section->titled ? " NAME" : "");
		if (section->words[0])
			conf_man_text(out, section->words);
		buf_add_str(out, ".Bl -tag -width Ds\n");
		for (size_t i = 0; i < conf_setting_count; i++)
			if ((int)conf_settings[i].section == id && conf_settings[i].words[0])
				conf_man_setting(&conf_settings[i], out);
		buf_add_str(out, ".El\n");
	}
}
