"""All fuzz targets."""

from support.fuzz import audit, cluster, files, manifests, metrics, servers, texts, wire

TARGETS = (
    *servers.TARGETS,
    *metrics.TARGETS,
    *cluster.TARGETS,
    *files.TARGETS,
    *audit.TARGETS,
    *manifests.TARGETS,
    *texts.TARGETS,
    *wire.TARGETS,
)
