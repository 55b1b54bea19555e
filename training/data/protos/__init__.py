"""The records of TFRecord files; `make protos` generates the module from the .proto file."""
