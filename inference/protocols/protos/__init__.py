"""The wire messages of the gRPC protocols; `make protos` generates the modules from the .proto files."""
