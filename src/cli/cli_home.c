#include "cli/cli_home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

enum rc cli_home_make(const char *home, struct err *err)
{
	char *path = mem_str(home);
	struct stat st;
	enum rc rc = RC_OK;

	for (char *p = path + 1; rc == RC_OK && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			rc = err_errno(err, RC_IO, "cannot make the directory %s", path);
		*p = '/';
	}
	if (rc == RC_OK && mkdir(path, 0755) != 0 && errno != EEXIST)
		rc = err_errno(err, RC_IO, "cannot make the directory %s", path);
	if (rc == RC_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
		rc = err_set(err, RC_BAD, "%s is no directory", path);
	/* the roles have user ids of their own and have to get in */
	if (rc == RC_OK && geteuid() == 0 && (st.st_mode & 0111) != 0111 && chmod(path, (st.st_mode & 07777) | 0111) != 0)
		rc = err_errno(err, RC_IO, "cannot let the roles into %s", path);
	free(path);
	return rc;
}

enum rc cli_home_dir(const char *home, const char *name, mode_t mode, uid_t owner, struct err *err)
{
	char *path = mem_printf("%s/%s", home, name);
	enum rc rc = RC_OK;
	int fd;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		rc = err_errno(err, RC_IO, "cannot make the directory %s", path);
	fd = rc == RC_OK ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (rc == RC_OK && (fd < 0 || (geteuid() == 0 && fchown(fd, owner, owner) != 0) || fchmod(fd, mode) != 0))
		rc = err_errno(err, RC_IO, "cannot set owner and mode of %s", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

static enum rc cli_home_write(int dir, const char *temp, struct span text, mode_t mode, uid_t owner, const char *path, struct err *err)
{
	int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t done = 0;
	ssize_t n = 0;
	enum rc rc = RC_OK;

	if (fd < 0)
		return err_errno(err, RC_IO, "cannot write %s", path);
	while (done < text.len && (n = write(fd, text.ptr + done, text.len - done)) >= 0)
		done += (size_t)n;
	if (n < 0 || (geteuid() == 0 && fchown(fd, owner, owner) != 0) || fchmod(fd, mode) != 0 || fsync(fd) != 0)
		rc = err_errno(err, errno == ENOSPC ? RC_FULL : RC_IO, "cannot write %s", path);
	close(fd);
	return rc;
}

enum rc cli_home_file(const char *home, const char *name, struct span text, mode_t mode, uid_t owner, bool replace, struct err *err)
{
	char *path = mem_printf("%s/%s", home, name), *temp = mem_printf(".new-%016llx", (unsigned long long)rng_u64()), *slash = strrchr(path, '/');
	int dir;
	enum rc rc;

	*slash = '\0';
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	if (dir < 0) {
		rc = err_errno(err, RC_IO, "%s", path);
	} else {
		rc = cli_home_write(dir, temp, text, mode, owner, path, err);
		/* link() refuses where rename() would replace */
		if (rc == RC_OK && replace && renameat(dir, temp, dir, slash + 1) != 0)
			rc = err_errno(err, RC_IO, "cannot write %s", path);
		else if (rc == RC_OK && !replace && linkat(dir, temp, dir, slash + 1, 0) != 0)
			rc = err_errno(err, errno == EEXIST ? RC_EXISTS : RC_IO, "cannot write %s", path);
		if (rc != RC_OK || !replace)
			(void)unlinkat(dir, temp, 0);
		if (rc == RC_OK && fsync(dir) != 0)
			rc = err_errno(err, RC_IO, "cannot write %s", path);
		close(dir);
	}
	free(path);
	free(temp);
	return rc;
}
