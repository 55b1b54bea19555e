"""The gRPC protocols' methods for what this process serves; the server itself is aiplatform/rpc/."""
