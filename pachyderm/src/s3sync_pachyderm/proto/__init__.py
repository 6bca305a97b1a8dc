"""The messages of the calls that are used, generated from the .proto files beside by `make generate`."""
