#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

enum rc library_load(const char *soname, const struct library_call *calls, size_t count, void *out, struct err *err)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE), *found;

	if (!library)
		return err_set(err, RC_IO, "%s", dlerror());
	for (size_t i = 0; i < count; i++) {
		if (dlsym(library, calls[i].name))
			continue;
		(void)dlclose(library);
		return err_set(err, RC_IO, "%s has no %s", soname, calls[i].name);
	}
	for (size_t i = 0; i < count; i++) {
		found = dlsym(library, calls[i].name);
		memcpy((char *)out + calls[i].at, &found, sizeof(found));
	}
	return RC_OK;
}
