//! Hooks on the way of messages, for tests and for tracing (Partisan's interposition functions).
//!
//! Whoever drives a node asks its [`Interposition`] about every message of applications, once on
//! each side: before it is handed to a connection, and before what arrived is handed on, whichever
//! path it takes through the driver. What nodes say to each other to be a cluster is not asked
//! about. The core knows nothing of this; the [`Verdict`] is the driver's to carry out.
//!
//! A message that must arrive and is dropped once comes again; one that is rewritten arrives
//! rewritten, and is acknowledged.

use core::fmt;

use bytes::Bytes;

use crate::id::{ChannelId, NodeId};
use crate::time::Duration;
use crate::wire::{Destination, Frame, ServerAt};

/// A message on its way by one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing<'a> {
    /// The node at the other end: the next hop of a relayed message, and whoever sent it here.
    pub peer: NodeId,
    /// The channel.
    pub channel: ChannelId,
    /// What it is.
    pub kind: Kind<'a>,
    /// What it says.
    pub payload: &'a Bytes,
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
    /// One that goes by way of other nodes.
    Relayed(&'a Destination),
    /// A request.
    Request(&'a ServerAt),
    /// An answer to a request.
    Reply,
    /// A broadcast.
    Broadcast,
}

impl<'a> Passing<'a> {
    /// The message in a frame; `None` for frames that are asked about nowhere.
    #[must_use]
    pub fn of(frame: &'a Frame, peer: NodeId, channel: ChannelId) -> Option<Self> {
        let (kind, payload) = match frame {
            Frame::App { destination, payload } => (Kind::Message(destination), payload),
            Frame::Reliable { header, payload } => (Kind::Reliable(&header.destination), payload),
            Frame::Newest { header, payload } => (Kind::Newest(&header.destination), payload),
            Frame::Relayed { header, payload } => (Kind::Relayed(&header.destination), payload),
            Frame::Request { header, payload } => (Kind::Request(&header.to), payload),
            Frame::Reply { payload, .. } => (Kind::Reply, payload),
            Frame::Broadcast(message) => (Kind::Broadcast, &message.payload),
            Frame::Hello(_) | Frame::Refuse(_) | Frame::Control(_) | Frame::Signal(_) => {
                return None;
            }
        };
        Some(Self { peer, channel, kind, payload })
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    #[default]
    Pass,
    /// It is lost.
    Drop,
    /// It passes so much later; messages behind it on the same connection do not wait for it.
    Delay(Duration),
    /// It passes, and so many copies of it behind it.
    Duplicate(u8),
    /// It passes with this payload.
    Rewrite(Bytes),
}

impl Verdict {
    /// The frame with the payload of [`Verdict::Rewrite`]; others as they are.
    #[must_use]
    pub fn rewrite(frame: Frame, with: Bytes) -> Frame {
        match frame {
            Frame::App { destination, .. } => Frame::App { destination, payload: with },
            Frame::Reliable { header, .. } => Frame::Reliable { header, payload: with },
            Frame::Newest { header, .. } => Frame::Newest { header, payload: with },
            Frame::Relayed { header, .. } => Frame::Relayed { header, payload: with },
            Frame::Request { header, .. } => Frame::Request { header, payload: with },
            Frame::Reply { header, .. } => Frame::Reply { header, payload: with },
            Frame::Broadcast(message) => {
                let mut message = (*message).clone();
                message.payload = with;
                Frame::Broadcast(message.into())
            }
            other => other,
        }
    }
}

/// Decides what becomes of messages. By default all pass.
pub trait Interposition: fmt::Debug + Send + Sync {
    /// A message is about to be handed to a connection.
    fn outgoing(&self, passing: &Passing<'_>) -> Verdict {
        _ = passing;
        Verdict::Pass
    }

    /// A message arrived, and is about to be handed on.
    fn incoming(&self, passing: &Passing<'_>) -> Verdict {
        _ = passing;
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::strategies::frame;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_of_applications_alone_are_asked_about_and_can_be_rewritten(frame in frame()) {
            let (peer, channel) = (NodeId::from_u64(1), ChannelId::DEFAULT);
            let asked = Passing::of(&frame, peer, channel).is_some();
            let signal = matches!(frame, Frame::Signal(_));
            prop_assert_eq!(asked, frame.has_payload() && !signal);
            let with = Bytes::from_static(b"instead");
            let rewritten = Verdict::rewrite(frame.clone(), with.clone());
            match Passing::of(&rewritten, peer, channel) {
                Some(passing) => prop_assert_eq!(passing.payload, &with),
                None => prop_assert_eq!(rewritten, frame),
            }
        }
    }
}
