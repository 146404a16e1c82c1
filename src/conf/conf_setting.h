/* conf_setting - the table made from settings.def, and the value types: one reader, one writer and the words for what would be right each. Used
 * inside src/conf only; knows nothing of libConfuse. */
#ifndef MAILROOM_CONF_CONF_SETTING_H
#define MAILROOM_CONF_CONF_SETTING_H

#include "base/arena.h"
#include "conf/conf.h"

enum {
	CONF_FILE_BYTES = 1 << 20,  /* one file, and what is handed to a role */
	CONF_FILES = 16,            /* with its includes, nested at most this deep */
	CONF_SECTIONS = 256,        /* sections in one file */
	CONF_LISTENERS = 64,
	CONF_CERTIFICATES = 64,
	CONF_NETWORKS_MAX = 64,
	CONF_SMARTHOSTS = 64,
	CONF_ROUTES = 200,
	CONF_HOPS = 20,             /* of one route */
	CONF_PREFIXES = 1024,       /* in one setting */
	CONF_MEMORY_BYTES = 8 << 20,
	CONF_VALUE_BYTES = 4096,    /* one value */
	CONF_NAME_BYTES = 32,       /* titles */
};

enum conf_type { CONF_INT, CONF_BOOL, CONF_DURATION, CONF_SIZE, CONF_CHOICE, CONF_IP, CONF_PORT, CONF_HOST, CONF_DOMAIN, CONF_PATH, CONF_NAME, CONF_MECHANISMS,
	CONF_TEXT, CONF_HOP, CONF_NETWORKS, CONF_RATES, CONF_NAMES, CONF_DOMAINS, CONF_PATTERNS, CONF_HOPS_LIST, CONF_SERVERS, CONF_STUBS };

enum conf_section_id {
#define SECTION(id, name, titled, words) CONF_SECTION_##id,
#define SETTING(...)
#define LISTENER(...)
#define CERTIFICATE(...)
#define NETWORK(...)
#define SMARTHOST(...)
#define ROUTE(...)
#include "conf/settings.def"
	CONF_SECTION_COUNT
};

struct conf_section {
	const char *name;
	bool titled;
	const char *words;
};

struct conf_setting {
	enum conf_section_id section;
	const char *name;
	enum conf_type type;
	size_t offset, width;       /* of the field */
	const char *def;            /* "" for text settings: not set; for others: depends (see words) */
	uint64_t least, most;
	const char *const *choices; /* ends with NULL */
	const char *words;          /* "": not for a configuration file */
};

extern const struct conf_section conf_sections[CONF_SECTION_COUNT];
extern const struct conf_setting conf_settings[];
extern const size_t conf_setting_count;
enum { CONF_SETTINGS_MAX = 256 }; /* room for per-setting facts; checked against conf_setting_count when compiled */
extern const char *const conf_kinds[], *const conf_tls_names[], *const conf_early_names[], *const conf_log_levels[], *const conf_out_tls_names[];

const struct conf_setting *conf_setting_find(enum conf_section_id section, const char *name);
/* the field of this setting below `base` (struct conf, or that of a titled section) */
static inline void *conf_setting_at(const struct conf_setting *s, void *base) { return (char *)base + s->offset; }

/* Checks `text` and stores it below base (NULL: only checks); text settings are copied to mem, paths made absolute below home. RC_BAD: err has words like
 * "99999" is not a port; 1 to 65535 would be right */
enum rc conf_setting_read(const struct conf_setting *s, struct span text, const char *home, struct arena *mem, void *base, struct err *err) RC_WARN;
/* the value below base as conf_setting_read takes it, quoted where needed */
void conf_setting_write(const struct conf_setting *s, const void *base, struct buf *out);
/* a piece of text in double quotes, as the parser reads it back */
void conf_quote(struct buf *out, struct span text);

/* "TEXT" IS; RIGHT would be right. Returns RC_BAD. */
enum rc conf_bad(struct err *err, struct span text, const char *is, const char *right);
/* conf_list.c: the types that hold lists; `at` as conf_setting_at gives it, NULL: only checks */
enum rc conf_list_read(enum conf_type type, struct span text, struct arena *mem, void *at, struct err *err) RC_WARN;
void conf_list_write(enum conf_type type, const void *at, struct buf *out);

/* "host", "host:port", "[address]:port": cut apart; port 0: none is given. RC_BAD */
enum rc conf_hop_read(struct span word, struct conf_hop *out, struct err *err) RC_WARN;

/* the name most like `text` among `count` names, or NULL when none is near */
const char *conf_nearest(const char *text, const char *const *names, size_t count);
bool conf_host_ok(struct span text);
bool conf_name_ok(struct span text);

#endif
