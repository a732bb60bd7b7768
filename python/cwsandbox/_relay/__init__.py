"""A relay's view of gRPC: HTTP/2 frames, header blocks and messages as they pass."""
