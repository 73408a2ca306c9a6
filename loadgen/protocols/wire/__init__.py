"""The built-in client: protocols as bytes on non-blocking sockets, without a greenlet for each request."""
