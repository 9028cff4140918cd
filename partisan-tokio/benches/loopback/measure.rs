//! The three measurements.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use partisan_tokio::{Contact, Node, NodeId};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::bare::{Bare, BarePing, Framing};
use crate::link::{Link, PINGERS, Ping, ping, plain};
use crate::node::{self, Lanes};
use crate::peer::Peer;
use crate::process::{cpu, memory};

/// What is measured at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Bytes of payload.
    pub(crate) size: usize,
    pub(crate) senders: usize,
    pub(crate) lanes: usize,
    pub(crate) time: Duration,
}

/// What a cell came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Messages, or rounds of a ping, in a second.
    pub(crate) per_second: f64,
    /// Seconds of computing for each, here and at the peer.
    pub(crate) cpu: [f64; 2],
}

impl Rate {
    fn new(messages: u64, elapsed: Duration, cpu: [Duration; 2]) -> Self {
        let messages = messages.max(1) as f64;
        Self {
            per_second: messages / elapsed.as_secs_f64(),
            cpu: cpu.map(|cpu| cpu.as_secs_f64() / messages),
        }
    }
}

/// Who carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Nodes,
    Bare(Framing),
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "nodes",
            Self::Bare(Framing::ByHand) => "bare",
            Self::Bare(Framing::Codec) => "codec",
        })
    }
}

/// Both processes and what connects them.
#[derive(Debug)]
pub(crate) struct Bench {
    runtime: Runtime,
    pub(crate) peer: Peer,
    node: Arc<Node>,
    there: NodeId,
}

impl Bench {
    pub(crate) fn start(runtime: Runtime, threads: usize) -> Self {
        let peer = Peer::spawn(threads);
        let (node, there) = runtime.block_on(async {
            let node = node::start("here@127.0.0.1").await;
            let there = node::join(&node, Contact::at(peer.node.clone())).await;
            (Arc::new(node), there)
        });
        Self { runtime, peer, node, there }
    }

    fn lanes(&self, channel: Option<&str>) -> Lanes {
        Lanes::new(&self.node, self.there, channel)
    }

    fn wide(&self, lanes: usize) -> Lanes {
        self.lanes((lanes > 1).then_some(node::WIDE))
    }

    fn bare(&self, framing: Framing, cell: Cell) -> (Bare, Vec<BarePing>) {
        let opened = Bare::connect(self.peer.bare, framing, cell.lanes, cell.size);
        let (link, pongs) = self.runtime.block_on(opened).expect("the peer listens");
        let ping = |(lane, pongs)| {
            let link = link.clone();
            BarePing { link, pongs, lane }
        };
        let pings = pongs.into_iter().enumerate().map(ping).collect();
        (link, pings)
    }

    /// All senders send as fast as they can.
    pub(crate) fn one_way(&mut self, carrier: Carrier, cell: Cell) -> Rate {
        match carrier {
            Carrier::Nodes => self.flood(&self.wide(cell.lanes), cell),
            Carrier::Bare(framing) => {
                let (link, _pings) = self.bare(framing, cell);
                self.flood(&link, cell)
            }
        }
    }

    fn flood(&mut self, link: &impl Link, cell: Cell) -> Rate {
        let theirs = self.peer.begin().cpu;
        let (ours, start) = (cpu(), Instant::now());
        let until = start + cell.time;
        let mut senders = JoinSet::new();
        let sent = self.runtime.block_on(async {
            for number in 0..cell.senders {
                let mut link = link.clone();
                link.number(number);
                senders.spawn(send_until(link, cell.size, until));
            }
            senders.join_all().await.iter().sum()
        });
        let theirs = self.peer.received(sent).cpu - theirs;
        Rate::new(sent, start.elapsed(), [cpu() - ours, theirs])
    }

    /// Every sender sends a message once the echo of its last one has arrived.
    pub(crate) fn ping_pong(&mut self, carrier: Carrier, cell: Cell) -> Rate {
        match carrier {
            Carrier::Nodes => {
                let lanes = self.wide(cell.lanes);
                let pings = (0..cell.senders).map(|number| lanes.pinger(number));
                self.rally(pings.collect(), cell)
            }
            Carrier::Bare(framing) => {
                let (_link, mut pings) = self.bare(framing, cell);
                pings.truncate(cell.senders);
                self.rally(pings, cell)
            }
        }
    }

    fn rally(&mut self, pings: Vec<impl Ping>, cell: Cell) -> Rate {
        let theirs = self.peer.begin().cpu;
        let (ours, start) = (cpu(), Instant::now());
        let until = start + cell.time;
        let mut players = JoinSet::new();
        let rounds = self.runtime.block_on(async {
            for (number, ping) in pings.into_iter().enumerate() {
                players.spawn(ping_until(ping, cell.size, number, until));
            }
            players.join_all().await.iter().map(|rounds| rounds.len() as u64).sum()
        });
        let elapsed = start.elapsed();
        Rate::new(rounds, elapsed, [cpu() - ours, self.peer.used().cpu - theirs])
    }

    /// The times of small pings between nodes beside a stream that saturates the default channel.
    pub(crate) fn pings_beside(&mut self, beside: Beside, time: Duration) -> Vec<Duration> {
        let channel = (beside == Beside::OtherChannel).then_some(node::OTHER);
        let ping = self.lanes(channel).pinger(0);
        let stream = (beside != Beside::Idle).then(|| self.lanes(None));
        self.pings(ping, stream, time)
    }

    /// The same on bare streams.
    pub(crate) fn bare_pings_beside(&mut self, beside: Beside, time: Duration) -> Vec<Duration> {
        let cell = |lanes| Cell { size: STREAM, senders: 1, lanes, time };
        let (link, mut pings) = self.bare(Framing::ByHand, cell(1));
        let (_other, mut others) = self.bare(Framing::ByHand, cell(1));
        let other = beside == Beside::OtherChannel;
        let from = if other { &mut others } else { &mut pings };
        let ping = from.swap_remove(0);
        self.pings(ping, (beside != Beside::Idle).then_some(link), time)
    }

    fn pings(&self, ping: impl Ping, stream: Option<impl Link>, time: Duration) -> Vec<Duration> {
        // The stream fills all queues first: many quick pings before that would hide the slow ones.
        let until = Instant::now() + time + time / 4;
        self.runtime.block_on(async {
            let stream = stream.map(|link| tokio::spawn(send_until(link, STREAM, until)));
            tokio::time::sleep(time / 4).await;
            let times = tokio::spawn(ping_until(ping, 64, 0, until)).await;
            if let Some(stream) = stream {
                stream.await.expect("it ends in time");
            }
            times.expect("it ends in time")
        })
    }

    /// What a sender holds and is told when the receiver does not look at its mailbox.
    pub(crate) fn stall(&mut self, mailbox: &str, size: usize, patience: Duration) -> Stall {
        let payload = plain(size);
        let lanes = self.lanes(Some(mailbox)).to(mailbox);
        let (here, there) = (memory(), self.peer.used().memory);
        let (mut accepted, mut refused) = (0, 0_u64);
        let mut last = Instant::now();
        let mut most = here;
        while last.elapsed() < patience {
            if lanes.try_send(&payload) {
                accepted += 1;
                last = Instant::now();
            } else {
                refused += 1;
                std::thread::sleep(Duration::from_micros(100));
            }
            if accepted % 1024 == 0 {
                most = most.max(memory());
            }
        }
        let most = most.max(memory());
        let mut waiting = lanes;
        let send = async { tokio::time::timeout(patience, waiting.send(payload)).await.is_err() };
        let waits = self.runtime.block_on(send);
        let mut other = self.lanes(Some(node::OTHER)).pinger(0);
        let ping = async { tokio::time::timeout(patience, other.ping(ping(64, 0))).await.is_ok() };
        Stall {
            accepted: accepted * size as u64,
            refused,
            waits,
            other_works: self.runtime.block_on(ping),
            here: most.saturating_sub(here),
            there: self.peer.used().memory.saturating_sub(there),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runtime.block_on(self.node.abort());
    }
}

/// Bytes of the messages that saturate a stream.
pub(crate) const STREAM: usize = 64 << 10;

/// Where a ping travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing else does.
    Idle,
    /// By the saturated channel.
    SameChannel,
    /// By another one.
    OtherChannel,
}

/// What became of a sender whose receiver stalled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    /// Bytes of payload accepted before the sender was refused for good.
    pub(crate) accepted: u64,
    /// How often `try_send` said that there was no room.
    pub(crate) refused: u64,
    /// Whether `send` waited.
    pub(crate) waits: bool,
    /// Whether another channel between the same nodes still worked.
    pub(crate) other_works: bool,
    /// Growth of resident memory at the sender and at the receiver, bytes.
    pub(crate) here: u64,
    pub(crate) there: u64,
}

async fn send_until(mut link: impl Link, size: usize, until: Instant) -> u64 {
    let payload = plain(size);
    // Asking for the time is not what is measured.
    let step = (4096 / size).max(1);
    let mut sent = 0;
    while Instant::now() < until {
        for _ in 0..step {
            link.send(payload.clone()).await;
        }
        sent += step as u64;
    }
    sent
}

async fn ping_until(
    mut player: impl Ping,
    size: usize,
    number: usize,
    until: Instant,
) -> Vec<Duration> {
    assert!(number < PINGERS, "the peer knows {PINGERS} pingers");
    let payload = ping(size, number);
    let mut times = Vec::with_capacity(1 << 16);
    let mut start = Instant::now();
    while start < until {
        player.ping(payload.clone()).await;
        let end = Instant::now();
        times.push(end - start);
        start = end;
    }
    times
}
