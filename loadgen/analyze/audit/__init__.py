"""Audits the autoscaler: replays every sync that is known through the HPA twin, and names the rule that determined it.

    events `hpa_sync` ─▶ syncs ─▶ inputs ─▶ replay ─▶ spans ─▶ Audit
                        (known and  (all that    (twin)   (same rule,
                         inferred)   are possible)         same replicas)

The local stack records what each sync read. A cluster shows only the status that the controller writes: the averages of
the metrics, not the pods behind them. Then every combination of inputs that the record allows is replayed, those that
give another result than the recorded one are dropped, and a rule is named only if all that remain agree.
"""
