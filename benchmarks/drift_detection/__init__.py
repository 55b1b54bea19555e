"""False alarms and delays of drift detection on real data, beside Evidently and NannyML on the same windows.

    python -m benchmarks.drift_detection prepare --data FOLDER    models, predictions and windows -> var/drift-detection
    python -m benchmarks.drift_detection install                  Evidently and NannyML, in an environment of their own
    python -m benchmarks.drift_detection judge NAME               ours, evidently or nannyml: a verdict for each window
    python -m benchmarks.drift_detection table                    the table, in Markdown

FOLDER holds electricity/electricity.csv, german-credit/credit-g.csv and mnist/*.gz (OpenML 151 and 31, and
LeCun's files). Everything is seeded; `--seed 100` makes other splits and windows (seeds are used up to five further
on, so choose them wider apart).
"""
