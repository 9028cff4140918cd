//! What applications do: form a cluster, send messages, join, leave, remove.

mod relays;

pub use relays::draw_relays;

use bytes::{Buf, BufMut, Bytes};
use partisan_proto::{ChannelId, Command, Duration, Instant};

use crate::draw::{Label, Stream, mix};
use crate::world::World;

/// Something an application does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A node joins another.
    Join {
        /// Who.
        node: usize,
        /// Through whom.
        contact: usize,
    },
    /// A node leaves.
    Leave {
        /// Which.
        node: usize,
    },
    /// A node removes another.
    Remove {
        /// Who removes.
        by: usize,
        /// Who is removed.
        node: usize,
    },
    /// A node closes its connections to another.
    Disconnect {
        /// Who.
        by: usize,
        /// From whom.
        node: usize,
    },
    /// A node sends another a few messages at once.
    Send {
        /// Who sends.
        from: usize,
        /// To whom.
        to: usize,
        /// On which channel.
        channel: ChannelId,
        /// With which key.
        key: Option<u64>,
        /// Whether they may go by way of other nodes.
        relay: bool,
        /// How many.
        count: u32,
    },
    /// A node injects a partition.
    InjectPartition {
        /// Where.
        node: usize,
        /// How many hops it spreads.
        ttl: u8,
    },
    /// A node ends the injected partitions that another is in.
    ResolvePartitions {
        /// Who ends them.
        by: usize,
        /// Who is in them.
        of: usize,
    },
}

impl Work {
    /// Does it, if the node concerned is alive.
    pub fn perform(self, world: &mut World) {
        match self {
            Self::Join { node, contact } => _ = world.join(node, contact),
            Self::Leave { node } => _ = world.leave(node),
            Self::Remove { by, node } => _ = world.remove(by, node),
            Self::Disconnect { by, node } => {
                let node = world.hosts()[node].name().id();
                world.command(by, Command::Disconnect(node));
            }
            Self::Send { from, to, channel, key, relay, count } => {
                for _ in 0..count {
                    let life = world.hosts()[from].births();
                    let number = world.next_message();
                    let (from_, to_) = (from as u32, to as u32);
                    let stamp = Stamp { from: from_, to: to_, life, channel, key, relay, number };
                    match relay {
                        true => world.relay(from, to, channel, key, stamp.write()),
                        false => world.send(from, to, channel, key, stamp.write()),
                    };
                }
            }
            Self::InjectPartition { node, ttl } => {
                world.command(node, Command::InjectPartition { ttl });
            }
            Self::ResolvePartitions { by, of } => {
                for id in world.partitions(of) {
                    world.command(by, Command::ResolvePartition(id));
                }
            }
        }
    }
}

/// What a message of the workload carries, so that its arrival can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the sender.
    pub from: u32,
    /// The number of the node it is for.
    pub to: u32,
    /// Which of its lives.
    pub life: u32,
    /// The channel it was sent on.
    pub channel: ChannelId,
    /// The key it was sent with.
    pub key: Option<u64>,
    /// Whether it may go by way of other nodes.
    pub relay: bool,
    /// Greater than that of every message sent before, by anybody.
    pub number: u64,
}

const MAGIC: u32 = 0x5354_4d50;
const STAMP: usize = 42;
const KEYED: u8 = 1;
const RELAY: u8 = 2;

impl Stamp {
    /// As bytes, with a checksum.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut out = Vec::with_capacity(STAMP);
        out.put_u32(MAGIC);
        out.put_u32(self.from);
        out.put_u32(self.to);
        out.put_u32(self.life);
        out.put_u8(self.channel.0);
        let keyed = if self.key.is_some() { KEYED } else { 0 };
        out.put_u8(keyed | if self.relay { RELAY } else { 0 });
        out.put_u64(self.key.unwrap_or(0));
        out.put_u64(self.number);
        out.put_u64(checksum(&out));
        out.into()
    }

    /// From bytes, if they are one.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let sum = checksum(bytes.get(..STAMP - 8)?);
        if bytes.len() != STAMP || bytes.get_u32() != MAGIC {
            return None;
        }
        let (from, to, life) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u32());
        let channel = ChannelId(bytes.get_u8());
        let flags = bytes.get_u8();
        let (key, number) = (bytes.get_u64(), bytes.get_u64());
        let (key, relay) = ((flags & KEYED != 0).then_some(key), flags & RELAY != 0);
        (bytes.get_u64() == sum).then_some(Self { from, to, life, channel, key, relay, number })
    }

    /// Whether bytes that cannot be read were one.
    #[must_use]
    pub fn is_spoilt(bytes: &[u8]) -> bool {
        let like_one = bytes.len() == STAMP || bytes.starts_with(&MAGIC.to_be_bytes());
        like_one && Self::read(bytes).is_none()
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| mix(sum ^ u64::from(*byte)))
}

/// How a cluster is formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bootstrap {
    /// Everybody joins node 0, one after the other.
    Contact,
    /// Everybody joins the node before, one after the other.
    Chain,
    /// Everybody joins some node before, one after the other.
    Random,
    /// Everybody joins node 0 at once.
    AtOnce,
}

impl Bootstrap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Contact, Self::Chain, Self::Random, Self::AtOnce];

    /// The joins, the next one `pause` after each.
    #[must_use]
    pub fn plan(self, seed: u64, nodes: usize, pause: Duration) -> Vec<(Instant, Work)> {
        let mut stream = Stream::new(seed, Label::Bootstrap, 0);
        let join = |node: usize| {
            let random = stream.below(node);
            let (contact, at) = match self {
                Self::Contact => (0, pause * node as u32),
                Self::Chain => (node - 1, pause * node as u32),
                Self::Random => (random, pause * node as u32),
                Self::AtOnce => (0, Duration::ZERO),
            };
            (Instant::ZERO + at, Work::Join { node, contact })
        };
        (1..nodes).map(join).collect()
    }
}

/// Which work there is besides the bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// None.
    None,
    /// Messages.
    Traffic,
    /// Messages, and now and then a leave, a removal, a return, a disconnection, an injected
    /// partition.
    Churn,
    /// Relayed messages alone, and injected partitions.
    Relay,
}

/// The work of a run of `nodes` nodes with `channels` channels that lasts for `span`.
#[must_use]
pub fn draw_work(
    seed: u64,
    nodes: usize,
    channels: u8,
    span: Duration,
    load: Load,
) -> Vec<(Instant, Work)> {
    let mut plan = Vec::new();
    if matches!(load, Load::None | Load::Relay) || nodes < 2 {
        return plan;
    }
    let mut stream = Stream::new(seed, Label::Work, 0);
    for _ in 0..nodes * (span.as_secs() as usize).clamp(1, 100) {
        let at = Instant::ZERO + stream.span(Duration::ZERO, span);
        plan.push((at, draw_send(&mut stream, nodes, channels)));
    }
    let mut stream = Stream::new(seed, Label::Work, 1);
    if load == Load::Churn && !stream.one_in(3) {
        for _ in 0..1 + stream.below(1 + (span.as_secs() / 5) as usize) {
            let at = Instant::ZERO + stream.span(Duration::ZERO, span);
            plan.push((at, draw_change(&mut stream, nodes)));
        }
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

fn draw_pair(stream: &mut Stream, nodes: usize) -> (usize, usize) {
    let node = stream.below(nodes);
    (node, (node + 1 + stream.below(nodes - 1)) % nodes)
}

fn draw_send(stream: &mut Stream, nodes: usize, channels: u8) -> Work {
    let (from, to) = draw_pair(stream, nodes);
    // Not on the membership channel.
    let channel = ChannelId(1 + stream.below(usize::from(channels) - 1) as u8);
    let (key, count) = (stream.below(4) as u64, 1 + stream.below(5) as u32);
    let key = (!stream.one_in(3)).then_some(key);
    Work::Send { from, to, channel, key, relay: false, count }
}

fn draw_change(stream: &mut Stream, nodes: usize) -> Work {
    let (node, other) = draw_pair(stream, nodes);
    match stream.below(8) {
        0 | 1 => Work::Leave { node },
        2 | 3 => Work::Remove { by: other, node },
        4 => Work::Disconnect { by: other, node },
        _ => Work::Join { node, contact: other },
    }
}
