"""Wire protocols: one module each, all answering with the same `Answer`."""

import os

# We only fork to execute another program. gRPC's own handlers of forks would run in between, in a child that has none
# of the threads they speak to, and now and then kill it there. Read when gRPC starts, so said before its import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
