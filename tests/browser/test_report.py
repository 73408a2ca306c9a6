"""The report's page in a browser: charts, zoom, keyboard, themes and narrow screens."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from loadgen_reports.panels import DARK, LIGHT
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.select import Select

from support.runs.synthetic import sample

Report = Callable[[str], Path]
STAGES = ["off-peak 1", "peak 1", "off-peak 2", "peak 2", "off-peak 3"]
"""Two waves of 150 s: the peaks are from 37.5 s to 112.5 s and from 187.5 s to 262.5 s."""


def stages(page) -> list[str]:
    """The stages within the zoom, as the strip above the charts shows them."""
    titles = page.run("return [...document.querySelectorAll('#strip g > title')].map((title) => title.textContent)")
    return [title.partition(":")[0] for title in titles]


def crosshair_s(page) -> float | None:
    """The time at the crosshair, as the line above the charts gives it."""
    text = page.run("return document.querySelector('#readout b')?.textContent ?? null")
    if text is None:
        return None
    minutes, _, seconds = text.removeprefix("−").partition(":")
    return (60 * float(minutes) + float(seconds)) * (-1 if text.startswith("−") else 1)


def announcement(page) -> str:
    """The last text that a screen reader announces."""
    return page.run("return document.getElementById('live').textContent")


def background(page) -> str:
    """The colour of the page as #rrggbb."""
    channels = re.findall(r"\d+", page.run("return getComputedStyle(document.body).backgroundColor"))
    return "#" + "".join(f"{int(channel):02x}" for channel in channels[:3])


def picture(page) -> str:
    """The first chart as an image."""
    return page.run("return document.querySelector('figure.panel canvas').toDataURL()")


@pytest.mark.parametrize(
    ("name", "panels"),
    [
        ("failing", 4),
        ("crash", 4),
        ("two-hours", 4),
        ("hostile", 4),
        ("interrupted", 4),
        ("no-autoscaler", 4),
        ("url", 2),  # load and latency: ratio and replicas cannot be seen
        ("nothing-recorded", 0),
        ("never-started", 0),
    ],
)
def test_every_measured_panel_is_drawn(page, report: Report, name: str, panels: int) -> None:
    """The page draws one canvas for each measured panel and records how long that took."""
    page.open(report(name))
    assert len(page.all("figure.panel canvas")) == panels
    if panels:
        assert re.fullmatch(r"\d+", page.find("html").get_attribute("data-draw-ms") or "")
        assert len(stages(page)) == len(sample(name).stage_spans)


def test_a_drag_zooms_and_a_double_click_resets(page, report: Report) -> None:
    """The strip of stages and all charts follow a zoom in one chart."""
    page.open(report("failing"))
    assert stages(page) == STAGES
    before = picture(page)
    plot = page.find("#panel-latency .u-over")
    width = plot.size["width"]
    # The axis is from -17 s to 360 s: this is from 39 s to 303 s at the most, and at the least from 100 s to 240 s.
    ActionChains(page.driver).move_to_element_with_offset(plot, -width // 6, 0).click_and_hold().move_by_offset(
        width // 3, 0
    ).release().perform()
    page.wait(lambda: stages(page) == ["peak 1", "off-peak 2", "peak 2"])
    assert picture(page) != before
    reset = page.find("[data-do=reset]")
    assert reset.is_enabled()
    ActionChains(page.driver).double_click(plot).perform()
    page.wait(lambda: stages(page) == STAGES)
    assert not reset.is_enabled()


def test_the_list_of_stages_and_the_buttons_zoom(page, report: Report) -> None:
    """A stage can be selected by its name; the buttons zoom out, move left and reset."""
    page.open(report("failing"))
    Select(page.find("#zoom-to")).select_by_visible_text("peak 2")
    page.wait(lambda: stages(page) == ["peak 2"])
    page.find("[data-do=out]").click()
    page.wait(lambda: stages(page) == ["off-peak 2", "peak 2", "off-peak 3"])
    page.find("[data-do=left]").click()
    page.wait(lambda: stages(page) == ["peak 1", "off-peak 2", "peak 2"])
    page.find("[data-do=reset]").click()
    page.wait(lambda: stages(page) == STAGES)


def test_the_charts_can_be_read_by_keyboard(page, report: Report) -> None:
    """Arrows move the crosshair, brackets step through events and announce them, plus zooms in, Escape resets."""
    page.open(report("failing"))
    keys = ActionChains(page.driver)
    page.run("document.getElementById('chart').focus()")
    first_s, end_s = (sample("failing").timeline.t_s[i] for i in (0, -1))
    keys.send_keys(Keys.HOME).perform()
    page.wait(lambda: crosshair_s(page) == first_s)
    keys.send_keys(Keys.END).perform()
    page.wait(lambda: crosshair_s(page) == end_s)
    keys.send_keys(Keys.ARROW_LEFT).perform()
    page.wait(lambda: crosshair_s(page) == end_s - 1)
    keys.key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
    page.wait(lambda: crosshair_s(page) == end_s - 11)
    keys.send_keys("[").perform()  # the last events before: the load ends, and a scale-down a moment earlier
    page.wait(lambda: "load ended" in announcement(page))
    keys.send_keys("[").perform()
    page.wait(lambda: "4 → 1 replicas" in announcement(page))
    keys.send_keys("++").perform()
    page.wait(lambda: stages(page) == ["peak 2", "off-peak 3"])
    keys.send_keys(Keys.ESCAPE).perform()
    page.wait(lambda: stages(page) == STAGES)


def test_every_control_is_reached_by_tab(page, report: Report) -> None:
    """Tab reaches the skip link, the theme, the charts and their buttons, and the focus is always visible."""
    page.open(report("failing"))
    seen = []
    for _ in range(40):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        seen.append(
            page.run(
                "const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.id || e.dataset.do || e.className || e.tagName, s.outlineStyle !== 'none' && s.outlineWidth]"
            )
        )
    names = [name for name, _ in seen]
    assert names[0] == "skip"
    assert {"theme", "chart", "zoom-to", "before", "after", "left", "right", "out", "in"} <= set(names)
    assert [name for name, outline in seen if name != "BODY" and outline in (False, "0px")] == []


def test_dark_mode_follows_the_system_and_the_button(page, report: Report) -> None:
    """Page and charts follow the system's preference; the button overrides it, even after a reload."""
    page.open(report("failing"))
    button = page.find("#theme")
    light = picture(page)
    assert (background(page), button.text) == (LIGHT["page"], "Theme: auto")
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.wait(lambda: background(page) == DARK["page"] and picture(page) != light)
    button.click()
    page.wait(lambda: background(page) == LIGHT["page"] and picture(page) == light)
    button.click()
    assert (background(page), button.text) == (DARK["page"], "Theme: dark")
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    page.open(report("failing"))
    assert (background(page), page.find("#theme").text) == (DARK["page"], "Theme: dark")


@pytest.mark.parametrize("name", ["failing", "hostile", "nothing-recorded"])
def test_a_narrow_screen_needs_no_horizontal_scrolling(page, report: Report, name: str) -> None:
    """At 360 pixels everything fits the width, except wide tables, which scroll on their own."""
    page.emulate("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2, mobile=True)
    page.open(report(name))
    assert page.run("return document.documentElement.scrollWidth") == 360
    wide = page.run(
        "return [...document.querySelectorAll('canvas')].map((c) => c.getBoundingClientRect())"
        ".filter((box) => box.left < 0 || box.right > 360).length"
    )
    assert wide == 0


def test_a_legend_hides_its_series(page, report: Report) -> None:
    """A click on a series in the legend hides it, and a second click shows it again."""
    page.open(report("failing"))
    before = picture(page)
    button = page.all("#panel-load [data-series]")[0]
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    page.wait(lambda: picture(page) != before)
    button.click()
    page.wait(lambda: picture(page) == before)


def test_requests_and_errors_are_detected(page, tmp_path: Path) -> None:
    """The checks that end every test detect a request, a console message and an uncaught error."""
    file = tmp_path / "page.html"
    file.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('message'); throw Error('uncaught')</script>"
    )
    page.open(file)
    assert page.requests() == ["http://127.0.0.1:9/x.png"]
    console = "\n".join(page.console())
    assert "message" in console
    assert "uncaught" in console
