#include "role/fetch_curl.h"

#include <dlfcn.h>
#include <string.h>

static const char curl_library[] = "libcurl.so.4"; /* the one with OpenSSL: fetch_http.c hands it our authorities */

static enum rc curl_find(void *library, const char *name, void *to, struct err *err)
{
	void *at = dlsym(library, name);

	if (!at)
		return err_set(err, RC_IO, "%s has no %s", curl_library, name);
	memcpy(to, &at, sizeof(at));
	return RC_OK;
}

enum rc fetch_curl_load(struct fetch_curl *out, struct err *err)
{
	struct fetch_curl c = {.library = dlopen(curl_library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)};
	enum rc rc = RC_OK;

	if (!c.library)
		return err_set(err, RC_IO, "%s", dlerror());
#define FETCH_CURL_FIND(name) rc = rc == RC_OK ? curl_find(c.library, #name, &c.name, err) : rc;
	FETCH_CURL_CALLS(FETCH_CURL_FIND)
#undef FETCH_CURL_FIND
	if (rc != RC_OK)
		(void)dlclose(c.library);
	else
		*out = c;
	return rc;
}
