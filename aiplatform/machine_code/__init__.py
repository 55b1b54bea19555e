"""The way of a prediction as machine code: the same Python modules, compiled by mypyc where somebody asked for it.

    python -m aiplatform.machine_code build     needs a C compiler and requirements-dev.txt; some three minutes
    python -m aiplatform.machine_code status    says whether it may be used, and if not, why
    python -m aiplatform.machine_code remove

What was built is used by every process that reads the settings, as long as each source is what it was built from and
MACHINE_CODE does not turn it off. Nothing depends on it but speed.
"""
