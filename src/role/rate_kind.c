#include "role/rate_kind.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct rate_kind rate_kinds[] = {
	{RATE_ACCOUNT_MESSAGES, RATE_OF_ACCOUNT, "messages", "rates", "account-messages", CAUSE_RATE_LIMIT_SENDER, CAUSE_QUOTA_SENDER_DAILY,
		offsetof(struct conf, rate_account_messages)},
	{RATE_ACCOUNT_RCPTS, RATE_OF_ACCOUNT, "recipients", "rates", "account-recipients", CAUSE_RATE_LIMIT_SENDER, CAUSE_QUOTA_SENDER_DAILY,
		offsetof(struct conf, rate_account_rcpts)},
	{RATE_ADDRESS_MESSAGES, RATE_OF_ADDRESS, "messages", "rates", "address-messages", CAUSE_RATE_LIMIT_IP, CAUSE_IP_RATE_BLOCKED,
		offsetof(struct conf, rate_address_messages)},
	{RATE_ADDRESS_RCPTS, RATE_OF_ADDRESS, "recipients", "rates", "address-recipients", CAUSE_RATE_LIMIT_IP, CAUSE_IP_RATE_BLOCKED,
		offsetof(struct conf, rate_address_rcpts)},
	{RATE_NETWORK_MESSAGES, RATE_OF_NETWORK, "messages", "network", "messages", CAUSE_NETWORK_RATE_LIMITED, CAUSE_NETWORK_DAY_LIMIT,
		offsetof(struct conf_network, messages)},
	{RATE_NETWORK_RCPTS, RATE_OF_NETWORK, "recipients", "network", "recipients", CAUSE_NETWORK_RATE_LIMITED, CAUSE_NETWORK_DAY_LIMIT,
		offsetof(struct conf_network, recipients)},
	{RATE_MAILBOX_MESSAGES, RATE_OF_MAILBOX, "messages", "rates", "mailbox-messages", CAUSE_RCPT_RATE_LIMITED, CAUSE_RCPT_RATE_BLOCKED,
		offsetof(struct conf, rate_mailbox_messages)},
	{RATE_CONNECTIONS, RATE_OF_ADDRESS, "connections", "rates", "address-connections", CAUSE_IP_CONNECTS_TOO_OFTEN, CAUSE_IP_CONNECTS_TOO_OFTEN,
		offsetof(struct conf, rate_address_connections)},
	{RATE_HELO_FLOODS, RATE_OF_ADDRESS, "connections without mail", "rates", "address-helo-floods", CAUSE_HELO_FLOOD, CAUSE_HELO_FLOOD,
		offsetof(struct conf, rate_address_helo)},
	{RATE_UNKNOWN_COMMANDS, RATE_OF_ADDRESS, "unknown commands", "rates", "address-unknown-commands", CAUSE_IP_UNKNOWN_COMMANDS, CAUSE_IP_UNKNOWN_COMMANDS,
		offsetof(struct conf, rate_address_unknown)},
	{RATE_UNAUTH_COMMANDS, RATE_OF_ADDRESS, "commands without sign-in", "rates", "address-unauth-commands", CAUSE_IP_UNAUTH_COMMANDS, CAUSE_IP_UNAUTH_COMMANDS,
		offsetof(struct conf, rate_address_unauth)},
	{RATE_FAILED_RCPTS, RATE_OF_ADDRESS, "refused recipients", "rates", "address-failed-recipients", CAUSE_IP_FAILED_RECIPIENTS, CAUSE_IP_FAILED_RECIPIENTS,
		offsetof(struct conf, rate_address_rcpt_failures)},
	{RATE_SIGN_INS, RATE_OF_ADDRESS, "sign-ins", "", "", CAUSE_NONE, CAUSE_NONE, SIZE_MAX},
};
enum { KINDS = sizeof(rate_kinds) / sizeof(rate_kinds[0]) };

_Static_assert((int)CONF_RATE_WINDOWS == (int)RATE_WINDOWS && (int)CONF_RATE_PEAK == (int)RATE_PEAK && (int)CONF_RATE_DAY == (int)RATE_DAY, "the same windows in the same order");

const struct rate_kind *rate_kind_get(int id)
{
	for (size_t i = 0; i < KINDS; i++)
		if ((int)rate_kinds[i].id == id)
			return &rate_kinds[i];
	return NULL;
}

const struct rate_kind *rate_kind_next(const struct rate_kind *after)
{
	size_t i = after ? (size_t)(after - rate_kinds) + 1 : 0;

	return i < KINDS ? &rate_kinds[i] : NULL;
}

const char *rate_whose_name(enum rate_whose whose)
{
	static const char *const names[] = {[RATE_OF_ACCOUNT] = "account", [RATE_OF_ADDRESS] = "address", [RATE_OF_NETWORK] = "network", [RATE_OF_MAILBOX] = "mailbox"};

	return names[whose];
}

const struct conf_rates *rate_kind_limits(const struct rate_kind *k, const struct conf *conf, const struct conf_network *network)
{
	static const struct conf_rates none;
	const char *base = k->whose == RATE_OF_NETWORK ? (const char *)network : (const char *)conf;

	return base && k->limits != SIZE_MAX ? (const void *)(base + k->limits) : &none;
}

struct conf_rates rate_kind_own_limits(struct span own, const struct conf_rates *otherwise)
{
	struct conf_rates limits = {{0}};

	if (span_eq(own, SPAN_LIT("none")))
		return limits;
	return own.len && conf_rates_parse(own, &limits, NULL) == RC_OK ? limits : *otherwise;
}

void rate_kind_write_limit(const struct rate_kind *k, const struct rate_hit *hit, char *out, size_t size)
{
	(void)snprintf(out, size, "%u %s %s", hit->most, k->things, rate_window_words(hit->window));
}

/* ---- keys */

struct rate_key rate_key_number(enum rate_kind_id id, uint64_t n)
{
	struct rate_key k = {.kind = (uint8_t)id};
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	k.len = (uint8_t)(sizeof(digits) - at);
	memcpy(k.bytes, digits + at, k.len);
	return k;
}

struct rate_key rate_key_text(enum rate_kind_id id, struct span text)
{
	struct rate_key k;

	if (rate_key_make((uint8_t)id, span_head(text, RATE_KEY_BYTES), &k) != RC_OK)
		k = (struct rate_key){.kind = (uint8_t)id};
	return k;
}

struct rate_key rate_key_address(enum rate_kind_id id, struct span peer)
{
	struct net_prefix p = {.bits = 128};
	struct rate_key k = rate_key_text(id, SPAN_LIT("?"));
	struct buf text;

	if (net_parse(peer, &p.base) != RC_OK)
		return k;
	if (!net_is_v4(&p.base)) {
		p.base = net_cut(&p.base, 64); /* a customer has a /64 */
		p.bits = 64;
	}
	buf_init(&text, RATE_KEY_BYTES);
	net_prefix_write(&text, &p);
	k = rate_key_text(id, buf_span(&text));
	buf_clear(&text);
	return k;
}

uint64_t rate_boot(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	uint64_t boot = 0;

	if (fd >= 0)
		(void)close(fd);
	for (ssize_t i = 0; i < n; i++) /* FNV-1a: only has to differ from one boot to the next */
		boot = (boot ^ (uint8_t)text[i]) * 0x100000001b3u + 1;
	return boot;
}
