"""What check-includes.py and check-banned.py share: their command line, and the planted files by which they show what they see.
check(src) of both returns (offending lines, how many things it looked at)."""
import argparse
import os
import sys
import tempfile


def selftest(check, good, planted, what):
    """Exit status. good: {path: text} without an offence; planted: [(path, text)], each of which is one beside the good files."""
    for extra in [None] + planted:
        with tempfile.TemporaryDirectory() as src:
            for path, text in list(good.items()) + ([extra] if extra else []):
                os.makedirs(os.path.dirname(os.path.join(src, path)), exist_ok=True)
                with open(os.path.join(src, path), "w", encoding="utf-8") as f:
                    f.write(text)
            bad, _ = check(src)
            if len({line.partition(": ")[0] for line in bad}) != (1 if extra else 0):  # in one place
                print(f"selftest: {extra}: found {bad}")
                return 1
    print(f"selftest: {len(planted)} planted {what} found, none where there is none")
    return 0


def main(doc, check, own_selftest, nothing, fine):
    """Exits. nothing: what was not there to look at; fine: what is said after the number of things where no line offends."""
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("--src", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src"))
    p.add_argument("--selftest", action="store_true")
    args = p.parse_args()
    if args.selftest:
        sys.exit(own_selftest())
    bad, seen = check(os.path.relpath(args.src))
    for line in bad:
        print(line)
    if seen == 0:
        print(f"no {nothing} below {args.src}")
        sys.exit(1)
    if not bad:
        print(f"{seen} {fine}")
    sys.exit(1 if bad else 0)
