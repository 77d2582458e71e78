"""Settings that follow orderwire.toml: what changes, and what a bad edit leaves as it was."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.settings.program import Settings

ONE, TWO = "one.myshopify.com", "two.myshopify.com"
PATIENCE_S = 30.0


class Edited:
    """A file, and the settings that follow it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.variables = {"ORDERWIRE_CONFIG": str(path)}
        self.write(ONE)
        self.live = LiveSettings(self.load(), self.load, look_s=0.02)
        self.stop = asyncio.Event()

    def load(self) -> Settings:
        return Settings.load(self.variables)

    def write(self, *shops: str, secret: str = "secret") -> None:
        tables = [f'[shops."{shop}"]\nwebhook_secret = "{secret}"\n' for shop in shops]
        self.path.write_text("".join(tables))

    async def news(self) -> Settings:
        changed = await asyncio.wait_for(self.live.changed(self.stop), PATIENCE_S)
        assert changed is not None
        return changed

    async def refused(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while self.live.error is None:  # noqa: ASYNC110 - it is read as the heartbeat does
                await asyncio.sleep(0.01)
        return self.live.error


@pytest.fixture
async def edited(tmp_path: Path) -> AsyncIterator[Edited]:
    found = Edited(tmp_path / "orderwire.toml")
    watching = asyncio.create_task(found.live.watch())
    yield found
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_an_edit_is_taken_by_itself_and_logged_by_shop(edited: Edited) -> None:
    with structlog.testing.capture_logs() as lines:
        edited.write(ONE, TWO)
        assert set((await edited.news()).shops) == {ONE, TWO}
        edited.write(TWO, secret="another")
        assert set((await edited.news()).shops) == {TWO}
    assert set(edited.live.now.shops) == {TWO}
    assert [(line["event"], line["added"], line["removed"], line["changed"]) for line in lines] == [
        ("shops read again", [TWO], [], []),
        ("shops read again", [], [ONE], [TWO]),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[shops.\n", "cannot be read"),
        (f'[shops."{ONE}"]\nwebhook_secrt = "x"\n', "webhook_secrt"),
        ("", "no shop is left"),
    ],
)
async def test_a_bad_edit_is_reported_and_changes_nothing(
    edited: Edited, text: str, reason: str
) -> None:
    edited.path.write_text(text)
    assert reason in await edited.refused()
    assert set(edited.live.now.shops) == {ONE}
    assert edited.live.details() == {"settings_error": edited.live.error}
    edited.write(ONE, TWO)
    assert set((await edited.news()).shops) == {ONE, TWO}
    assert edited.live.details() == {}


async def test_asked_to_it_reads_again_what_the_file_does_not_show(
    edited: Edited, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first")
    edited.path.write_text(f'[shops."{ONE}"]\nwebhook_secret_file = "{secret}"\n')
    assert (await edited.news()).shops[ONE].webhook_secrets == (b"first",)
    secret.write_text("second")
    edited.live.ask()
    assert (await edited.news()).shops[ONE].webhook_secrets == (b"second",)


async def test_what_belongs_to_the_whole_program_waits_for_a_restart(edited: Edited) -> None:
    edited.variables["ORDERWIRE_RETENTION_DAYS"] = "3"
    with structlog.testing.capture_logs() as lines:
        edited.write(ONE, TWO)
        changed = await edited.news()
    assert "settings beside the shops have changed: they take a restart" in [
        line["event"] for line in lines
    ]
    assert set(changed.shops) == {ONE, TWO}
    assert changed.retention_days == 14


async def test_an_edit_that_says_the_same_is_no_news(edited: Edited) -> None:
    edited.write(ONE)
    edited.live.ask()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(edited.live.changed(edited.stop), 0.3)


async def test_stopped_there_is_no_more_news(edited: Edited) -> None:
    edited.stop.set()
    assert await edited.live.changed(edited.stop) is None
