"""Records every prediction: queue, columns, spool, shipping to monitoring.

    hot path --record()--> bounded queue --every second--> columns --fsync--> spool --> monitoring

A process that is killed loses what was not yet flushed: at most RECORDER_FLUSH_INTERVAL_S of
predictions. What is in the spool is shipped at least once, by this process or by the next.
"""
