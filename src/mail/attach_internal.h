/* what the files of attach share: attach.c runs the stages, attach_zip.c reads zip directories, attach_archive.c libarchive */
#ifndef MAILROOM_MAIL_ATTACH_INTERNAL_H
#define MAILROOM_MAIL_ATTACH_INTERNAL_H

#include "base/limits.h"
#include "base/map.h"
#include "mail/attach.h"
#include "mail/mime_reader.h"

enum attach_stage { ATTACH_AT_HEAD, ATTACH_AT_SIZE, ATTACH_AT_DIRECTORY, ATTACH_AT_OPEN, ATTACH_AT_MEMBERS, ATTACH_DONE };

enum {
	ZIP_LOCAL_BYTES = 30,
	ZIP_NAME_BYTES = 1024,  /* of a local header that is believed without a directory */
	ZIP_SCAN_BYTES = 16 << 10,
};

/* the directory of a zip, as it is walked */
struct attach_zip {
	uint8_t scan[ZIP_SCAN_BYTES]; /* the last bytes seen while measuring */
	size_t scan_len;
	bool found, over;
	uint64_t at, end; /* what is left of the directory */
	unsigned magic, entries; /* directory entries seen while measuring */
	unsigned locals;         /* local headers */
};

struct attach_level;

struct attach {
	const struct mime_part *part;
	struct attach_facts facts;
	enum attach_stage stage;
	unsigned how;
	struct arena mem;              /* names */
	struct map known;              /* members by name and depth */
	const struct attach_member **tail;
	struct mime_reader reader;
	struct attach_zip *zip;
	struct attach_level *level;    /* innermost */
	uint64_t budget;               /* left of this run */
	uint64_t pull;                 /* input left for one call of libarchive */
};

void attach_spend(struct attach *a, uint64_t bytes);
/* Counts unpacked bytes; false: a limit is reached, and the flag is set. */
bool attach_count_out(struct attach *a, uint64_t bytes);
/* One name; the same again gives the same. NULL: a limit is reached, and the flag is set. */
struct attach_member *attach_member_add(struct attach *a, struct span name, unsigned depth);

/* bytes that go by on the way to the end: local headers of a zip name members too, whatever its directory says */
void attach_zip_scan(struct attach *a, struct span bytes);
/* looks for the directory at the end of the part */
void attach_zip_find(struct attach *a);
/* one entry; false: no more */
bool attach_zip_step(struct attach *a);

/* opens the part itself as an archive */
void attach_archive_open(struct attach *a);
/* a piece of work; false: done */
bool attach_archive_step(struct attach *a);
void attach_archive_close(struct attach *a);

/* refines what a zip is by the name of a member */
const struct attach_type *attach_type_zip(struct span member, const struct attach_type *so_far);

#endif
