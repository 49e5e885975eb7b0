"""The real SDKs against the stand-in server, over real sockets."""
