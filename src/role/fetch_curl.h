/* fetch_curl - libcurl, loaded by the fetch role alone and before its walls: it brings two dozen libraries along, which no other role is to have in its memory
 * and no command is to wait for. */
#ifndef MAILROOM_ROLE_FETCH_CURL_H
#define MAILROOM_ROLE_FETCH_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/err.h"

#define FETCH_CURL_CALLS(X) \
	X(curl_global_init) X(curl_global_cleanup) X(curl_slist_append) X(curl_slist_free_all) \
	X(curl_easy_init) X(curl_easy_cleanup) X(curl_easy_setopt) X(curl_easy_getinfo) X(curl_easy_strerror) \
	X(curl_multi_init) X(curl_multi_cleanup) X(curl_multi_setopt) X(curl_multi_assign) X(curl_multi_add_handle) X(curl_multi_remove_handle) \
	X(curl_multi_socket_action) X(curl_multi_info_read)

struct fetch_curl {
#define FETCH_CURL_MEMBER(name) __typeof__(&(name)) name;
	FETCH_CURL_CALLS(FETCH_CURL_MEMBER)
#undef FETCH_CURL_MEMBER
};

/* RC_IO: there is no libcurl of this kind; err has the system's words. It stays loaded: what it starts cannot be taken back. */
enum rc fetch_curl_load(struct fetch_curl *out, struct err *err) RC_WARN;

#endif
