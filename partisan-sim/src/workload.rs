//! What applications do: form a cluster, send messages, broadcast, join, leave, remove.

pub mod deed;
pub mod processes;
mod relays;
mod sends;
mod worker;

pub use relays::draw_relays;
pub use sends::Sends;
pub use worker::Worker;

use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes};
use partisan_proto::{ChannelId, Command, Duration, Instant};

use self::deed::{Aim, Deed};
use crate::applications::{Application, actors, chat, kv, router};
use crate::draw::{Label, Stream, mix};
use crate::store::KEYS;
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
    /// A node broadcasts a few messages at once.
    Broadcast {
        /// Which.
        node: usize,
        /// How many.
        count: u32,
    },
    /// The application on a node writes to its [store](crate::store), and tells all others.
    Write {
        /// Which.
        node: usize,
        /// To which key.
        key: u8,
    },
    /// A process does something.
    Deed {
        /// On which node.
        node: usize,
        /// Which of those that live there.
        process: usize,
        /// What: behind a pointer, since it is larger than any other, and of sends there may be
        /// millions.
        deed: Box<Deed<Aim>>,
    },
    /// The users of the [application](crate::applications) on a node do something.
    Use {
        /// Which.
        node: usize,
        /// What follows from it.
        dice: u64,
    },
    /// A node sends another a few messages that must arrive.
    Parcels {
        /// Who sends.
        from: usize,
        /// To whom.
        to: usize,
        /// On which channel.
        channel: ChannelId,
        /// With which key.
        key: Option<u64>,
        /// The number of the label, where they are causal.
        label: Option<u8>,
        /// After how many tenths of a second they expire, where that is not as configured.
        expires: Option<u8>,
        /// How many.
        count: u8,
    },
}

const _: () = assert!(size_of::<Work>() <= 40);

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
            Self::Broadcast { node, count } => {
                for _ in 0..count {
                    let notice = Notice { from: node as u32, number: world.next_message() };
                    world.broadcast(node, notice.write());
                }
            }
            Self::Write { node, key } => _ = world.write(node, key),
            Self::Deed { node, process, deed } => world.do_deed(node, process, *deed),
            Self::Use { node, dice } => world.use_application(node, dice),
            Self::Parcels { from, to, channel, key, label, expires, count } => {
                let expires = expires.map(|after| Duration::from_millis(100 * u64::from(after)));
                for _ in 0..count {
                    world.send_parcel((from, to), (channel, key), label, expires);
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

/// What a broadcast of the workload carries, so that its deliveries can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The number of the sender.
    pub from: u32,
    /// Greater than that of every message sent before, by anybody.
    pub number: u64,
}

const NOTICE: usize = 16;

impl Notice {
    /// What each begins with.
    pub const MAGIC: [u8; 4] = *b"NOTE";

    /// As bytes: a header, and as much text behind it as the number says, which follows from it
    /// too. Most are short, some as long as several packets.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let dice = mix(mix(u64::from(self.from)) ^ self.number);
        let most = if dice.is_multiple_of(16) { 1 << 14 } else { 1 << 7 };
        let length = 8 + (dice >> 32) as usize % most;
        let mut out = Vec::with_capacity(NOTICE + length);
        out.put_slice(&Self::MAGIC);
        out.put_u32(self.from);
        out.put_u64(self.number);
        let text = (0_u64..).flat_map(|n| mix(dice ^ n).to_be_bytes());
        out.extend(text.take(length));
        out.into()
    }

    /// From bytes, if they are one, whole and unchanged.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut header = bytes.strip_prefix(&Self::MAGIC)?;
        if bytes.len() < NOTICE {
            return None;
        }
        let notice = Self { from: header.get_u32(), number: header.get_u64() };
        (notice.write() == bytes).then_some(notice)
    }
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
    /// Messages and broadcasts, and now and then a leave, a removal, a return, a disconnection, an
    /// injected partition.
    Churn,
    /// Relayed messages alone, and injected partitions.
    Relay,
    /// Broadcasts: storms from one node, from several or from all, and writes to a replicated
    /// store.
    Broadcast,
    /// Processes that spawn, end, watch, link, signal and ask each other, and messages that must
    /// arrive, in causal order or not; and now and then what changes the cluster.
    Processes,
    /// Users of a replicated key-value store.
    Kv,
    /// Users of a publish-and-subscribe router.
    Router,
    /// Users of a directory of virtual actors.
    Actors,
    /// Users of a chat room.
    Chat,
}

impl Load {
    /// Whether nodes broadcast.
    #[must_use]
    pub const fn broadcasts(self) -> bool {
        matches!(self, Self::Churn | Self::Broadcast)
    }

    /// Whether members come and go meanwhile.
    const fn changes(self) -> bool {
        matches!(
            self,
            Self::Churn | Self::Processes | Self::Kv | Self::Router | Self::Actors | Self::Chat
        )
    }

    /// Whether there are messages from inbox to inbox.
    const fn sends(self) -> bool {
        matches!(self, Self::Traffic | Self::Churn)
    }

    /// The application that is used, if one is.
    #[must_use]
    pub fn application(self) -> Option<Rc<dyn Application>> {
        match self {
            Self::Kv => Some(Rc::<kv::Trial>::default()),
            Self::Actors => Some(Rc::<actors::Trial>::default()),
            Self::Chat => Some(Rc::<chat::Trial>::default()),
            Self::Router => Some(Rc::<router::Trial>::default()),
            _ => None,
        }
    }
}

/// The work, besides its [`Sends`], of a run of `nodes` nodes with `channels` channels that lasts
/// for `span`.
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
    if load.broadcasts() {
        draw_broadcasts(&mut plan, seed, nodes, span, load);
    }
    if load.application().is_some() {
        let mut stream = Stream::new(seed, Label::Work, 0);
        for _ in 0..nodes * (span.as_secs() as usize).clamp(1, 100) {
            let at = Instant::ZERO + stream.span(Duration::ZERO, span);
            plan.push((at, Work::Use { node: stream.below(nodes), dice: stream.next_u64() }));
        }
    }
    if load == Load::Processes {
        processes::draw_processes(&mut plan, seed, (nodes, channels), span);
    }
    let mut stream = Stream::new(seed, Label::Work, 1);
    if load.changes() && !stream.one_in(3) {
        for _ in 0..1 + stream.below(1 + (span.as_secs() / 5) as usize) {
            let at = Instant::ZERO + stream.span(Duration::ZERO, span);
            plan.push((at, draw_change(&mut stream, nodes)));
        }
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

/// Who is drawn to broadcast: one node, some, or all. In a storm each repeats itself quickly.
fn draw_broadcasts(
    plan: &mut Vec<(Instant, Work)>,
    seed: u64,
    nodes: usize,
    span: Duration,
    load: Load,
) {
    let mut stream = Stream::new(seed, Label::Work, 2);
    let roots = match stream.below(3) {
        0 => 1,
        1 => 1 + nodes / 3,
        _ => nodes,
    };
    let first = stream.below(nodes);
    let storms = if load == Load::Broadcast { 10 } else { 4 };
    for _ in 0..1 + stream.below(storms) {
        let begin = stream.span(Duration::ZERO, span);
        let pause = stream.span(Duration::from_millis(1), Duration::from_secs(3));
        for number in 0..1 + stream.below(20) as u32 {
            let at = Instant::ZERO + begin + pause * number;
            // What would come when all is over is left out.
            if at < Instant::ZERO + span {
                let node = (first + stream.below(roots)) % nodes;
                plan.push((at, draw_broadcast(&mut stream, node)));
            }
        }
    }
}

fn draw_broadcast(stream: &mut Stream, node: usize) -> Work {
    match stream.one_in(3) {
        true => Work::Write { node, key: stream.below(usize::from(KEYS)) as u8 },
        false => Work::Broadcast { node, count: 1 + stream.below(4) as u32 },
    }
}

fn draw_pair(stream: &mut Stream, nodes: usize) -> (usize, usize) {
    let node = stream.below(nodes);
    (node, (node + 1 + stream.below(nodes - 1)) % nodes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_that_was_changed_is_none() {
        for number in 0..200 {
            let notice = Notice { from: 3, number };
            let bytes = notice.write();
            assert_eq!(Notice::read(&bytes), Some(notice));
            let place = number as usize % bytes.len();
            let mut changed = bytes.to_vec();
            changed[place] ^= 1;
            assert_eq!(Notice::read(&changed), None, "byte {place} of {number}");
            assert_eq!(Notice::read(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn nodes_leave_and_come_back_while_applications_are_used() {
        for load in [Load::Kv, Load::Router, Load::Actors, Load::Chat] {
            let drawn = |wanted: fn(&Work) -> bool| {
                let plan = |seed| draw_work(seed, 5, 2, Duration::from_secs(60), load);
                (0..20).flat_map(plan).any(|(_, work)| wanted(&work))
            };
            assert!(drawn(|work| matches!(work, Work::Use { .. })), "{load:?}");
            assert!(drawn(|work| matches!(work, Work::Leave { .. })), "{load:?}");
            assert!(drawn(|work| matches!(work, Work::Remove { .. })), "{load:?}");
            assert!(drawn(|work| matches!(work, Work::Join { .. })), "{load:?}");
        }
    }

    #[test]
    fn every_kind_of_storm_is_drawn() {
        let span = Duration::from_secs(60);
        let roots = |seed| {
            let work = draw_work(seed, 9, 2, span, Load::Broadcast);
            let node = |work: &Work| match work {
                Work::Broadcast { node, .. } | Work::Write { node, .. } => *node,
                other => panic!("{other:?}"),
            };
            let nodes = work.iter().map(|(_, work)| node(work));
            nodes.collect::<std::collections::BTreeSet<_>>().len()
        };
        let counts: Vec<_> = (0..60).map(roots).collect();
        let some = |least, most| counts.iter().any(|count| (least..=most).contains(count));
        assert!(some(1, 1) && some(3, 4) && some(8, 9), "{counts:?}");
    }
}
