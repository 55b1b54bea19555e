"""The training app."""

from __future__ import annotations

from aiplatform.settings.base import env
from aiplatform.settings.process import DATA_DIR

env.section("Training")
TRAINING_DIR = DATA_DIR / "runs"
DATA_CACHE_DIR = DATA_DIR / "data-cache"
DATA_CACHE_BYTES = env.integer(
    "DATA_CACHE_BYTES", 20 * 1024**3, "Downloaded training data kept for later runs, in DATA_DIR/data-cache; 0: none"
)
DATA_MEMORY_BYTES = env.integer(
    "DATA_MEMORY_BYTES",
    2 * 1024**3,
    "Training data that takes more memory stays on disk, is read in shards and shuffled through a buffer; 0: none does",
)
DATA_DATABASES = env.items(
    "DATA_DATABASES",
    [],
    "Databases that training data may come from, as NAME=URL with commas: users that can only read; sql:NAME in orders",
    shown="none",
)
QUEUE_WORKERS = env.integer("QUEUE_WORKERS", 1, "Processes that answer the queue's doorbell")
TRAINING_LAUNCHER = env.text(
    "TRAINING_LAUNCHER", "local", "Where trainings run: local, kubernetes, kubeflow, or a launcher's dotted path"
)
TRAINING_JOB_TEMPLATE = env.text(
    "TRAINING_JOB_TEMPLATE",
    "",
    "File with the Job (TrainJob) that each training becomes; empty: the one that comes along",
)
TRAINING_NAMESPACE = env.text("TRAINING_NAMESPACE", "", "The cluster's namespace for trainings; empty: this pod's own")
TRAINING_KUBECONFIG = env.text(
    "TRAINING_KUBECONFIG", "", "How the cluster is reached; empty: as this pod, else as kubectl does"
)
TRAINING_WORKERS_PER_NODE = env.integer(
    "TRAINING_WORKERS_PER_NODE", 1, "On a cluster: processes of a run in one pod; further workers are further pods"
)
TRAINING_SLOTS = env.integer(
    "TRAINING_SLOTS",
    1,
    "A run that asks for nothing gets one of so many equal shares of its machine; on a cluster: attempts at a time",
)
TRAINING_CORES = env.number("TRAINING_CORES", 0.0, "Cores of this machine that trainings may hold; 0: all")
TRAINING_MEMORY_BYTES = env.integer(
    "TRAINING_MEMORY_BYTES", 0, "Memory of this machine that trainings and serving may hold together; 0: all"
)
TRAINING_GPUS = env.items(
    "TRAINING_GPUS",
    ["all"],
    "GPUs of this machine that trainings may hold: all, none, or numbers or UUIDs with commas",
    shown="all",
)
TRAINING_CGROUP = env.text(
    "TRAINING_CGROUP",
    "auto",
    "Cgroup (version 2) in which each training gets one of its own; auto: one that systemd delegated; none: no cgroups",
)
TRAINING_BACKFILL_S = env.number(
    "TRAINING_BACKFILL_S", 600.0, "How long smaller runs may pass one for which there is no room yet"
)
TRAINING_AGING_S = env.number(
    "TRAINING_AGING_S", 3600.0, "Waiting so long raises a run's priority by one; 0: waiting does not raise it"
)
TRAINING_FAIR_SHARE_S = env.number(
    "TRAINING_FAIR_SHARE_S", 86400.0, "What someone used counts half in the order of the queue after so long"
)
TRAINING_ATTEMPTS = env.integer("TRAINING_ATTEMPTS", 3, "Processes that a run may lose before it fails as lost")
TRAINING_LEASE_S = env.number("TRAINING_LEASE_S", 30.0, "A training process silent for so long has lost its run")
TRAINING_WALL_CLOCK_S = env.number("TRAINING_WALL_CLOCK_S", 86400.0, "Longest time of a run, all attempts together")
TRAINING_STALL_S = env.number("TRAINING_STALL_S", 900.0, "Longest time of a run without a finished step or epoch")
TRAINING_STOP_GRACE_S = env.number("TRAINING_STOP_GRACE_S", 15.0, "From a stop order to SIGKILL; SIGTERM after a third")
TRAINING_SUPERVISE_S = env.number("TRAINING_SUPERVISE_S", 2.0, "Seconds between two looks at the runs")
TRAINING_LISTENERS = env.integer("TRAINING_LISTENERS", 50, "Pages of runs that one process keeps up to date at once")
TRAINING_RING_AGAIN_S = env.number("TRAINING_RING_AGAIN_S", 5.0, "Ring again for a run that waited so long unheard")
MODEL_WORK_TIMEOUT_S = env.number(
    "MODEL_WORK_TIMEOUT_S", 900.0, "Longest time of a process that imports or exports a model"
)
MODEL_WORK_MEMORY_MB = env.integer("MODEL_WORK_MEMORY_MB", 8192, "MiB that such a process may allocate; 0: no limit")
TRAINING_KERAS_BACKEND = env.text(
    "TRAINING_KERAS_BACKEND",
    "tensorflow",
    "What Keras recipes learn on if an order does not say it (--backend): tensorflow, torch or jax",
)
TRAINING_LEARN = "training.learning.learn"  # tests put a quick stand-in for the learning code here
CODE_COMMIT = env.text("CODE_COMMIT", "", "Commit of the code, where there is no git (in an image)")
Q_CLUSTER = {
    "name": "aiplatform",
    "orm": "default",
    "workers": QUEUE_WORKERS,
    "timeout": 60,  # a doorbell task starts a process and returns; it never trains
    "retry": 120,
    "max_attempts": 1,  # attempts are counted on the run's row, not by the queue
    "ack_failures": True,
    "poll": 0.5,
    "catch_up": False,
    "label": "Queue",
}
