//! Hooks on the way of messages: fault injection and tracing by applications and their tests
//! (Partisan's interposition functions).
//!
//! Whoever drives a node shows its [`Interposers`] every message of applications, once on each
//! side: before a connection takes it, and before what a connection brought is handed on, whichever
//! path it takes through the driver. They are asked in the order in which they were added, and each
//! sees what those before it made of the message; so the first sees what was sent, and the last what
//! will travel. The [`Fate`] is the driver's to carry out, by the clock of the node; the core knows
//! nothing of it.
//!
//! *What passes.* Messages, requests and answers, broadcasts, and acknowledgements. What nodes say
//! to each other to be a cluster does not, nor do messages of a node to itself. Keys pick lanes and
//! do not travel, so they are not shown.
//!
//! *What follows.* A message that must arrive and is dropped is sent again, and shown again; one
//! that arrives twice is delivered once. What is delayed may be overtaken by what is sent behind it,
//! and is lost with its connection. A request or an answer that is dropped is told by its deadline
//! alone. After Partisan's `add_interposition_fun` and its `pre` and `post` kin; unlike there the
//! receiver's side knows the sender, order is that of adding, and a delay is a span of time.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::id::{ChannelId, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::{ControlMessage, Destination, Frame, ServerAt};

/// On which side of a connection a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This node is about to send it.
    Sending,
    /// It has come to this node.
    Receiving,
}

/// A message on its way by one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing<'a> {
    /// When, by the clock of the node.
    pub at: Instant,
    /// Whether it is sent or received.
    pub side: Side,
    /// The node at the other end: the next hop of a relayed message, and whoever passed it on to
    /// this node.
    pub peer: NodeId,
    /// The channel.
    pub channel: ChannelId,
    /// What it is.
    pub kind: Kind<'a>,
    /// What it says; nothing for acknowledgements.
    pub payload: &'a [u8],
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// A plain message.
    Message(&'a Destination),
    /// One that must arrive.
    Reliable(&'a Destination),
    /// One of a monotonic channel.
    Newest(&'a Destination),
    /// One that goes by way of other nodes, whether it must arrive or not.
    Relayed(&'a Destination),
    /// A request.
    Request(&'a ServerAt),
    /// An answer to a request.
    Reply,
    /// A broadcast.
    Broadcast,
    /// Messages that must arrive have.
    Acknowledgement,
}

impl<'a> Kind<'a> {
    /// What a frame is, and what it says; `None` for one that nobody is shown.
    #[must_use]
    pub fn of(frame: &'a Frame) -> Option<(Self, &'a [u8])> {
        Some(match frame {
            Frame::App { destination, payload } => (Self::Message(destination), payload),
            Frame::Reliable { header, payload } => (Self::Reliable(&header.destination), payload),
            Frame::Newest { header, payload } => (Self::Newest(&header.destination), payload),
            Frame::Relayed { header, .. } if header.cargo.acknowledges() => {
                (Self::Acknowledgement, &[])
            }
            Frame::Relayed { header, payload } => (Self::Relayed(&header.destination), payload),
            Frame::Request { header, payload } => (Self::Request(&header.to), payload),
            Frame::Reply { payload, .. } => (Self::Reply, payload),
            Frame::Broadcast(message) => (Self::Broadcast, &message.payload),
            Frame::Control(ControlMessage::Acknowledge(_)) => (Self::Acknowledgement, &[]),
            Frame::Hello(_) | Frame::Refuse(_) | Frame::Control(_) | Frame::Signal(_) => {
                return None;
            }
        })
    }
}

/// What becomes of a message, or of whatever else passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict<T = Bytes> {
    /// It passes.
    #[default]
    Pass,
    /// It is lost.
    Drop,
    /// It takes so much longer, and what is behind it may overtake it. A driver delays a bounded number
    /// at a time, and lets others pass at once.
    Delay(Duration),
    /// It passes, and once more.
    Duplicate,
    /// This passes in its place: as a message, with the same destination. One that is longer than its
    /// connection takes does not, and the message passes as it was.
    Rewrite(T),
}

/// Decides what becomes of messages. Every closure of this shape is one.
pub trait Interposer: Send {
    /// A message passes. Whoever sends or receives waits for this to return.
    fn judge(&mut self, passing: &Passing<'_>) -> Verdict;
}

impl<F: FnMut(&Passing<'_>) -> Verdict + Send> Interposer for F {
    fn judge(&mut self, passing: &Passing<'_>) -> Verdict {
        self(passing)
    }
}

/// What all interposers together make of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Dropped,
    /// It passes.
    Passes {
        /// Whether with another payload.
        rewritten: Option<Bytes>,
        /// So much later: the delays together.
        delay: Duration,
        /// So many times more.
        copies: u8,
    },
}

impl Fate {
    /// As if nobody had been asked.
    pub const UNTOUCHED: Self = Self::Passes { rewritten: None, delay: Duration::ZERO, copies: 0 };
}

/// The interposers of a node, by name, in the order of adding.
#[derive(Default)]
pub struct Interposers(Vec<(String, Box<dyn Interposer>)>);

impl Interposers {
    /// Adds one behind the others; one of this name is replaced, at its place.
    pub fn add(&mut self, name: &str, interposer: impl Interposer + 'static) {
        let interposer = Box::new(interposer);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = interposer,
            None => self.0.push((name.to_string(), interposer)),
        }
    }

    /// Removes one; says whether there was one of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != name);
        self.0.len() < before
    }

    /// The names, in the order of asking.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether nobody is asked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks all of them, until one drops it.
    pub fn judge(&mut self, passing: &Passing<'_>) -> Fate {
        let (mut rewritten, mut delay, mut copies) = (None::<Bytes>, Duration::ZERO, 0_u8);
        for (_, interposer) in &mut self.0 {
            let payload = rewritten.as_deref().unwrap_or(passing.payload);
            match interposer.judge(&Passing { payload, ..*passing }) {
                Verdict::Pass => {}
                Verdict::Drop => return Fate::Dropped,
                Verdict::Delay(span) => delay = delay.saturating_add(span),
                Verdict::Duplicate => copies = copies.saturating_add(1),
                // There is nothing to say otherwise.
                Verdict::Rewrite(_) if matches!(passing.kind, Kind::Acknowledgement) => {}
                Verdict::Rewrite(payload) => rewritten = Some(payload),
            }
        }
        Fate::Passes { rewritten, delay, copies }
    }
}

impl fmt::Debug for Interposers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A frame with another payload; one without a payload of the application as it is.
#[must_use]
pub fn rewrite(frame: Frame, payload: Bytes) -> Frame {
    match frame {
        Frame::App { destination, .. } => Frame::App { destination, payload },
        Frame::Reliable { header, .. } => Frame::Reliable { header, payload },
        Frame::Newest { header, .. } => Frame::Newest { header, payload },
        Frame::Relayed { header, .. } if !header.cargo.acknowledges() => {
            Frame::Relayed { header, payload }
        }
        Frame::Request { header, .. } => Frame::Request { header, payload },
        Frame::Reply { header, .. } => Frame::Reply { header, payload },
        Frame::Broadcast(message) => {
            let mut message = (*message).clone();
            message.payload = payload;
            Frame::Broadcast(message.into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::strategies::frame;
    use alloc::vec;
    use proptest::prelude::*;

    fn passing(payload: &[u8]) -> Passing<'_> {
        let (at, side) = (Instant::ZERO, Side::Sending);
        let (peer, channel, kind) =
            (NodeId::from_u64(1), ChannelId::DEFAULT, Kind::Message(&Destination::Inbox));
        Passing { at, side, peer, channel, kind, payload }
    }

    proptest! {
        #[test]
        fn messages_of_applications_are_shown_and_can_be_rewritten(frame in frame()) {
            let shown = Kind::of(&frame).map(|(kind, _)| kind);
            let message = frame.has_payload() && !matches!(frame, Frame::Signal(_));
            let acknowledges = shown == Some(Kind::Acknowledgement);
            prop_assert_eq!(shown.is_some(), message || acknowledges);
            let with = Bytes::from_static(b"instead");
            let rewritten = rewrite(frame.clone(), with.clone());
            match Kind::of(&rewritten) {
                Some((kind, payload)) if kind != Kind::Acknowledgement => {
                    prop_assert_eq!(payload, &with[..]);
                    prop_assert_eq!(Some(kind), shown);
                }
                _ => prop_assert_eq!(rewritten, frame),
            }
        }
    }

    #[test]
    fn nobody_changes_nothing() {
        assert_eq!(Interposers::default().judge(&passing(b"x")), Fate::UNTOUCHED);
    }

    #[test]
    fn each_sees_what_those_before_it_made_of_a_message() {
        let mut all = Interposers::default();
        all.add("first", |passing: &Passing<'_>| {
            assert_eq!(passing.payload, b"sent");
            Verdict::Rewrite(Bytes::from_static(b"other"))
        });
        all.add("second", |passing: &Passing<'_>| {
            assert_eq!(passing.payload, b"other");
            Verdict::Delay(Duration::from_secs(1))
        });
        all.add("third", |_: &Passing<'_>| Verdict::Duplicate);
        all.add("fourth", |_: &Passing<'_>| Verdict::Delay(Duration::from_secs(2)));
        let rewritten = Some(Bytes::from_static(b"other"));
        let fate = Fate::Passes { rewritten, delay: Duration::from_secs(3), copies: 1 };
        assert_eq!(all.judge(&passing(b"sent")), fate);
    }

    #[test]
    fn what_one_drops_the_next_does_not_see() {
        let mut all = Interposers::default();
        all.add("drop", |_: &Passing<'_>| Verdict::Drop);
        all.add("never", |_: &Passing<'_>| unreachable!("it was dropped"));
        assert_eq!(all.judge(&passing(b"x")), Fate::Dropped);
    }

    #[test]
    fn they_are_added_replaced_listed_and_removed_by_name() {
        let mut all = Interposers::default();
        all.add("b", |_: &Passing<'_>| Verdict::Drop);
        all.add("a", |_: &Passing<'_>| Verdict::Pass);
        assert_eq!(all.judge(&passing(b"x")), Fate::Dropped);
        all.add("b", |_: &Passing<'_>| Verdict::Pass);
        assert_eq!(all.judge(&passing(b"x")), Fate::UNTOUCHED);
        assert_eq!(all.names().collect::<Vec<_>>(), vec!["b", "a"]);
        assert!(all.remove("b") && !all.remove("b") && !all.is_empty());
        assert_eq!(alloc::format!("{all:?}"), r#"["a"]"#);
    }

    #[test]
    fn an_acknowledgement_cannot_be_rewritten() {
        let mut all = Interposers::default();
        all.add("rewrite", |_: &Passing<'_>| Verdict::Rewrite(Bytes::from_static(b"x")));
        let acknowledgement = Passing { kind: Kind::Acknowledgement, ..passing(b"") };
        assert_eq!(all.judge(&acknowledgement), Fate::UNTOUCHED);
    }
}
