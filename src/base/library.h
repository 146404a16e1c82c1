/* library - a shared library that is loaded by those alone who need it, before their walls: its code, and that of all libraries it brings along, is in no other
 * process, and no command waits for it at its start. */
#ifndef MAILROOM_BASE_LIBRARY_H
#define MAILROOM_BASE_LIBRARY_H

#include <stddef.h>

#include "base/err.h"

struct library_call {
	const char *name;
	size_t at; /* of a pointer to it in the struct that is filled */
};

/* Fills the pointers in *out. RC_IO: there is no such library, or it lacks one of them; err has the system's words, and nothing was filled. It stays loaded: what a
 * library starts cannot be taken back. */
enum rc library_load(const char *soname, const struct library_call *calls, size_t count, void *out, struct err *err) RC_WARN;

#endif
