"""All fuzz targets."""

from support.fuzz import audit, cluster, files, manifests, metrics, openai, servers, texts, wire

TARGETS = (
    *servers.TARGETS,
    *openai.TARGETS,
    *metrics.TARGETS,
    *cluster.TARGETS,
    *files.TARGETS,
    *audit.TARGETS,
    *manifests.TARGETS,
    *texts.TARGETS,
    *wire.TARGETS,
)
