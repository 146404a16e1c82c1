#!/bin/bash
# run.sh PROGRAM [HOME]: a development home (made when it is not there), the whole system on loopback, and what to try. Ends on Ctrl-C.
set -u
mailroom=$1
home=${2:-dev-home}
mkdir -p "$home" && home=$(cd "$home" && pwd)
"$mailroom" init --home "$home" --dev >"$home/init.log" 2>&1 || { cat "$home/init.log" >&2; exit 1; }
log=$home/mailroom.log
from=$(stat -c %s "$log" 2>/dev/null || echo 0)
"$mailroom" serve --home "$home" 2>>"$log" &
pid=$!
trap 'kill -TERM $pid 2>/dev/null' INT TERM
for _ in $(seq 100); do
	tail -c +$((from + 1)) "$log" 2>/dev/null | grep -q 'event=serving' && break
	kill -0 $pid 2>/dev/null || { tail -c +$((from + 1)) "$log" >&2; echo "mailroom did not start; the lines above say why" >&2; exit 1; }
	sleep 0.1
done
password() { awk -v a="$1" '$1 == a {print $2}' "$home/dev-passwords"; }
alice=$(password alice@mailroom.test)
bob=$(password bob@mailroom.test)
held=$("$mailroom" message ids --home "$home" 2>/dev/null | wc -l)
cat <<TXT
mailroom is up (process $pid), home $home, domain mailroom.test, $held messages held
  mail in 2525   submission 2587 (STARTTLS), 2465 (TLS)   POP3 2110 (STARTTLS), 2995 (TLS)   all on 127.0.0.1
  alice@mailroom.test  password $alice
  bob@mailroom.test    password $bob
  log: $log

Try, in another terminal (from this directory):
  1. Somebody from outside writes to Alice:
     swaks --server 127.0.0.1:2525 --from you@example.org --to alice@mailroom.test
  2. Alice reads it:
     curl -k -u alice@mailroom.test:$alice pop3s://127.0.0.1:2995/1
  3. Send abroad without signing in, and be told why DATA says 503:
     printf 'EHLO me.example\r\nMAIL FROM:<alice@mailroom.test>\r\nRCPT TO:<friend@example.com>\r\nDATA\r\nQUIT\r\n' | curl -s telnet://127.0.0.1:2525
  4. Ask what such a refusal means:
     $mailroom explain "503 valid RCPT command must precede DATA"

Ctrl-C stops it; the mail stays for next time.
TXT
wait $pid
status=$?
# the first wait ends when the signal arrives; the second one gets the real status
kill -0 $pid 2>/dev/null && { wait $pid; status=$?; }
[ $status = 0 ] && echo "mailroom has stopped; the mail is kept in $home"
exit $status
