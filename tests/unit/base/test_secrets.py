"""Secrets in texts: those of URLs, and those that a server repeats."""

import pytest

from loadgen.base import urls
from loadgen.base.errors import StackError
from loadgen.base.urls import hide, new_secret, redacted, redacted_bytes, without_user


@pytest.fixture(autouse=True)
def secrets(monkeypatch) -> None:
    monkeypatch.setattr(urls, "_secrets", set())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot reach https://admin:open-sesame@10.0.0.1:6443/api: refused",
            "cannot reach https://10.0.0.1:6443/api: refused",
        ),
        ("proxy http://u:p@proxy:3128", "proxy http://proxy:3128"),
        ("https://token@host and grpcs://a:b%40c@[::1]:8001", "https://host and grpcs://[::1]:8001"),
        ("https://a:b@c@host/x", "https://host/x"),
        ("mail me@host, see http://host/a@b", "mail me@host, see http://host/a@b"),
    ],
)
def test_users_and_passwords_of_urls_are_not_shown(text, shown):
    """Also in the message of every error of ours."""
    assert redacted(text) == shown
    assert str(StackError(text)) == shown


def test_a_secret_that_a_server_repeats_is_not_shown():
    """Anywhere in a text; a short one as a whole word only, and a very short one not at all."""
    for secret in ("eyJhbGciOiJSUzI1NiJ9.e30", "second", "abc"):
        hide(secret)
    assert redacted("bad token xeyJhbGciOiJSUzI1NiJ9.e30x") == "bad token x…x"
    assert redacted("user second, 3 seconds, abc") == "user …, 3 seconds, abc"
    assert str(StackError("401: eyJhbGciOiJSUzI1NiJ9.e30")) == "401: …"
    assert redacted_bytes(b"\xff eyJhbGciOiJSUzI1NiJ9.e30") == b"\xff ..."


def test_a_path_with_a_secret_is_not_shown():
    """The relay's."""
    assert redacted(f"http://127.0.0.1:1/{new_secret()}/api") == "http://127.0.0.1:1/…/api"


def test_user_and_password_of_a_url_are_taken_out_of_it():
    """They are decoded, and hidden from then on."""
    assert without_user("https://host:6443/k8s") == ("https://host:6443/k8s", None, None)
    url, user, password = without_user("https://ad%40min:open%20sesame@host:6443/k8s")
    assert (url, user, password) == ("https://host:6443/k8s", "ad@min", "open sesame")
    assert redacted("wrong: open sesame, open%20sesame") == "wrong: …, …"
