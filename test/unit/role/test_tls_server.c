/* TLS with the private key in another process: that one runs the keys role, this one is a worker, and the client is openssl s_client or OpenSSL itself. */
#include "role/tls_server.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "role/keys_sign.h"
#include "role/role.h"
#include "test_role.h"

enum { CERT_RSA, CERT_EC, CERT_EC384, CERT_COUNT, SIGN_MS = 2000 };

static struct {
	char dir[64];
	char chain[CERT_COUNT][96], key[CERT_COUNT][96], weak[96], encrypted[96], empty[96];
	struct conf_certificate certificates[CERT_COUNT];
	struct conf conf;
	struct loop *loop;
	struct chan *keys;
	pid_t pid;
	uint32_t ask;
	unsigned signatures, schemes; /* bits 1 << scheme */
	struct tls_server *tls;
} t;

/* ---- certificates */

static void write_pem(const char *path, EVP_PKEY *pkey, X509 *x, const char *passphrase)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	if (x)
		assert_int_equal(PEM_write_X509(f, x), 1);
	if (pkey)
		assert_int_equal(PEM_write_PrivateKey(f, pkey, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)passphrase), 1);
	assert_int_equal(fclose(f), 0);
}

static void make_certificate(EVP_PKEY *pkey, const char *chain, const char *key)
{
	X509 *x = X509_new();
	X509_NAME *name;

	assert_non_null(pkey);
	assert_non_null(x);
	assert_int_equal(X509_set_version(x, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_set_pubkey(x, pkey), 1);
	name = X509_get_subject_name(x);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"mailroom.test", -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	write_pem(chain, NULL, x, NULL);
	write_pem(key, pkey, NULL, NULL);
	X509_free(x);
	EVP_PKEY_free(pkey);
}

static void make_files(void)
{
	EVP_PKEY *weak;

	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/test-tls-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	for (unsigned i = 0; i < CERT_COUNT; i++) {
		(void)snprintf(t.chain[i], sizeof(t.chain[i]), "%s/%u.crt", t.dir, i);
		(void)snprintf(t.key[i], sizeof(t.key[i]), "%s/%u.key", t.dir, i);
		t.certificates[i] = (struct conf_certificate){.name = i == CERT_RSA ? "rsa" : i == CERT_EC ? "ec" : "ec384", .chain = t.chain[i], .key = t.key[i]};
	}
	make_certificate(EVP_RSA_gen(2048), t.chain[CERT_RSA], t.key[CERT_RSA]);
	make_certificate(EVP_EC_gen("P-256"), t.chain[CERT_EC], t.key[CERT_EC]);
	make_certificate(EVP_EC_gen("P-384"), t.chain[CERT_EC384], t.key[CERT_EC384]);
	(void)snprintf(t.weak, sizeof(t.weak), "%s/weak.key", t.dir);
	(void)snprintf(t.encrypted, sizeof(t.encrypted), "%s/encrypted.key", t.dir);
	(void)snprintf(t.empty, sizeof(t.empty), "%s/empty.key", t.dir);
	weak = EVP_RSA_gen(1024);
	write_pem(t.weak, weak, NULL, NULL);
	write_pem(t.encrypted, weak, NULL, "secret");
	write_pem(t.empty, NULL, NULL, NULL);
	EVP_PKEY_free(weak);
	t.conf = (struct conf){.certificates = t.certificates, .certificate_count = CERT_COUNT};
}

/* ---- the keys role in its own process */

static void keys_process(int fd)
{
	struct role r = {.ops = &role_keys_ops, .id = ROLE_KEYS, .loop = loop_new(), .conf = &t.conf, .dir = "/"};
	struct err err;

	log_open(-1, "keys/1", LOG_LEVEL_ERROR);
	if (role_keys_ops.open(&r, &err) != RC_OK)
		_exit(1);
	role_keys_ops.peer(&r, ROLE_USER, 1, fd);
	(void)alarm(120);
	_exit(loop_run(r.loop));
}

static enum rc on_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *m)
{
	(void)owner, (void)c, (void)type, (void)m;
	return RC_BAD;
}

static void on_gone(void *owner, struct chan *c, const char *why)
{
	(void)owner, (void)c, (void)why;
	chan_free(&t.keys);
}

static void keys_start(void)
{
	static const struct chan_ops ops = {on_frame, on_gone};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0) {
		(void)close(pair[0]);
		keys_process(pair[1]);
	}
	(void)close(pair[1]);
	t.keys = chan_new(t.loop, pair[0], ROLE_USER, ROLE_KEYS, 0, &ops, NULL);
}

static void keys_stop(void)
{
	int status;

	(void)kill(t.pid, SIGKILL);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	t.pid = 0;
}

struct answer { uint32_t ask; bool ok; struct buf *out; };

static enum rc on_signed(void *arg, const union msg_any *m)
{
	struct answer *a = arg;

	if (m->signed_.ask != a->ask)
		return RC_AGAIN;
	a->ok = m->signed_.ok;
	buf_add(a->out, m->signed_.signature);
	return RC_OK;
}

static enum rc worker_sign(void *arg, unsigned key, enum key_scheme scheme, struct span input, struct buf *out)
{
	struct answer a = {.ask = ++t.ask, .out = out};
	struct msg_sign m = {.ask = a.ask, .key = (uint16_t)key, .scheme = (uint8_t)scheme, .input = input};

	assert_ptr_equal(arg, &t);
	t.signatures++;
	t.schemes |= 1u << scheme;
	if (!t.keys || chan_call(t.keys, MSG_SIGN, &m, MSG_SIGNED, SIGN_MS, on_signed, &a) != RC_OK)
		return RC_IO;
	return a.ok ? RC_OK : RC_DENIED;
}

static int group_setup(void **state)
{
	struct err err = {""};

	(void)state;
	make_files();
	t.loop = loop_new();
	keys_start();
	if (tls_server_new(&t.conf, worker_sign, &t, &t.tls, &err) != RC_OK)
		fail_msg("%s", err.words);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	chan_free(&t.keys);
	if (t.pid)
		keys_stop();
	tls_server_free(&t.tls);
	for (unsigned i = 0; i < CERT_COUNT; i++) {
		(void)unlink(t.chain[i]);
		(void)unlink(t.key[i]);
	}
	(void)unlink(t.weak);
	(void)unlink(t.encrypted);
	(void)unlink(t.empty);
	assert_int_equal(rmdir(t.dir), 0);
	return 0;
}

/* ---- in memory */

struct pair { SSL_CTX *client_ctx; SSL *client, *server; };

static void pair_open(struct pair *p, unsigned certificate, int version, const char *sigalgs, SSL_SESSION *session)
{
	BIO *a, *b;

	p->client_ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(p->client_ctx);
	assert_true(SSL_CTX_set_min_proto_version(p->client_ctx, version) && SSL_CTX_set_max_proto_version(p->client_ctx, version));
	if (sigalgs)
		assert_int_equal(SSL_CTX_set1_sigalgs_list(p->client_ctx, sigalgs), 1);
	p->client = SSL_new(p->client_ctx);
	p->server = SSL_new(tls_server_ctx(t.tls, certificate));
	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(p->client, a, a);
	SSL_set_bio(p->server, b, b);
	SSL_set_connect_state(p->client);
	SSL_set_accept_state(p->server);
	if (session)
		assert_int_equal(SSL_set_session(p->client, session), 1);
}

static bool pair_shake(struct pair *p)
{
	for (unsigned i = 0; i < 20; i++) {
		int c = SSL_do_handshake(p->client), s = SSL_do_handshake(p->server);

		if (c == 1 && s == 1)
			return true;
		if ((c != 1 && SSL_get_error(p->client, c) == SSL_ERROR_SSL) || (s != 1 && SSL_get_error(p->server, s) == SSL_ERROR_SSL))
			return false;
	}
	return false;
}

static void pair_close(struct pair *p)
{
	SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else OpenSSL takes the session for broken */
	SSL_free(p->client);
	SSL_free(p->server);
	SSL_CTX_free(p->client_ctx);
	ERR_clear_error();
}

/* one byte through, so that the client reads its tickets */
static void pair_talk(struct pair *p)
{
	char c = 0;

	assert_int_equal(SSL_write(p->server, "x", 1), 1);
	assert_int_equal(SSL_read(p->client, &c, 1), 1);
	assert_int_equal(c, 'x');
}

static void test_schemes(void **state)
{
	static const struct { unsigned certificate; int version; const char *sigalgs; enum key_scheme scheme; } cases[] = {
		{CERT_RSA, TLS1_3_VERSION, NULL, KEY_SCHEME_RSA_PRIVATE_RAW}, {CERT_RSA, TLS1_3_VERSION, "RSA-PSS+SHA384", KEY_SCHEME_RSA_PRIVATE_RAW},
		{CERT_RSA, TLS1_3_VERSION, "RSA-PSS+SHA512", KEY_SCHEME_RSA_PRIVATE_RAW}, {CERT_RSA, TLS1_2_VERSION, "RSA-PSS+SHA256", KEY_SCHEME_RSA_PRIVATE_RAW},
		{CERT_RSA, TLS1_2_VERSION, "RSA+SHA256", KEY_SCHEME_RSA_PRIVATE_PKCS1}, {CERT_RSA, TLS1_2_VERSION, "RSA+SHA384", KEY_SCHEME_RSA_PRIVATE_PKCS1},
		{CERT_RSA, TLS1_2_VERSION, "RSA+SHA512", KEY_SCHEME_RSA_PRIVATE_PKCS1}, {CERT_EC, TLS1_3_VERSION, NULL, KEY_SCHEME_ECDSA},
		{CERT_EC, TLS1_2_VERSION, NULL, KEY_SCHEME_ECDSA}, {CERT_EC, TLS1_2_VERSION, "ECDSA+SHA512", KEY_SCHEME_ECDSA},
		{CERT_EC384, TLS1_3_VERSION, NULL, KEY_SCHEME_ECDSA}, {CERT_EC384, TLS1_2_VERSION, NULL, KEY_SCHEME_ECDSA},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair p;

		t.signatures = t.schemes = 0;
		pair_open(&p, cases[i].certificate, cases[i].version, cases[i].sigalgs, NULL);
		if (!pair_shake(&p))
			fail_msg("case %zu", i);
		pair_talk(&p);
		assert_int_equal(t.signatures, 1); /* one hop a handshake */
		assert_int_equal(t.schemes, 1u << cases[i].scheme);
		pair_close(&p);
	}
}

static void test_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, CERT_RSA, TLS1_1_VERSION, NULL, NULL);
	SSL_set_security_level(p.client, 0);
	assert_false(pair_shake(&p));
	pair_close(&p);
	pair_open(&p, CERT_RSA, TLS1_2_VERSION, "RSA+SHA1", NULL);
	SSL_set_security_level(p.client, 0);
	assert_false(pair_shake(&p));
	pair_close(&p);
	pair_open(&p, CERT_RSA, TLS1_2_VERSION, NULL, NULL);
	assert_int_equal(SSL_set_cipher_list(p.client, "AES256-GCM-SHA384"), 1); /* RSA key exchange */
	assert_false(pair_shake(&p));
	pair_close(&p);
	assert_null(tls_server_ctx(t.tls, CERT_COUNT));
}

static void test_resume(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pair p;
		SSL_SESSION *session;

		pair_open(&p, CERT_EC, versions[i], NULL, NULL);
		assert_true(pair_shake(&p));
		pair_talk(&p);
		session = SSL_get1_session(p.client);
		pair_close(&p);
		t.signatures = 0;
		pair_open(&p, CERT_EC, versions[i], NULL, session);
		assert_true(pair_shake(&p));
		assert_true(SSL_session_reused(p.server));
		assert_int_equal(t.signatures, 0); /* no hop at all */
		pair_close(&p);
		/* not with another certificate's listener */
		pair_open(&p, CERT_RSA, versions[i], NULL, session);
		assert_true(pair_shake(&p));
		assert_false(SSL_session_reused(p.server));
		pair_close(&p);
		SSL_SESSION_free(session);
	}
}

/* both ends see the same binding, and every connection another */
static void test_binding(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct buf last;

	(void)state;
	buf_init(&last, 64);
	for (unsigned i = 0; i < 4; i++) {
		struct buf exporter, unique;
		uint8_t want[64];
		struct pair p;
		SSL_SESSION *session = NULL;
		bool old = i % 2 == 0;

		buf_init(&exporter, 512);
		buf_init(&unique, 512);
		pair_open(&p, CERT_EC, versions[i % 2], NULL, NULL);
		tls_server_binding(p.server, &exporter, &unique);
		assert_int_equal(exporter.len + unique.len, 0); /* not before the handshake is over */
		assert_true(pair_shake(&p));
		pair_talk(&p);
		if (i >= 2) { /* resumed: the server's Finished comes first */
			session = SSL_get1_session(p.client);
			pair_close(&p);
			pair_open(&p, CERT_EC, versions[i % 2], NULL, session);
			assert_true(pair_shake(&p));
			SSL_SESSION_free(session);
		}
		tls_server_binding(p.server, &exporter, &unique);
		assert_int_equal(exporter.len, 32);
		assert_int_equal(SSL_export_keying_material(p.client, want, 32, "EXPORTER-Channel-Binding", 24, NULL, 0, 0), 1);
		assert_memory_equal(exporter.ptr, want, 32);
		assert_false(span_eq(buf_span(&last), buf_span(&exporter)));
		buf_reset(&last);
		buf_add(&last, buf_span(&exporter));
		assert_int_equal(unique.len, old ? 12 : 0);
		if (old) {
			size_t len = i >= 2 ? SSL_get_peer_finished(p.client, want, sizeof(want)) : SSL_get_finished(p.client, want, sizeof(want));

			assert_int_equal(len, 12);
			assert_memory_equal(unique.ptr, want, 12);
		}
		pair_close(&p);
		buf_clear(&exporter);
		buf_clear(&unique);
	}
	buf_clear(&last);
	tls_server_binding(NULL, &last, &last);
	assert_int_equal(last.len, 0);
}

/* ---- openssl s_client over loopback */

static int listen_loopback(uint16_t *port_out)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port_out = ntohs(a.sin_port);
	return fd;
}

static void test_s_client(void **state)
{
	static const struct { unsigned certificate; const char *version, *want; } cases[] = {
		{CERT_RSA, "-tls1_2", "TLSv1.2"}, {CERT_RSA, "-tls1_3", "TLSv1.3"}, {CERT_EC, "-tls1_2", "TLSv1.2"}, {CERT_EC, "-tls1_3", "TLSv1.3"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char address[32], said[8192];
		int out[2], listener, fd, status;
		uint16_t port;
		size_t len = 0;
		ssize_t n;
		pid_t pid;
		SSL *ssl;

		listener = listen_loopback(&port);
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		assert_int_equal(pipe(out), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)dup2(out[1], 1);
			(void)dup2(out[1], 2);
			(void)execlp("openssl", "openssl", "s_client", "-connect", address, cases[i].version, "-CAfile", cases[i].certificate == CERT_RSA ?
				t.chain[CERT_RSA] : t.chain[CERT_EC], "-verify_return_error", "-brief", "-ign_eof", (char *)NULL);
			_exit(127);
		}
		(void)close(out[1]);
		fd = accept(listener, NULL, NULL);
		assert_true(fd >= 0);
		ssl = SSL_new(tls_server_ctx(t.tls, cases[i].certificate));
		assert_int_equal(SSL_set_fd(ssl, fd), 1);
		assert_int_equal(SSL_accept(ssl), 1);
		assert_int_equal(SSL_write(ssl, "220 mailroom.test\r\n", 19), 19);
		(void)SSL_shutdown(ssl);
		SSL_free(ssl);
		(void)close(fd);
		(void)close(listener);
		while (len < sizeof(said) - 1 && (n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
			len += (size_t)n;
		said[len] = '\0';
		(void)close(out[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!strstr(said, cases[i].want) || !strstr(said, "Verification: OK") || !strstr(said, "220 mailroom.test"))
			fail_msg("s_client %s: %s", cases[i].version, said);
	}
}

/* ---- what goes wrong */

static void test_files(void **state)
{
	struct conf_certificate c[1];
	struct conf conf = {.certificates = c, .certificate_count = 1};
	const struct { const char *chain, *key, *words; enum rc rc; } cases[] = {
		{t.chain[0], "/nonexistent/key", "/nonexistent/key: No such file", RC_IO}, {t.chain[0], t.weak, "1024 bits", RC_BAD},
		{t.chain[0], t.encrypted, "passphrase", RC_BAD}, {t.chain[0], t.empty, "no PEM private key", RC_BAD},
		{t.chain[0], t.chain[0], "no PEM private key", RC_BAD}, {t.chain[0], t.key[1], "is not the key of", RC_BAD},
		{t.empty, t.key[0], "no PEM certificate", RC_BAD}, {"/nonexistent/crt", t.key[0], "/nonexistent/crt", RC_IO}};
	struct tls_server *tls = NULL;
	struct keys *keys = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c[0] = (struct conf_certificate){.name = "main", .chain = cases[i].chain, .key = cases[i].key};
		err.words[0] = '\0';
		assert_int_equal(keys_load(&conf, &keys, &err), cases[i].rc);
		if (!strstr(err.words, cases[i].words) || !strstr(err.words, "certificate \"main\""))
			fail_msg("case %zu: %s", i, err.words);
		assert_null(keys);
	}
	for (unsigned i = 0; i < 2; i++) {
		c[0] = (struct conf_certificate){.name = "main", .chain = i ? t.empty : "/nonexistent/crt", .key = ""};
		assert_int_not_equal(tls_server_new(&conf, worker_sign, &t, &tls, &err), RC_OK);
		if (!strstr(err.words, c[0].chain) || !strstr(err.words, "certificate \"main\""))
			fail_msg("%s", err.words);
		assert_null(tls);
	}
}

/* what a worker that was taken over might ask for */
static void test_shapes(void **state)
{
	uint8_t block[256] = {0}, info[67] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
	const struct { unsigned key; unsigned scheme; size_t len; const uint8_t *bytes; bool ok; } cases[] = {
		{CERT_EC, KEY_SCHEME_ECDSA, 32, block, true}, {CERT_EC, KEY_SCHEME_ECDSA, 48, block, true}, {CERT_EC, KEY_SCHEME_ECDSA, 64, block, true},
		{CERT_EC, KEY_SCHEME_ECDSA, 20, block, false}, {CERT_EC, KEY_SCHEME_ECDSA, 0, block, false}, {CERT_EC, KEY_SCHEME_ECDSA, 33, block, false},
		{CERT_RSA, KEY_SCHEME_ECDSA, 32, block, false}, {CERT_EC, KEY_SCHEME_RSA_PRIVATE_RAW, 256, block, false},
		{CERT_RSA, KEY_SCHEME_RSA_PRIVATE_PKCS1, 51, info, true}, {CERT_RSA, KEY_SCHEME_RSA_PRIVATE_PKCS1, 50, info, false},
		{CERT_RSA, KEY_SCHEME_RSA_PRIVATE_PKCS1, 52, info, false}, {CERT_RSA, KEY_SCHEME_RSA_PRIVATE_PKCS1, 32, block, false},
		{CERT_RSA, KEY_SCHEME_RSA_PRIVATE_RAW, 256, block, false}, /* not a PSS block: a decryption, say */
		{CERT_RSA, KEY_SCHEME_RSA_PRIVATE_RAW, 255, block, false}, {CERT_RSA, 0, 32, block, false}, {CERT_RSA, 9, 256, block, false},
		{CERT_COUNT, KEY_SCHEME_ECDSA, 32, block, false},
	};
	struct keys *keys = NULL;
	struct err err;
	struct buf out;

	(void)state;
	assert_int_equal(keys_load(&t.conf, &keys, &err), RC_OK);
	assert_int_equal(keys_count(keys), CERT_COUNT);
	assert_string_equal(keys_kind(keys, CERT_RSA), "RSA 2048");
	assert_string_equal(keys_kind(keys, CERT_EC384), "EC P-384");
	buf_init(&out, 1024);
	block[255] = 0xbc;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		if (keys_sign(keys, cases[i].key, cases[i].scheme, span_of(cases[i].bytes, cases[i].len), &out) != (cases[i].ok ? RC_OK : RC_BAD))
			fail_msg("case %zu", i);
		assert_int_equal(out.len > 0, cases[i].ok);
	}
	buf_clear(&out);
	keys_free(&keys);
	keys_free(&keys);
}

/* the role drops such a worker; then handshakes fail, and nothing hangs */
static void test_keys_gone(void **state)
{
	struct buf out, words;
	struct pair p;
	mono_ms before;

	(void)state;
	buf_init(&out, 1024);
	buf_init(&words, 200);
	assert_int_equal(worker_sign(&t, CERT_RSA, KEY_SCHEME_RSA_PRIVATE_RAW, SPAN_LIT("decrypt this"), &out), RC_IO);
	assert_int_equal(out.len, 0);
	before = clock_mono_ms();
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		for (unsigned c = 0; c < CERT_COUNT; c++) {
			pair_open(&p, c, version, NULL, NULL);
			assert_false(pair_shake(&p));
			tls_server_fault(&words);
			assert_true(words.len > 0);
			pair_close(&p);
		}
	}
	assert_true(clock_mono_ms() - before < 1000);
	/* a new keys role, and all is well */
	keys_stop();
	chan_free(&t.keys);
	keys_start();
	pair_open(&p, CERT_RSA, TLS1_3_VERSION, NULL, NULL);
	assert_true(pair_shake(&p));
	pair_close(&p);
	/* one that hangs costs a bounded time */
	(void)kill(t.pid, SIGSTOP);
	before = clock_mono_ms();
	pair_open(&p, CERT_RSA, TLS1_3_VERSION, NULL, NULL);
	assert_false(pair_shake(&p));
	assert_in_range(clock_mono_ms() - before, SIGN_MS - 100, SIGN_MS + 1000);
	pair_close(&p);
	(void)kill(t.pid, SIGCONT);
	buf_clear(&out);
	buf_clear(&words);
}

int test_tls_server(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schemes), cmocka_unit_test(test_refused), cmocka_unit_test(test_resume), cmocka_unit_test(test_binding),
		cmocka_unit_test(test_s_client), cmocka_unit_test(test_files), cmocka_unit_test(test_shapes), cmocka_unit_test(test_keys_gone),
	};

	return cmocka_run_group_tests_name("tls_server", tests, group_setup, group_teardown);
}
