"""The way of a prediction as machine code: the same Python modules, compiled by mypyc where somebody asked for it.

    python -m aiplatform.machine_code build     needs a C compiler and requirements-dev.txt; some three minutes
    python -m aiplatform.machine_code status    says whether this process would use it
    python -m aiplatform.machine_code remove

What was built is used when `aiplatform` is imported, and only as long as every source is what it was built from.
MACHINE_CODE=0 leaves it alone. Nothing depends on it but speed.
"""
