//! How news spreads, and what it costs.

use super::*;
use crate::time::Duration;
use crate::wire::{Frame, MAX_DELTA, Request, Summary, encode};

const A: ConnectionId = ConnectionId::accepted(2);

fn bytes(message: &ControlMessage) -> usize {
    let mut frame = Vec::new();
    encode(&Frame::Control(message.clone()), &mut frame);
    frame.len()
}

fn summaries(output: &Output) -> Vec<&Summary> {
    let sent = output.sent().into_iter();
    let summary = |(_, message)| match message {
        &ControlMessage::Gossip(Gossip::Summary(ref summary)) => Some(summary),
        _ => None,
    };
    sent.filter_map(summary).collect()
}

fn requests(output: &Output) -> Vec<NodeId> {
    let sent = output.sent().into_iter();
    let nodes = sent.filter_map(|(_, message)| match message {
        ControlMessage::Gossip(Gossip::Request(request)) => Some(request.nodes.to_vec()),
        _ => None,
    });
    nodes.flatten().collect()
}

/// A machine that knows of `count` members by hearsay and is connected to `a`.
fn informed(count: u16) -> (Machine<Pluggable>, Arc<NodeSpec>) {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let specs = (0..count).map(|i| spec_at(&alloc::format!("x{i}"), 100 + i));
    let entries: Vec<_> = specs.map(|spec| entry_of(&spec, 1, 1)).collect();
    for piece in entries.chunks(MAX_DELTA) {
        machine.receive(instance(&a, 1), delta(piece));
    }
    machine.pass(Duration::from_millis(200));
    (machine, a)
}

/// The digest of all that `machine` knows: what it sends when it dials.
fn own_digest(machine: &mut Machine<Pluggable>) -> ControlMessage {
    let probe = spec_at("probe", 9_999);
    let output = machine.up(&probe, 1, ConnectionId::dialled(9_999), None);
    machine.down(instance(&probe, 1));
    let mut sent = output.sent().into_iter();
    let digest = |m: &&ControlMessage| matches!(m, ControlMessage::Gossip(Gossip::Digest(_)));
    sent.find_map(|(_, m)| Some(m).filter(digest)).unwrap().clone()
}

#[test]
fn an_equal_digest_is_met_with_silence_after_the_first() {
    let (mut machine, a) = informed(5);
    let same = own_digest(&mut machine);
    // The first one of a session is the dialling peer's question.
    let first = machine.receive(instance(&a, 1), same.clone());
    assert_eq!(first.sent(), [(A, &same)]);
    let second = machine.receive(instance(&a, 1), same);
    assert!(second.actions.is_empty());
}

#[test]
fn a_joiner_that_knows_nobody_is_told_everything_at_once() {
    let (mut machine, _) = informed(5);
    let joiner = spec_at("j", 50);
    let mut alone = Machine::new(me(&joiner, 1), {
        Pluggable::new(&me(&joiner, 1), config(), &SEED, None).unwrap()
    });
    alone.start();
    let question = own_digest(&mut alone);
    let anchor = ConnectionId::accepted(50);
    machine.up(&joiner, 1, anchor, None);
    machine.receive(instance(&joiner, 1), delta(&[entry_of(&joiner, 1, 1)]));
    let output = machine.receive(instance(&joiner, 1), question);
    assert_eq!(told(&output, anchor).len(), 7);
    assert!(summaries(&output).is_empty());
    assert_eq!(digests(&output), 1);
}

#[test]
fn a_different_digest_is_answered_with_a_summary_of_everything() {
    let (mut machine, a) = informed(2_000);
    let other = digest(Digest { entries: 3, hash: 3 });
    let output = machine.receive(instance(&a, 1), other);
    let pieces = summaries(&output);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].first.as_u64(), 0);
    assert_eq!(pieces[0].last.as_u64() + 1, pieces[1].first.as_u64());
    assert_eq!(pieces[1].last.as_u64(), u64::MAX);
    let told: usize = pieces.iter().map(|piece| piece.entries.len()).sum();
    assert_eq!(told, 2_002);
}

#[test]
fn a_summary_is_answered_with_what_is_newer_and_a_request_for_what_is_not() {
    let (mut machine, a) = informed(3);
    let mut other = started();
    other.me = machine.me.clone();
    let newer = spec_at("x0", 100);
    let new = spec_at("new", 70);
    let known = member(&mut other, "a", 2);
    let entries = [entry_of(&newer, 5, 5), entry_of(&new, 1, 1)];
    other.receive(instance(&known, 1), delta(&entries));
    let output = other.receive(instance(&known, 1), digest(Digest::default()));
    let summary = summaries(&output)[0].clone();
    let answer = machine.receive(instance(&a, 1), ControlMessage::Gossip(Gossip::Summary(summary)));
    let mut wanted = requests(&answer);
    wanted.sort_unstable();
    let mut expected = vec![newer.id(), new.id()];
    expected.sort_unstable();
    assert_eq!(wanted, expected);
    let mut sent: Vec<_> = told(&answer, A).iter().map(|entry| entry.node).collect();
    sent.sort_unstable();
    let mut expected: Vec<_> = ["x1", "x2"].map(|name| spec_at(name, 1).id()).into();
    expected.sort_unstable();
    assert_eq!(sent, expected);
}

#[test]
fn a_summary_out_of_order_or_range_is_ignored() {
    let (mut machine, a) = informed(3);
    let output = machine.receive(instance(&a, 1), digest(Digest::default()));
    let good = summaries(&output)[0].clone();
    let reversed = good.entries.iter().rev().copied();
    let (first, last) = (good.first, good.last);
    let bad = [
        Summary { entries: Bounded::from_first(reversed), ..good.clone() },
        Summary { last: first, ..good.clone() },
        Summary { first: last, last: first, entries: Bounded::new() },
    ];
    for summary in bad {
        let message = ControlMessage::Gossip(Gossip::Summary(summary));
        assert!(machine.receive(instance(&a, 1), message).actions.is_empty());
    }
}

#[test]
fn a_request_is_answered_even_for_what_is_unknown() {
    let (mut machine, a) = informed(1);
    let (known, unknown) = (spec_at("x0", 100), spec_at("unknown", 1));
    let nodes = Bounded::from_first([known.id(), unknown.id()]);
    let request = ControlMessage::Gossip(Gossip::Request(Request { nodes }));
    let output = machine.receive(instance(&a, 1), request);
    assert_eq!(told(&output, A), [entry_of(&known, 1, 1), removal(unknown.id(), 0)]);
}

#[test]
fn a_joiner_is_told_to_all_by_whom_it_meets_first_and_other_news_to_a_few() {
    let mut machine = started();
    for port in 2..12 {
        member(&mut machine, &alloc::format!("p{port}"), port);
    }
    let told_to = |output: &Output, node: NodeId| {
        let peers = 2..30;
        let has = |port: &u64| {
            let told = told(output, ConnectionId::accepted(*port));
            told.iter().any(|entry| entry.node == node)
        };
        peers.filter(has).count()
    };
    let p2 = spec_at("p2", 2);
    let hearsay = spec_at("h", 20);
    let output = machine.receive(instance(&p2, 1), delta(&[entry_of(&hearsay, 1, 1)]));
    assert_eq!(told_to(&output, hearsay.id()), 3);
    assert!(told(&output, ConnectionId::accepted(2)).is_empty());
    machine.pass(Duration::from_secs(1));
    let direct = spec_at("d", 21);
    machine.up(&direct, 1, ConnectionId::accepted(21), None);
    let output = machine.receive(instance(&direct, 1), delta(&[entry_of(&direct, 1, 1)]));
    assert_eq!(told_to(&output, direct.id()), 3, "it may have met others before");
    // It knows of nobody but itself.
    machine.receive(instance(&direct, 1), digest_of(&[entry_of(&direct, 1, 1)]));
    let output = machine.pass(Duration::from_millis(200));
    assert_eq!(told_to(&output, direct.id()), 10);
    // What is known already goes no further.
    machine.pass(Duration::from_secs(1));
    let output = machine.receive(instance(&p2, 1), delta(&[entry_of(&direct, 1, 1)]));
    assert!(output.actions.is_empty());
}

#[test]
fn news_in_a_row_goes_together_and_each_node_once() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    member(&mut machine, "b", 3);
    let b = ConnectionId::accepted(3);
    let hear = |machine: &mut Machine<Pluggable>, name: &str, incarnation| {
        let entry = entry_of(&spec_at(name, 20), incarnation, 1);
        machine.receive(instance(&a, 1), delta(&[entry]))
    };
    assert_eq!(told(&hear(&mut machine, "x", 1), b).len(), 1);
    for incarnation in 2..10 {
        assert!(hear(&mut machine, "x", incarnation).sent().is_empty());
        assert!(hear(&mut machine, "y", incarnation).sent().is_empty());
    }
    let later = machine.pass(Duration::from_millis(100));
    assert_eq!(later.sent().len(), 1);
    assert_eq!(told(&later, b).len(), 2);
}

#[test]
fn a_member_that_restarts_replaces_its_spec() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let moved = spec_at("a", 77);
    let output = machine.receive(instance(&a, 1), delta(&[entry_of(&moved, 2, 1)]));
    let patient = machine.me.instance.node > moved.id();
    let keep = Change::Keep { instance: instance(&moved, 2), spec: moved.clone(), patient };
    assert_eq!(output.changes, [keep, Change::MembersChanged]);
    let (spec, incarnation) = (moved, Incarnation(2));
    assert_eq!(output.notifications(), [&Notification::MemberJoined { spec, incarnation }]);
    assert_eq!(machine.names(), ["a", "m"]);
}

#[test]
fn of_two_members_the_smaller_identifier_dials_at_once() {
    let (machine, _) = informed(20);
    let mut again = started();
    let a = member(&mut again, "a", 2);
    let specs = (0..20).map(|i| spec_at(&alloc::format!("x{i}"), 100 + i));
    let entries: Vec<_> = specs.map(|spec| entry_of(&spec, 1, 1)).collect();
    let output = again.receive(instance(&a, 1), delta(&entries));
    let own = machine.me.instance.node;
    let mut patient = 0;
    for change in &output.changes {
        if let Change::Keep { instance, patient: waits, .. } = change {
            assert_eq!(*waits, own > instance.node);
            patient += usize::from(*waits);
        }
    }
    assert!((1..20).contains(&patient));
}

#[test]
fn large_entries_make_more_deltas_that_each_fit_a_frame() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let long = "x".repeat(200);
    let mut nodes = Vec::new();
    for i in 0..200 {
        let spec = spec_at(&alloc::format!("{long}{i}"), 1);
        nodes.push(spec.id());
        machine.receive(instance(&a, 1), delta(&[entry_of(&spec, 1, 1)]));
    }
    machine.pass(Duration::from_secs(1));
    let nodes = Bounded::from_first(nodes);
    let request = ControlMessage::Gossip(Gossip::Request(Request { nodes }));
    let output = machine.receive(instance(&a, 1), request);
    assert_eq!(told(&output, A).len(), 200);
    assert!(output.sent().len() > 1);
    for (_, message) in output.sent() {
        assert!(bytes(message) <= (48 << 10) + 64);
    }
}

#[test]
fn removals_beyond_the_limit_forget_the_oldest() {
    let config = PluggableConfig { max_removals: 3, ..config() };
    let mut machine = machine("m", 1, 10, config, None);
    let mut stored = machine.start();
    let a = member(&mut machine, "a", 2);
    for port in 10..20 {
        let node = spec_at(&alloc::format!("x{port}"), port).id();
        machine.pass(Duration::from_secs(1));
        stored = machine.receive(instance(&a, 1), delta(&[removal(node, 1)]));
    }
    let snapshot = Snapshot::decode(stored.persisted()[0]).unwrap();
    let removals = snapshot.entries.iter().filter(|e| e.presence.is_none());
    assert_eq!(removals.count(), 3);
}

// Several nodes.

#[test]
fn a_join_is_merged_within_one_round_trip() {
    let mut mesh = cluster(8);
    let newcomer = nodes(9).machines.pop().unwrap();
    let mut machines = core::mem::take(&mut mesh.machines);
    machines.push(newcomer);
    mesh.machines = machines;
    mesh.persisted.push(0);
    mesh.join(8, 0);
    mesh.hop();
    mesh.hop();
    assert_eq!(mesh.machines[8].names().len(), 9);
    mesh.hop();
    for machine in &mesh.machines {
        assert_eq!(machine.names().len(), 9);
    }
}

#[test]
fn two_clusters_that_meet_become_one() {
    let mut mesh = nodes(8);
    for i in [1, 2, 3] {
        mesh.join(i, 0);
        mesh.join(i + 4, 4);
        mesh.settle();
    }
    assert_eq!(mesh.machines[0].names().len(), 4);
    mesh.join(7, 2);
    mesh.pass(Duration::from_secs(1));
    for machine in &mesh.machines {
        assert_eq!(machine.names().len(), 8);
    }
    let ended = |(at, n): &&(usize, Notification)| {
        *at == 7 && matches!(n, Notification::JoinEnded { result: Ok(_) })
    };
    assert_eq!(mesh.notifications.iter().filter(ended).count(), 2);
}

#[test]
fn all_joining_at_once_converge() {
    let mut mesh = nodes(20);
    for i in 1..20 {
        mesh.join(i, i - 1);
    }
    mesh.pass(Duration::from_secs(2));
    for machine in &mesh.machines {
        assert_eq!(machine.names().len(), 20);
    }
}

/// Bytes of one round of every node at rest, for each peer contacted.
fn round_cost(count: usize) -> (usize, usize) {
    let mut mesh = cluster(count);
    mesh.pass(Duration::from_secs(11));
    (mesh.bytes, mesh.messages) = (0, 0);
    let persisted: usize = mesh.persisted.iter().sum();
    mesh.pass(Duration::from_secs(10));
    assert_eq!(mesh.persisted.iter().sum::<usize>(), persisted);
    (mesh.bytes, mesh.messages)
}

/// The longest a digest's frame gets: prefix, two tags, a count and a hash as varints.
const DIGEST_FRAME: usize = 5 + 2 + 5 + 10;

#[test]
fn at_rest_a_round_costs_one_digest_a_contacted_peer_whatever_the_size() {
    for count in [10, 100] {
        let (bytes, messages) = round_cost(count);
        assert_eq!(messages, 3 * count);
        assert!(bytes <= messages * DIGEST_FRAME, "{bytes} for {messages}");
    }
}

#[test]
fn a_round_of_one_node_among_a_thousand_costs_three_digests() {
    let mut machine = started();
    for port in 2..1_002 {
        let spec = spec_at(&alloc::format!("p{port}"), port);
        machine.up(&spec, 1, ConnectionId::dialled(u64::from(port)), None);
        machine.receive(instance(&spec, 1), delta(&[entry_of(&spec, 1, 1)]));
    }
    machine.pass(Duration::from_secs(1));
    let output = machine.fire(Timer::Gossip);
    let sent = output.sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(_, message)| bytes(message) <= DIGEST_FRAME));
}

#[test]
fn a_change_costs_the_changed_entry_alone() {
    let (mut machine, a) = informed(1_000);
    member(&mut machine, "b", 3);
    let moved = spec_at("x7", 7);
    let output = machine.receive(instance(&a, 1), delta(&[entry_of(&moved, 2, 1)]));
    let sent = output.sent();
    assert_eq!(sent.len(), 1);
    assert!(bytes(sent[0].1) < 80, "{}", bytes(sent[0].1));
}

/// The curve in the documentation of [`full`](crate::manager::pluggable::full):
/// `cargo test -p partisan-proto the_cost_of_a_round -- --nocapture` prints it.
#[test]
fn the_cost_of_a_round_does_not_grow_with_the_cluster() {
    let mut per_node = Vec::new();
    for count in [10, 30, 100] {
        let (bytes, _) = round_cost(count);
        let entry = entry_of(&spec_at("p100", 9_000), 1_700_000_000_000, 1_700_000_000_000);
        let state = count * postcard::to_allocvec(&entry).unwrap().len();
        let whole = state * (count - 1);
        std::println!("{count:>5} nodes: {:>3} B a node and round; {whole:>9} B", bytes / count);
        per_node.push(bytes / count);
    }
    let (least, most) = (per_node.iter().min().unwrap(), per_node.iter().max().unwrap());
    assert!(most - least <= 12, "{per_node:?}");
}
