#!/bin/bash
# demo.sh PROGRAM: the story of a refused message, played by real clients (swaks, curl) against a fresh system on loopback; ends by itself.
set -u
mailroom=$1
home=$(mktemp -d /tmp/mailroom-demo.XXXXXX)
chmod 755 "$home"
log=$home/mailroom.log
fail() { echo "demo: $*" >&2; [ -f "$log" ] && tail -20 "$log" >&2; exit 1; }
stop() { [ -n "${pid:-}" ] && kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$home"; }
trap stop EXIT
ports=(--listen mx=127.0.0.1:3525 --listen submission=127.0.0.1:3587 --listen submissions=127.0.0.1:3465 --listen pop3=127.0.0.1:3110 --listen pop3s=127.0.0.1:3995)

"$mailroom" init --home "$home" --dev >"$home/init.log" 2>&1 || { cat "$home/init.log" >&2; exit 1; }
"$mailroom" serve --home "$home" "${ports[@]}" 2>"$log" &
pid=$!
for _ in $(seq 100); do grep -q 'event=serving' "$log" 2>/dev/null && break; kill -0 $pid 2>/dev/null || fail "the server did not start"; sleep 0.1; done
alice=$(awk '$1 == "alice@mailroom.test" {print $2}' "$home/dev-passwords")
say() { printf '\n== %s\n' "$*"; }
show() { sed 's/^/   /'; }

say "1. Alice's program has no sign-in set up and sends abroad anyway. It ignores the refused RCPT and goes on to DATA:"
# --pipeline makes swaks do what many programs do: send DATA whatever RCPT said
printf 'EHLO laptop.example\r\nMAIL FROM:<alice@mailroom.test>\r\nRCPT TO:<friend@example.com>\r\nDATA\r\nQUIT\r\n' | curl -s --max-time 10 telnet://127.0.0.1:3525 | tee "$home/refused" | show
grep -q '^503[ -]' "$home/refused" || fail "no 503 was given"
last=$(grep '^503 ' "$home/refused" | tr -d '\r' | tail -1)
case $last in *relay-denied-unauth*) ;; *) fail "the last line of the 503 does not name the cause: $last" ;; esac

say "2. What does that mean? mailroom explain says:"
"$mailroom" explain "$last" | show
[ "${PIPESTATUS[0]}" = 0 ] || fail "explain found nothing"

say "3. The same message after signing in (swaks, port 3587, STARTTLS, AUTH):"
swaks --server 127.0.0.1:3587 -tls --auth-user alice@mailroom.test --auth-password "$alice" --from alice@mailroom.test --to friend@example.com,bob@mailroom.test \
	--header 'Subject: Hello from the demo' --body 'It works once you sign in.' --hide-informational >"$home/swaks.log" 2>&1 || { cat "$home/swaks.log"; fail "swaks could not send"; }
grep -E '^<~|^<-' "$home/swaks.log" | grep -E ' (235|250) ' | tail -3 | show
"$mailroom" queue list --home "$home" | show

say "4. Bob reads his copy over POP3S (curl):"
bob=$(awk '$1 == "bob@mailroom.test" {print $2}' "$home/dev-passwords")
curl -sk --max-time 10 -u "bob@mailroom.test:$bob" pop3s://127.0.0.1:3995/1 | tee "$home/read" | tr -d '\r' | show
grep -q 'It works once you sign in' "$home/read" || fail "the message did not come back"
say "That is the whole story: refused with its reason, sent after sign-in, kept, and read."
