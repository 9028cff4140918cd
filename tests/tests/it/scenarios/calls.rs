//! Calls, in both worlds: each ends once.

use bytes::Bytes;
use partisan_proto::call::{CallError, Failure, Server};
use partisan_proto::process::{Input, ReplyTo};
use partisan_proto::{Config, Duration, ExitReason, ProcessName, Signal, Target};
use partisan_tests::{Cluster, Probe};

on_both! {
    call_returns: 8;
    deferred_reply: 4;
    timeout: 4;
    late_replies_are_dropped: 4;
    no_process: 4;
    no_function: 2;
    the_server_ends_first: 4;
    nodedown_during_call: 4;
    a_call_that_is_given_up_ends_in_silence: 4;
}

type Outcome = Result<Bytes, CallError>;

/// The number of a new call.
fn call(
    cluster: &mut impl Cluster,
    client: &Probe,
    server: impl Into<Target>,
    timeout: Option<Duration>,
) -> u64 {
    let server = Server::Process(server.into());
    client.order(cluster, move |cx| cx.call(server, Bytes::from_static(b"ask"), timeout))
}

fn outcome(cluster: &mut impl Cluster, client: &Probe, before: usize) -> (u64, Outcome) {
    match client.signal(cluster, before) {
        Signal::Answer { number, result } => (number, result),
        other => panic!("{other:?}"),
    }
}

/// The last request that a server got.
fn request(cluster: &mut impl Cluster, server: &Probe, count: usize) -> ReplyTo {
    match server.wait(cluster, count).pop() {
        Some(Input::Request { reply_to, payload }) => {
            assert_eq!(payload, &b"ask"[..]);
            reply_to
        }
        other => panic!("{other:?}"),
    }
}

fn reply(cluster: &mut impl Cluster, by: &Probe, to: ReplyTo, text: &'static str) {
    by.order(cluster, move |cx| cx.reply(to, Ok(Bytes::from_static(text.as_bytes()))));
}

fn call_returns(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    for node in [0, 1] {
        let (client, server) =
            (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, node, false));
        let called = ProcessName::new("server").expect("a good name");
        let registered = called.clone();
        server.order(cluster, move |cx| cx.register(registered));
        let by_name = Target::from((server.id.node, called));
        for (round, target) in [Target::from(server.id), by_name].into_iter().enumerate() {
            let number = call(cluster, &client, target, None);
            let request = request(cluster, &server, round + 1);
            reply(cluster, &server, request, "answer");
            let answer = Ok(Bytes::from_static(b"answer"));
            assert_eq!(outcome(cluster, &client, round), (number, answer));
        }
    }
}

/// A third process on another node answers.
fn deferred_reply(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let [client, server, other] = [0, 1, 2].map(|node| Probe::spawn(cluster, node, false));
    let number = call(cluster, &client, server.id, None);
    let request = request(cluster, &server, 1);
    reply(cluster, &server, request, "first");
    assert_eq!(outcome(cluster, &client, 0), (number, Ok(Bytes::from_static(b"first"))));
    // The first answer counts, whoever gives the second.
    reply(cluster, &server, request, "second");
    reply(cluster, &other, request, "third");
    cluster.rest();
    assert_eq!(client.signals().len(), 1);
}

fn timeout(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (client, server) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let number = call(cluster, &client, server.id, Some(Duration::from_millis(50)));
    assert_eq!(outcome(cluster, &client, 0), (number, Err(CallError::Timeout)));
}

fn late_replies_are_dropped(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (client, server) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let number = call(cluster, &client, server.id, Some(Duration::from_secs(2)));
    let late = request(cluster, &server, 1);
    assert_eq!(outcome(cluster, &client, 0), (number, Err(CallError::Timeout)));
    reply(cluster, &server, late, "late");
    let number = call(cluster, &client, server.id, None);
    let request = request(cluster, &server, 2);
    reply(cluster, &server, request, "in time");
    assert_eq!(outcome(cluster, &client, 1), (number, Ok(Bytes::from_static(b"in time"))));
    assert_eq!(client.signals().len(), 2);
}

fn no_process(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let client = Probe::spawn(cluster, 0, false);
    for node in [0, 1] {
        let nobody = (cluster.id(node), ProcessName::new("nobody").expect("a good name"));
        let number = call(cluster, &client, nobody, None);
        let failed = Err(CallError::Failed(Failure::NoProcess));
        assert_eq!(outcome(cluster, &client, node), (number, failed));
    }
}

fn no_function(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let client = Probe::spawn(cluster, 0, false);
    let name = ProcessName::new("nothing").expect("a good name");
    let server = Server::Function(cluster.id(1), name);
    let number = client.order(cluster, move |cx| cx.call(server, Bytes::new(), None));
    let failed = Err(CallError::Failed(Failure::NoFunction));
    assert_eq!(outcome(cluster, &client, 0), (number, failed));
}

fn the_server_ends_first(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let reason = ExitReason::other(b"end").expect("short enough");
    for node in [0, 1] {
        let (client, server) =
            (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, node, false));
        let number = call(cluster, &client, server.id, None);
        request(cluster, &server, 1);
        server.end(cluster, reason.clone());
        let failed = Err(CallError::Failed(Failure::Exited(reason.clone())));
        assert_eq!(outcome(cluster, &client, 0), (number, failed));
    }
}

fn nodedown_during_call(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (client, server) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let number = call(cluster, &client, server.id, None);
    request(cluster, &server, 1);
    cluster.crash(1);
    assert_eq!(outcome(cluster, &client, 0), (number, Err(CallError::NoConnection)));
}

fn a_call_that_is_given_up_ends_in_silence(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (client, server) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let number = call(cluster, &client, server.id, None);
    let request = request(cluster, &server, 1);
    client.order(cluster, move |cx| cx.abandon(number));
    reply(cluster, &server, request, "too late");
    cluster.rest();
    assert_eq!(client.signals(), []);
}
