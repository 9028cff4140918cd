//! Broadcast messages on their way: a header written by hand, then the payload as it is.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};

use super::DecodeError;
use crate::id::{HandlerId, Incarnation, Instance, MessageId, NodeId};

/// The longest key of a broadcast message, in bytes.
pub const MAX_KEY: usize = 255;
/// The longest header, so that a sender can tell the longest payload.
pub const MAX_BROADCAST_HEADER: usize = FIXED + MAX_KEY;

/// Everything but the key.
const FIXED: usize = 1 + 1 + 8 + 8 + 8 + 8 + 1;
const OWN: u8 = 1;
const STORED: u8 = 2;

/// A broadcast message, as one node sends it to the next.
///
/// ```text
/// flags:u8                1 = in the origin's own tree, 2 = handlers keep it; others must be zero
/// hops:u8                 with this one; 255 and more are 255
/// origin:u64 incarnation:u64 sequence:u64     big-endian
/// handler:u64
/// key:(u8 length, bytes)
/// payload
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct BroadcastMessage {
    /// Which message it is.
    pub id: MessageId,
    /// How many hops it has come when it arrives; nought at its origin. 255 and more are 255.
    pub hops: u8,
    /// Whether it travels in its origin's own tree.
    pub own: bool,
    /// Whether handlers keep it themselves.
    pub stored: bool,
    /// Whom it is for.
    pub handler: HandlerId,
    /// What its handler calls it; at most [`MAX_KEY`] bytes.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_key))]
    pub key: Bytes,
    /// What it says.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
    pub payload: Bytes,
}

impl BroadcastMessage {
    /// How many bytes its header takes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        FIXED + self.key.len()
    }

    /// How many bytes its frame takes, without the four of the length.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        1 + self.header_len() + self.payload.len()
    }

    pub(super) fn decode(mut body: Bytes) -> Result<Self, DecodeError> {
        if body.len() < FIXED {
            return Err(DecodeError::Truncated);
        }
        let flags = body.get_u8();
        let hops = body.get_u8();
        let node = NodeId::from_u64(body.get_u64());
        let incarnation = Incarnation::try_from(body.get_u64());
        let incarnation = incarnation.map_err(|_| DecodeError::BadHeader)?;
        let sequence = body.get_u64();
        let handler = HandlerId::from_u64(body.get_u64());
        let length = usize::from(body.get_u8());
        if flags & !(OWN | STORED) != 0 {
            return Err(DecodeError::BadHeader);
        }
        if body.len() < length {
            return Err(DecodeError::Truncated);
        }
        let key = body.split_to(length);
        Ok(Self {
            id: MessageId { origin: Instance { node, incarnation }, sequence },
            hops,
            own: flags & OWN != 0,
            stored: flags & STORED != 0,
            handler,
            key,
            payload: body,
        })
    }

    /// Appends all but the payload to `out`.
    pub(super) fn encode_header(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.put_u8(flag(self.own, OWN) | flag(self.stored, STORED));
        out.put_u8(self.hops);
        out.put_u64(self.id.origin.node.as_u64());
        out.put_u64(self.id.origin.incarnation.0);
        out.put_u64(self.id.sequence);
        out.put_u64(self.handler.as_u64());
        // Whoever makes a message sees to it that the key is not longer.
        let key = &self.key[..self.key.len().min(MAX_KEY)];
        out.put_u8(key.len() as u8);
        out.put_slice(key);
    }
}

#[cfg(feature = "arbitrary")]
fn arbitrary_key(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let mut key: Vec<u8> = u.arbitrary()?;
    key.truncate(MAX_KEY);
    Ok(key.into())
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}
