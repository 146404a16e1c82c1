#include "cli/cli_commands.h"
#include "cli/cli_print.h"

#include <openssl/crypto.h>

int cli_version(struct cli *cli)
{
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s}", "mailroom", MAILROOM_VERSION, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING)));
	else
		printf("mailroom %s (OpenSSL %s)\n", MAILROOM_VERSION, OpenSSL_version(OPENSSL_VERSION_STRING));
	return CLI_OK;
}
