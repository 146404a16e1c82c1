/* attach_library - libarchive, by which attach_archive.c looks into archives; loaded by attach_prepare. It brings a dozen libraries along, XML and ICU among
 * them. */
#ifndef MAILROOM_MAIL_ATTACH_LIBRARY_H
#define MAILROOM_MAIL_ATTACH_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>

#define ATTACH_LIBRARY_CALLS(X) \
	X(archive_read_new) X(archive_read_free) X(archive_read_append_filter) X(archive_read_support_filter_compress) \
	X(archive_read_set_read_callback) X(archive_read_set_seek_callback) X(archive_read_set_callback_data) X(archive_read_open1) \
	X(archive_read_next_header) X(archive_read_data) X(archive_read_has_encrypted_entries) X(archive_filter_count) X(archive_format) X(archive_set_error) \
	X(archive_entry_pathname) X(archive_entry_pathname_utf8) X(archive_entry_size) X(archive_entry_size_is_set) X(archive_entry_filetype) \
	X(archive_entry_is_encrypted) \
	X(archive_read_support_format_zip_seekable) X(archive_read_support_format_zip_streamable) X(archive_read_support_format_rar) \
	X(archive_read_support_format_rar5) X(archive_read_support_format_7zip) X(archive_read_support_format_cab) X(archive_read_support_format_iso9660) \
	X(archive_read_support_format_ar) X(archive_read_support_format_cpio) X(archive_read_support_format_warc) X(archive_read_support_format_tar) \
	X(archive_read_support_format_raw)

struct attach_library {
#define ATTACH_LIBRARY_MEMBER(name) __typeof__(&(name)) name;
	ATTACH_LIBRARY_CALLS(ATTACH_LIBRARY_MEMBER)
#undef ATTACH_LIBRARY_MEMBER
};

#endif
