"""The prediction store: what was asked and answered, row by row, as Parquet in the artifact store.

The serving side writes (`inference.recording`), this package reads, joins labels, exports, deletes,
compacts and forgets. `files` knows where rows lie, `reading` opens one file, `requests` and
`training_data` are what other parts of monitoring call.
"""
