//! Peers that break the rules, and limits that are reached.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::net::{Keeper, Net, channels};
use crate::config::Config;
use crate::error::{CloseReason, Misbehaviour, Refusal};
use crate::id::{ClusterName, ConnectionId, Epoch, Incarnation, NodeName};
use crate::time::Duration;
use crate::wire::{
    Accept, Confirm, ControlMessage, Destination, Frame, Gossip, Hello, Role, VersionRange,
};
use crate::{Action, Event, Notification, Outbox};

/// One node and a stranger's connection to it.
struct Raw {
    net: Net,
    sent: Vec<Frame>,
    closed: Vec<CloseReason>,
}

const CONNECTION: ConnectionId = ConnectionId::accepted(77);

impl Raw {
    fn new() -> Self {
        let net = Net::with(1, &Config { channels: channels(&[("bulk", 2)]), ..Config::default() });
        let mut raw = Self { net, sent: vec![], closed: vec![] };
        raw.event(Event::Accepted { connection: CONNECTION });
        raw
    }

    fn event(&mut self, event: Event) {
        let mut out = Outbox::default();
        let now = self.net.now;
        self.net.nodes[0].as_mut().unwrap().handle(now, event, &mut out);
        for action in out.actions {
            match action {
                Action::Send { frame, .. } => self.sent.push(frame),
                Action::Close { reason, .. } => self.closed.push(reason),
                Action::Notify(note) => self.net.notes.push((0, note)),
                Action::Deliver(delivery) => self.net.deliveries.push((0, delivery)),
                _ => {}
            }
        }
    }

    fn say(&mut self, frame: Frame) -> &mut Self {
        self.event(Event::Received { connection: CONNECTION, frame });
        self
    }

    fn hello() -> Hello {
        let (name, channel) = ("raw@h".parse().unwrap(), "membership".parse().unwrap());
        Hello::of_stranger(Config::default().cluster, name, channel, [1; 32])
    }

    fn hello_with(change: impl FnOnce(&mut Hello)) -> Frame {
        let mut hello = Self::hello();
        change(&mut hello);
        Frame::Hello(Box::new(hello))
    }

    fn confirm(name: &str) -> Frame {
        let spec = crate::NodeSpec::new(
            NodeName::new(name).unwrap(),
            vec![],
            &Config::default().channels,
            vec![],
        );
        let spec = Some(spec.unwrap().into());
        Frame::Control(ControlMessage::Confirm(Box::new(Confirm {
            proof: None,
            spec,
            known: None,
        })))
    }

    fn open() -> Self {
        let mut raw = Self::new();
        raw.say(Self::hello_with(|_| {})).say(Self::confirm("raw@h"));
        assert!(matches!(raw.sent.last(), Some(Frame::Control(ControlMessage::Accept(_)))));
        raw
    }
}

fn app() -> Frame {
    Frame::App { destination: Destination::Inbox, payload: Bytes::from_static(b"x") }
}

#[test]
fn a_stranger_who_follows_the_steps_is_let_in() {
    let raw = Raw::open();
    assert!(raw.closed.is_empty());
    assert_eq!(raw.net.node(0).counters().sessions, 1);
}

#[test]
fn no_session_follows_the_one_of_the_greatest_epoch() {
    let knock = |epoch| {
        let mut raw = Raw::new();
        raw.say(Raw::hello_with(|h| h.epoch = epoch)).say(Raw::confirm("raw@h"));
        raw
    };
    let last = knock(Epoch(Epoch::MOST.0 - 1));
    let Some(Frame::Control(ControlMessage::Accept(accept))) = last.sent.last() else {
        panic!("not accepted: {:?}", last.sent);
    };
    assert_eq!(accept.epoch, Epoch::MOST);
    let beyond = knock(Epoch::MOST);
    assert_eq!(beyond.closed, [CloseReason::Refused(Refusal::NoSession)]);
    assert_eq!(beyond.net.node(0).counters().sessions, 0);
}

#[test]
fn an_acceptor_cannot_begin_a_session_of_an_epoch_that_was() {
    let mut raw = Raw::new();
    let contact = crate::Contact::at(super::net::address(7));
    let command = crate::Command::Join(contact);
    raw.event(Event::Command { ticket: crate::Ticket(1), command });
    let connection = ConnectionId::dialled(0);
    raw.event(Event::Opened { connection });
    let frame = Raw::hello_with(|h| h.role = Role::Acceptor);
    raw.event(Event::Received { connection, frame });
    let Frame::Control(ControlMessage::Confirm(confirm)) = Raw::confirm("raw@h") else {
        panic!("no confirm");
    };
    let accept = Accept { proof: None, spec: confirm.spec, epoch: Epoch(0) };
    let frame = Frame::Control(ControlMessage::Accept(Box::new(accept)));
    raw.event(Event::Received { connection, frame });
    assert_eq!(raw.closed, [CloseReason::Refused(Refusal::NoSession)]);
    assert_eq!(raw.net.node(0).counters().sessions, 0);
}

#[test]
fn each_wrong_hello_is_refused_with_its_reason() {
    let cluster = ClusterName::new("other").unwrap();
    let versions = VersionRange { least: 900, most: 901 };
    let cases = [
        (Raw::hello_with(|h| h.cluster = cluster), Refusal::Cluster),
        (Raw::hello_with(|h| h.versions = versions), Refusal::Version),
        (Raw::hello_with(|h| h.expected = Some(Raw::hello().name.id())), Refusal::UnexpectedPeer),
        (Raw::hello_with(|h| h.channel = "nope".parse().unwrap()), Refusal::UnknownChannel),
        (Raw::hello_with(|h| h.lane = 1), Refusal::UnknownChannel),
        (Raw::hello_with(|h| h.channel = "bulk".parse().unwrap()), Refusal::NoSession),
        (Raw::hello_with(|h| h.name = "node0@h".parse().unwrap()), Refusal::SelfConnection),
        (
            Raw::hello_with(|h| {
                h.name = "node0@h".parse().unwrap();
                h.incarnation = Incarnation(9);
            }),
            Refusal::DuplicateName,
        ),
    ];
    for (hello, refusal) in cases {
        let mut raw = Raw::new();
        raw.say(hello);
        assert_eq!(raw.sent, [Frame::Refuse(refusal.into())]);
        assert_eq!(raw.closed, [CloseReason::Refused(refusal)]);
        assert_eq!(raw.net.node(0).counters().refused, 1);
    }
}

#[test]
fn anything_out_of_turn_ends_the_handshake() {
    let ping = || Frame::Control(ControlMessage::Ping { id: 1 });
    let hello = || Raw::hello_with(|_| {});
    let acceptor = || Raw::hello_with(|h| h.role = Role::Acceptor);
    let scripts: Vec<Vec<Frame>> = vec![
        vec![app()],
        vec![ping()],
        vec![acceptor()],
        vec![Raw::confirm("raw@h")],
        vec![hello(), hello()],
        vec![hello(), app()],
        vec![hello(), ping()],
    ];
    for script in scripts {
        let mut raw = Raw::new();
        script.into_iter().for_each(|frame| {
            raw.say(frame);
        });
        assert_eq!(raw.closed, [CloseReason::Misbehaved(Misbehaviour::OutOfTurn)]);
        assert!(raw.net.deliveries.is_empty());
    }
}

#[test]
fn an_introduction_of_somebody_else_is_misbehaviour() {
    let mut raw = Raw::new();
    raw.say(Raw::hello_with(|_| {})).say(Raw::confirm("else@h"));
    assert_eq!(raw.closed, [CloseReason::Misbehaved(Misbehaviour::WrongSpec)]);
}

#[test]
fn each_breach_on_an_open_connection_closes_it() {
    let gossip = || Frame::Control(ControlMessage::Gossip(Gossip::Digest(Default::default())));
    let cases = [
        (app(), Misbehaviour::WrongChannel),
        (Raw::hello_with(|_| {}), Misbehaviour::HandshakeTwice),
        (Raw::confirm("raw@h"), Misbehaviour::HandshakeTwice),
        (Frame::Refuse(Refusal::Cluster.into()), Misbehaviour::HandshakeTwice),
        (gossip(), Misbehaviour::OtherManager),
    ];
    for (frame, misbehaviour) in cases {
        let mut raw = Raw::open();
        raw.say(frame);
        assert_eq!(raw.closed, [CloseReason::Misbehaved(misbehaviour)]);
        let notes = raw.net.take_notes(0);
        assert!(notes.iter().any(|note| matches!(note, Notification::PeerMisbehaved { .. })));
        assert_eq!(raw.net.node(0).routes().peers().count(), 0);
    }
}

#[test]
fn a_ping_is_answered_and_a_stray_pong_is_counted() {
    let mut raw = Raw::open();
    raw.say(Frame::Control(ControlMessage::Ping { id: 5 }));
    assert_eq!(raw.sent.last(), Some(&Frame::Control(ControlMessage::Pong { id: 5 })));
    raw.say(Frame::Control(ControlMessage::Pong { id: 99 }));
    assert_eq!(raw.net.node(0).counters().stray_pongs, 1);
    assert!(raw.closed.is_empty());
}

#[test]
fn a_slow_handshake_is_cut_off_at_its_deadline() {
    let mut raw = Raw::new();
    raw.net.now += Duration::from_secs(5);
    raw.event(Event::Wake);
    assert_eq!(raw.closed, [CloseReason::HandshakeTimeout]);
    assert_eq!(raw.net.node(0).counters().handshake_timeouts, 1);
}

#[test]
fn too_many_handshakes_at_once_are_cut_off_at_once() {
    let mut raw = Raw::new();
    let limit = Config::default().connections.max_pending as u64;
    for number in 0..limit + 5 {
        raw.event(Event::Accepted { connection: ConnectionId::accepted(1_000 + number) });
    }
    assert_eq!(raw.closed, [CloseReason::TooMany; 6]);
    assert_eq!(raw.net.node(0).counters().too_many, 6);
}

#[test]
fn a_dial_that_reaches_somebody_else_is_given_up_without_ups_or_downs() {
    let config = Config::default();
    let mut net = Net::new();
    let name = NodeName::new("expected@h").unwrap();
    let addresses = vec![super::net::address(1)];
    let wrong = crate::NodeSpec::new(name, addresses, &config.channels, vec![]).unwrap();
    net.add(&config, 1, Keeper::keeping(wrong));
    net.add(&config, 1, Keeper::default());
    net.run_for(Duration::from_secs(20));
    for node in 0..2 {
        let notes = net.take_notes(node);
        assert!(!notes.iter().any(|note| matches!(
            note,
            Notification::NodeUp { .. } | Notification::NodeDown { .. }
        )));
    }
    assert!(net.node(1).counters().refused >= 2);
}

#[test]
fn a_stale_life_is_refused_while_the_newer_is_known() {
    let config = Config::default();
    let mut net = Net::with(2, &config);
    net.start(1, &config, 5, Keeper::default());
    net.join(1, 0);
    net.settle();
    let mut raw = Raw { net, sent: vec![], closed: vec![] };
    raw.event(Event::Accepted { connection: CONNECTION });
    raw.say(Raw::hello_with(|h| {
        h.name = "node1@h".parse().unwrap();
        h.incarnation = Incarnation(4);
    }));
    // The newer life is connected, so the older one is somebody else with the same name.
    assert_eq!(raw.closed, [CloseReason::Refused(Refusal::DuplicateName)]);
}

#[test]
fn a_dial_that_crossed_the_session_is_refused_and_the_anchor_is_asked() {
    let mut raw = Raw::open();
    let second = ConnectionId::accepted(78);
    raw.event(Event::Accepted { connection: second });
    raw.event(Event::Received { connection: second, frame: Raw::hello_with(|_| {}) });
    let ping = Frame::Control(ControlMessage::Ping { id: 1 });
    assert!(raw.closed.is_empty() && !raw.sent.contains(&ping), "it has proven nothing so far");
    raw.event(Event::Received { connection: second, frame: Raw::confirm("raw@h") });
    assert_eq!(raw.closed, [CloseReason::Refused(Refusal::AlreadyConnected)]);
    assert!(raw.sent.contains(&ping));
    // Nobody answers: the session is over after one ping, not after five.
    raw.net.now += Config::default().connections.keep_alive.ping_timeout;
    raw.event(Event::Wake);
    assert_eq!(raw.closed.last(), Some(&CloseReason::PingTimeout));
}

#[test]
fn a_dial_that_follows_the_session_replaces_it() {
    let mut raw = Raw::open();
    let second = ConnectionId::accepted(78);
    raw.event(Event::Accepted { connection: second });
    let frame = Raw::hello_with(|h| h.epoch = Epoch(1));
    raw.event(Event::Received { connection: second, frame });
    assert!(raw.closed.is_empty(), "nothing is replaced before the proof");
    raw.event(Event::Received { connection: second, frame: Raw::confirm("raw@h") });
    assert_eq!(raw.closed, [CloseReason::Replaced]);
    let routes = raw.net.node(0).routes().peers().next().unwrap().clone();
    assert_eq!((routes.anchor, routes.epoch), (second, Epoch(2)));
}

#[test]
fn events_about_unknown_connections_are_ignored() {
    let mut raw = Raw::open();
    let other = ConnectionId::dialled(99);
    raw.event(Event::Opened { connection: other });
    raw.event(Event::Received { connection: other, frame: app() });
    raw.event(Event::Closed { connection: other, reason: CloseReason::Broken });
    raw.event(Event::OpenFailed { connection: CONNECTION, error: crate::OpenError::Refused });
    raw.event(Event::Opened { connection: CONNECTION });
    assert!(raw.closed.is_empty());
    assert_eq!(raw.net.node(0).routes().peers().count(), 1);
}

/// A node with a secret dials; whoever answers refuses it for good.
fn refused_with(proof: impl Fn(&Hello) -> Option<crate::wire::Proof>) -> u64 {
    let secret = Some(crate::config::Secret("a shared secret!".into()));
    let config = Config { secret, ..Config::default() };
    let mut net = Net::with(1, &config);
    let now = net.now;
    let node = net.nodes[0].as_mut().unwrap();
    let mut out = Outbox::default();
    let contact = crate::Contact::at(super::net::address(1));
    let command = crate::Command::Join(contact);
    let ticket = crate::Ticket(0);
    node.handle(now, Event::Command { ticket, command }, &mut out);
    let connection = ConnectionId::dialled(0);
    node.handle(now, Event::Opened { connection }, &mut out);
    let hello = out.actions.iter().find_map(|action| match action {
        Action::Send { frame: Frame::Hello(hello), .. } => Some(hello.clone()),
        _ => None,
    });
    let refusal = Refusal::StaleIncarnation(Incarnation(50));
    let proof = proof(&hello.unwrap());
    let frame = Frame::Refuse(crate::wire::Refuse { refusal, proof });
    node.handle(now, Event::Received { connection, frame }, &mut out);
    node.instance().incarnation.0
}

#[test]
fn only_who_knows_the_secret_can_say_that_a_life_is_over() {
    let proof_with = |secret: &str, hello: &Hello| {
        let secret = crate::config::Secret(secret.into());
        let refusal = Refusal::StaleIncarnation(Incarnation(50));
        super::super::handshake::refusal_proof(Some(&secret), refusal, hello)
    };
    assert_eq!(refused_with(|_| None), 1);
    assert_eq!(refused_with(|hello| proof_with("another secret!!", hello)), 1);
    let right = refused_with(|hello| proof_with("a shared secret!", hello));
    assert_eq!(right, 51, "believed: the node became a later incarnation");
}
