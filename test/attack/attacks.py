#!/usr/bin/python3
"""The known attacks on a mail server, tried on a running one: every one is a case with its own line, at the end "N passed, N failed".

usage: attacks.py [--mailroom PROGRAM] [--quick] [--only REGEX] [--verbose]
The rows are those of the list of attacks that the design answers: 1 smuggling, 2 smuggling onward, 3 pipelining, 4 STARTTLS injection (5: of a client), 7 open relay, 9 backscatter,
14 MIME that is broken or too much, 15 attachments behind odd names and in archives, 16 clients that do not read and oversize lines, 17 slowloris and junk, 18 enumeration and timing, 19 brute force, 21 injection into SQL, log and terminal,
22 links and races in the home directory, 23 loops, 24 the clock."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--mailroom', help='the program (default: $MAILROOM, else the one in build/)')
    p.add_argument('--quick', action='store_true', help='leave out the cases that take long')
    p.add_argument('--only', help='cases whose line matches this expression')
    p.add_argument('--verbose', action='store_true', help='with tracebacks')
    args = p.parse_args()
    lib.prepare(args.mailroom)
    import rows_smtp, rows_limits, rows_auth, rows_system, rows_filter, rows_out  # noqa: E401, F401
    lib.CASES.sort(key=lambda c: c[0])
    passed, failed = lib.run_cases(args.quick, args.only, args.verbose)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
