"""What a rule declares, and what it finds."""

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PitfallCode:
    """The static part of a pitfall.

    Attributes:
        code: Stable identifier, such as `probe.kills_loading`.
        severity: `error` where requests fail or scaling cannot work, `warning` where it depends on the load.
        consequence: What happens, in one sentence.
        fix: What to change, in one sentence, with the field and its value where that is short.
    """

    code: str
    severity: Severity
    consequence: str
    fix: str


def error(code: str, consequence: str, fix: str) -> PitfallCode:
    """Declare a pitfall with which requests fail or scaling cannot work."""
    return PitfallCode(code=code, severity="error", consequence=consequence, fix=fix)


def warning(code: str, consequence: str, fix: str) -> PitfallCode:
    """Declare a pitfall that does harm under some loads."""
    return PitfallCode(code=code, severity="warning", consequence=consequence, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitfall:
    """A pitfall that was found, with its evidence.

    Attributes:
        declared: Its code.
        severity: That of the code, or `warning` where no autoscaler depends on it here.
        source: File, chart or namespace that the object was read from.
        kind: Kind of the object.
        namespace: Namespace of the object.
        name: Name of the object.
        field: Path of the field, such as `spec.behavior`.
        value: The value there, or what is missing, in words.
        chart_value: The value of the bundled chart that decides it; empty for other manifests.
    """

    declared: PitfallCode
    severity: Severity
    source: str
    kind: str
    namespace: str
    name: str
    field: str
    value: str
    chart_value: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the pitfall as `loadgen lint --json` prints it."""
        return {
            "code": self.declared.code,
            "severity": self.severity,
            "file": self.source,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "field": self.field,
            "value": self.value,
            "chart_value": self.chart_value,
            "consequence": self.declared.consequence,
            "fix": self.declared.fix,
        }
