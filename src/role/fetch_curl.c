#include "role/fetch_curl.h"

#include "base/library.h"

enum rc fetch_curl_load(struct fetch_curl *out, struct err *err)
{
	static const struct library_call calls[] = {
#define FETCH_CURL_CALL(name) {#name, offsetof(struct fetch_curl, name)},
		FETCH_CURL_CALLS(FETCH_CURL_CALL)
#undef FETCH_CURL_CALL
	};

	/* the one with OpenSSL: fetch_http.c hands it our authorities */
	return library_load("libcurl.so.4", calls, sizeof(calls) / sizeof(calls[0]), out, err);
}
