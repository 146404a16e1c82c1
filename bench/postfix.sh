#!/bin/bash
# postfix.sh DIR PORT start|stop [SINK]: Postfix from Debian's package, unpacked below DIR (nothing is installed), taking mail for u00..u99@bench.test on 127.0.0.1:PORT.
# With SINK it takes mail for everywhere, too, and sends it to 127.0.0.1:SINK. Also unpacks smtp-sink. `start` prints the pid of its master. Needs root, as Postfix does.
set -eu
dir=$1 port=$2 what=$3 sink=${4:-}
pkg=$dir/pkg etc=$dir/etc spool=$dir/spool
if [ "$what" = stop ]; then
	[ -f "$dir/master.pid" ] && kill "$(cat "$dir/master.pid")" 2>/dev/null || true
	rm -f "$dir/master.pid"
	exit 0
fi
if [ ! -x "$pkg/usr/lib/postfix/sbin/master" ]; then
	mkdir -p "$dir/deb" "$pkg"
	chmod 755 "$dir" "$dir/deb" "$pkg"
	(cd "$dir/deb" && { apt-get download -qq -o APT::Sandbox::User=root postfix || { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root postfix; }; }) >&2
	dpkg -x "$dir"/deb/postfix_*.deb "$pkg"
	# libraries that the package depends on and this machine may not have
	missing=$(LD_LIBRARY_PATH=$pkg/usr/lib/postfix ldd "$pkg/usr/lib/postfix/sbin/smtpd" | awk '/not found/ {print $1}')
	if [ -n "$missing" ]; then
		(cd "$dir/deb" && apt-get download -qq -o APT::Sandbox::User=root $(apt-cache depends postfix | awk '/Depends: lib/ {print $2}')) >&2
		for d in "$dir"/deb/lib*.deb; do dpkg -x "$d" "$pkg"; done
	fi
fi
mkdir -p "$etc" "$spool" "$dir/lib" "$dir/mail"
chmod 755 "$etc" "$spool" "$dir/mail"
for d in active bounce corrupt defer deferred flush hold incoming private saved trace; do mkdir -p "$spool/$d"; chown uucp "$spool/$d"; chmod 700 "$spool/$d"; done
mkdir -p "$spool/public" "$spool/maildrop" "$spool/pid"
chown uucp:news "$spool/public" "$spool/maildrop" "$dir/lib"
chmod 710 "$spool/public"
chmod 730 "$spool/maildrop"
for i in $(seq -w 0 99); do mkdir -p "$dir/mail/u$i/tmp" "$dir/mail/u$i/new" "$dir/mail/u$i/cur"; done
chown -R mail:mail "$dir/mail"
for i in $(seq -w 0 99); do echo "u$i@bench.test u$i/"; done >"$etc/mailboxes"
cat >"$etc/main.cf" <<X
compatibility_level = 3.7
queue_directory = $spool
data_directory = $dir/lib
command_directory = $pkg/usr/sbin
daemon_directory = $pkg/usr/lib/postfix/sbin
shlib_directory = $pkg/usr/lib/postfix
meta_directory = $pkg/etc/postfix
mail_owner = uucp
setgid_group = news
myhostname = mx.bench.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
smtp_host_lookup = native
default_transport = error:5.1.2 nothing leaves the machine
virtual_mailbox_domains = bench.test
virtual_mailbox_base = $dir/mail
virtual_mailbox_maps = texthash:$etc/mailboxes
virtual_uid_maps = static:$(id -u mail)
virtual_gid_maps = static:$(id -g mail)
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
mailbox_size_limit = 0
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
default_process_limit = 200
maillog_file = $dir/postfix.log
maillog_file_prefixes = $dir
alias_maps =
alias_database =
${sink:+relayhost = [127.0.0.1]:$sink}
${sink:+default_transport = smtp}
import_environment = LD_LIBRARY_PATH=$pkg/usr/lib/postfix:$pkg/usr/lib/x86_64-linux-gnu MAIL_CONFIG=$etc
X
cat >"$etc/master.cf" <<X
127.0.0.1:$port inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
virtual unix - n n - - virtual
smtp unix - - n - - smtp
relay unix - - n - - smtp
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
X
export LD_LIBRARY_PATH=$pkg/usr/lib/postfix:$pkg/usr/lib/x86_64-linux-gnu MAIL_CONFIG=$etc
setsid "$pkg/usr/lib/postfix/sbin/master" -c "$etc" >"$dir/master.log" 2>&1 </dev/null &
echo $! >"$dir/master.pid"
for _ in $(seq 100); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { cat "$dir/master.pid"; exit 0; }
	sleep 0.1
done
cat "$dir/master.log" "$dir/postfix.log" >&2
exit 1
