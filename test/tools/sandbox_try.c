/* sandbox_try - enters the walls of one role and then does one thing, so that a test can look from outside whether it was denied, ended the
 * process (SIGSYS), or went through.
 *
 *   sandbox_try [--kill] [--uid N] [--root DIR] [--write DIR] [--port N] ROLE TRY
 *
 * TRY: a name of sandbox_probe, "all" of them, "files" or "sqlite" (works in DIR; not outside), "serve" (loop, timer, channel with
 * descriptors, TLS handshake), "walls", "tcp-given-port", "tcp-other-port", "tcp-bind" and "udp" (for roles that go out). Prints "denied ..." (exit 0), "ALLOWED ..." (1), "works" (0) or "fails: ..." (3). */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "ipc/chan.h"
#include "loop/sandbox.h"
#include "loop/sandbox_probe.h"
#include "loop/stream.h"
#include "tls_pair.h"

static int try_say(int status, const char *verdict, const char *words)
{
	char line[300];
	int n = snprintf(line, sizeof(line), "%s%s%s\n", verdict, words[0] ? ": " : "", words);

	(void)!write(STDOUT_FILENO, line, n > 0 ? (size_t)n : 0);
	return status;
}

/* ---- what must still work: files */

#define STEP(what) \
	do { \
		if (!(what)) \
			return try_say(3, "fails", #what); \
	} while (0)

/* what only the store does */
static int try_store_files(const char *one, const char *two)
{
	int fd;

	STEP((fd = open(one, O_RDONLY | O_CLOEXEC)) >= 0);
	STEP(flock(fd, LOCK_EX | LOCK_NB) == 0);
	STEP(renameat(AT_FDCWD, one, AT_FDCWD, two) == 0);
	STEP(renameat(AT_FDCWD, two, AT_FDCWD, one) == 0);
	STEP(close(fd) == 0);
	return 0;
}

static int try_files(const char *dir, bool store)
{
	char one[300], two[300];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	void *map;
	int fd;

	(void)snprintf(one, sizeof(one), "%s/one", dir);
	(void)snprintf(two, sizeof(two), "%s/two", dir);
	STEP((fd = open(one, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) >= 0);
	STEP(pwrite(fd, "mail", 4, 0) == 4);
	STEP(fcntl(fd, F_SETLK, &lock) == 0);
	STEP(ftruncate(fd, 4096) == 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	STEP(map != MAP_FAILED);
	STEP(munmap(map, 4096) == 0);
	STEP(fsync(fd) == 0 && fdatasync(fd) == 0);
	STEP(close(fd) == 0);
	if (store && try_store_files(one, two) != 0)
		return 3;
	STEP(unlink(one) == 0);
	STEP((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	STEP(fsync(fd) == 0);
	close(fd);
	return try_say(0, "works", "");
}

static int try_sqlite(const char *dir)
{
	sqlite3 *db = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/try.db", dir);
	STEP(sqlite3_open(path, &db) == SQLITE_OK);
	STEP(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_exec(db, "CREATE TABLE mail (id INTEGER PRIMARY KEY, body BLOB)", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_exec(db, "BEGIN; INSERT INTO mail (body) VALUES (randomblob(300000)); COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_exec(db, "VACUUM", NULL, NULL, NULL) == SQLITE_OK);
	STEP(sqlite3_close(db) == SQLITE_OK);
	STEP(unlink(path) == 0);
	return try_say(0, "works", "");
}

/* ---- what must still work: serving. Everything is made before the walls but what a role makes behind them. */

struct serving {
	struct loop *loop;
	struct tls_pair tls;
	int chan_fds[2], stream_fds[2];
	struct chan *near, *far;
	struct loop_timer timer;
	bool got_frame, got_fd, ticked, tls_up, echoed;
};

static enum rc serve_frame(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	struct serving *s = owner;

	(void)c;
	s->got_frame = type == MSG_PEER;
	s->got_fd = type == MSG_PEER && close(msg->peer.sock) == 0;
	return RC_OK;
}

static void serve_gone(void *owner, struct chan *c, const char *why)
{
	(void)owner;
	(void)c;
	(void)try_say(3, "fails", why);
}

static size_t serve_bytes(void *owner, struct span bytes)
{
	struct serving *s = owner;

	s->echoed = span_eq(bytes, SPAN_LIT("hello"));
	return bytes.len;
}

static struct span serve_out(void *owner)
{
	(void)owner;
	return SPAN_NONE;
}

static void serve_sent(void *owner, size_t n)
{
	(void)owner;
	(void)n;
}

static void serve_tls(void *owner, bool ok, const char *why)
{
	struct serving *s = owner;

	s->tls_up = ok;
	if (!ok)
		(void)try_say(3, "fails", why);
}

static void serve_closed(void *owner, const char *why)
{
	(void)owner;
	(void)try_say(3, "fails", why);
}

static void serve_tick(void *arg, mono_ms now)
{
	struct serving *s = arg;
	bool sent = false;

	(void)now;
	if (tls_pair_client_step(&s->tls) && !s->echoed)
		sent = SSL_write(s->tls.client, "hello", 5) == 5;
	s->ticked = s->ticked || sent;
	if (s->echoed && s->got_frame)
		loop_stop(s->loop, 0);
	else
		loop_timer_at(&s->timer, now + 2);
}

static const struct chan_ops serve_chan_ops = {serve_frame, serve_gone};

static void serve_prepare(struct serving *s)
{
	s->loop = loop_new();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s->chan_fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, s->stream_fds))
		_exit(4);
	tls_pair_init(&s->tls, s->stream_fds[1]);
	/* a network role gives no descriptors away: the one that is to be received is sent by somebody else */
	s->near = chan_new(s->loop, s->chan_fds[0], ROLE_PARENT, ROLE_STORE, 0, &serve_chan_ops, s);
	chan_send(s->near, MSG_PEER, &(struct msg_peer){.role = ROLE_STORE, .worker = 7, .sock = s->stream_fds[0]});
}

static int try_serve(struct serving *s)
{
	static const struct stream_ops stream_ops = {serve_bytes, serve_out, serve_sent, serve_tls, serve_closed, NULL};
	struct stream *stream = stream_new(s->loop, s->stream_fds[0], &stream_ops, s);
	uint8_t chance[16];
	void *much = malloc(64 << 20);

	STEP(much && getrandom(chance, sizeof(chance), 0) == sizeof(chance));
	free(much);
	s->far = chan_new(s->loop, s->chan_fds[1], ROLE_STORE, ROLE_PARENT, 0, &serve_chan_ops, s);
	loop_timer_init(s->loop, &s->timer, serve_tick, s);
	loop_timer_at(&s->timer, loop_now(s->loop));
	STEP(stream_tls(stream, s->tls.server_ctx) == RC_OK);
	stream_start(stream);
	STEP(loop_run(s->loop) == 0);
	STEP(s->got_frame && s->got_fd && s->ticked && s->tls_up && s->echoed);
	return try_say(0, "works", stream_tls_version(stream));
}

/* ---- what must still work, and what not: going out. Nobody answers on these ports of this machine. */

enum { TRY_PORTS_ABI = 4, TRY_SERVER_PORT = 28525 };

static int try_out(const char *try, uint16_t port, unsigned abi)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}, any = {.sin_family = AF_INET};
	bool tcp = strcmp(try, "udp") != 0, binds = strcmp(try, "tcp-bind") == 0;
	int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, tcp ? IPPROTO_TCP : 0), failed;

	STEP(fd >= 0);
	if (tcp && abi < TRY_PORTS_ABI)
		return try_say(0, "no Landlock for ports", "");
	at.sin_port = htons(strcmp(try, "tcp-other-port") == 0 ? (uint16_t)(port + 1) : binds ? TRY_SERVER_PORT : port);
	failed = binds ? bind(fd, (struct sockaddr *)&at, sizeof(at)) : !tcp ? bind(fd, (struct sockaddr *)&any, sizeof(any)) : connect(fd, (struct sockaddr *)&at, sizeof(at));
	if (failed && errno == EACCES)
		return try_say(0, "denied", "");
	if (!tcp) {
		STEP(!failed && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && send(fd, "x", 1, 0) == 1);
		return try_say(0, "works", "");
	}
	return failed && errno == ECONNREFUSED ? try_say(0, "works", "") : try_say(1, "ALLOWED", "");
}

/* ---- */

static int try_probe(const char *name)
{
	for (size_t i = 0; i < sandbox_probe_count(); i++) {
		int error;
		bool denied;

		if (strcmp(sandbox_probe_name(i), name) != 0)
			continue;
		denied = sandbox_probe_try(i, &error);
		return try_say(denied ? 0 : 1, denied ? "denied" : "ALLOWED", error ? strerrordesc_np(error) : "");
	}
	return try_say(2, "no such try", name);
}

static int try_all(void)
{
	struct buf out;

	buf_init(&out, 64 << 10);
	sandbox_probe_run(&out);
	(void)!write(STDOUT_FILENO, out.ptr, out.len);
	return span_find_span(buf_span(&out), SPAN_LIT("ALLOWED")) < out.len ? 1 : 0;
}

/* A process from before the walls, as nobody behind them may ask the system who it is. Told to by a byte, it answers with what /proc shows of the other. */
struct witness {
	int ask[2], answer[2];
};

static bool witness_sees(const char *file, const char *fmt, unsigned number)
{
	char path[64], line[80], text[8192];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)getppid(), file);
	(void)snprintf(line, sizeof(line), fmt, number, number, number, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, line) != NULL;
}

static void witness_start(struct witness *w, uid_t uid)
{
	char byte, verdict = 'y';

	if (pipe(w->ask) || pipe(w->answer))
		_exit(4);
	if (fork() != 0)
		return;
	close(w->ask[1]);
	if (read(w->ask[0], &byte, 1) != 1) /* it ended */
		_exit(0);
	if (uid != 0 && (!witness_sees("status", "Uid:\t%u\t%u\t%u\t%u\n", uid) || witness_sees("status", "Gid:\t%u\t%u\t%u\t%u\n", 0)))
		verdict = 'u';
	else if (!witness_sees("limits", "Max core file size        %-20u %-20u ", 0))
		verdict = 'c';
	else if (!witness_sees("limits", "Max open files            %-20u %-20u ", 64))
		verdict = 'f';
	(void)!write(w->answer[1], &verdict, 1);
	_exit(0);
}

static int try_walls(const struct witness *w, unsigned walls, unsigned abi)
{
	char words[200], verdict = 0;

	STEP(write(w->ask[1], "?", 1) == 1 && read(w->answer[0], &verdict, 1) == 1);
	STEP(verdict != 'u');
	STEP(verdict != 'c');
	STEP(verdict == 'y');
	return try_say(0, "walls", sandbox_describe(walls, abi, words));
}

static bool try_options(int argc, char **argv, struct sandbox_plan *plan, int *at)
{
	for (*at = 1; *at < argc && strncmp(argv[*at], "--", 2) == 0; ++*at) {
		const char *option = argv[*at];
		uint64_t n = 0;

		if (strcmp(option, "--kill") == 0) {
			plan->kill_on_violation = true;
			continue;
		}
		if (++*at >= argc)
			return false;
		if (strcmp(option, "--uid") == 0 && num_parse(span_str(argv[*at]), UINT32_MAX - 1, &n) == RC_OK)
			plan->uid = (uid_t)n;
		else if (strcmp(option, "--root") == 0)
			plan->root = argv[*at];
		else if (strcmp(option, "--write") == 0)
			plan->write_dir = argv[*at];
		else if (strcmp(option, "--port") == 0 && num_parse(span_str(argv[*at]), UINT16_MAX, &n) == RC_OK)
			plan->connect_ports[plan->connect_port_count++] = (uint16_t)n;
		else
			return false;
	}
	return argc - *at == 2;
}

int main(int argc, char **argv)
{
	struct sandbox_plan plan = {.fd_max = 64, .file_max_bytes = 1 << 30};
	struct serving serving = {0};
	struct witness witness;
	unsigned walls, abi;
	struct err err;
	const char *try;
	int at;

	if (!try_options(argc, argv, &plan, &at))
		return try_say(2, "usage", "sandbox_try [--kill] [--uid N] [--root DIR] [--write DIR] [--port N] ROLE TRY");
	plan.role = argv[at];
	try = argv[at + 1];
	if (strcmp(try, "serve") == 0)
		serve_prepare(&serving);
	if (strcmp(try, "walls") == 0)
		witness_start(&witness, plan.uid);
	if (sandbox_enter(&plan, &walls, &abi, &err))
		return try_say(4, "not entered", err.words);
	if (strcmp(try, "walls") == 0)
		return try_walls(&witness, walls, abi);
	if (strcmp(try, "all") == 0)
		return try_all();
	if (strcmp(try, "serve") == 0)
		return try_serve(&serving);
	if (strcmp(try, "files") == 0)
		return try_files(plan.root && walls & WALL_ROOT ? "/" : plan.write_dir, strcmp(plan.role, "store") == 0);
	if (strcmp(try, "sqlite") == 0)
		return try_sqlite(plan.root && walls & WALL_ROOT ? "" : plan.write_dir);
	if (strcmp(try, "udp") == 0 || strncmp(try, "tcp-", 4) == 0)
		return try_out(try, plan.connect_ports[0], abi);
	return try_probe(try);
}
