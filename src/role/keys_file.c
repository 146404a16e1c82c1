#include "role/keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	KEYS_FILE_BYTES = 64 << 10,
	KEYS_SECURE_BYTES = 4 << 20, /* locked memory for all keys, a power of two */
	KEYS_SECURE_LEAST_BYTES = 32,
};

enum rc keys_file_memory(struct err *err)
{
	/* 0 is failure; 2 means it could not be locked */
	if (!CRYPTO_secure_malloc_initialized() && !CRYPTO_secure_malloc_init(KEYS_SECURE_BYTES, KEYS_SECURE_LEAST_BYTES))
		return err_set(err, RC_IO, "no locked memory for private keys");
	return RC_OK;
}

/* The file that a link leads to. Keys are read with the rights of whoever started the server, so only a link of that one (or of root: certificate programs
 * make such) is followed; it is read from the descriptor that was looked at. */
static enum rc file_open_link(const char *path, int *fd_out, struct err *err)
{
	int link = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;
	const char *slash = strrchr(path, '/');
	char target[PATH_MAX], *joined;
	struct stat st;
	ssize_t n = -1;

	if (link >= 0 && fstat(link, &st) == 0 && S_ISLNK(st.st_mode))
		n = readlinkat(link, "", target, sizeof(target) - 1);
	if (link >= 0)
		(void)close(link);
	if (n <= 0)
		return err_errno(err, RC_IO, "%s", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, RC_BAD, "%s is a link that uid %u made; a plain file, or a link that root made, would be right", path, (unsigned)st.st_uid);
	target[n] = '\0';
	joined = target[0] == '/' || !slash ? mem_str(target) : mem_printf("%.*s/%s", (int)(slash - path), path, target);
	fd = open(joined, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	*fd_out = fd;
	if (fd < 0)
		(void)err_errno(err, RC_IO, "%s (%s)", path, joined);
	free(joined);
	return fd < 0 ? RC_IO : RC_OK;
}

static enum rc file_open(const char *path, int *fd_out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	struct stat st;
	enum rc rc;

	if (fd < 0 && errno != ELOOP)
		return err_errno(err, RC_IO, "%s", path);
	if (fd < 0) {
		rc = file_open_link(path, &fd, err);
		if (rc != RC_OK)
			return rc;
	}
	if (fstat(fd, &st) != 0) {
		rc = err_errno(err, RC_IO, "%s", path);
		(void)close(fd);
		return rc;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)close(fd);
		return err_set(err, RC_BAD, "%s: no plain file, so no key", path);
	}
	*fd_out = fd;
	return RC_OK;
}

static enum rc file_read(const char *path, uint8_t *bytes, size_t *len_out, struct err *err)
{
	int fd = -1;
	ssize_t n;
	size_t len = 0;
	enum rc opened = file_open(path, &fd, err);

	if (opened != RC_OK)
		return opened;
	while ((n = read(fd, bytes + len, KEYS_FILE_BYTES - len)) > 0)
		len += (size_t)n;
	if (n < 0 || len == KEYS_FILE_BYTES) {
		enum rc rc = n < 0 ? err_errno(err, RC_IO, "%s", path) : err_set(err, RC_BAD, "%s: larger than %d bytes, so no key file", path, KEYS_FILE_BYTES);

		(void)close(fd);
		return rc;
	}
	(void)close(fd);
	*len_out = len;
	return RC_OK;
}

/* never asks a terminal: a server cannot type */
static int no_passphrase(char *text, int size, int writing, void *arg)
{
	(void)text, (void)size, (void)writing;
	*(bool *)arg = true;
	return -1;
}

enum rc keys_file_key(const char *path, EVP_PKEY **out, struct err *err)
{
	uint8_t *bytes = OPENSSL_secure_malloc(KEYS_FILE_BYTES);
	bool asked = false;
	size_t len = 0;
	enum rc rc;
	BIO *bio;

	if (!bytes)
		return err_set(err, RC_IO, "no locked memory left for %s", path);
	rc = file_read(path, bytes, &len, err);
	if (rc == RC_OK) {
		bio = BIO_new_mem_buf(bytes, (int)len);
		*out = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
		BIO_free(bio);
		if (!*out && (!bio || ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE))
			rc = err_set(err, RC_IO, "%s: no memory to read it", path);
		else if (!*out)
			rc = err_set(err, RC_BAD, asked ? "%s: the key is protected by a passphrase; write it without one" : "%s: holds no PEM private key", path);
		ERR_clear_error();
	}
	OPENSSL_secure_clear_free(bytes, KEYS_FILE_BYTES);
	return rc;
}

enum rc keys_file_line(const char *path, struct buf *out, struct err *err)
{
	uint8_t *bytes = OPENSSL_secure_malloc(KEYS_FILE_BYTES);
	size_t len = 0, end;
	enum rc rc;

	if (!bytes)
		return err_set(err, RC_IO, "no locked memory left for %s", path);
	rc = file_read(path, bytes, &len, err);
	for (end = 0; end < len && bytes[end] != '\n' && bytes[end] != '\r'; end++)
		continue;
	if (rc == RC_OK && end == 0)
		rc = err_set(err, RC_BAD, "%s: its first line is empty; the password would be right there", path);
	if (rc == RC_OK)
		buf_add(out, span_of(bytes, end));
	if (rc == RC_OK && out->overflow)
		rc = err_set(err, RC_BAD, "%s: its first line is too long for a password", path);
	OPENSSL_secure_clear_free(bytes, KEYS_FILE_BYTES);
	return rc;
}
