"""Records every prediction: queue, columns, spool, shipping to monitoring.

    serving process:   record() -> bounded queue -> columns, a few rows at a time -> every second: fsync -> spool
    clock's process:   spool of all serving processes of this machine -> monitoring

A process that is killed loses what was not yet flushed: at most RECORDER_FLUSH_INTERVAL_S of
predictions. What is in the spool is shipped at least once, by this clock or by the next.
"""
