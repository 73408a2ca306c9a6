"""Every piece of Python that the documentation prints is run, and has only names that exist."""

import ast
import inspect
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import pytest
from locust.env import Environment

from loadgen import locust
from loadgen.base.checked import Settings
from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.load.adapters.users import TritonUser
from loadgen.load.plan import LoadPlan
from loadgen.load.prompts import read_jsonl
from loadgen.load.recorder import Recorder
from loadgen.load.sender import Sender
from loadgen.protocols.answer import Answer
from loadgen.scenario.rates import RateBase
from loadgen.scenario.settings import Scenario
from support.docs import python_examples
from support.docs.commands import ROOT
from support.docs.python_examples import PUBLIC

BLOCKS = tuple(python_examples.blocks())
LOAD = PUBLIC["Constant"](per_s=1, duration_s=200)


class Server:
    """Answers every request with one token, and remembers the prompts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        self.prompts.append(prompt)
        now = time.monotonic()
        return Answer(outcome="ok", token_times=[now], last=now, ended=now, output_tokens=1)

    def close(self) -> None:
        pass


def values_of(code: str) -> dict[str, Any]:
    """Run a block; return its names, and the values of its expressions as `0`, `1`, …"""
    names: dict[str, Any] = {"__name__": "example"} | ({} if "import" in code else PUBLIC)
    expressions = {}
    for number, statement in enumerate(ast.parse(code).body):
        if isinstance(statement, ast.Expr):
            expressions[str(number)] = eval(compile(ast.Expression(statement.value), "example", "eval"), names)
        else:
            exec(compile(ast.Module([statement], []), "example", "exec"), names)
    return {name: value for name, value in names.items() if name not in PUBLIC and name[0] != "_"} | expressions


def send(user_class: type[TritonUser], folder: Path) -> list[str]:
    """Send ten requests with one user of a class; return their prompts."""
    plan = LoadPlan(user_class.scenario.replace(load=PUBLIC["Constant"](per_s=1000, duration_s=0.01), arrivals="even"))
    run, server = RunFolder.create(folder, "x", Clock.start()), Server()
    recorder = Recorder(run, Clock.start(), worker=0)
    sender = Sender(
        plan=plan,
        numbers=plan.share(0, 1),
        start=time.monotonic(),
        connect=lambda: server,
        recorder=recorder,
        on_answer=lambda *_: None,
    )
    TritonUser.sender = sender
    try:
        user = user_class(Environment())
        with gevent.Timeout(30):
            while not sender.counts().complete:
                user.infer()
    finally:
        TritonUser.sender = None
        sender.close()
        recorder.flush()
    assert set(run.read("requests").outcome) == {"ok"}
    return server.prompts


@pytest.mark.parametrize(("document", "code"), BLOCKS, ids=lambda text: text[:20])
def test_blocks_run(document: str, code: str, tmp_path: Path) -> None:
    """A user class sends requests, a load has a plan, and further inputs are accepted; a block has one of them."""
    values = values_of(code)
    users = [each for each in values.values() if inspect.isclass(each) and issubclass(each, TritonUser)]
    loads = [each for each in values.values() if isinstance(each, RateBase)]
    inputs = [value for name, value in values.items() if name == "inputs"]
    assert users or loads or inputs, f"{document}: this block shows nothing that runs"
    for user_class in users:
        assert len(LoadPlan(user_class.scenario)) >= user_class.scenario.validity.min_samples
        prompts = send(user_class, tmp_path)
        assert len(prompts) == len(set(prompts)) == 10
    for load in loads:
        assert len(LoadPlan(Scenario(name="x", load=load))) > 0
    for each in inputs:
        assert Scenario(name="x", load=LOAD, inputs=each).inputs.keys() == each.keys()


def test_the_examples_are_found() -> None:
    """Blocks, calls, settings and lines: none of the searches is empty."""
    searches = (BLOCKS, python_examples.calls(), python_examples.settings(), python_examples.prompt_lines())
    assert all(len(tuple(found)) > 0 for found in searches)
    assert {document for document, _ in BLOCKS} >= {"README.md", "docs/scenarios.md"}


def test_the_example_of_the_readme_is_the_one_of_the_main_job() -> None:
    """So the whole example is run by the main job, as it is printed."""
    (code,) = [code for document, code in BLOCKS if document == "README.md"]
    module = ast.parse((ROOT / "scenarios" / "waves.py").read_text())
    module.body = module.body[1:]  # its docstring
    assert ast.dump(ast.parse(code)) == ast.dump(module)


def fields_of(name: str) -> Mapping[str, Any]:
    return PUBLIC[name].model_fields


@pytest.mark.parametrize("call", sorted({call for _, call in python_examples.calls()}))
def test_calls_in_the_text(call: str) -> None:
    """A call in a code span builds its settings; one with gaps has only settings that exist."""
    if "…" in call or re.search(r"=[,)]|\((n|low, high)\)", call):
        for name, arguments in re.findall(r"(\w+)\(([^()]*(?:\([^()]*\))?[^()]*)\)", call):
            assert set(re.findall(r"(\w+)=", re.sub(r"\([^()]*\)", "", arguments))) <= fields_of(name).keys()
    else:
        assert isinstance(eval(call, dict(PUBLIC)), Settings)


@pytest.mark.parametrize("name", sorted({name for _, name in python_examples.settings()}))
def test_settings_in_the_text(name: str) -> None:
    """A setting in a code span is one of a public class."""
    classes = [each for each in PUBLIC.values() if inspect.isclass(each) and issubclass(each, Settings)]
    assert any(name in each.model_fields for each in classes)


def test_lines_of_a_prompts_file_in_the_text(tmp_path: Path) -> None:
    """They can be read, with values for the gaps, and no key of theirs is ignored."""
    for document, line in python_examples.prompt_lines():
        filled = line.replace('"prompt": …', '"prompt": "a"').replace("…", "8")
        file = tmp_path / "prompts.jsonl"
        file.write_text(filled)
        (read,) = read_jsonl(file)
        assert json.loads(filled) == {key: getattr(read, key) for key in json.loads(filled)}, document


def test_imports_in_docstrings() -> None:
    """The example in the docstring of `loadgen.locust` imports names that exist."""
    (line,) = re.findall(r"^from loadgen\.locust import (.*)$", locust.__doc__ or "", re.M)
    assert {name.strip() for name in line.split(",")} <= PUBLIC.keys()
