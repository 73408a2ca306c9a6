"""All fuzz targets."""

from support.fuzz import cluster, files, metrics, servers, texts

TARGETS = (*servers.TARGETS, *metrics.TARGETS, *cluster.TARGETS, *files.TARGETS, *texts.TARGETS)
