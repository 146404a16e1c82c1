#include "test_role.h"

int main(void)
{
	return (test_auth_throttle() + test_auth_cache() + test_auth_login() + test_auth_form() + test_auth_sasl() + test_role_auth() + test_tls_server()) != 0;
}
