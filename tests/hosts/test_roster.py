"""All hosts gather or all say who is missing; a host that goes is named by the rest."""

import concurrent.futures
import contextlib
import queue
import socket
import time

import pytest

from codefusion.hosts import cluster, gathering, roster, wire

NAME = socket.gethostname()


@pytest.fixture
def port():
    return wire.free_port("127.0.0.1", 0)


def host(port, index, num_hosts=3, names=()):
    return cluster.Cluster("a test", f"127.0.0.1:{port}", num_hosts, index, names)


def gather(clusters, *, timeout=5.0, facts=None):
    """Returns what gathering gives each host, a Roster or an error, and the news."""
    news = [queue.Queue() for _ in clusters]
    facts = facts or [{} for _ in clusters]

    def one(given, fact, told):
        try:
            options = dict(facts=fact, timeout=timeout, on_lost=told.put)
            return roster.gather(given, **options)
        except roster.RosterError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(one, clusters, facts, news)), news


def end(each):
    """Ends a host's connections as its death would."""
    each._lost.set()  # the dead tell nothing
    if each.cluster.index:
        return each._line.close()
    for peer in each._gathering.peers.values():
        peer.line.close()


def forget(*rosters):
    """Makes hosts of a test deaf to the ends of the others."""
    for each in rosters:
        each._lost.set()


@pytest.fixture
def three(port):
    """Returns three gathered hosts and the queues of what they are told."""
    rosters, news = gather([host(port, index) for index in range(3)])
    yield rosters, news
    forget(*rosters)
    for each in rosters:
        end(each)


def test_gathered_hosts_share_names_a_run_and_a_port(three):
    rosters, _ = three
    assert [each.cluster.index for each in rosters] == [0, 1, 2]
    assert {each.cluster.names for each in rosters} == {(NAME,) * 3}
    assert len({(each.run, each.jax_port) for each in rosters}) == 1


def test_two_runs_have_ids_apart(three):
    other = wire.free_port("127.0.0.1", 0)
    again, _ = gather([host(other, index, 2) for index in range(2)])
    assert again[0].run != three[0][0].run
    forget(*again)
    for each in again:
        end(each)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_host_that_ends_is_named_by_the_others(three, gone):
    rosters, news = three
    end(rosters[gone])
    for index in {0, 1, 2} - {gone}:
        text = news[index].get(timeout=10)
        assert text.startswith(f"host {gone} ({NAME}) is gone: its connection closed")
        assert f"Host {index} ({NAME}) ends as well" in text


def test_a_host_that_ends_as_the_run_begins_is_named_by_the_others(port, monkeypatch):
    send_all = gathering.Gathering.send_all

    def send_after_an_end(self, message):
        if "begin" in message:
            self.peers[1].line.close()
            time.sleep(0.3)  # for whoever would tell of it now
        send_all(self, message)

    monkeypatch.setattr(gathering.Gathering, "send_all", send_after_an_end)
    (first, gone, last), news = gather([host(port, index) for index in range(3)])
    assert isinstance(gone, roster.RosterError)
    for index in (0, 2):
        assert news[index].get(timeout=10).startswith("host 1 ")
    end(first)
    end(last)


@pytest.mark.parametrize("words", [b"no message\n", b"[]\n"])
def test_a_host_of_the_run_that_talks_nonsense_is_gone(three, words):
    rosters, news = three
    rosters[1]._line._socket.sendall(words)
    for index in (0, 2):
        text = news[index].get(timeout=10)
        assert text.startswith(f"host 1 ({NAME}) is gone: what it said is not under")


@pytest.mark.parametrize("words", [b"no message\n", b'{"lost": 1}\n'])
def test_a_first_host_that_talks_nonsense_is_gone(three, words):
    rosters, news = three
    rosters[0]._gathering.peers[2].line._socket.sendall(words)
    text = news[2].get(timeout=10)
    assert text.startswith(f"host 0 ({NAME}) is gone: what it said is not understood")


@pytest.mark.parametrize("failing", [0, 2])
def test_the_others_are_told_why_a_host_fails(three, failing, monkeypatch):
    rosters, news = three
    monkeypatch.setattr(roster, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(roster, "_ENDING_SECONDS", 0.5)
    rosters[failing].fail("OSError: no room.")
    for index in {0, 1, 2} - {failing}:
        text = news[index].get(timeout=10)
        reason = f"host {failing} ({NAME}) is gone: it failed, OSError: no room. Host "
        assert text.startswith(reason)
    assert news[failing].empty()


def test_who_fails_because_another_is_gone_is_not_blamed(three):
    rosters, news = three
    end(rosters[1])
    rosters[2].fail("XlaRuntimeError: Connection reset by peer")
    for index in (0, 2):
        assert news[index].get(timeout=10).startswith("host 1 ")
        assert news[index].empty()


def test_hosts_that_are_done_leave_together_and_nobody_is_missed(three):
    rosters, news = three
    with concurrent.futures.ThreadPoolExecutor() as pool:
        early = [pool.submit(each.leave, 10.0) for each in rosters[:2]]
        time.sleep(0.2)
        assert not any(future.done() for future in early)
        rosters[2].leave(10.0)
        for future in early:
            future.result(timeout=10)
    for each in rosters:
        end(each)
    time.sleep(0.1)
    assert all(told.empty() for told in news)


@pytest.mark.parametrize(("waiting", "gone"), [(0, 1), (1, 2), (2, 0)])
def test_a_host_that_is_done_still_hears_of_another_that_ends(three, waiting, gone):
    rosters, news = three
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = pool.submit(rosters[waiting].leave, 1.0)
        end(rosters[gone])
        assert news[waiting].get(timeout=10).startswith(f"host {gone} ")
        assert isinstance(done.exception(timeout=10), roster.RosterError)


def test_waiting_for_others_to_be_done_has_an_end(three):
    with pytest.raises(roster.RosterError, match="is done, but after 0.1 s not all"):
        three[0][1].leave(0.1)


def test_every_host_names_the_missing(port):
    names = tuple("abcd")
    present = [host(port, index, 4, names) for index in (0, 2)]
    errors, _ = gather(present, timeout=1.0)
    assert len({str(error) for error in errors}) == 1
    assert "2 of 4 hosts are missing: hosts 1 (b), 3 (d)." in str(errors[0])


def test_many_missing_hosts_are_counted(port):
    (error,), _ = gather([host(port, 0, 100)], timeout=0.1)
    assert "99 of 100 hosts are missing: hosts 1, 2, 3" in str(error)
    assert "and 91 more" in str(error) and len(str(error)) < 250


def test_a_host_that_cannot_reach_the_first_says_so(port):
    (error,), _ = gather([host(port, 1)], timeout=0.6)
    assert "Host 1 of 3 cannot reach host 0 at 127.0.0.1" in str(error)
    (error,), _ = gather(
        [cluster.Cluster("a test", "no-such-host.invalid:99", 2, 1)], timeout=0.1
    )
    assert "cannot reach host 0 at no-such-host.invalid:99" in str(error)


def test_hosts_that_differ_are_told_apart(port):
    facts = [{"jax": "1"}, {"jax": "1"}, {"jax": "2"}]
    given = [host(port, index) for index in range(3)]
    errors, _ = gather(given, facts=facts, timeout=1.0)
    expected = f"Host 2 ({NAME}) has jax 2, host 0 ({NAME}) 1; expected the same"
    assert all(str(error).startswith(expected) for error in (errors[0], errors[2]))
    assert isinstance(errors[1], roster.RosterError)


def test_hosts_that_count_differently_are_told_apart(port):
    errors, _ = gather([host(port, 0, 2), host(port, 1, 3)])
    assert "has number of processes 3, host 0" in str(errors[1])


def test_an_index_can_be_had_once(port):
    found, _ = gather([host(port, 0), host(port, 1), host(port, 1)], timeout=1.5)
    refused = [str(error) for error in found[1:] if "so is" in str(error)]
    assert refused == [f"{NAME} is host 1, but so is {NAME}; give each its own."]
    assert "1 of 3 hosts are missing: host 2." in str(found[0])


def test_a_host_that_starts_anew_cannot_come_back(three):
    first = three[0][0].cluster
    (error,), _ = gather([host(first.address[1], 1)])
    assert "goes on without a host 1 that starts anew" in str(error)
    assert all(told.empty() for told in three[1])


def test_a_host_may_come_late_and_twice_before_all_are_there(port):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(gather, [host(port, 1, 2)])
        time.sleep(0.2)
        first = pool.submit(gather, [host(port, 0, 2)])
        (late,), _ = waiting.result(timeout=10)
        (server,), _ = first.result(timeout=10)
    assert late.run == server.run
    forget(late, server)
    end(late)


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"", b"{}\n"])
def test_strangers_are_no_hosts(port, words):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(gather, [host(port, 0, 2)])
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                stranger = socket.create_connection(("127.0.0.1", port))
                break
        stranger.sendall(words)
        (late,), _ = gather([host(port, 1, 2)])
        (server,), _ = first.result(timeout=10)
    assert late.run == server.run
    stranger.close()
    forget(late, server)
    end(late)


def test_a_taken_port_is_said(port):
    with wire.listen("127.0.0.1", port):
        (error,), _ = gather([host(port, 0)])
    assert f"Host 0 cannot listen on port {port}" in str(error)


def test_a_port_that_another_program_has_is_not_a_host_0(port):
    with wire.listen("127.0.0.1", port) as listener:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(gather, [host(port, 1)])
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            (error,), _ = waiting.result(timeout=10)
    assert "is not a host 0" in str(error)


def test_news_before_the_run_begins_is_one_clear_error(port):
    with wire.listen("127.0.0.1", port) as listener:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(gather, [host(port, 1)])
            line = wire.Line(listener.accept()[0])
            assert line.receive(timeout=10)["index"] == 1
            line.send({"lost": 2, "why": "it failed"})
            (error,), _ = waiting.result(timeout=10)
        assert line.receive(timeout=10) is None  # closed at the other end
        line.close()
    assert isinstance(error, roster.RosterError)
    assert "said {'lost': 2, 'why': 'it failed'} while the hosts" in str(error)


def test_a_host_that_comes_late_is_told_why_there_is_no_run(port, monkeypatch):
    monkeypatch.setattr(gathering, "LINGER_SECONDS", 1.0)
    (reason,), _ = gather([host(port, 0)], timeout=0.1)
    (late,), _ = gather([host(port, 1)])
    assert str(late) == str(reason) and "hosts 1, 2" in str(late)
    deadline = time.monotonic() + 10
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.1)


def test_a_closed_line_frees_its_socket_and_whoever_waits_on_it():
    with wire.listen("127.0.0.1", 0) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    line = wire.Line(ours)
    with theirs, concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(line.receive)
        time.sleep(0.1)
        line.close()
        assert waiting.result(timeout=10) is None
    assert ours.fileno() == -1 and line.receive() is None


def test_a_silent_machine_is_noticed_within_thirty_seconds():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        wire.notice_dead_peer(client)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        silent, probe, count = (
            client.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"))
            for name in ("IDLE", "INTVL", "CNT")
        )
        assert silent + probe * count <= 20
        client.close()
