#include "conf/conf_internal.h"

#include <confuse.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

/* libConfuse keeps its scanner in globals and gives callbacks no pointer of their own, so this is one too: one parse at a time */
static struct conf_reading {
	struct conf_draft *draft;
	const char *dir[CONF_FILES]; /* where relative includes of that open file begin */
	uint32_t open[CONF_FILES];   /* files being read, innermost last */
	uint32_t depth;
	struct conf_begun { const cfg_t *section; struct conf_place at; } *begun; /* complete sections and where they began */
	size_t begun_count;
	uint32_t *begin_lines;       /* of the sections of the innermost file, in order; the next one is */
	uint32_t begin_next;
	cfg_t *root;
	bool from_file;              /* not text that conf_write made */
	struct err *err;
	bool failed;
} *conf_reading;

static struct conf_place conf_here(const cfg_t *cfg)
{
	return (struct conf_place){conf_reading->open[conf_reading->depth - 1], (uint32_t)cfg->line};
}

/* A string option has no use for def.number: it keeps where the option was set, as file << 32 | line. */
static struct conf_place conf_opt_place(const cfg_opt_t *opt)
{
	return (struct conf_place){(uint32_t)((uint64_t)opt->def.number >> 32), (uint32_t)opt->def.number};
}

enum rc conf_draft_fail(const struct conf_draft *d, struct conf_place at, enum rc rc, struct err *err, const char *fmt, ...)
{
	struct err words;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words.words, sizeof(words.words), fmt, ap);
	va_end(ap);
	if (at.line)
		return err_set(err, rc, "%s:%u: %s", d->files[at.file], at.line, words.words);
	return err_set(err, rc, "%s: %s", d->files[0], words.words);
}

static int conf_stop(const cfg_t *cfg, const char *fmt, ...)
{
	struct err words;
	va_list ap;

	if (conf_reading->failed)
		return -1; /* the first complaint is the right one */
	va_start(ap, fmt);
	(void)vsnprintf(words.words, sizeof(words.words), fmt, ap);
	va_end(ap);
	conf_reading->failed = true;
	conf_draft_fail(conf_reading->draft, conf_here(cfg), RC_BAD, conf_reading->err, "%s", words.words);
	return -1;
}

static enum conf_section_id conf_section_of(const cfg_t *cfg)
{
	for (int i = 1; i < CONF_SECTION_COUNT; i++)
		if (strcmp(cfg_name((cfg_t *)cfg), conf_sections[i].name) == 0)
			return (enum conf_section_id)i;
	return CONF_SECTION_TOP;
}

/* `listener "mx"` / `limits` / "" */
static void conf_section_words(const cfg_t *cfg, struct buf *out)
{
	enum conf_section_id id = conf_section_of(cfg);

	buf_add_str(out, conf_sections[id].name);
	if (conf_sections[id].titled) {
		buf_add_str(out, " \"");
		buf_add_safe(out, span_str(cfg_title((cfg_t *)cfg)), CONF_NAME_BYTES);
		buf_add_byte(out, '"');
	}
}

/* "FILE:LINE: listener "mx": port: ..." for everything a value can be wrong with */
static int conf_value_cb(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct conf_setting *s = conf_setting_find(conf_section_of(cfg), opt->name);
	struct conf_place before = conf_opt_place(opt), here = conf_here(cfg);
	struct err why = {{0}};
	struct arena scratch;
	struct buf where;

	if (!s) /* libConfuse takes "limits|hops" at the top as a path into the section; we do not */
		return conf_stop(cfg, "%s: a setting stands inside the braces of its section", opt->name);
	arena_init(&scratch, 4 * CONF_VALUE_BYTES);
	buf_init(&where, 256);
	conf_section_words(cfg, &where);
	if (where.len)
		buf_add_str(&where, ": ");
	if (before.line)
		conf_stop(cfg, "%s%s: set before, on line %u of %s; once would be right", buf_cstr(&where), s->name, before.line,
			conf_reading->draft->files[before.file]);
	else if (conf_setting_read(s, span_str(value), conf_reading->draft->conf->home, &scratch, NULL, &why) != RC_OK)
		conf_stop(cfg, "%s%s: %s", buf_cstr(&where), s->name, why.words);
	buf_clear(&where);
	arena_clear(&scratch);
	opt->def.number = (long)((uint64_t)here.file << 32 | here.line);
	*(const char **)result = value;
	return conf_reading->failed ? -1 : 0;
}

/* ---- what libConfuse itself finds, in our words */

static void conf_unknown(cfg_t *cfg, const char *name)
{
	enum conf_section_id id = conf_section_of(cfg), other = CONF_SECTION_COUNT;
	const char *names[CONF_SETTINGS_MAX + CONF_SECTION_COUNT], *near;
	size_t count = 0;
	struct buf where, shown;

	for (size_t i = 0; i < conf_setting_count; i++) {
		if (!conf_settings[i].words[0])
			continue;
		if (conf_settings[i].section == id)
			names[count++] = conf_settings[i].name;
		else if (strcmp(conf_settings[i].name, name) == 0 && other == CONF_SECTION_COUNT)
			other = conf_settings[i].section;
	}
	for (int i = 1; i < CONF_SECTION_COUNT && id == CONF_SECTION_TOP; i++)
		names[count++] = conf_sections[i].name;
	near = conf_nearest(name, names, count);
	buf_init(&where, 256);
	buf_init(&shown, 1024);
	conf_section_words(cfg, &where);
	buf_printf(&where, "%s\"", where.len ? ": " : "");
	buf_add_safe(&where, span_str(name), 80);
	if (strcmp(name, "include") == 0)
		buf_add_str(&shown, " works only at the top of a configuration file, outside of all sections");
	else if (other == CONF_SECTION_TOP)
		buf_add_str(&shown, " is not a setting of this section; it stands outside of all sections");
	else if (other < CONF_SECTION_COUNT)
		buf_printf(&shown, " is not a setting here; it belongs into section %s { }", conf_sections[other].name);
	else if (near)
		buf_printf(&shown, " is not a setting; did you mean %s?", near);
	else
		buf_add_str(&shown, " is not a setting; see mailroom.conf(5) for all there are");
	conf_stop(cfg, "%s\"%s", buf_cstr(&where), buf_cstr(&shown));
	buf_clear(&where);
	buf_clear(&shown);
}

/* libConfuse's formats, each with one %s, and what we say instead */
static const struct {
	const char *theirs, *ours;
} conf_syntax[] = {
	{"unexpected token '%s'", "\"%s\" is not expected here; name = value, or a section with { } would be right"},
	{"missing equal sign after option '%s'", "%s: = and a value would be right here"},
	{"attempt to append to non-list option '%s'", "%s: += is not for this setting; = would be right"},
	{"missing opening brace for section '%s'", "%s: { would be right here"},
	{"missing title for section '%s'", "%s: a name would be right here, as in: listener mx { }"},
	{"found duplicate title '%s'", "there is one named \"%s\" already; a name of its own would be right"},
	{"missing parenthesis for function '%s'", "%s: a file name in parentheses would be right, as in: include(\"more.conf\")"},
	{"syntax error in call of function '%s'", "%s: one file name in parentheses would be right, as in: include(\"more.conf\")"},
	{"premature end of file", "the file ends in the middle of a setting%s"},
};

static void conf_error_cb(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct buf shown;
	char text[256];

	if (conf_reading->failed)
		return;
	if (strcmp(fmt, "no such option '%s'") == 0) {
		conf_unknown(cfg, va_arg(ap, const char *));
		return;
	}
	buf_init(&shown, 1024);
	for (size_t i = 0; i < sizeof(conf_syntax) / sizeof(conf_syntax[0]) && !shown.len; i++) {
		if (strcmp(fmt, conf_syntax[i].theirs) != 0)
			continue;
		if (strchr(fmt, '%'))
			buf_add_safe(&shown, span_str(va_arg(ap, const char *)), 80);
		(void)snprintf(text, sizeof(text), conf_syntax[i].ours, buf_cstr(&shown));
		conf_stop(cfg, "%s", text);
	}
	if (!conf_reading->failed) {
		(void)vsnprintf(text, sizeof(text), fmt, ap);
		buf_reset(&shown);
		buf_add_safe(&shown, span_str(text), 200);
		conf_stop(cfg, "%s", buf_cstr(&shown));
	}
	buf_clear(&shown);
}

/* ---- reading text, nested for includes */

static enum rc conf_read_text(struct span text, const char *name, const char *dir)
{
	struct conf_reading *r = conf_reading;
	struct conf_draft *d = r->draft;
	int line = r->root->line;
	uint32_t bad_line = 1, next = r->begin_next, *lines = r->begin_lines;
	struct err why;
	char *copy;
	FILE *in;

	d->files[d->file_count] = arena_str(d->mem, span_str(name));
	r->open[r->depth] = d->file_count++;
	r->dir[r->depth++] = dir;
	copy = mem_str_span(text);
	r->root->line = 1;
	r->begin_next = 0;
	r->begin_lines = mem_array(CONF_SECTIONS, sizeof(*r->begin_lines));
	if (conf_text_ready(copy, text.len, r->begin_lines, &bad_line, &why) != RC_OK) {
		r->root->line = (int)bad_line;
		conf_stop(r->root, "%s", why.words);
	} else if (text.len && (in = fmemopen(copy, text.len, "r")) != NULL) {
		/* an empty name for an option ("" = 1) fails without a word */
		if (cfg_parse_fp(r->root, in) != CFG_SUCCESS && !r->failed)
			conf_stop(r->root, "a name of a setting would be right here");
		fclose(in);
	}
	free(copy);
	free(r->begin_lines);
	r->begin_lines = lines;
	r->begin_next = next;
	r->depth--;
	r->root->line = line;
	return r->failed ? RC_BAD : RC_OK;
}

static int conf_include_cb(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct conf_reading *r = conf_reading;
	struct buf path, text;
	struct err why;
	char *dir = NULL;
	const char *slash;

	(void)opt;
	if (argc != 1)
		return conf_stop(cfg, "include: one file name in parentheses would be right");
	if (r->depth == CONF_FILES || r->draft->file_count == CONF_FILES)
		return conf_stop(cfg, "include: too many files; at most %d in all would be right", CONF_FILES);
	buf_init(&path, 2 * CONF_VALUE_BYTES);
	buf_init(&text, CONF_FILE_BYTES);
	buf_printf(&path, "%s%s%s", argv[0][0] == '/' ? "" : r->dir[r->depth - 1], argv[0][0] == '/' ? "" : "/", argv[0]);
	if (conf_file_read(buf_cstr(&path), &text, &why) != RC_OK) {
		conf_stop(cfg, "include: %s", why.words);
	} else {
		slash = strrchr(buf_cstr(&path), '/');
		dir = mem_str_span(span_of(path.ptr, (size_t)((const uint8_t *)slash - path.ptr)));
		(void)conf_read_text(buf_span(&text), buf_cstr(&path), dir); /* a failure shows in r->failed */
	}
	free(dir);
	buf_clear(&path);
	buf_clear(&text);
	return r->failed ? -1 : 0;
}

/* ---- from libConfuse's tree to struct conf */

static void conf_take(struct conf_draft *d, enum conf_section_id id, cfg_t *sec, void *base, struct conf_places *places)
{
	for (size_t i = 0; i < conf_setting_count; i++) {
		const struct conf_setting *s = &conf_settings[i];
		cfg_opt_t *opt;

		if (s->section != id || (!s->words[0] && conf_reading->from_file))
			continue;
		opt = cfg_getopt(sec, s->name);
		if (opt && cfg_opt_size(opt)) { /* checked by conf_value_cb already */
			places->at[i] = conf_opt_place(opt);
			(void)!conf_setting_read(s, span_str(cfg_opt_getnstr(opt, 0)), d->conf->home, d->mem, base, NULL);
		} else if (s->words[0] && (s->def[0] || (s->type >= CONF_IP && s->type != CONF_PORT))) {
			(void)!conf_setting_read(s, span_str(s->def), d->conf->home, d->mem, base, NULL);
		}
	}
}

static enum rc conf_take_titled(struct conf_draft *d, cfg_t *root, enum conf_section_id id, size_t max, size_t bytes, void **list_out,
	size_t *count_out, struct conf_places **places_out, struct err *err)
{
	const char *name = conf_sections[id].name;
	size_t count = cfg_size(root, name);
	struct conf_places *places = arena_zalloc(d->mem, (count + 1) * sizeof(*places));
	char *list = arena_zalloc(d->mem, (count + 8) * bytes);

	if (count > max || !places || !list)
		return conf_draft_fail(d, (struct conf_place){0}, RC_BAD, err, "%zu %s sections are too many; at most %zu would be right", count, name, max);
	for (size_t i = 0; i < count; i++) {
		cfg_t *sec = cfg_getnsec(root, name, (unsigned)i);
		const char *title = arena_str(d->mem, span_str(cfg_title(sec)));

		/* these structures begin with their title */
		memcpy(list + i * bytes, &title, sizeof(title));
		conf_take(d, id, sec, list + i * bytes, &places[i]);
		for (size_t k = 0; k < conf_reading->begun_count; k++)
			if (conf_reading->begun[k].section == sec)
				places[i].section = conf_reading->begun[k].at;
	}
	*list_out = list;
	*count_out = count;
	*places_out = places;
	return RC_OK;
}

_Static_assert(offsetof(struct conf_listener, name) == 0 && offsetof(struct conf_certificate, name) == 0 &&
	offsetof(struct conf_network, name) == 0 && offsetof(struct conf_smarthost, name) == 0 && offsetof(struct conf_route, name) == 0, "titles come first");

/* A section is complete. libConfuse keeps only where it ends; sections do not nest, so the n-th complete one is the n-th that conf_text_ready saw begin. */
static int conf_section_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf_reading *r = conf_reading;
	cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	uint32_t line = r->begin_lines[r->begin_next++];

	r->begun[r->begun_count++] = (struct conf_begun){sec, {r->open[r->depth - 1], line}};
	if (cfg_title(sec) && !conf_name_ok(span_str(cfg_title(sec))))
		return cfg->line = (int)line, conf_stop(cfg, "%s: its name has to be up to 32 letters, digits, dots and hyphens", opt->name);
	return 0;
}

static enum rc conf_take_all(struct conf_draft *d, cfg_t *root, struct err *err)
{
	void *listeners, *certificates, *networks, *smarthosts, *routes;

	for (int i = 0; i < CONF_SECTION_COUNT; i++)
		if (!conf_sections[i].titled)
			conf_take(d, (enum conf_section_id)i, i == CONF_SECTION_TOP ? root : cfg_getsec(root, conf_sections[i].name), d->conf, &d->top);
	if (conf_take_titled(d, root, CONF_SECTION_LISTENER, CONF_LISTENERS, sizeof(struct conf_listener), &listeners, &d->conf->listener_count,
			&d->listeners, err) != RC_OK ||
		conf_take_titled(d, root, CONF_SECTION_CERTIFICATE, CONF_CERTIFICATES, sizeof(struct conf_certificate), &certificates,
			&d->conf->certificate_count, &d->certificates, err) != RC_OK ||
		conf_take_titled(d, root, CONF_SECTION_NETWORK, CONF_NETWORKS_MAX, sizeof(struct conf_network), &networks, &d->conf->network_count, &d->networks,
			err) != RC_OK ||
		conf_take_titled(d, root, CONF_SECTION_SMARTHOST, CONF_SMARTHOSTS, sizeof(struct conf_smarthost), &smarthosts, &d->conf->smarthost_count,
			&d->smarthosts, err) != RC_OK ||
		conf_take_titled(d, root, CONF_SECTION_ROUTE, CONF_ROUTES, sizeof(struct conf_route), &routes, &d->conf->route_count, &d->routes, err) != RC_OK)
		return RC_BAD;
	d->conf->smarthosts = smarthosts;
	d->conf->routes = routes;
	d->conf->networks = networks;
	d->conf->listeners = listeners;
	d->conf->certificates = certificates;
	return d->mem->overflow ? conf_draft_fail(d, (struct conf_place){0}, RC_BAD, err, "the configuration is too large") : RC_OK;
}

enum { CONF_OPTS = CONF_SETTINGS_MAX + 2 * CONF_SECTION_COUNT + 2 };

/* fills opts with the settings of every section; sections get a run of their own. Returns the root's options. */
static void conf_opts_make(cfg_opt_t *opts, cfg_opt_t **root_out, bool from_file)
{
	cfg_opt_t *runs[CONF_SECTION_COUNT], *next = opts;

	for (int id = CONF_SECTION_COUNT - 1; id >= 0; id--) {
		runs[id] = next;
		for (size_t i = 0; i < conf_setting_count; i++)
			if ((int)conf_settings[i].section == id && (conf_settings[i].words[0] || !from_file))
				*next++ = (cfg_opt_t)CFG_STR_CB(conf_settings[i].name, NULL, CFGF_NODEFAULT, conf_value_cb);
		for (int sub = 1; sub < CONF_SECTION_COUNT && id == CONF_SECTION_TOP; sub++) {
			*next = (cfg_opt_t)CFG_SEC(conf_sections[sub].name, runs[sub], CFGF_NONE);
			if (conf_sections[sub].titled)
				next->flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
			next->validcb = conf_section_cb;
			next++;
		}
		if (id == CONF_SECTION_TOP && from_file)
			*next++ = (cfg_opt_t)CFG_FUNC("include", conf_include_cb);
		*next++ = (cfg_opt_t)CFG_END();
	}
	*root_out = runs[CONF_SECTION_TOP];
}

enum rc conf_draft_parse(struct conf_draft *d, struct span text, const char *name, const char *dir, struct err *err)
{
	cfg_opt_t opts[CONF_OPTS], *root_opts;
	struct conf_reading r = {.draft = d, .from_file = dir != NULL, .err = err};
	enum rc rc = RC_BAD;

	r.begun = mem_array((size_t)CONF_FILES * CONF_SECTIONS, sizeof(*r.begun));
	conf_opts_make(opts, &root_opts, r.from_file);
	conf_reading = &r;
	r.root = cfg_init(root_opts, CFGF_NONE);
	if (r.root) {
		cfg_set_error_function(r.root, conf_error_cb);
		rc = conf_read_text(text, name, dir);
		if (rc == RC_OK)
			rc = conf_take_all(d, r.root, err);
		cfg_free(r.root);
	} else {
		rc = err_set(err, RC_IO, "libConfuse cannot start");
	}
	free(r.begun);
	conf_reading = NULL;
	return rc;
}
