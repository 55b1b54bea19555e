"""Alerts: rules are evaluated, alerts live their life, people are told, actions are taken.

vocabulary.py   the words: states, verdicts, policies
lifecycle.py    the state machine, pure
judgement.py    one measurement against one rule
targets.py      which endpoint versions a rule watches
evaluation.py   the periodic job: measure, judge, advance, record
transitions.py  what a step writes, in one transaction
marks.py        what people do to an alert: acknowledge, resolve
silences.py     who must not be disturbed, and when
messages.py     what a notification says
notifications.py  the outbox
channels.py     where messages go (Apprise)
actions.py      what a rule does by itself
defaults.py     the rules that a new platform has
wire.py         what the kernel is told
"""
