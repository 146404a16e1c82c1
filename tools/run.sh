#!/bin/bash
# run.sh [--listen NAME=ADDRESS:PORT ...] PROGRAM [HOME]: a development home (made when it is not there; default dev-home), the whole system on
# loopback, and what to try. Ends on Ctrl-C.
set -u
. "$(dirname "$0")/dev-system.sh"
dev_options "$@"
home=${home:-dev-home}
mkdir -p "$home" && home=$(cd "$home" && pwd) || exit 1
stopped=
trap 'stopped=1; kill -TERM $pid 2>/dev/null' INT TERM HUP
dev_start
alice=$(dev_password alice@mailroom.test)
bob=$(dev_password bob@mailroom.test)
held=$("$mailroom" message ids --home "$home" 2>/dev/null | wc -l)
cat <<TXT
mailroom is up. It hosts mailroom.test; its home is $home; messages held: $held

  accounts   alice@mailroom.test  password $alice
             bob@mailroom.test    password $bob
  SMTP       ${at[mx]} for mail from anyone to them; ${at[submission]} (STARTTLS) and ${at[submissions]} (TLS) for them to send
  POP3       ${at[pop3]} (STARTTLS) and ${at[pop3s]} (TLS)
  log        $log

Four things to try, in another terminal in this directory:
  1. Somebody from outside writes to Alice:
       swaks --server ${at[mx]} --from you@example.org --to alice@mailroom.test
  2. Alice reads it:
       curl -k -u alice@mailroom.test:$alice pop3s://${at[pop3s]}/1
  3. Alice sends abroad without signing in; her program goes on after the refusal, and the 503 tells her why:
       swaks --server ${at[mx]} --pipeline --from alice@mailroom.test --to friend@example.com
  4. The same 503 as other servers say it, explained:
       $mailroom explain "503 valid RCPT command must precede DATA"

Ctrl-C stops it; the mail stays for the next time.
TXT
wait $pid
status=$?
# a signal ends the first wait early; the next one gets the real status
while kill -0 $pid 2>/dev/null; do wait $pid; status=$?; done
[ $status = 0 ] && { echo "mailroom has stopped; the mail is kept in $home"; exit 0; }
[ -n "$stopped" ] || tail -5 "$log" >&2
echo "mailroom ended with status $status; $log says more" >&2
exit $status
