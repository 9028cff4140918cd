//! What the core costs: a plain message through `Node::handle` on each side, and the timers.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use partisan_proto::timers::Timers;
use partisan_proto::wire::{Destination, Frame};
use partisan_proto::{
    Action, Birth, ChannelId, Command, Config, ConnectionId, Contact, Duration, Event, Incarnation,
    Instant, Node, NodeName, NodeSpec, Outbox, Send, Ticket, Timer,
};

/// Two nodes and what is on its way between them.
struct Pair {
    nodes: [Node; 2],
    outbox: Outbox,
    /// Of each node, the number of a connection and what its other end calls it.
    links: [Vec<(ConnectionId, ConnectionId)>; 2],
    events: VecDeque<(usize, Event)>,
}

impl Pair {
    /// Starts both and joins the first through the second.
    fn connected() -> Self {
        let mut outbox = Outbox::default();
        let nodes = [1, 2].map(|port| start(port, &mut outbox));
        outbox.actions.clear();
        let mut pair =
            Self { nodes, outbox, links: [Vec::new(), Vec::new()], events: VecDeque::new() };
        let address = pair.nodes[1].spec().addresses()[0].clone();
        let join =
            Event::Command { ticket: Ticket(1), command: Command::Join(Contact::at(address)) };
        pair.events.push_back((0, join));
        pair.settle();
        let other = pair.nodes[1].instance().node;
        let routes = pair.nodes[0].routes().peer(other).expect("the join connects them");
        assert!(routes.is_full(), "every lane is open");
        pair
    }

    fn settle(&mut self) {
        while let Some((node, event)) = self.events.pop_front() {
            self.nodes[node].handle(Instant::ZERO, event, &mut self.outbox);
            for action in std::mem::take(&mut self.outbox.actions) {
                self.perform(node, action);
            }
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        let other = 1 - node;
        match action {
            Action::Open { connection, .. } => {
                let accepted = ConnectionId::accepted(self.links[other].len() as u64);
                self.links[node].push((connection, accepted));
                self.links[other].push((accepted, connection));
                let accept = Event::Accepted { connection: accepted };
                self.events.push_back((other, accept));
                self.events.push_back((node, Event::Opened { connection }));
            }
            Action::Send { connection, frame } => {
                let far = self.links[node].iter().find(|(near, _)| *near == connection);
                let connection = far.expect("a known connection").1;
                self.events.push_back((other, Event::Received { connection, frame }));
            }
            _ => {}
        }
    }
}

fn start(port: u16, outbox: &mut Outbox) -> Node {
    let config = Arc::new(Config::default());
    let name = NodeName::new(&format!("{port}@bench")).expect("a good name");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
    let spec = NodeSpec::new(name, vec![address], &config.channels, Vec::new());
    let birth = Birth {
        spec: spec.expect("a good spec"),
        incarnation: Incarnation(1),
        seed: [port as u8; 32],
        snapshot: None,
        manager: None,
    };
    Node::start(Instant::ZERO, birth, config, outbox).expect("a good configuration")
}

fn message(criterion: &mut Criterion) {
    let mut pair = Pair::connected();
    let to = pair.nodes[1].instance().node;
    let payload = Bytes::from_static(&[0xa5; 64]);
    let send = |key| Event::Command {
        ticket: Ticket(1),
        command: Command::Send(Send {
            relay: false,
            to,
            channel: ChannelId::DEFAULT,
            key,
            destination: Destination::Inbox,
            payload: payload.clone(),
        }),
    };
    let mut group = criterion.benchmark_group("message_64");
    group.throughput(Throughput::Elements(1));
    for (name, key) in [("send", None), ("send_keyed", Some(7))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                pair.nodes[0].handle(Instant::ZERO, send(key), &mut pair.outbox);
                black_box(&pair.outbox.actions);
                pair.outbox.actions.clear();
            });
        });
    }
    let lane = pair.nodes[1].connections();
    let lane = lane.iter().find(|info| info.channel == ChannelId::DEFAULT);
    let connection = lane.expect("a lane of the default channel").connection;
    group.bench_function("receive", |bencher| {
        bencher.iter(|| {
            let frame = Frame::App { destination: Destination::Inbox, payload: payload.clone() };
            let event = Event::Received { connection, frame };
            pair.nodes[1].handle(Instant::ZERO, event, &mut pair.outbox);
            black_box(&pair.outbox.actions);
            pair.outbox.actions.clear();
        });
    });
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for count in [4_u64, 64, 1_024] {
        let mut timers = Timers::default();
        let mut now = Instant::ZERO;
        for number in 0..count {
            timers.set(Timer::Custom(number), now + Duration::from_millis(number));
        }
        group.bench_function(format!("pop_and_set_{count}"), |bencher| {
            bencher.iter(|| {
                let (at, _) = timers.next().expect("a timer is set");
                now = at;
                let timer = timers.pop_due(now).expect("it is due");
                timers.set(black_box(timer), now + Duration::from_millis(count));
            });
        });
    }
}

criterion_group!(benches, message, timers);
criterion_main!(benches);
