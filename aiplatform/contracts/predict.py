"""What gateway and inference agree on for the predict routes, beside the public protocols.

In one process the gateway puts an `Identity` into `scope["state"]["identity"]`; between two it
travels as a signed header. Every answer carries REQUEST_ID_HEADER and, if it is a good one, PREDICTION_ID_HEADER;
MODEL_VERSION_HEADER stands in failures too, once a version was chosen. DEADLINE_HEADER is the caller's patience
in milliseconds. SUBJECT_HEADER names whom a request is about, so that what was stored of them can be deleted;
V2 requests may use SUBJECT_PARAMETER.
"""

# Words that stand where a model's name could, in one of the protocols: no endpoint may have them.
RESERVED_NAMES = frozenset(
    {
        "classify", "config", "explain", "generate", "health", "index", "infer", "labels", "live", "load", "logging",
        "metadata", "models", "predict", "ready", "regress", "repository", "stats", "status", "trace", "unload",
        "versions",
    }
)  # fmt: skip
REPOSITORY_INDEX_PATH = "/v2/repository/index"  # a POST that only reads
PREDICT_PREFIXES = ("/v1/models/", "/v2/")
PREDICTION_ID_HEADER = "X-Prediction-Id"
MODEL_VERSION_HEADER = "X-Model-Version"
DEADLINE_HEADER = "X-Request-Timeout-Ms"
PRIORITY_HEADER = "X-Request-Priority"  # high, normal (the default) or low
SUBJECT_HEADER = "X-Subject-Id"
SUBJECT_PARAMETER = "subject_id"
TRACE_HEADER = "traceparent"  # W3C Trace Context
IDENTITY_STATE = "identity"
REQUEST_ID_STATE = "request_id"
