#!/bin/bash
# smtpsink.sh DIR PORT: Postfix's smtp-sink from the folder that postfix.sh has filled; stores nothing. Runs until it is killed.
set -eu
pkg=$1/pkg
export LD_LIBRARY_PATH=$pkg/usr/lib/postfix:$pkg/usr/lib/x86_64-linux-gnu MAIL_CONFIG=$1/etc
exec "$pkg/usr/sbin/smtp-sink" -u nobody "127.0.0.1:$2" 2000
