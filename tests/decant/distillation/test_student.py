import time
def test_x(cycle_family, family):
    for f in (cycle_family, family):
        for n,r in f.reports.items(): print(n, r.start_ndcg, r.ndcg[-1], max(r.ndcg), r.best_epoch, r.losses[-1])
        print(f.hops)
