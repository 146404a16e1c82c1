/* replay - runs a fuzz target over files, or over all files below directories: the corpora as unit tests, with any compiler. */
#include "fuzz.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { REPLAY_MAX_BYTES = 16 << 20, REPLAY_OPEN_DIRS = 16 };

static unsigned inputs;

/* each input is in memory of just its size, so that a sanitizer sees a read past its end */
static int replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int rc = -1;

	if (!f || !data || size > REPLAY_MAX_BYTES || fread(data, 1, size, f) != size) {
		fprintf(stderr, "replay: cannot read %s\n", path);
	} else {
		(void)LLVMFuzzerTestOneInput(data, size);
		inputs++;
		rc = 0;
	}
	free(data);
	if (f)
		(void)fclose(f);
	return rc;
}

static int replay_visit(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)where;
	return type == FTW_F ? replay_file(path, (size_t)st->st_size) : type == FTW_DNR || type == FTW_NS ? -1 : 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], replay_visit, REPLAY_OPEN_DIRS, FTW_PHYS) != 0) {
			fprintf(stderr, "replay: cannot read all of %s\n", argv[i]);
			return 1;
		}
	}
	printf("%u inputs\n", inputs);
	if (inputs == 0) {
		fprintf(stderr, "replay: nothing to run\n");
		return 1;
	}
	return 0;
}
