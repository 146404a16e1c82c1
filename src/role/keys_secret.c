#include "role/keys_secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/mem.h"
#include "role/keys_file.h"

struct secret {
	char *login;       /* NULL: none is needed */
	uint8_t *password; /* locked memory */
	size_t len;
};

struct keys_secrets {
	struct secret *all;
	size_t count;
};

struct keys_secrets *keys_secrets_new(void)
{
	return mem_zalloc(sizeof(struct keys_secrets));
}

void keys_secrets_free(struct keys_secrets **s)
{
	if (!*s)
		return;
	for (size_t i = 0; i < (*s)->count; i++) {
		OPENSSL_secure_clear_free((*s)->all[i].password, (*s)->all[i].len);
		free((*s)->all[i].login);
	}
	free((*s)->all);
	free(*s);
	*s = NULL;
}

enum rc keys_secrets_add(struct keys_secrets *s, const char *login, const char *file, struct err *err)
{
	struct secret *x;
	struct buf line;
	enum rc rc = keys_file_memory(err);

	s->all = mem_realloc(s->all, (s->count + 1) * sizeof(*s->all));
	x = &s->all[s->count++];
	*x = (struct secret){0};
	if (rc != RC_OK || !file[0])
		return rc;
	buf_init_secret(&line, LIMIT_PASSWORD_BYTES);
	rc = keys_file_line(file, &line, err);
	x->password = rc == RC_OK ? OPENSSL_secure_malloc(line.len) : NULL;
	if (rc == RC_OK && !x->password)
		rc = err_set(err, RC_IO, "no locked memory left for %s", file);
	if (rc == RC_OK) {
		memcpy(x->password, line.ptr, line.len);
		x->len = line.len;
		x->login = mem_str(login);
	}
	buf_clear(&line);
	return rc;
}

size_t keys_secrets_count(const struct keys_secrets *s)
{
	return s->count;
}

bool keys_secrets_get(const struct keys_secrets *s, unsigned index, struct span *login_out, struct span *password_out)
{
	const struct secret *x = index < s->count ? &s->all[index] : NULL;

	if (!x || !x->login)
		return false;
	*login_out = span_str(x->login);
	*password_out = span_of(x->password, x->len);
	return true;
}
