"""A conformance report on any SCIM server: the requirements of RFC 7643, 7644 and 9865 that a client can observe, each tried over HTTP."""
