#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "conf/conf_internal.h"

/* what `serve --listen` said; it holds for every later reading, so that a reload keeps it */
struct conf_override {
	char *listener, *address;
	uint16_t port;
	struct conf_override *next;
};
static struct conf_override *conf_overrides;

enum rc conf_override_listen(const char *text, struct err *err)
{
	static const struct conf_setting ip = {.type = CONF_IP, .name = "--listen"}, port = {.type = CONF_PORT, .least = 1, .most = 65535, .width = sizeof(uint16_t)};
	const char *equals = strchr(text, '='), *colon = strrchr(text, ':'), *address = NULL;
	uint16_t number = 0;
	struct span host;
	struct arena mem;
	struct conf_override *o;
	struct err why = {{0}};

	if (!equals || !colon || colon < equals)
		return err_set(err, RC_BAD, "--listen \"%.80s\": NAME=ADDRESS:PORT would be right, as in mx=127.0.0.1:2525 or mx=[::1]:2525", text);
	host = span_of(equals + 1, (size_t)(colon - equals - 1));
	if (host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = span_of(host.ptr + 1, host.len - 2);
	arena_init(&mem, 1024);
	if (conf_setting_read(&ip, host, "", &mem, &address, &why) != RC_OK || conf_setting_read(&port, span_str(colon + 1), "", &mem, &number, &why) != RC_OK) {
		arena_clear(&mem);
		return err_set(err, RC_BAD, "--listen: %s", why.words);
	}
	o = mem_zalloc(sizeof(*o));
	o->listener = mem_str_span(span_of(text, (size_t)(equals - text)));
	o->address = mem_str(address);
	o->port = number;
	o->next = conf_overrides;
	conf_overrides = o;
	arena_clear(&mem);
	return RC_OK;
}

static enum rc conf_override_apply(struct conf_draft *d, const struct conf_override *o, struct err *err)
{
	struct conf *c = d->conf;
	struct buf names;

	if (o->next && conf_override_apply(d, o->next, err) != RC_OK) /* in the order they were given: the last one wins */
		return RC_BAD;
	for (size_t i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].name, o->listener) == 0) {
			c->listeners[i].address = arena_str(d->mem, span_str(o->address));
			c->listeners[i].port = o->port;
			return RC_OK;
		}
	buf_init(&names, 512);
	for (size_t i = 0; i < c->listener_count; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", c->listeners[i].name);
	err_set(err, RC_BAD, "--listen: there is no listener \"%.40s\"; one of %s would be right", o->listener, buf_cstr(&names));
	buf_clear(&names);
	return RC_BAD;
}

enum rc conf_draft_override(struct conf_draft *d, struct err *err)
{
	return conf_overrides ? conf_override_apply(d, conf_overrides, err) : RC_OK;
}

/* ---- memory */

void conf_free(struct conf **c)
{
	struct arena *mem = *c ? (*c)->memory : NULL;

	if (mem) {
		arena_clear(mem);
		free(mem);
	}
	*c = NULL;
}

void conf_draft_clear(struct conf_draft *d)
{
	if (d->mem) {
		arena_clear(d->mem);
		free(d->mem);
	}
	d->mem = NULL;
	d->conf = NULL;
}

enum rc conf_draft_new(const char *home, struct conf_draft *out, struct err *err)
{
	struct conf_draft d = {.mem = mem_zalloc(sizeof(*d.mem))};

	arena_init(d.mem, CONF_MEMORY_BYTES);
	d.conf = arena_zalloc(d.mem, sizeof(*d.conf));
	if (!d.conf || (home && (home[0] != '/' || strlen(home) > CONF_VALUE_BYTES))) {
		conf_draft_clear(&d);
		return err_set(err, RC_BAD, "home directory \"%.80s\": an absolute path would be right", home ? home : "");
	}
	d.conf->memory = d.mem;
	d.conf->home = arena_str(d.mem, span_str(home ? home : ""));
	*out = d;
	return RC_OK;
}

/* ---- entrances */

static enum rc conf_from_text(struct span text, const char *name, const char *home, const char *dir, struct conf **out, struct err *err)
{
	struct conf_draft d;
	enum rc rc;

	if (text.len > CONF_FILE_BYTES)
		return err_set(err, RC_BAD, "%s: larger than 1 MiB; a configuration is far smaller", name);
	rc = conf_draft_new(home, &d, err);
	if (rc != RC_OK)
		return rc;
	d.conf->file = arena_str(d.mem, span_str(name));
	rc = conf_draft_parse(&d, text, name, dir, err);
	if (home)
		d.conf->home = arena_str(d.mem, span_str(home));
	else if (rc == RC_OK && d.conf->home[0] != '/')
		rc = err_set(err, RC_BAD, "%s: home: not given; an absolute path would be right", name);
	if (rc == RC_OK)
		rc = conf_draft_check(&d, err);
	if (rc == RC_OK)
		*out = d.conf;
	else
		conf_draft_clear(&d);
	return rc;
}

enum rc conf_parse(struct span text, const char *name, const char *home, struct conf **out, struct err *err)
{
	struct conf_override *kept = conf_overrides;
	enum rc rc;

	conf_overrides = NULL; /* this text is what the parent wrote: they are in it */
	rc = conf_from_text(text, name, home, NULL, out, err);
	conf_overrides = kept;
	return rc;
}

enum rc conf_file_read(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n;
	uint8_t *to;

	if (fd < 0)
		return err_errno(err, errno == ENOENT ? RC_NONE : RC_IO, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, RC_BAD, "%s: not a plain file", path);
	}
	do {
		to = buf_reserve(out, 4096 < out->max_bytes - out->len ? 4096 : out->max_bytes - out->len);
		n = to ? read(fd, to, 4096 < out->max_bytes - out->len ? 4096 : out->max_bytes - out->len) : -1;
		out->len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && out->len < out->max_bytes);
	if (n > 0) { /* full; is that all of it? */
		char more;

		n = read(fd, &more, 1) == 1 ? -2 : 0;
	}
	close(fd);
	if (n == -2)
		return err_set(err, RC_BAD, "%s: larger than 1 MiB; a configuration is far smaller", path);
	return n < 0 ? err_errno(err, RC_IO, "%s: cannot be read", path) : RC_OK;
}

enum rc conf_read(const char *file, const char *home, struct conf **out, struct err *err)
{
	char *path = file ? mem_str(file) : mem_printf("%s/mailroom.conf", home), *dir = mem_str(path), *slash = strrchr(dir, '/');
	struct buf text;
	enum rc rc;

	if (slash && slash > dir)
		*slash = '\0';
	buf_init(&text, CONF_FILE_BYTES);
	rc = conf_file_read(path, &text, err);
	if (rc == RC_OK)
		rc = conf_from_text(buf_span(&text), path, home, slash ? slash > dir ? dir : "/" : ".", out, err);
	buf_clear(&text);
	free(dir);
	free(path);
	return rc;
}

static enum rc conf_file_there(const struct conf *c, const struct conf_certificate *t, const char *setting, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return RC_OK;
	/* keys are behind a directory that only their role may look into */
	if (errno == EACCES && strcmp(setting, "key") == 0)
		return RC_OK;
	if (t->line)
		return err_set(err, RC_BAD, "%s:%u: certificate \"%s\": %s: there is no file %s; the name of a PEM file would be right", c->file, t->line, t->name,
			setting, path);
	return err_set(err, RC_BAD, "%s: certificate \"%s\": %s: there is no file %s; `mailroom init` makes one, or a certificate section names yours", c->file, t->name,
		setting, path);
}

static enum rc conf_password_there(const struct conf *c, const struct conf_smarthost *s, struct err *err)
{
	struct stat st;

	if (!s->login[0] || (stat(s->password_file, &st) == 0 && S_ISREG(st.st_mode)) || errno == EACCES)
		return RC_OK;
	return err_set(err, RC_BAD, "%s:%u: smarthost \"%s\": password-file: there is no file %s; the name of one that holds the password would be right", c->file, s->line,
		s->name, s->password_file);
}

static enum rc conf_authorities_there(const struct conf *c, struct err *err)
{
	struct stat st;
	struct buf where;
	enum rc rc;

	if (!c->delivery_ca_file[0] || (stat(c->delivery_ca_file, &st) == 0 && S_ISREG(st.st_mode)))
		return RC_OK;
	buf_init(&where, 1024);
	conf_where(c, "delivery", "", "ca-file", &where);
	rc = err_set(err, RC_BAD, "%s: ca-file: there is no file %s; the name of a PEM file would be right", buf_cstr(&where), c->delivery_ca_file);
	buf_clear(&where);
	return rc;
}

enum rc conf_load(const char *file, const char *home, struct conf **out, struct err *err)
{
	struct conf *c = NULL;
	enum rc rc = conf_read(file, home, &c, err);
	bool *used;

	if (rc != RC_OK)
		return rc;
	used = mem_array(c->certificate_count, sizeof(*used));
	for (size_t i = 0; i < c->listener_count; i++)
		used[c->listeners[i].certificate_index] |= c->listeners[i].tls != CONF_TLS_NONE;
	for (size_t i = 0; i < c->certificate_count && rc == RC_OK; i++) {
		const struct conf_certificate *t = &c->certificates[i];

		if (!t->line && !used[i]) /* the default one, needed by nobody */
			continue;
		rc = conf_file_there(c, t, "chain", t->chain, err);
		if (rc == RC_OK)
			rc = conf_file_there(c, t, "key", t->key, err);
	}
	free(used);
	for (size_t i = 0; i < c->smarthost_count && rc == RC_OK; i++)
		rc = conf_password_there(c, &c->smarthosts[i], err);
	if (rc == RC_OK)
		rc = conf_authorities_there(c, err);
	if (rc == RC_OK)
		*out = c;
	else
		conf_free(&c);
	return rc;
}
