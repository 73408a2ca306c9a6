"""Golden files of chart cases store only differences from the base case, and every difference."""

import yaml

from support.charts.golden import golden

PANEL = '        {{\n          "expr": "{expr}",\n          "title": "{title}"\n        }},\n'
DASHBOARD = (
    "---\nkind: ConfigMap\nmetadata:\n  name: dashboard\ndata:\n  one.json: |\n    {\n      x\n"
    + PANEL.format(expr="up", title="Replicas")
    + PANEL.format(expr="busy", title="Busy")
    + "    }\n"
)
SERVICE = "---\nkind: Service\nmetadata:\n  name: demo\n  namespace: serving\nspec: {port: 80}\n"
ACCOUNT = "---\nkind: ServiceAccount\nmetadata:\n  name: demo\n"


def test_an_unchanged_object_is_one_line() -> None:
    """An unchanged object and an object that is not rendered are one line each; a changed object is stored whole."""
    changed = SERVICE.replace("80", "81")
    assert golden(changed + DASHBOARD, SERVICE + ACCOUNT + DASHBOARD, "base") == (
        f"# ServiceAccount/demo: not rendered, unlike in base.yaml\n{changed}# ConfigMap/dashboard: as in base.yaml\n"
    )


def test_an_unchanged_panel_is_one_line() -> None:
    """Of a changed dashboard only the changed panels are stored, and the file remains valid YAML."""
    text = golden(DASHBOARD.replace('"up"', '"sum(up)"'), DASHBOARD, "base")
    assert '"expr": "sum(up)"' in text
    assert '        # "Busy": as in base.yaml\n' in text
    assert '"busy"' not in text
    assert yaml.safe_load(text)["metadata"]["name"] == "dashboard"


def test_a_change_of_any_line_is_stored() -> None:
    """A change of any line of any object, or of the order of objects, changes the golden file."""
    base = SERVICE + ACCOUNT + DASHBOARD
    unchanged = golden(base, base, "base")
    lines = base.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line != "---\n":  # helm's own separator
            changed = "".join([*lines[:number], line.replace("\n", " #\n"), *lines[number + 1 :]])
            assert golden(changed, base, "base") != unchanged, line
    assert golden(ACCOUNT + SERVICE + DASHBOARD, base, "base") != unchanged
