#include "role/tls_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static void *wiping_malloc(size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(bytes);
}

static void wiping_free(void *old, const char *file, int line)
{
	(void)file, (void)line;
	if (old)
		explicit_bzero(old, malloc_usable_size(old));
	free(old);
}

static void *wiping_realloc(void *old, size_t bytes, const char *file, int line)
{
	size_t had = old ? malloc_usable_size(old) : 0;
	void *p;

	if (had >= bytes && bytes > had / 2)
		return old;
	p = malloc(bytes);
	if (!p)
		return NULL;
	if (old)
		memcpy(p, old, had < bytes ? had : bytes);
	wiping_free(old, file, line);
	return p;
}

enum rc tls_memory_wipe(struct err *err)
{
	if (CRYPTO_set_mem_functions(wiping_malloc, wiping_realloc, wiping_free) != 1)
		return err_set(err, RC_IO, "OpenSSL has memory already");
	return RC_OK;
}
