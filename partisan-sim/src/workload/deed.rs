//! What processes of the workload do, and what they say to each other.

use bytes::Bytes;
use partisan_proto::process::{Lane, ReplyTo};
use partisan_proto::{ChannelId, ProcessId, ProcessName, Reference};
use serde::{Deserialize, Serialize};

use crate::draw::Stream;

/// How many names processes take; each on every node.
pub const NAMES: u8 = 4;
/// Under which name every node runs a function.
pub const FUNCTION: &str = "echo";

/// Something that a process does. `A` is how others are named: in a plan by [`Aim`], to a process by
/// [`Reference`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed<A> {
    /// It spawns another.
    Spawn {
        /// Linked to it.
        link: bool,
        /// Watched by it.
        watch: bool,
        /// Registered under this name, if that is free.
        name: Option<u8>,
        /// Trapping exits.
        trap: bool,
    },
    /// It ends.
    End(Ending),
    /// It watches another.
    Watch(A, Road),
    /// It stops watching one that it watches, by number.
    Unwatch(usize),
    /// It watches a node: that of the one named.
    WatchNode(A),
    /// It subscribes to nodes.
    Subscribe {
        /// Being told of those that are there.
        present: bool,
    },
    /// It ends its subscription.
    Unsubscribe,
    /// It links itself to another.
    Link(A),
    /// It unlinks itself from one that it linked itself to, by number.
    Unlink(usize),
    /// It sends an exit signal.
    Exit {
        /// To whom.
        whom: A,
        /// One that cannot be trapped.
        kill: bool,
    },
    /// It traps exits, or not any more.
    Trap(bool),
    /// It takes a name; where that is taken, it ends.
    Register(u8),
    /// It has itself, or another, told something later.
    Remind(u32, Option<A>),
    /// It cancels a timer, by number.
    Cancel(usize),
    /// It asks another.
    Ask {
        /// Whom.
        whom: A,
        /// Rather the function of its node.
        function: bool,
        /// How that one answers.
        manner: Manner<A>,
        /// How many milliseconds it waits.
        timeout: Option<u32>,
        /// How request and answer travel.
        road: Road,
    },
    /// It gives a call up, by number.
    Abandon(usize),
    /// It sends another so many messages.
    Send(A, Road, u8),
}

/// How a process of the workload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Normally.
    Normal,
    /// In good order.
    Shutdown,
    /// For a reason of its own.
    Own(u8),
}

/// A channel and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Road {
    /// The channel.
    pub channel: u8,
    /// The key.
    pub key: Option<u64>,
}

impl From<Road> for Lane {
    fn from(road: Road) -> Self {
        Self { channel: ChannelId(road.channel), key: road.key }
    }
}

/// How a process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner<A> {
    /// At once.
    AtOnce,
    /// After so many milliseconds.
    Later(u32),
    /// Not at all.
    Never,
    /// It ends instead.
    Ends,
    /// It has another answer, of whatever node.
    Elsewhere(A),
}

/// Whom a planned deed is about, found when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A process of a node.
    Process {
        /// The node.
        node: usize,
        /// Which of those that live there.
        pick: usize,
        /// Rather of those that ever lived there.
        former: bool,
    },
    /// Who has a name on a node.
    Name {
        /// The node.
        node: usize,
        /// The name.
        name: u8,
    },
}

/// The name of this number.
///
/// # Panics
/// Never: the name is a good one.
#[must_use]
pub fn name(number: u8) -> ProcessName {
    ProcessName::new(&format!("p{number}")).expect("a short plain name is good")
}

impl<A> Deed<A> {
    /// The same about others; `None` when one of them is not to be found.
    pub fn about<B>(self, mut find: impl FnMut(A) -> Option<B>) -> Option<Deed<B>> {
        Some(match self {
            Self::Spawn { link, watch, name, trap } => Deed::Spawn { link, watch, name, trap },
            Self::End(ending) => Deed::End(ending),
            Self::Watch(whom, road) => Deed::Watch(find(whom)?, road),
            Self::Unwatch(pick) => Deed::Unwatch(pick),
            Self::WatchNode(whom) => Deed::WatchNode(find(whom)?),
            Self::Subscribe { present } => Deed::Subscribe { present },
            Self::Unsubscribe => Deed::Unsubscribe,
            Self::Link(whom) => Deed::Link(find(whom)?),
            Self::Unlink(pick) => Deed::Unlink(pick),
            Self::Exit { whom, kill } => Deed::Exit { whom: find(whom)?, kill },
            Self::Trap(on) => Deed::Trap(on),
            Self::Register(name) => Deed::Register(name),
            Self::Remind(after, None) => Deed::Remind(after, None),
            Self::Remind(after, Some(whom)) => Deed::Remind(after, Some(find(whom)?)),
            Self::Cancel(pick) => Deed::Cancel(pick),
            Self::Ask { whom, function, manner, timeout, road } => {
                let (whom, manner) = (find(whom)?, manner.about(&mut find)?);
                Deed::Ask { whom, function, manner, timeout, road }
            }
            Self::Abandon(pick) => Deed::Abandon(pick),
            Self::Send(whom, road, count) => Deed::Send(find(whom)?, road, count),
        })
    }
}

impl<A> Manner<A> {
    fn about<B>(self, find: &mut impl FnMut(A) -> Option<B>) -> Option<Manner<B>> {
        Some(match self {
            Self::AtOnce => Manner::AtOnce,
            Self::Later(after) => Manner::Later(after),
            Self::Never => Manner::Never,
            Self::Ends => Manner::Ends,
            Self::Elsewhere(whom) => Manner::Elsewhere(find(whom)?),
        })
    }
}

/// What is said in the workload: by messages and requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// To a process by its own node: do this.
    Do(Deed<Reference>),
    /// A plain message.
    Note(Note),
    /// A request: no two are equal.
    Question {
        /// Who asks.
        by: ProcessId,
        /// Which of its questions.
        number: u64,
        /// Whom.
        whom: Reference,
        /// How that one is to answer.
        manner: Manner<Reference>,
    },
    /// To a process: answer this request for me.
    AnswerFor {
        /// Which.
        reply_to: ReplyTo,
        /// What was asked.
        question: String,
    },
    /// An exit reason of a signal: whom it was for.
    Exit(Reference),
    /// A message that must arrive.
    Parcel(Parcel),
    /// A reminder.
    Remind,
}

/// A plain message of one process to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Who sends.
    pub from: ProcessId,
    /// To whom.
    pub to: Reference,
    /// By which lane.
    pub road: Road,
    /// Greater than that of every message that it sent before.
    pub number: u64,
}

/// A message of one node to another that must arrive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Parcel {
    /// The number of the sender.
    pub from: u32,
    /// Of which start of it.
    pub life: u32,
    /// The number of the node it is for.
    pub to: u32,
    /// The number of its label.
    pub label: Option<u8>,
    /// The channel and the key whose order it keeps.
    pub order: Option<(u8, u64)>,
    /// Unlike that of every other.
    pub number: u64,
}

impl Said {
    /// As bytes.
    ///
    /// # Panics
    /// Never: it has a text.
    #[must_use]
    pub fn write(&self) -> Bytes {
        serde_json::to_vec(self).expect("it has no map with odd keys").into()
    }

    /// From bytes, if they are one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// What answers a question.
#[must_use]
pub fn answer_to(question: &[u8]) -> Bytes {
    [b"re: ", question].concat().into()
}

/// Draws what a process does in a cluster of `nodes` nodes with `channels` channels.
pub(super) fn draw_deed(stream: &mut Stream, nodes: usize, channels: u8) -> Deed<Aim> {
    let pick = stream.below(64);
    match stream.below(40) {
        0..=3 => Deed::Spawn {
            link: stream.one_in(2),
            watch: stream.one_in(2),
            name: stream.one_in(3).then(|| draw_name(stream)),
            trap: !stream.one_in(3),
        },
        4..=5 => Deed::End(match stream.below(4) {
            0 => Ending::Normal,
            1 => Ending::Shutdown,
            _ => Ending::Own(stream.below(256) as u8),
        }),
        6..=12 => Deed::Watch(draw_aim(stream, nodes), draw_road(stream, channels)),
        13 => Deed::Unwatch(pick),
        14 => Deed::WatchNode(draw_aim(stream, nodes)),
        15 => Deed::Subscribe { present: stream.one_in(2) },
        16 => Deed::Unsubscribe,
        17..=19 => Deed::Link(draw_aim(stream, nodes)),
        20..=21 => Deed::Unlink(pick),
        22 => Deed::Exit { whom: draw_aim(stream, nodes), kill: stream.one_in(3) },
        23..=24 => Deed::Trap(!stream.one_in(4)),
        25 => Deed::Register(draw_name(stream)),
        26..=27 => {
            let whom = stream.one_in(2).then(|| draw_aim(stream, nodes));
            Deed::Remind(stream.below(5_000) as u32, whom)
        }
        28 => Deed::Cancel(pick),
        29..=34 => draw_question(stream, nodes, channels),
        35 => Deed::Abandon(pick),
        _ => {
            let whom = draw_aim(stream, nodes);
            Deed::Send(whom, draw_road(stream, channels), 1 + stream.below(4) as u8)
        }
    }
}

fn draw_question(stream: &mut Stream, nodes: usize, channels: u8) -> Deed<Aim> {
    let manner = match stream.below(6) {
        0 => Manner::Never,
        1 => Manner::Ends,
        2 => Manner::Later(stream.below(6_000) as u32),
        3 => Manner::Elsewhere(draw_aim(stream, nodes)),
        _ => Manner::AtOnce,
    };
    Deed::Ask {
        whom: draw_aim(stream, nodes),
        function: stream.one_in(4),
        manner,
        timeout: (!stream.one_in(4)).then(|| stream.below(5_000) as u32),
        road: draw_road(stream, channels),
    }
}

fn draw_name(stream: &mut Stream) -> u8 {
    stream.below(usize::from(NAMES)) as u8
}

fn draw_aim(stream: &mut Stream, nodes: usize) -> Aim {
    let node = stream.below(nodes);
    match stream.one_in(4) {
        true => Aim::Name { node, name: draw_name(stream) },
        false => Aim::Process { node, pick: stream.below(64), former: stream.one_in(4) },
    }
}

fn draw_road(stream: &mut Stream, channels: u8) -> Road {
    // Not the membership channel.
    let channel = 1 + stream.below(usize::from(channels) - 1) as u8;
    Road { channel, key: (!stream.one_in(3)).then(|| stream.below(4) as u64) }
}
