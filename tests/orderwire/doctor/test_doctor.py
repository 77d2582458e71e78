"""`orderwire doctor`: each line ok, a hint or what to fix; exit code 1 for what is to be fixed;
never a secret."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from destinations.meta.settings import CapiSettings
from orderwire.cli import app
from orderwire.doctor import Line
from orderwire.doctor.machine import clock_line, disk_line, port_line
from orderwire.doctor.outside import check, graph
from orderwire.operation.existing import store_revision
from orderwire.private_files import tighten
from orderwire.settings.program import ListenAddress, Settings, ShopSettings
from simulator.meta.graph import GraphStandIn
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.migrations.run import head
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import NOW_MS, PIXEL, SECRET, SHOP, TOKEN, VARIABLES, fold_all

runner = CliRunner()
APP_SECRET, API_TOKEN, ADMIN_TOKEN = "0123456789abcdef-app", "an api token", "shpat_very_secret"


@pytest.fixture(autouse=True)
def private(shop_settings: Settings) -> None:
    """The store is as the command line makes it, not as the test's umask does."""
    tighten(shop_settings)


async def doctor(*arguments: str) -> tuple[int, list[str]]:
    done = await asyncio.to_thread(runner.invoke, app, ["doctor", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    for secret in (SECRET, TOKEN, APP_SECRET, API_TOKEN, ADMIN_TOKEN):
        assert secret not in done.output
    return done.exit_code, done.output.splitlines()


def states(lines: list[str]) -> set[str]:
    return {line.split()[0] for line in lines}


async def test_a_shop_that_is_set_up_is_ok_in_every_line(
    shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_APP_SECRET", APP_SECRET)
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, app_secret=APP_SECRET) as graph:
        monkeypatch.setenv("META_GRAPH_URL", graph.url)
        code, lines = await doctor()
    hints = [line for line in lines if not line.startswith("ok")]
    assert (code, hints) == (0, ["hint  roles: none at work: `orderwire serve` starts them"])
    assert any("Meta knows pixel" in line for line in lines)
    assert any(line.startswith("ok    clock: within") for line in lines)


async def test_every_account_of_a_shop_is_named(
    shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orderwire.toml").write_text(
        f'[shops."{SHOP}".destinations.outlet]\n'
        'kind = "meta"\npixel_id = "8"\naccess_token = "token-1234"\n'
    )
    (line,) = [
        line
        for line in (await doctor("--offline"))[1]
        if line.startswith(f"ok    {SHOP}: 1 webhook secret")
    ]
    assert line.endswith(f", pixel {PIXEL}, destination outlet (meta)")


async def test_a_file_that_others_can_open_is_to_be_closed(
    shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dotenv = tmp_path / ".env"
    dotenv.touch(0o600)
    assert not any("chmod" in line for line in (await doctor("--offline"))[1])
    dotenv.chmod(0o640)
    code, lines = await doctor("--offline")
    assert code == 1
    assert "fix   files: .env can be opened by other users: chmod 600 .env" in lines


async def test_before_the_first_start_nothing_is_made(
    shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERWIRE_STORE_URL", f"sqlite:///{tmp_path / 'data' / 'none.db'}")
    code, lines = await doctor("--offline")
    assert code == 0
    assert not (tmp_path / "log.db").exists()
    assert not (tmp_path / "data").exists()
    assert any("`orderwire serve` makes the schema" in line for line in lines)


@pytest.mark.parametrize(
    ("tokens", "secret", "said"),
    [
        ({"another token": None}, None, "make a new one in Events Manager"),
        ({TOKEN: ["999"]}, None, "no grant for it"),
        ({TOKEN: None}, "another app's secret", "check META_APP_SECRET"),
    ],
)
async def test_each_refusal_of_meta_is_distinguished(
    tokens: dict[str, Any], secret: str | None, said: str
) -> None:
    async with GraphStandIn(tokens=tokens, app_secret=secret) as stand_in:
        capi = CapiSettings(shop=SHOP, pixel_id=PIXEL, access_token=TOKEN, graph_url=stand_in.url)
        (line,) = (await asyncio.to_thread(graph, SHOP, capi)).lines
    assert line.state == "fix"
    assert said in line.text


async def test_the_token_travels_in_the_header_alone() -> None:
    async with GraphStandIn(tokens={TOKEN: None}) as stand_in:
        capi = CapiSettings(shop=SHOP, pixel_id=PIXEL, access_token=TOKEN, graph_url=stand_in.url)
        (line,) = (await asyncio.to_thread(graph, SHOP, capi)).lines
        assert (line.state, stand_in.account.findings["token_in_url"]) == ("ok", 0)


def test_a_graph_api_out_of_reach_is_reported_without_its_url_parameters() -> None:
    capi = CapiSettings(
        shop=SHOP,
        pixel_id=PIXEL,
        access_token=TOKEN,
        app_secret=APP_SECRET,
        graph_url=f"http://127.0.0.1:{closed_port()}",
    )
    (line,) = graph(SHOP, capi).lines
    assert line.state == "fix"
    assert "cannot be reached (no connection)" in line.text
    assert "proof" not in line.text


async def test_a_proxy_that_answers_for_meta_is_found() -> None:
    async with serving(
        lambda request: web.Response(text="<html>hello", content_type="text/html")
    ) as url:
        capi = CapiSettings(shop=SHOP, pixel_id=PIXEL, access_token=TOKEN, graph_url=url)
        (line,) = (await asyncio.to_thread(graph, SHOP, capi)).lines
    assert (line.state, "does not answer as Meta does" in line.text) == ("fix", True)


async def test_shopifys_admin_api_is_asked_and_its_time_zone_compared() -> None:
    def answer(request: web.Request) -> web.Response:
        if request.headers.get("X-Shopify-Access-Token") != ADMIN_TOKEN:
            return web.json_response({"errors": "[API] Invalid API key"}, status=401)
        return web.json_response(
            {
                "data": {
                    "shop": {"name": "Demo", "ianaTimezone": "Europe/Paris", "currencyCode": "EUR"}
                }
            }
        )

    async with serving(answer) as url:
        table = {"SHOPIFY_ADMIN_TOKEN": ADMIN_TOKEN, "SHOPIFY_ADMIN_URL": url}
        for changes, expected in (
            ({"SHOPIFY_TIMEZONE": "Europe/Paris"}, ["ok"]),
            ({"SHOPIFY_TIMEZONE": "Europe/London"}, ["ok", "hint"]),
            ({}, ["ok", "hint"]),
            ({"SHOPIFY_ADMIN_TOKEN": "wrong"}, ["fix"]),
        ):
            lines, clocks = await asyncio.to_thread(check, [a_shop(table | changes)])
            assert [line.state for line in lines] == expected
            assert abs(clocks[0][1]) < 5
    unreachable = table | {"SHOPIFY_ADMIN_URL": f"http://127.0.0.1:{closed_port()}"}
    (line,), _ = await asyncio.to_thread(check, [a_shop(unreachable)])
    assert (line.state, "SHOPIFY_ADMIN_URL" in line.text) == ("fix", True)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SHOPIFY_WEBHOOK_SECRET": ""},
            "fix   settings: demo.myshopify.com: SHOPIFY_WEBHOOK_SECRET is missing",
        ),
        ({"SHOPIFY_SHOP": ""}, "fix   shops: none is configured"),
        ({"META_ACCESS_TOKEN": ""}, "META_ACCESS_TOKEN is missing"),
        ({"SHOPIFY_TIMEZONE": "Mars/Base"}, "SHOPIFY_TIMEZONE is 'Mars/Base': write an IANA name"),
        ({"AD_MARGIN": "40"}, "write a fraction of revenue"),
        ({"ORDERWIRE_API": "0.0.0.0:8080"}, "fix   api access"),
        ({"ORDERWIRE_API": "8080x"}, "write host:port"),
        (
            {"ORDERWIRE_API": "0.0.0.0:8080", "ORDERWIRE_API_TOKENS": f"{API_TOKEN}=,"},
            "fix   api access",
        ),
        ({"ORDERWIRE_LOG_URL": "kafka://127.0.0.1:1"}, "fix   log: no connection to Kafka"),
        (
            {"ORDERWIRE_STORE_URL": "postgresql://nobody@127.0.0.1:1/none"},
            "fix   store: the database does not answer",
        ),
    ],
)
async def test_what_is_to_be_fixed_ends_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (VARIABLES | variables).items():
        monkeypatch.setenv(name, value)
    code, lines = await doctor("--offline")
    assert code == 1
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SHOPIFY_TIMEZONE": ""}, "SHOPIFY_TIMEZONE"),
        ({"META_TEST_EVENT_CODE": "TEST123"}, "META_TEST_EVENT_CODE is set"),
        ({"META_DRY_RUN": "true"}, "none is sent"),
        ({"META_PIXEL_ID": "", "META_ACCESS_TOKEN": ""}, "no pixel"),
        ({"AD_BANKROLL": ""}, "AD_BANKROLL not set"),
        ({"SHOPIFY_SHOP": "www.example.com"}, "name.myshopify.com"),
    ],
)
async def test_what_could_be_better_is_a_hint_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (VARIABLES | variables).items():
        monkeypatch.setenv(name, value)
    code, lines = await doctor("--offline")
    assert (code, "fix" in states(lines)) == (0, False)
    assert any(line.startswith("hint") and said in line for line in lines), lines


async def test_two_shops_that_count_alike_cannot_share_a_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = f'pixel_id = "{PIXEL}"\naccess_token = "{TOKEN}"\nwebhook_secret = "{SECRET}"\n'

    def configure(event_id: str) -> None:
        tables = [
            f'[shops."{shop}.myshopify.com"]\n{shared}event_id = "{event_id}"\n'
            for shop in ("one", "two")
        ]
        Path("orderwire.toml").write_text("".join(tables))

    configure("{order_number}")
    said = f"fix   pixel {PIXEL}: one.myshopify.com, two.myshopify.com send to it"
    assert any(line.startswith(said) for line in (await doctor("--offline"))[1])
    configure("{checkout_token}")
    assert not any(line.startswith("fix   pixel") for line in (await doctor("--offline"))[1])


async def test_stopped_processors_paused_pixels_and_parked_records_show(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append(
        [
            Record(
                "orders",
                f"{SHOP}:1",
                "w",
                NOW_MS,
                {"shop": SHOP, "topic": "orders/paid"},
                b'{"id": 1}',
            )
        ]
    )
    await fold_all(shop_settings, log, store)
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, "
            "metrics) VALUES ('process', 'here:1', 1, 1, 0, :now, :details, '')",
            now=time.time_ns() // 1_000_000,
            details='{"stopped": {"orders": "100 in a row"}}',
        )
        transaction.execute(
            "INSERT INTO destination_account (shop, destination, kind, account, paused_since_ms, "
            "paused_class, paused_code, paused_message, paused_by, probes, throttled_until_ms, "
            "failing_cause) VALUES (:shop, 'meta', 'meta', :pixel, 1, 'configuration', '190', "
            "'expired', 'answer', 0, 0, '')",
            shop=SHOP,
            pixel=PIXEL,
        )
    code, lines = await doctor("--offline")
    assert code == 1
    assert "fix   processors: orders stopped: 100 in a row" in lines
    assert any(
        line.startswith(f"fix   {SHOP}: sending to meta is paused since 1970") for line in lines
    )
    assert (
        "hint  parked: 1 (1 "
        "missing_fields:created_at,currency,total_price,financial_status,line_items): `orderwire "
        "replay --parked --dry-run` says what can go back" in lines
    )
    assert (
        f"fix   {SHOP}: subscription orders/paid: 1 deliveries were parked because they lack"
        " created_at, currency, total_price, financial_status, line_items: add these fields to its"
        " include_fields, or leave include_fields out" in lines
    )


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_roles_that_fell_silent_refuse_or_go_by_older_settings_are_to_be_fixed(
    shop_settings: Settings, store: SqlStore
) -> None:
    now_ms = time.time_ns() // 1_000_000
    roles = (
        ("process", "gone:1", now_ms - 60_000, "{}"),
        ("query", "gone:2", now_ms - 60_000, "{}"),
        ("query", "here:2", now_ms, '{"settings_error": "expected a key"}'),
        ("receive", "here:3", now_ms, '{"refusing": "log.db: the disk is full"}'),
    )
    with store.begin() as transaction:
        for role, instance, beat_ms, details in roles:
            transaction.execute(
                "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details,"
                " metrics) VALUES (:role, :instance, 1, 1, 0, :beat_ms, :details, '')",
                role=role,
                instance=instance,
                beat_ms=beat_ms,
                details=details,
            )
    code, lines = await doctor("--offline")
    found = [line for line in lines if line.startswith("fix")]
    assert code == 1
    assert len(found) == 3
    assert found[0].startswith("fix   roles: process (gone:1) has not reported since")
    assert found[1] == "fix   receiver: here:3 refuses deliveries: log.db: the disk is full"
    assert found[2] == "fix   settings: role query goes by older ones: expected a key"


async def test_a_log_that_is_no_log_is_to_be_fixed_and_left_unchanged(
    shop_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "log.db").write_bytes(
        b"something else, longer than a header of SQLite would be. " * 100
    )
    before = (tmp_path / "log.db").read_bytes()
    code, lines = await doctor("--offline")
    assert code == 1
    assert any(line.startswith("fix   log:") and "not a SQLite database" in line for line in lines)
    assert (tmp_path / "log.db").read_bytes() == before


def test_the_revision_is_read_without_a_change(
    store: SqlStore, store_url: str, tmp_path: Path
) -> None:
    assert store_revision(store_url) == head()
    assert store_revision(f"sqlite:///{tmp_path / 'no.db'}") is None
    assert not (tmp_path / "no.db").exists()


async def test_a_port_is_free_or_served_by_us_or_taken() -> None:
    free = ListenAddress(f"127.0.0.1:{closed_port()}", "")
    assert port_line("api", free, alive=False).state == "ok"
    async with serving(lambda request: web.json_response({"ready": True})) as url:
        address = ListenAddress(url.removeprefix("http://"), "")
        line = await asyncio.to_thread(port_line, "api", address, True)
        assert (line.state, line.text) == ("ok", f"{address.host}:{address.port} is served")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ListenAddress(f"127.0.0.1:{other.getsockname()[1]}", "")
        assert (
            "taken by another program"
            in (await asyncio.to_thread(port_line, "api", taken, False)).text
        )
    assert (
        "cannot be listened on"
        in port_line("api", ListenAddress("203.0.113.1:80", ""), alive=False).text
    )


def test_a_clock_that_is_off_is_reported_with_its_side() -> None:
    assert clock_line([]).state == "hint"
    assert clock_line([("Meta's clock", 2.0), ("the database's clock", -12.0)]) == Line(
        "ok", "clock", "within 12 s of the database's clock"
    )
    ahead = clock_line([("Meta's clock", 95.0)])
    assert (ahead.state, ahead.text.startswith("95 s ahead of Meta's clock")) == ("fix", True)


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_would_be_made(tmp_path: Path) -> None:
    assert disk_line(tmp_path / "a" / "b").state in ("ok", "fix")
    assert not (tmp_path / "a").exists()


def a_shop(variables: dict[str, str]) -> ShopSettings:
    base = {"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": SECRET}
    return Settings.load(base | variables).shops[SHOP]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port: int = closing.getsockname()[1]
    return port


@asynccontextmanager
async def serving(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    """A server on loopback that gives one answer to everything."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    served = web.AppRunner(application)
    await served.setup()
    site = web.TCPSite(served, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = served.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await served.cleanup()
