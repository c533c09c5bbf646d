// The official definition of the CSI version that we speak; a test compares our proto with it.
module directpv.min.io/tests/sanity/spec

go 1.23.0

require github.com/container-storage-interface/spec v1.13.0
