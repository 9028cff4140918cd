//! Golden vectors: what version 1 writes, byte for byte, and reads for ever.
//!
//! `UPDATE_VECTORS=1 cargo test -p partisan-tests vectors` writes them anew; a change of an existing
//! file is a new version of the protocol.

use std::fmt::Write as _;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use partisan_proto::call::Failure;
use partisan_proto::process::{MonitorId, RequestId};
use partisan_proto::wire::{
    Accept, Acknowledgement, Bounded, Cargo, CausalHeader, Confirm, ControlMessage, Decoded, Delta,
    Dependency, Destination, Digest, Elsewhere, Entry, Frame, GoodbyeReason, Gossip, Hello,
    InOrder, Introduction, NewestHeader, PartitionId, PartitionMessage, Presence, ProcessAt,
    ProcessMessage, Refuse, RelayFailure, RelayHeader, RelayId, RelayMessage, RelayNotice,
    ReliableHeader, ReplyHeader, Request, RequestHeader, Role, ScampMessage, ServerAt,
    StableHasher, StarMessage, StarPiece, Summary, SummaryEntry, TargetAt, Terms, VersionRange,
    decode, encode,
};
use partisan_proto::{
    ChannelName, ChannelOptions, Channels, ClusterName, Epoch, ExitReason, Incarnation, Instance,
    LabelId, LabelName, NodeId, NodeName, NodeSpec, ProcessName, Refusal, Serial, Tag,
};

/// The vector that is only read.
const COMPRESSED: &str = "compressed";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v1")
}

fn spec() -> Arc<NodeSpec> {
    let bulk = ChannelName::new("bulk").unwrap();
    let channels = Channels::new([(bulk, ChannelOptions::lanes(4))]).unwrap();
    let addresses = ["10.0.0.1:9000", "[2001:db8::1]:9001", "db-1.example:9002"];
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let name = NodeName::new("bjørn@db-1.example").unwrap();
    let tags = vec![Tag::new("server").unwrap()];
    Arc::new(NodeSpec::new(name, addresses, &channels, tags).unwrap())
}

fn hello() -> Hello {
    Hello {
        versions: VersionRange { least: 1, most: 1 },
        features: 0,
        max_frame: 16 << 20,
        role: Role::Connector,
        incarnation: Incarnation(1_700_000_000_000),
        epoch: Epoch(7),
        expected: Some(NodeName::new("alice@10.0.0.1").unwrap().id()),
        lane: 2,
        nonce: std::array::from_fn(|i| i as u8),
        cluster: ClusterName::new("partisan").unwrap(),
        name: NodeName::new("bjørn@db-1.example").unwrap(),
        channel: ChannelName::new("bulk").unwrap(),
    }
}

fn control(message: ControlMessage) -> Frame {
    Frame::Control(message)
}

fn gossip(message: Gossip) -> Frame {
    control(ControlMessage::Gossip(message))
}

/// Every kind of message: file, what it holds, value.
fn vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let mut vectors = handshake_vectors();
    vectors.extend(session_vectors());
    vectors.extend(gossip_vectors());
    vectors.extend(scamp_vectors());
    vectors.extend(star_vectors());
    vectors.extend(relay_vectors());
    vectors.extend(partition_vectors());
    vectors.extend(process_vectors());
    vectors.extend(call_vectors());
    vectors.extend(delivery_vectors());
    vectors
}

fn handshake_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let stranger = Hello { role: Role::Acceptor, expected: None, ..hello() };
    let proof = Some([0x5a; 32]);
    let known = Confirm { proof, spec: None, known: None };
    let introduced = Confirm { proof: None, spec: Some(spec()), known: Some(Incarnation(6)) };
    let accept = Accept { proof, spec: Some(spec()), epoch: Epoch(8) };
    let stale = Refuse::from(Refusal::StaleIncarnation(Incarnation(300)));
    vec![
        (
            "hello_connector",
            "a hello to a known node, for lane 2 of bulk",
            Frame::Hello(hello().into()),
        ),
        ("hello_acceptor", "a hello that expects nobody", Frame::Hello(stranger.into())),
        ("confirm_lane", "a confirm with a proof", control(ControlMessage::Confirm(known.into()))),
        (
            "confirm_anchor",
            "a confirm with a spec",
            control(ControlMessage::Confirm(introduced.into())),
        ),
        (
            "accept",
            "an accept with proof, spec and epoch 8",
            control(ControlMessage::Accept(accept.into())),
        ),
        ("refuse_cluster", "refused: another cluster", Frame::Refuse(Refusal::Cluster.into())),
        ("refuse_stale", "refused: incarnation 300 is known", Frame::Refuse(stale)),
        (
            "refuse_removed",
            "refused with a proof: removed up to incarnation 7",
            Frame::Refuse(Refuse {
                refusal: Refusal::Removed(Incarnation(7)),
                proof: Some([0x5a; 32]),
            }),
        ),
    ]
}

fn session_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let app =
        |destination, payload: &'static [u8]| Frame::App { destination, payload: payload.into() };
    let store = Destination::name("größe").unwrap();
    let goodbye = ControlMessage::Goodbye;
    vec![
        ("app_inbox", "a message for the node's inbox", app(Destination::Inbox, b"hello")),
        ("app_empty", "an empty message for the node's inbox", app(Destination::Inbox, b"")),
        ("app_named", "a message for a name that is not ASCII", app(store, &[0, 0xff])),
        ("ping", "ping 300", control(ControlMessage::Ping { id: 300 })),
        ("pong", "pong 300", control(ControlMessage::Pong { id: 300 })),
        ("goodbye_left", "goodbye: left", control(goodbye(GoodbyeReason::Left))),
        ("goodbye_removed", "goodbye: removed", control(goodbye(GoodbyeReason::Removed))),
        ("goodbye_stopping", "goodbye: stopping", control(goodbye(GoodbyeReason::Stopping))),
        ("goodbye_requested", "goodbye: requested", control(goodbye(GoodbyeReason::Requested))),
        ("goodbye_not_wanted", "goodbye: not wanted", control(goodbye(GoodbyeReason::NotWanted))),
        (
            "goodbye_other_manager",
            "goodbye: another manager",
            control(goodbye(GoodbyeReason::OtherManager)),
        ),
    ]
}

fn relay_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let id = RelayId { origin: spec().id(), incarnation: Incarnation(3), sequence: 300 };
    let target = NodeId::from_u64(0x0123_4567_89ab_cdef);
    let carrying = |cargo, flooded, key, destination| {
        Box::new(RelayHeader { id, target, ttl: 4, hops: 2, flooded, key, cargo, destination })
    };
    let header = |flooded, key, destination| carrying(Cargo::Message, flooded, key, destination);
    let terms = Terms::default();
    let reliable = Cargo::Reliable { sequence: 300, floor: 299, terms };
    let terms = Terms { order: Some(InOrder { order: 9, after: Some(299) }), id: Some(7) };
    let on_terms = Cargo::Reliable { sequence: 300, floor: 299, terms };
    let acknowledges = Cargo::Acknowledgement { life: Incarnation(3) };
    let also = Bounded::from_first([(9, 300)]);
    let told = Acknowledgement { upto: 7, also, newest: Bounded::new() };
    let relayed =
        |header, payload: &'static [u8]| Frame::Relayed { header, payload: payload.into() };
    let store = Destination::name("größe").unwrap();
    let notice = || Box::new(RelayNotice { id, target, hops: 2 });
    let reason = RelayFailure::Congested;
    let failed = RelayMessage::Failed { notice: notice(), reason };
    vec![
        (
            "relayed_one_way",
            "a message on its one way to an inbox",
            relayed(header(false, None, Destination::Inbox), b"hello"),
        ),
        (
            "relayed_flooded",
            "a copy of a message with a key, for a name",
            relayed(header(true, Some(7), store), &[0, 0xff]),
        ),
        (
            "relayed_reliable",
            "message 300 that must arrive, and 299 still may",
            relayed(carrying(reliable, false, Some(7), Destination::Inbox), b"hello"),
        ),
        (
            "relayed_on_terms",
            "message 300 that must arrive, of order 9 after 299, and is called 7",
            relayed(carrying(on_terms, false, Some(7), Destination::Inbox), b"hello"),
        ),
        (
            "relayed_acknowledgement",
            "all up to 7, and 9 to 300",
            Frame::Relayed {
                header: carrying(acknowledges, true, None, Destination::Inbox),
                payload: told.encode(),
            },
        ),
        ("relay_failed", "a queue was full", control(ControlMessage::Relay(failed))),
        (
            "relay_found",
            "a copy arrived",
            control(ControlMessage::Relay(RelayMessage::Found(notice()))),
        ),
        (
            "relay_astray",
            "copies had to be made on the way",
            control(ControlMessage::Relay(RelayMessage::Astray(notice()))),
        ),
        (
            "relay_too_large",
            "message 300 that must arrive is too long",
            control(ControlMessage::Relay(RelayMessage::TooLarge {
                notice: notice(),
                sequence: 300,
            })),
        ),
    ]
}

fn partition_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let id = PartitionId { origin: spec().id(), incarnation: Incarnation(3), number: 300 };
    let partition = |message| control(ControlMessage::Partition(message));
    let active = PartitionMessage::Active(Bounded::from_first([id]));
    vec![
        (
            "partition_inject",
            "take part, and two hops further",
            partition(PartitionMessage::Inject { id, ttl: 2 }),
        ),
        (
            "partition_resolve",
            "it is over everywhere",
            partition(PartitionMessage::Resolve { id, ttl: 255 }),
        ),
        ("partition_active", "is this one over?", partition(active)),
    ]
}

const AT: ProcessAt = ProcessAt { birth: Incarnation(3), serial: Serial(300) };

fn process_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let process = |message: ProcessMessage| control(ControlMessage::Process(message.into()));
    let monitor = MonitorId { owner: Serial(5), number: 300 };
    let named = TargetAt::Name(ProcessName::new("größe").unwrap());
    let (from, to) = (AT, ProcessAt { birth: Incarnation(4), serial: Serial(6) });
    let reason = || ExitReason::shutdown_with(b"later").unwrap();
    let (bulk, target) = (ChannelName::new("bulk").ok(), TargetAt::Process(to));
    let by_name = ProcessMessage::Monitor { monitor, target: named, channel: None, key: None };
    let by_id = ProcessMessage::Monitor { monitor, target, channel: bulk, key: Some(7) };
    let exit = |reason, linked| {
        let to = TargetAt::Process(to);
        ProcessMessage::Exit { from, to, reason, linked }
    };
    let down = || ProcessMessage::Down { monitor, reason: reason() };
    let request = RequestId { owner: Serial(5), number: 300 };
    let abandon = ProcessMessage::Abandon { birth: Incarnation(3), request };
    let at = Frame::App { destination: Destination::Process(AT), payload: b"hello"[..].into() };
    let mut vectors = vec![
        ("app_process", "a message for a process", at),
        ("process_monitor_name", "watch whoever has the name", process(by_name)),
        ("process_monitor", "watch a process, by lane 7 of bulk", process(by_id)),
        ("process_demonitor", "watch no more", process(ProcessMessage::Demonitor { monitor })),
        ("process_down", "it was shut down", process(down())),
        ("process_down_on_lane", "the same behind messages", Frame::Signal(down().into())),
        ("process_down_seen", "the news arrived", process(ProcessMessage::DownSeen { monitor })),
        ("process_link", "a link", process(ProcessMessage::Link { from, to })),
        ("process_unlink", "a link no more", process(ProcessMessage::Unlink { from, to })),
        ("process_unlinked", "the answer to that", process(ProcessMessage::Unlinked { from, to })),
        ("process_abandon", "the caller does not wait any more", Frame::Signal(abandon.into())),
    ];
    let reasons = [
        ("process_exit_normal", ExitReason::Normal),
        ("process_exit_shutdown", ExitReason::Shutdown),
        ("process_exit_shutdown_with", reason()),
        ("process_exit_kill", ExitReason::Kill),
        ("process_exit_killed", ExitReason::Killed),
        ("process_exit_no_process", ExitReason::NoProcess),
        ("process_exit_no_connection", ExitReason::NoConnection),
        ("process_exit_system_limit", ExitReason::SystemLimit),
        ("process_exit_panicked", ExitReason::panicked("oh")),
        ("process_exit_other", ExitReason::other(b"why").unwrap()),
    ];
    let exits = reasons.map(|(name, reason)| {
        let linked = reason != ExitReason::Kill;
        (name, "an exit signal of that reason", process(exit(reason, linked)))
    });
    vectors.extend(exits);
    vectors
}

fn call_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let (birth, request) = (Incarnation(3), RequestId { owner: Serial(5), number: 300 });
    let ask = |to| {
        let header = RequestHeader { birth, request, to }.into();
        Frame::Request { header, payload: b"ask"[..].into() }
    };
    let named = || ProcessName::new("größe").unwrap();
    let answer = |failure: Option<Failure>| {
        let payload = if failure.is_none() { &b"answer"[..] } else { b"" };
        let header = ReplyHeader { birth, request, failure }.into();
        Frame::Reply { header, payload: payload.into() }
    };
    let thrown = ExitReason::other(b"no").unwrap();
    let ExitReason::Other(bytes) = thrown.clone() else { unreachable!() };
    vec![
        ("request_process", "a request to a process", ask(ServerAt::Process(AT))),
        ("request_name", "a request to whoever has the name", ask(ServerAt::Name(named()))),
        ("request_function", "a request to a function", ask(ServerAt::Function(named()))),
        ("reply", "an answer", answer(None)),
        ("reply_no_process", "nobody answers", answer(Some(Failure::NoProcess))),
        ("reply_no_function", "there is no such function", answer(Some(Failure::NoFunction))),
        ("reply_exited", "the server ended", answer(Some(Failure::Exited(thrown)))),
        ("reply_thrown", "the function refused", answer(Some(Failure::Thrown(bytes)))),
        ("reply_overloaded", "too much to do", answer(Some(Failure::Overloaded))),
        ("reply_too_large", "the answer is too large", answer(Some(Failure::AnswerTooLarge))),
        ("reply_not_understood", "of another type", answer(Some(Failure::NotUnderstood))),
    ]
}

fn delivery_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let origin = Instance { node: spec().id(), incarnation: Incarnation(3) };
    let to = Instance { node: NodeId::from_u64(1), incarnation: Incarnation(9) };
    let message = Dependency { origin, number: 300 };
    let causal = CausalHeader {
        label: LabelId::of(&LabelName::new("red").unwrap()),
        number: 7,
        after: Bounded::from_first([message]),
        elsewhere: Bounded::from_first([Elsewhere { to, message, age: 300 }]),
    };
    let on_terms = |causal, terms, destination| {
        let header = ReliableHeader { sequence: 300, floor: 299, causal, terms, destination };
        Frame::Reliable { header: header.into(), payload: b"hello"[..].into() }
    };
    let reliable = |causal, destination| on_terms(causal, Terms::default(), destination);
    let in_order = |after| Some(InOrder { order: 9, after });
    let id = Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let (place, number) = (0x0123_4567_89ab_cdef, 300);
    let header = NewestHeader { place, number, destination: Destination::Inbox };
    let payload = b"hello"[..].into();
    let acknowledgement = Acknowledgement {
        upto: 300,
        also: Bounded::from_first([(302, 305), (400, 400)]),
        newest: Bounded::from_first([(place, number)]),
    };
    vec![
        ("reliable", "a message that must arrive", reliable(None, Destination::Inbox)),
        (
            "reliable_causal",
            "a causal message for a process",
            reliable(Some(causal), Destination::Process(AT)),
        ),
        (
            "reliable_ordered",
            "a message that must arrive, the first of order 9",
            on_terms(None, Terms { order: in_order(None), id: None }, Destination::Inbox),
        ),
        (
            "reliable_after",
            "a message that must arrive, of order 9 after number 299",
            on_terms(None, Terms { order: in_order(Some(299)), id: None }, Destination::Inbox),
        ),
        (
            "reliable_named",
            "a message that must arrive, and has a name",
            on_terms(None, Terms { order: None, id }, Destination::Process(AT)),
        ),
        (
            "newest",
            "the newest message of a monotonic channel",
            Frame::Newest { header: header.into(), payload },
        ),
        (
            "acknowledge",
            "up to 300 and some more, and one that is the newest",
            control(ControlMessage::Acknowledge(acknowledgement.into())),
        ),
    ]
}

fn gossip_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let node = spec().id();
    let entries = Bounded::from_first([SummaryEntry {
        node,
        hash: 0x0123_4567_89ab_cdef,
        removed: Incarnation(1),
        present: Incarnation(2),
    }]);
    let summary = Summary { first: NodeId::from_u64(0), last: NodeId::from_u64(u64::MAX), entries };
    let present = Entry {
        node,
        removed: Incarnation(1),
        presence: Some(Presence {
            incarnation: Incarnation(3),
            joined: Incarnation(2),
            spec: spec(),
        }),
    };
    let gone = Entry { node: NodeId::from_u64(1), removed: Incarnation(9), presence: None };
    let nodes = Bounded::from_first([node]);
    let entries = Bounded::from_first([present, gone]);
    let digest = Digest { entries: 300, hash: u64::MAX };
    vec![
        ("gossip_digest", "a digest of 300 entries", gossip(Gossip::Digest(digest))),
        ("gossip_summary", "a summary of one entry", gossip(Gossip::Summary(summary))),
        ("gossip_request", "a request for one entry", gossip(Gossip::Request(Request { nodes }))),
        ("gossip_delta", "one present, one removed", gossip(Gossip::Delta(Delta { entries }))),
    ]
}

fn scamp_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let scamp = |message| control(ControlMessage::Scamp(message));
    let node = || Introduction { incarnation: Incarnation(3), spec: spec() };
    let subscribe = ScampMessage::Subscribe { node: node(), hops: 300, renewed: true };
    let forward = ScampMessage::Forward { node: node(), hops: 7 };
    let remove = ScampMessage::Remove { node: spec().id(), upto: Incarnation(9) };
    vec![
        ("scamp_holds", "you are in my view", scamp(ScampMessage::Holds(true))),
        ("scamp_subscribe", "a renewed subscription with 300 hops to go", scamp(subscribe)),
        ("scamp_subscribed", "the subscription is in hand", scamp(ScampMessage::Subscribed)),
        ("scamp_forward", "a copy of a subscription after 7 hops", scamp(forward)),
        ("scamp_remove", "removed up to incarnation 9", scamp(remove)),
        ("scamp_replace", "take another in my place", scamp(ScampMessage::Replace { by: node() })),
        ("scamp_gone", "the sender leaves", scamp(ScampMessage::Gone)),
        ("scamp_heartbeat", "the sender is alive", scamp(ScampMessage::Heartbeat)),
    ]
}

fn star_vectors() -> Vec<(&'static str, &'static str, Frame)> {
    let star = |message| control(ControlMessage::Star(message));
    let presence = Presence { incarnation: Incarnation(3), joined: Incarnation(2), spec: spec() };
    let present = Entry { node: spec().id(), removed: Incarnation(1), presence: Some(presence) };
    let gone = Entry { node: NodeId::from_u64(1), removed: Incarnation(9), presence: None };
    let piece = |entry: &Entry, last| {
        let entries = Bounded::from_first([entry.clone()]);
        Box::new(StarPiece { entries, last })
    };
    let nodes = Bounded::from_first([spec().id()]);
    let clients = StarMessage::Clients { nodes, attached: true };
    vec![
        (
            "star_attach",
            "a client introduces itself",
            star(StarMessage::Attach(piece(&present, true))),
        ),
        (
            "star_servers",
            "a server, and more to come",
            star(StarMessage::Servers(piece(&present, false))),
        ),
        ("star_refer", "a server to join instead", star(StarMessage::Refer(piece(&present, true)))),
        ("star_news", "a removal", star(StarMessage::News(piece(&gone, true)))),
        ("star_clients", "a client came to the sender", star(clients)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_message_of_version_1_is_written_and_read_as_ever() {
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    for (name, about, frame) in vectors() {
        let file = folder().join(name).with_extension("hex");
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        if update {
            fs::write(&file, format!("# {about}\n{}", hex(&bytes))).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}; UPDATE_VECTORS=1 writes it", file.display())
        });
        let golden = unhex(&text);
        assert_eq!(hex(&bytes), hex(&golden), "{name} is written otherwise than in version 1");
        let decoded = decode(&mut BytesMut::from(&golden[..]), u32::MAX);
        assert_eq!(decoded, Ok(Decoded::Frame(frame)), "{name} is read otherwise");
    }
}

/// How short a compressed frame becomes is the writer's business; every block is read for ever.
#[test]
fn compressed_frames_are_read_as_ever() {
    let text = fs::read_to_string(folder().join(COMPRESSED).with_extension("hex")).unwrap();
    let payload = vec![b'a'; 300].into();
    let frame = Frame::App { destination: Destination::Inbox, payload };
    let decoded = decode(&mut BytesMut::from(&unhex(&text)[..]), 1 << 10);
    assert_eq!(decoded, Ok(Decoded::Frame(frame)));
}

#[test]
fn no_vector_is_forgotten() {
    let mut known: Vec<_> = vectors().into_iter().map(|(name, ..)| name).collect();
    known.push(COMPRESSED);
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(known.contains(&name), "{} is tested by nothing", path.display());
    }
}

#[test]
fn identifiers_of_nodes_never_change() {
    // `printf alice@10.0.0.1 | sha256sum`, the first 16 digits.
    let id = |name: &str| NodeName::new(name).unwrap().id().to_string();
    assert_eq!(id("alice@10.0.0.1"), "a3754606bcc0864c");
    assert_eq!(id("bjørn@db-1.example"), "6cd33570c7abbbb6");
}

#[test]
fn the_stable_hash_never_changes() {
    let mut hasher = StableHasher::default();
    assert_eq!(hasher.finish(), 0xfdbd_f6ac_4fc5_2e7f);
    hasher.write(b"partisan");
    hasher.write_u64(1);
    assert_eq!(hasher.finish(), 0x57fb_7cec_d678_cbdf);
}
