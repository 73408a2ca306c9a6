"""Clients for the wire protocols, one module each, which all return an `Answer`."""

import os

# We only fork to execute another program. gRPC's fork handlers would run in the child before that, where the threads
# they communicate with do not exist, and occasionally kill it. gRPC reads this variable when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
