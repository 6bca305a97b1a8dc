"""An honest stand-in for Pachyderm's server: what its S3 gateway does, oddities included, without a cluster.

No registry ships Pachyderm's server, so the demo and the tests talk to this one. What it promises is written down as
`tests/contract`, which runs against it and against any real gateway. Stored bytes live in the data directory, metadata
in memory: a stand-in that ends forgets its repos.
"""
