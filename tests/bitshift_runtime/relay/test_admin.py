import pytest

from .relays import world


async def test_the_relay_is_alive_and_ready_once_its_ports_are_open():
    async with world() as w:
        for path in ("/healthz", "/readyz"):
            assert (await w.client.get(w.url("admin", path))).status == 200


async def test_a_reader_that_names_what_it_has_gets_what_is_new():
    async with world() as w:
        await w.ask(tenant="acme")
        seen = await w.closed_report()
        assert len(seen.rows) == 2

        again = await w.report(seen.closed_until["first"], seen.closed_until["end"])
        assert again.rows == ()
        assert again.boot == seen.boot
        half = await w.report(seen.closed_until["first"], 0)
        assert [row.stage for row in half.rows] == ["end"]


async def test_seconds_close_without_any_traffic():
    async with world() as w:
        before = (await w.report()).closed_until
        w.skip(60)
        after = (await w.report()).closed_until

        assert all(after[stage] >= before[stage] + 60 for stage in ("first", "end"))
        assert after["first"] < (await w.report()).now


async def test_another_start_is_another_boot():
    async with world() as one, world() as other:
        assert (await one.report()).boot != (await other.report()).boot


@pytest.mark.parametrize("since", ["x", "1.5"])
async def test_a_since_that_is_no_second_is_refused_with_the_reason(since):
    async with world() as w:
        answer = await w.client.get(w.url("admin", "/evidence"), params={"since_first": since})

        assert answer.status == 400
        assert "since_first" in await answer.text()


async def test_metrics_name_arms_tenants_and_faults():
    async with world() as w:
        await w.ask("candidate", tenant='a"b', stream=True, fault="empty")
        await w.ask("stable")
        lines = (await (await w.client.get(w.url("admin", "/metrics"))).text()).splitlines()

        assert 'bitshift_relay_requests_total{arm="candidate",tenant="a\\"b"} 1' in lines
        assert 'bitshift_relay_faults_total{arm="candidate",tenant="a\\"b",stage="end",kind="empty"} 1' in lines
        assert 'bitshift_relay_time_to_first_token_seconds_count{arm="stable"} 1' in lines
        assert 'bitshift_relay_in_flight{arm="stable"} 0' in lines


async def test_only_so_many_tenants_have_labels_of_their_own():
    async with world() as w:
        for number in range(40):
            await w.ask(tenant=f"t{number}")
        text = await (await w.client.get(w.url("admin", "/metrics"))).text()

        assert 'bitshift_relay_requests_total{arm="stable",tenant="~other"} 8' in text
        assert "t39" not in text
