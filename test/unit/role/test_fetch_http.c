/* Files by HTTPS, from a server in a process of its own that answers well, badly, too long, never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "role/fetch_http.h"
#include "tls_ca.h"

static struct tls_ca ca, stranger;
static char ca_path[] = "/tmp/mailroom-test-ca-XXXXXX";
enum { DAY = 86400, MAX = 50 };

/* ---- the server */

static const struct {
	const char *path, *answer;
	const char *forever; /* then this, again and again */
} answers[] = {
	{"/ok", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", NULL},
	{"/charset", "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello", NULL},
	{"/full", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n01234567890123456789012345678901234567890123456789", NULL},
	{"/html", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", NULL},
	{"/untyped", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NULL},
	{"/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", NULL},
	{"/moved", "HTTP/1.1 301 Moved\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", NULL},
	{"/gzip", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8bxx", NULL},
	{"/long", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 51\r\n\r\n012345678901234567890123456789012345678901234567890", NULL},
	{"/endless", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "10\r\n0123456789abcdef\r\n"},
	{"/head", "HTTP/1.1 200 OK\r\n", "X: 0123456789012345678901234567890123456789\r\n"},
	{"/field", "HTTP/1.1 200 OK\r\nX: ", "0123456789012345678901234567890123456789"},
	{"/short", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", NULL},
	{"/old", "hello there, how are you?\r\n", NULL},
	{"/nothing", "", NULL},
	{"/slow", NULL, NULL},
};

static void serve_one(SSL *ssl)
{
	char request[4096] = "", path[100] = "";
	int len = 0, n;

	if (SSL_accept(ssl) != 1)
		return;
	while (!strstr(request, "\r\n\r\n") && len < 4000 && (n = SSL_read(ssl, request + len, 4000 - len)) > 0)
		request[len += n] = '\0';
	if (sscanf(request, "GET %99s HTTP/1.1", path) != 1)
		return;
	if (strcmp(path, "/echo") == 0) {
		char head[100];

		n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len);
		(void)SSL_write(ssl, head, n);
		(void)SSL_write(ssl, request, len);
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (strcmp(path, answers[i].path) != 0)
			continue;
		if (!answers[i].answer)
			sleep(10);
		else if (answers[i].answer[0])
			(void)SSL_write(ssl, answers[i].answer, (int)strlen(answers[i].answer));
		while (answers[i].forever && SSL_write(ssl, answers[i].forever, (int)strlen(answers[i].forever)) > 0)
			;
	}
	(void)SSL_shutdown(ssl);
}

struct server {
	pid_t pid;
	uint16_t port;
};

/* takes ctx */
static struct server server_start(SSL_CTX *ctx)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct server s;

	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(listener, 10), 0);
	s.port = ntohs(at.sin_port);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		alarm(60);
		(void)signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int fd = accept(listener, NULL, NULL);
			SSL *ssl = SSL_new(ctx);

			SSL_set_fd(ssl, fd);
			serve_one(ssl);
			SSL_free(ssl);
			close(fd);
		}
	}
	close(listener);
	SSL_CTX_free(ctx);
	return s;
}

static void server_stop(struct server *s)
{
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
}

/* ---- the client */

struct world {
	struct loop *loop;
	struct fetch_http *http;
	struct loop_timer limit;
	unsigned done, wanted, status;
	char body[4096], words[400];
};

static void on_done(void *arg, unsigned status, struct span body, struct span words)
{
	struct world *w = arg;

	w->status = status;
	(void)snprintf(w->body, sizeof(w->body), "%.*s", SPAN_FMT(body));
	(void)snprintf(w->words, sizeof(w->words), "%.*s", SPAN_FMT(words));
	if (++w->done == w->wanted)
		loop_stop(w->loop, 0);
}

static void on_limit(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(arg, 1);
}

static void world_open(struct world *w, const char *ca_file, uint16_t port, uint64_t all_ms)
{
	struct fetch_http_rules rules = {.ca_file = ca_file, .port = port, .connect_ms = 5000, .all_ms = all_ms};
	struct err err = {""};

	*w = (struct world){.loop = loop_new()};
	loop_timer_init(w->loop, &w->limit, on_limit, w->loop);
	if (fetch_http_new(w->loop, &rules, &w->http, &err) != RC_OK)
		fail_msg("%s", err.words);
}

static void world_close(struct world *w)
{
	loop_timer_clear(&w->limit);
	fetch_http_free(&w->http);
	loop_free(&w->loop);
}

static void world_run(struct world *w, unsigned more)
{
	w->wanted = w->done + more;
	loop_timer_at(&w->limit, loop_now_refresh(w->loop) + 20000);
	assert_int_equal(loop_run(w->loop), 0);
	loop_timer_at(&w->limit, MONO_NEVER);
}

static struct fetch_http_job *get_at(struct world *w, const char *path, size_t max, const char *const *addresses, size_t count)
{
	struct net_address at[FETCH_HTTP_ADDRESSES];

	for (size_t i = 0; i < count; i++)
		assert_int_equal(net_parse(span_str(addresses[i]), &at[i]), RC_OK);
	return fetch_http_get(w->http, SPAN_LIT("mta-sts.test"), span_str(path), at, count, max, on_done, w);
}

static struct fetch_http_job *get(struct world *w, const char *path, size_t max)
{
	static const char *const loopback[] = {"127.0.0.1"};
	unsigned done = w->done;
	struct fetch_http_job *j = get_at(w, path, max, loopback, 1);

	assert_int_equal(w->done, done); /* not inside the call */
	return j;
}

/* ---- tests */

static const struct {
	const char *path;
	unsigned status;
	const char *body, *words; /* words: begin so */
} cases[] = {
	{"/ok", 200, "hello", ""},
	{"/charset", 200, "hello", ""},
	{"/full", 200, "01234567890123456789012345678901234567890123456789", ""},
	{"/html", 200, "<html>", "content type is text/html"},
	{"/untyped", 200, "hello", "content type is not said"},
	{"/missing", 404, "none", ""},
	{"/moved", 301, "", ""},
	{"/gzip", 200, "\x1f\x8bxx", ""},
	{"/long", 0, "", "the answer is too long"},
	{"/endless", 0, "", "the answer is too long"},
	{"/head", 0, "", "the answer is too long"},
	{"/field", 0, "", ""},
	{"/short", 0, "", "transfer closed with"},
	{"/old", 0, "", "Received HTTP/0.9 when not allowed"},
	{"/nothing", 0, "", "Empty reply from server"},
};

static void test_answers(void **state)
{
	struct server s = server_start(tls_ca_server(&ca, "DNS:mta-sts.test", DAY));
	struct world w;

	(void)state;
	world_open(&w, ca_path, s.port, 10000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)get(&w, cases[i].path, MAX);
		world_run(&w, 1);
		if (w.status != cases[i].status || strcmp(w.body, cases[i].body) != 0 || strncmp(w.words, cases[i].words, strlen(cases[i].words)) != 0)
			fail_msg("%s: %u '%s' (%s)", cases[i].path, w.status, w.body, w.words);
		assert_true(w.status != 0 || w.words[0] != '\0');
	}
	(void)get(&w, "/echo", 1000);
	world_run(&w, 1);
	assert_non_null(strstr(w.body, "\r\nHost: mta-sts.test"));
	assert_non_null(strstr(w.body, "\r\nUser-Agent: mailroom\r\n"));
	assert_null(strstr(w.body, "Accept-Encoding"));
	world_close(&w);
	server_stop(&s);
}

static void test_certificates(void **state)
{
	static const struct {
		const char *names;
		long until_s;
		bool stranger;
		int version;
		const char *words;
	} bad[] = {
		{"DNS:other.test", DAY, false, 0, "SSL: no alternative certificate subject name"},
		{"DNS:mta-sts.test", -DAY, false, 0, "SSL certificate problem: certificate has expired"},
		{"DNS:mta-sts.test", DAY, true, 0, "SSL certificate problem: self-signed certificate in certificate chain"},
		{"DNS:mta-sts.test", DAY, false, TLS1_1_VERSION, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SSL_CTX *ctx = tls_ca_server(bad[i].stranger ? &stranger : &ca, bad[i].names, bad[i].until_s);
		struct server s;
		struct world w;

		if (bad[i].version) {
			assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION), 1);
			assert_int_equal(SSL_CTX_set_max_proto_version(ctx, bad[i].version), 1);
			assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0"), 1);
		}
		s = server_start(ctx);
		world_open(&w, ca_path, s.port, 10000);
		(void)get(&w, "/ok", MAX);
		world_run(&w, 1);
		if (w.status || w.body[0] || strncmp(w.words, bad[i].words, strlen(bad[i].words)) != 0 || !w.words[0])
			fail_msg("%s: %u '%s' (%s)", bad[i].words, w.status, w.body, w.words);
		world_close(&w);
		server_stop(&s);
	}
}

/* several addresses: one that answers is enough; several at once; nobody there; one that never answers; given up early */
static void test_connections(void **state)
{
	static const char *const some[] = {"127.0.0.77", "::1", "127.0.0.1"};
	struct server s = server_start(tls_ca_server(&ca, "DNS:mta-sts.test", DAY));
	struct fetch_http_job *jobs[5];
	struct world w;

	(void)state;
	world_open(&w, ca_path, s.port, 1000);
	(void)get_at(&w, "/ok", MAX, some, 3);
	world_run(&w, 1);
	assert_int_equal(w.status, 200);
	(void)get_at(&w, "/ok", MAX, some, 1);
	world_run(&w, 1);
	assert_int_equal(w.status, 0);
	assert_non_null(strstr(w.words, "Failed to connect"));

	for (size_t i = 0; i < 5; i++)
		jobs[i] = get(&w, "/ok", MAX);
	fetch_http_cancel(&jobs[2]);
	fetch_http_cancel(&jobs[2]);
	world_run(&w, 4);
	assert_string_equal(w.body, "hello");

	(void)get(&w, "/slow", MAX);
	world_run(&w, 1);
	assert_int_equal(w.status, 0);
	assert_non_null(strstr(w.words, "timed out"));
	jobs[0] = get(&w, "/slow", MAX);
	fetch_http_cancel(&jobs[0]);
	(void)get(&w, "/slow", MAX); /* and left to the end */
	world_close(&w);
	server_stop(&s);
}

static void test_sound(void **state)
{
	static const struct {
		const char *host, *path;
		bool sound;
	} names[] = {
		{"mta-sts.example.test", "/.well-known/mta-sts.txt", true}, {"a_b.test", "/", true}, {"", "/", false}, {"a..b", "/", false}, {".a", "/", false},
		{"a.", "/", false}, {"user@a.test", "/", false}, {"a.test:25", "/", false}, {"a.test/x", "/", false}, {"a test", "/", false},
		{"[::1]", "/", false}, {"a.test", "", false}, {"a.test", "x", false}, {"a.test", "/a b", false}, {"a.test", "/\r\nX: y", false},
		{"a\xc3\xa4.test", "/", false},
	};
	char *label = mem_printf("%064d.test", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fetch_http_is_sound(span_str(names[i].host), span_str(names[i].path)) != names[i].sound)
			fail_msg("'%s' '%s'", names[i].host, names[i].path);
	assert_false(fetch_http_is_sound(span_str(label), SPAN_LIT("/")));
	free(label);
}

static void test_ca_file(void **state)
{
	static const struct {
		const char *path;
		enum rc rc;
	} files[] = {{"/nonexistent/ca.pem", RC_IO}, {"/etc/passwd", RC_BAD}};
	struct loop *l = loop_new();

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct fetch_http_rules rules = {.ca_file = files[i].path, .port = 443};
		struct fetch_http *none = NULL;
		struct err err = {""};

		assert_int_equal(fetch_http_new(l, &rules, &none, &err), files[i].rc);
		assert_null(none);
		assert_int_equal(strncmp(err.words, files[i].path, strlen(files[i].path)), 0);
	}
	loop_free(&l);
}

static int setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN); /* as every role does */
	tls_ca_begin(&ca, &stranger, ca_path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return tls_ca_end(&ca, &stranger, ca_path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers), cmocka_unit_test(test_certificates), cmocka_unit_test(test_connections), cmocka_unit_test(test_sound),
		cmocka_unit_test(test_ca_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
