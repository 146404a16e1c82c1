/* cli_reload - finds the server that runs in a home and has it read its configuration and keys anew. */
#ifndef MAILROOM_CLI_CLI_RELOAD_H
#define MAILROOM_CLI_CLI_RELOAD_H

#include "base/err.h"

/* RC_NONE: no server runs there; RC_IO: it could not be told (err) */
enum rc cli_reload_server(const char *home, struct err *err) RC_WARN;

#endif
