"""All fuzz targets."""

from support.fuzz import cluster, files, manifests, metrics, servers, texts

TARGETS = (*servers.TARGETS, *metrics.TARGETS, *cluster.TARGETS, *files.TARGETS, *manifests.TARGETS, *texts.TARGETS)
