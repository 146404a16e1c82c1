/* conf_internal - how a configuration is put together, shared by the files of src/conf: text is made ready (conf_text), read with libConfuse into a
 * conf_draft (conf_parse), checked whole (conf_check). */
#ifndef MAILROOM_CONF_CONF_INTERNAL_H
#define MAILROOM_CONF_CONF_INTERNAL_H

#include "conf/conf_setting.h"

/* where something stands: number of the file and line; 0 = nowhere, the default holds */
struct conf_place {
	uint32_t file, line;
};

/* where each setting of a section was set, by index into conf_settings */
struct conf_places {
	struct conf_place section, at[CONF_SETTINGS_MAX];
};

struct conf_draft {
	struct conf *conf;
	struct arena *mem;              /* owns conf and everything in it, also the names below */
	const char *files[CONF_FILES];  /* what to call them in messages */
	uint32_t file_count;
	struct conf_places top;         /* all untitled sections */
	struct conf_places *listeners, *certificates, *networks, *smarthosts, *routes;
};

/* Makes text ready for libConfuse: comments become blanks (its line count goes wrong over them), and what it would swallow in silence is refused: bytes
 * that are no text, quotes, comments and sections that never end, environment variables. text is changed in place; the lines where
 * sections begin come out in order. RC_BAD: words and the line. */
enum rc conf_text_ready(char *text, size_t len, uint32_t begin_lines[CONF_SECTIONS], uint32_t *line_out, struct err *err) RC_WARN;

/* dir: where relative names in include("...") begin; NULL: no includes. Nothing is checked yet that depends on more than one setting. */
enum rc conf_draft_parse(struct conf_draft *d, struct span text, const char *name, const char *dir, struct err *err) RC_WARN;
/* home NULL: the text says it */
enum rc conf_draft_new(const char *home, struct conf_draft *out, struct err *err) RC_WARN;
void conf_draft_clear(struct conf_draft *d);
/* what depends on other settings or the machine, then everything that has to fit together */
enum rc conf_draft_check(struct conf_draft *d, struct err *err) RC_WARN;
/* networks, and what listeners say of them */
enum rc conf_relay_check(struct conf_draft *d, struct err *err) RC_WARN;
/* section delivery, smarthosts and routes */
enum rc conf_delivery_check(struct conf_draft *d, struct err *err) RC_WARN;
/* changes from the command line; before the check */
enum rc conf_draft_override(struct conf_draft *d, struct err *err) RC_WARN;
/* err becomes "FILE:LINE: words"; returns rc */
enum rc conf_draft_fail(const struct conf_draft *d, struct conf_place at, enum rc rc, struct err *err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* a whole file, at most CONF_FILE_BYTES; RC_NONE: there is none */
enum rc conf_file_read(const char *path, struct buf *out, struct err *err) RC_WARN;

/* the listeners and the certificate of a file that names none */
extern const struct conf_listener conf_default_listeners[];
extern const size_t conf_default_listener_count;

#endif
