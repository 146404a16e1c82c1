#include "role/fetch_http.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "role/fetch_curl.h"

enum {
	FETCH_NAME_BYTES = 253,
	FETCH_PATH_BYTES = 1024,
	FETCH_RESOLVE_BYTES = 1024,
	FETCH_WORDS_BYTES = 4 * CURL_ERROR_SIZE + 10, /* \xNN for each byte at worst */
};
static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

struct fetch_http {
	struct fetch_curl lib;
	struct loop *loop;
	struct fetch_http_rules rules;
	X509_STORE *ca; /* one for all connections: reading it for each would cost milliseconds and a file */
	CURLM *multi;
	struct loop_timer timer;
	struct fetch_http_job *jobs;
};

/* a socket that libcurl wants watched */
struct fetch_watch {
	struct fetch_http *http;
	struct event ev;
};

struct fetch_http_job {
	struct fetch_http *http;
	struct fetch_http_job *next, **prev;
	CURL *easy;
	struct curl_slist *resolve;
	struct buf body;
	size_t max, head_bytes;
	bool too_long;
	fetch_http_done *done;
	void *arg;
	char error[CURL_ERROR_SIZE];
};

/* ---- the end of jobs; called after libcurl has returned, never by it */

static void fetch_job_free(struct fetch_http_job *j)
{
	const struct fetch_curl *lib = &j->http->lib;

	*j->prev = j->next;
	if (j->next)
		j->next->prev = j->prev;
	if (j->easy) {
		(void)lib->curl_multi_remove_handle(j->http->multi, j->easy);
		lib->curl_easy_cleanup(j->easy);
	}
	lib->curl_slist_free_all(j->resolve);
	buf_clear(&j->body);
	free(j);
}

static void fetch_job_over(struct fetch_http_job *j, CURLcode code)
{
	static const char plain[] = "text/plain";
	const struct fetch_curl *lib = &j->http->lib;
	const char *type = NULL;
	struct buf words;
	long status = 0;

	buf_init(&words, FETCH_WORDS_BYTES);
	if (code != CURLE_OK) {
		if (j->too_long)
			buf_add_str(&words, "the answer is too long");
		else
			buf_add_safe(&words, span_str(j->error[0] ? j->error : lib->curl_easy_strerror(code)), CURL_ERROR_SIZE);
	} else {
		(void)lib->curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
		(void)lib->curl_easy_getinfo(j->easy, CURLINFO_CONTENT_TYPE, &type);
		if (status == 200 && !span_starts_nocase(span_str(type), span_str(plain))) {
			buf_add_str(&words, "content type is ");
			buf_add_safe(&words, type ? span_str(type) : SPAN_LIT("not said"), 40);
		}
		if (status < 100 || status > 999)
			status = 0;
	}
	j->done(j->arg, (unsigned)status, status ? buf_span(&j->body) : SPAN_NONE, buf_span(&words));
	buf_clear(&words);
	fetch_job_free(j);
}

static void fetch_look(struct fetch_http *h)
{
	struct CURLMsg *m;
	int left;

	while ((m = h->lib.curl_multi_info_read(h->multi, &left))) {
		struct fetch_http_job *j = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)h->lib.curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j);
		fetch_job_over(j, code);
	}
}

/* ---- libcurl on the loop */

static void fetch_on_timer(void *arg, mono_ms now)
{
	struct fetch_http *h = arg;
	int running;

	(void)now;
	(void)h->lib.curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	fetch_look(h);
}

static int fetch_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct fetch_http *h = arg;

	(void)multi;
	loop_timer_at(&h->timer, timeout_ms < 0 ? MONO_NEVER : loop_now_refresh(h->loop) + (uint64_t)timeout_ms);
	return 0;
}

static void fetch_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct fetch_http *h = ((struct fetch_watch *)arg)->http; /* the watch may be gone afterwards */
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), running;

	(void)h->lib.curl_multi_socket_action(h->multi, fd, mask, &running);
	fetch_look(h);
}

static int fetch_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *own)
{
	struct fetch_http *h = arg;
	struct fetch_watch *w = own;
	int events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

	(void)easy;
	if (w)
		event_del(&w->ev);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (!w) {
		w = mem_zalloc(sizeof(*w));
		w->http = h;
		(void)h->lib.curl_multi_assign(h->multi, fd, w);
	}
	event_assign(&w->ev, loop_base(h->loop), fd, (short)(events | EV_PERSIST), fetch_on_socket, w);
	(void)event_add(&w->ev, NULL); /* where the kernel refuses, the job's time limit ends it */
	return 0;
}

/* ---- what comes */

static size_t fetch_on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct fetch_http_job *j = arg;
	size_t n = size * count;

	if (n > j->max - j->body.len) {
		j->too_long = true;
		return 0; /* ends it */
	}
	buf_add(&j->body, span_of(bytes, n));
	return n;
}

static size_t fetch_on_head(char *bytes, size_t size, size_t count, void *arg)
{
	struct fetch_http_job *j = arg;

	(void)bytes;
	j->head_bytes += size * count;
	j->too_long = j->head_bytes > FETCH_HTTP_HEAD_BYTES;
	return j->too_long ? 0 : size * count;
}

static CURLcode fetch_set_tls(CURL *easy, void *ssl_ctx, void *arg)
{
	struct fetch_http_job *j = arg;

	(void)easy;
	SSL_CTX_set1_cert_store(ssl_ctx, j->http->ca);
	return CURLE_OK;
}

/* ---- a job */

bool fetch_http_is_sound(struct span host, struct span path)
{
	struct span rest = host;

	if (host.len == 0 || host.len > FETCH_NAME_BYTES || path.len == 0 || path.len > FETCH_PATH_BYTES || path.ptr[0] != '/' || !span_is_vchar(path))
		return false;
	while (rest.ptr) {
		struct span label = span_cut(&rest, '.');

		if (label.len == 0 || label.len > 63)
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!byte_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
				return false;
	}
	return true;
}

/* HOST:PORT:ADDRESS,ADDRESS: libcurl looks nothing up itself */
static void fetch_set_addresses(struct fetch_http_job *j, struct span host, const struct net_address *at, size_t count)
{
	struct buf line;

	buf_init(&line, FETCH_RESOLVE_BYTES);
	buf_printf(&line, "%.*s:%u:", SPAN_FMT(host), j->http->rules.port);
	for (size_t i = 0; i < count && i < FETCH_HTTP_ADDRESSES; i++) {
		bool v4 = net_is_v4(&at[i]);

		buf_add_str(&line, i ? "," : "");
		buf_add_str(&line, v4 ? "" : "[");
		net_write(&line, &at[i]);
		buf_add_str(&line, v4 ? "" : "]");
	}
	j->resolve = j->http->lib.curl_slist_append(NULL, buf_cstr(&line));
	buf_clear(&line);
}

static bool fetch_set(struct fetch_http_job *j, const char *url)
{
	const struct fetch_http_rules *rules = &j->http->rules;
	const struct fetch_curl *lib = &j->http->lib;
	CURLcode bad = 0;
	CURL *e = j->easy;

#define SET(option, value) bad |= lib->curl_easy_setopt(e, option, value)
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_RESOLVE, j->resolve);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "mailroom");
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSL_CTX_FUNCTION, fetch_set_tls);
	SET(CURLOPT_SSL_CTX_DATA, j);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)rules->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)rules->all_ms);
	SET(CURLOPT_HEADERFUNCTION, fetch_on_head);
	SET(CURLOPT_HEADERDATA, j);
	SET(CURLOPT_WRITEFUNCTION, fetch_on_body);
	SET(CURLOPT_WRITEDATA, j);
	SET(CURLOPT_ERRORBUFFER, j->error);
	SET(CURLOPT_PRIVATE, j);
#undef SET
	return bad == CURLE_OK;
}

struct fetch_http_job *fetch_http_get(struct fetch_http *h, struct span host, struct span path, const struct net_address *at, size_t count, size_t max,
	fetch_http_done *done, void *arg)
{
	struct fetch_http_job *j = mem_zalloc(sizeof(*j));
	char *url = mem_printf("https://%.*s:%u%.*s", SPAN_FMT(host), h->rules.port, SPAN_FMT(path));

	*j = (struct fetch_http_job){.http = h, .next = h->jobs, .prev = &h->jobs, .max = max, .done = done, .arg = arg};
	if (j->next)
		j->next->prev = &j->next;
	h->jobs = j;
	buf_init(&j->body, max);
	fetch_set_addresses(j, host, at, count);
	j->easy = h->lib.curl_easy_init();
	/* every option is one that this libcurl has, and there is memory; without it libcurl does not work at all */
	if (!j->resolve || !j->easy || !fetch_set(j, url) || h->lib.curl_multi_add_handle(h->multi, j->easy) != CURLM_OK)
		abort();
	free(url);
	return j;
}

void fetch_http_cancel(struct fetch_http_job **job)
{
	struct fetch_http_job *old = *job;

	*job = NULL;
	if (old)
		fetch_job_free(old);
}

/* ---- birth and end */

static enum rc fetch_load_ca(X509_STORE *store, const char *file, struct err *err)
{
	unsigned long e;

	if (!file[0]) {
		file = system_ca_file;
		if (access(file, F_OK) != 0)
			return RC_OK;
	}
	ERR_clear_error();
	if (X509_STORE_load_file(store, file) == 1)
		return RC_OK;
	e = ERR_peek_error();
	ERR_clear_error();
	if (e && ERR_SYSTEM_ERROR(e))
		return err_set(err, RC_IO, "%s: %s", file, strerrordesc_np(ERR_GET_REASON(e)));
	return err_set(err, RC_BAD, "%s: there is no certificate in it", file);
}

static bool fetch_begin(struct fetch_http *h)
{
	const struct fetch_curl *lib = &h->lib;

	if (lib->curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	h->multi = lib->curl_multi_init();
	return h->multi && lib->curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, fetch_watch) == CURLM_OK &&
		lib->curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
		lib->curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, fetch_set_timer) == CURLM_OK &&
		lib->curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK;
}

enum rc fetch_http_new(struct loop *loop, const struct fetch_http_rules *rules, struct fetch_http **out, struct err *err)
{
	struct fetch_http *h = mem_zalloc(sizeof(*h));
	enum rc rc = fetch_curl_load(&h->lib, err);

	if (rc != RC_OK) {
		free(h);
		return rc;
	}
	h->loop = loop;
	h->rules = *rules;
	loop_timer_init(loop, &h->timer, fetch_on_timer, h);
	h->ca = X509_STORE_new();
	if (!h->ca || !fetch_begin(h))
		rc = err_set(err, RC_IO, "libcurl cannot be used");
	else
		rc = fetch_load_ca(h->ca, rules->ca_file, err);
	if (rc != RC_OK)
		fetch_http_free(&h);
	else
		*out = h;
	return rc;
}

void fetch_http_free(struct fetch_http **hp)
{
	struct fetch_http *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	while (h->jobs)
		fetch_job_free(h->jobs);
	if (h->multi)
		(void)h->lib.curl_multi_cleanup(h->multi);
	h->lib.curl_global_cleanup();
	loop_timer_clear(&h->timer);
	X509_STORE_free(h->ca);
	free(h);
}
