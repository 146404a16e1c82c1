/* cli_home - directories and files of a home as `mailroom init` makes them: right owner, right mode, all or nothing. */
#ifndef MAILROOM_CLI_CLI_HOME_H
#define MAILROOM_CLI_CLI_HOME_H

#include <sys/types.h>

#include "base/err.h"
#include "base/span.h"

/* makes HOME and what leads to it (0755) */
enum rc cli_home_make(const char *home, struct err *err) RC_WARN;
/* HOME/name with this mode; where we are root also with this owner (uid and gid alike). One that is there is set right. */
enum rc cli_home_dir(const char *home, const char *name, mode_t mode, uid_t owner, struct err *err) RC_WARN;
/* HOME/name written whole: under another name, synced, renamed, directory synced. Replaces nothing: RC_EXISTS, unless `replace` */
enum rc cli_home_file(const char *home, const char *name, struct span text, mode_t mode, uid_t owner, bool replace, struct err *err) RC_WARN;

#endif
