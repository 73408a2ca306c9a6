"""The page: well formed, offline, and safe against any text that a server sends."""

import base64
import hashlib
import json
import math
import random
import re
from dataclasses import dataclass, field, fields, replace
from html.parser import HTMLParser
from importlib import resources

import pytest
from loadgen_reports import chart
from loadgen_reports.formats import html

from loadgen.analyze.results import Analysis
from support.runs.synthetic import SAMPLES, sample

VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADS = {"src", "href", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href", "ping"}


@dataclass
class Page(HTMLParser):
    """A parsed page: its elements with their attributes, scripts and styles."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    inside: dict[str, list[str]] = field(default_factory=lambda: {"script": [], "style": []})
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.inside:
            self.inside[tag].append("")
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed, f"</{tag}> closes nothing"
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.unclosed and self.unclosed[-1] in self.inside:
            self.inside[self.unclosed[-1]][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=SAMPLES)
def page(request: pytest.FixtureRequest) -> Page:
    return Page(html.render(sample(request.param)))


def test_every_element_is_closed(page: Page) -> None:
    """The page of every kind of run is well formed, even with hostile text."""
    assert page.unclosed == []


def test_nothing_is_fetched(page: Page) -> None:
    """The page refers to nothing but its own anchors and inline data."""
    for tag, attributes in page.tags:
        for name in LOADS & set(attributes):
            value = attributes[name] or ""
            assert value.startswith(("#", "data:")), f"<{tag} {name}={value[:60]}>"
        assert not {name for name in attributes if name.startswith("on")}, tag
    style = "".join(page.inside["style"])
    assert "@import" not in style
    assert "url(" not in style
    assert not re.search(
        r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(", page.inside["script"][-1]
    )


def test_the_policy_allows_only_the_scripts_and_styles_of_the_page(page: Page) -> None:
    """The content security policy names the hash of each script and style, and allows no connection."""
    (policy,) = (m["content"] or "" for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    runnable = [s for s, tag in zip(page.inside["script"], page.all("script"), strict=True) if "type" not in tag]
    assert len(runnable) == 2
    for text in (*runnable, *page.inside["style"]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # A style attribute would be refused by that policy.
    assert not [tag for tag, attributes in page.tags if "style" in attributes]


def test_the_page_has_its_metadata(page: Page) -> None:
    """Language, viewport, title, icon and one heading are set, and every id is unique."""
    assert page.tags[0] == ("html", {"lang": "en"})
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert len(page.all("h1")) == page.text.split("</head>")[0].count("<title>") == 1
    assert (page.all("link")[0]["href"] or "").startswith("data:image/svg+xml;base64,")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.all("a")}
    assert {target[1:] for target in targets if target} <= set(ids)
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))


def test_hostile_text_stays_text() -> None:
    """Markup in names, causes and labels is shown as text; the data stays inside its element."""
    page = Page(html.render(sample("hostile")))
    assert not page.all("img")
    assert len(page.all("script")) == 3
    data = json.loads(page.inside["script"][0])
    assert "</script><img" in data["stages"][0][0]
    assert "<" not in page.inside["script"][0]
    assert "\x00" not in page.text
    page.text.encode()


def numbers(text: str) -> list[float | None]:
    return [float(value) if value else None for value in text.split(",")] if text else []


def test_the_data_is_the_timeline() -> None:
    """The page's columns are the series of the timeline to four digits, with the same gaps."""
    run = sample("failing")
    data = chart.data(run)
    assert numbers(data["t"]) == list(run.timeline.t_s)  # type: ignore[arg-type]
    for name, packed in data["series"].items():  # type: ignore[attr-defined]
        series = getattr(run.timeline, name)
        for value, expected in zip(numbers(packed), series, strict=True):
            assert (value is None) == math.isnan(expected)
            assert value is None or math.isclose(value, expected, rel_tol=5e-4, abs_tol=1e-9)


def test_lanes_hold_every_replica_once() -> None:
    """Replicas that never ran at the same time share a lane, with a gap between them; every replica has a lane."""
    nan = math.nan
    pods = {
        "a": (1.0, 1.0, nan, nan, nan, nan),
        "b": (nan, 2.0, 2.0, nan, nan, nan),
        "c": (nan, nan, nan, 3.0, 3.0, nan),
        "d": (nan, nan, 4.0, nan, 4.0, 4.0),
        "never": (nan,) * 6,
    }
    lanes = chart.lanes(pods)
    assert [lane.pods for lane in lanes] == [((0, 1, "a"), (3, 4, "c")), ((1, 2, "b"),), ((2, 5, "d"),)]
    assert str(lanes[0].values) == "(1.0, 1.0, nan, 3.0, 3.0, nan)"
    assert str(lanes[2].values) == "(nan, nan, 4.0, nan, 4.0, 4.0)"


def many_replicas(bins: int, replicas: int) -> Analysis:
    run = sample("two-hours")
    noise = random.Random(5)
    by_pod = {f"triton-7d9f-{i:02}": tuple(noise.random() * 3 for _ in range(bins)) for i in range(replicas)}
    return replace(run, timeline=replace(run.timeline, ratio_by_pod=by_pod))


@pytest.mark.timeout(60)
def test_two_hours_fit_the_page() -> None:
    """A run of two hours is at most 2 MB at one second, even with forty replicas throughout."""
    run = sample("two-hours")
    bins = len(run.timeline.t_s)
    assert bins >= 7200
    assert len(html.render(run).encode()) <= 1_000_000
    assert len(html.render(many_replicas(bins, 40)).encode()) <= 2_000_000


def test_a_long_run_is_condensed_and_says_so() -> None:
    """A run that is too long for bins of one second has longer ones, and the page says how long."""
    run = sample("failing")
    line = run.timeline
    times = 80
    names = {each.name for each in fields(line)} - {"t_s", "bin_s", "ratio_by_pod"}
    longer = {name: getattr(line, name) * times for name in names}
    t_s = tuple(float(i) for i in range(len(line.t_s) * times))
    pods = {pod: series * times for pod, series in line.ratio_by_pod.items()}
    page = html.render(replace(run, timeline=replace(line, t_s=t_s, ratio_by_pod=pods, **longer)))
    assert len(page.encode()) <= 2_000_000
    # 377 bins × 80 = 30,160 of them in at most 7,800 is one for every 4
    assert "One point is 4\N{NO-BREAK SPACE}s (analysis/timeline.parquet holds bins of 1\N{NO-BREAK SPACE}s)" in page


def test_findings_name_their_columns_for_a_narrow_screen() -> None:
    """On a narrow screen a finding is a card, in which each value has its column's heading."""
    part = html.render(sample("failing")).split('id="t-findings"')[1].split("</table>")[0]
    for label in ("Result", "Measured", "Limit", "Window"):
        assert f'data-label="{label}"' in part


def test_settings_are_not_scrolled() -> None:
    """Even 80 settings are shown without a scrolling box."""
    failing = sample("failing")
    many = replace(failing.run, settings={f"name_{n}": n for n in range(80)})
    part = html.render(replace(failing, run=many)).split('id="t-settings"')[1].split("<table")[0]
    assert "tall" not in part


def test_limits_have_their_value_beside_the_plot() -> None:
    """Beside the plot the value covers no curve; the legend has the full name."""
    thresholds = {panel["key"]: panel["thresholds"] for panel in chart.data(sample("failing"))["panels"]}  # type: ignore[attr-defined]
    assert thresholds["latency"] == [["2 s", 2.0]]
    assert thresholds["ratio"] == [["1", 1.0]]
    assert "SLO TTFT p95 ≤ 2" in html.render(sample("failing"))


def test_a_run_that_never_started_has_no_empty_sections() -> None:
    """Its page has only the opening sentence, the settings and the glossary."""
    text = html.render(sample("never-started"))
    assert 'id="settings"' in text
    assert not any(f'id="{part}"' in text for part in ("timeline", "scaling", "findings", "latency", "relations"))


def test_unmeasured_panels_say_why() -> None:
    """For a target of which only the endpoint is visible, ratio and replicas are unmeasured, not drawn as 0."""
    page = html.render(sample("url"))
    assert page.count("Not measured, because the replicas behind this endpoint are not observed") == 3
    assert 'id="panel-ratio"' in page
    assert "data-series" not in page[page.index('id="panel-ratio"') : page.index('id="chart-help"')]


def test_emulation_is_named() -> None:
    """The page says that the engine is emulated before any figure, with local and production durations."""
    page = html.render(sample("failing"))
    assert page.index("The engine is emulated") < page.index('class="figures"') < page.index('id="timeline"')
    assert "300\N{NO-BREAK SPACE}s" in page
    assert "emulated" not in html.render(sample("url")).split("<script", 1)[0].split("</style>", 1)[1]


def test_vendored_files_match_their_hashes() -> None:
    """The chart library is the published file, byte for byte, and the page contains its licence."""
    vendor = resources.files("loadgen_reports") / "templates" / "vendor"
    table = (vendor / "README.md").read_text()
    rows = re.findall(r"^\| `(\S+)` .*`([0-9a-f]{64})` \|$", table, re.MULTILINE)
    assert len(rows) == 2
    for name, digest in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert "The MIT License (MIT)" in html.render(sample("nothing-recorded"))
