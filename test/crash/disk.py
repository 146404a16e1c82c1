def run_disk(ctx, rounds): pass
def run_clock(ctx, rounds): pass
