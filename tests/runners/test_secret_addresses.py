"""What stands before the @ of an address may be a key: in the place of the user, or of the password."""

import pytest

from engine_mcp.runners.secrecy import HIDDEN, secrets_of

KEY = "key-0123456789"


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        (f"https://{KEY}@proxy.example:3128", [KEY]),
        (f"https://{KEY}:x-oauth-basic@git.example/repo", [KEY, "x-oauth-basic"]),
        (f"https://oauth2-user:{KEY}@git.example", [KEY, "oauth2-user"]),
        (f"http://:{KEY}@proxy.example", [KEY]),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ANTHROPIC_BASE_URL", "REPOSITORY"])
def test_user_and_password_of_an_address_are_hidden(name: str, address: str, hidden: list[str]) -> None:
    secrets = secrets_of({name: address})
    for word in hidden:
        assert secrets.hide(f"refused for {word}") == f"refused for {HIDDEN}"
    assert secrets.hide("proxy.example git.example") == "proxy.example git.example"


@pytest.mark.parametrize(
    "address",
    [
        "https://proxy.example:3128",
        "http://me@proxy.example",
        "http://[broken",
        "https://12345678@proxy.example",
    ],
)
def test_an_address_without_a_key_hides_nothing(address: str) -> None:
    secrets = secrets_of({"HTTPS_PROXY": address})
    told = f"the proxy is {address}, not me, not 12345678"
    assert secrets.hide(told) == told
