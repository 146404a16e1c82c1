#!/bin/bash
# demo.sh [--listen NAME=ADDRESS:PORT ...] PROGRAM: the story of a refused message, played by real clients (swaks, curl) against a fresh system on
# loopback; ends by itself, with status 0 when every part of it came true.
set -u
. "$(dirname "$0")/dev-system.sh"
dev_options --listen mx=127.0.0.1:3525 --listen submission=127.0.0.1:3587 --listen submissions=127.0.0.1:3465 --listen pop3=127.0.0.1:3110 \
	--listen pop3s=127.0.0.1:3995 "$@"
home=$(mktemp -d /tmp/mailroom-demo.XXXXXX)
chmod 755 "$home" # the roles run as users of their own
stop() { [ -n "${pid:-}" ] && kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$home"; }
trap stop EXIT
trap 'exit 130' INT TERM
fail() { echo "demo: $*" >&2; tail -20 "$home/mailroom.log" >&2; exit 1; }
say() { printf '\n%s\n' "$*"; }
show() { tr -d '\r' | fold -s -w 110 | sed 's/^/   /'; }

dev_start
say "1. Alice's mail program is not set up to sign in. It swallows the refusal of RCPT and sends DATA all the same (swaks --pipeline does that):"
swaks --server "${at[mx]}" --pipeline --from alice@mailroom.test --to friend@example.com >"$home/refused" 2>&1
grep -E '^( ->|<\*\*) +(RCPT|DATA|5[0-9]+ )' "$home/refused" | sed -e 's/^ -> */C: /' -e 's/^<\*\* */S: /' | show
last=$(grep -o '503 .*' "$home/refused" | tail -1)
[ -n "$last" ] || fail "no 503 was given"
case $last in *relay-denied-unauth*) ;; *) fail "the last line of the 503 does not name the cause: $last" ;; esac
say "   That 503 is all that many programs show. Elsewhere it reads: 503 valid RCPT command must precede DATA"

say "2. What to do about it; mailroom explain \"503 5.5.1 No recipient was accepted ...\" says:"
"$mailroom" explain "$last" >"$home/explained" || fail "explain found nothing"
sed 's/^/   /' "$home/explained"

say "3. Alice switches sign-in on and sends it again, with a copy to Bob (swaks, STARTTLS, port ${at[submission]##*:}):"
swaks --server "${at[submission]}" -tls --auth-user alice@mailroom.test --auth-password "$(dev_password alice@mailroom.test)" --from alice@mailroom.test \
	--to friend@example.com,bob@mailroom.test --header 'Subject: Hello' --body 'It works once you sign in.' >"$home/sent" 2>&1 ||
	{ cat "$home/sent"; fail "swaks could not send"; }
grep -o '250 .* queued as .*' "$home/sent" | show
"$mailroom" queue list --home "$home" --json >"$home/queue"
grep -q '"friend@example.com"' "$home/queue" || fail "the queue does not hold it"
echo "   For friend@example.com it waits in the queue (mailroom queue list); what sends it on is not built yet."

say "4. Bob reads his copy (curl, POP3S):"
curl -sk --max-time 10 -u "bob@mailroom.test:$(dev_password bob@mailroom.test)" "pop3s://${at[pop3s]}/1" | tr -d '\r' >"$home/read"
grep -q 'It works once you sign in' "$home/read" || fail "the message did not come back"
sed -n -e '/^\(From\|To\|Subject\):/p' -e '/^$/,$p' "$home/read" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' | show

say "Refused with its reason, sent after sign-in, kept, and read."
