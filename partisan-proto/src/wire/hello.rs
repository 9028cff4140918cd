//! The hello: the one layout that never changes, so that any two versions can read each other's.

use alloc::vec::Vec;

use bytes::{Buf, BufMut};

use super::{DecodeError, MIN_FRAME_LIMIT};
use crate::id::{ChannelName, ClusterName, Epoch, Incarnation, NodeId, NodeName};

/// The version of the protocol that this library speaks.
pub const PROTOCOL_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"PARTISAN";

/// A number used once.
pub type Nonce = [u8; 32];

/// Which side of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Role {
    /// The side that dialled.
    Connector,
    /// The side that listened.
    Acceptor,
}

/// The protocol versions a node speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub least: u16,
    /// The newest.
    pub most: u16,
}

impl VersionRange {
    /// What this library speaks.
    pub const OURS: Self = Self { least: PROTOCOL_VERSION, most: PROTOCOL_VERSION };

    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.most.min(other.most);
        (newest >= self.least.max(other.least)).then_some(newest)
    }
}

/// The first frame of each side of a connection.
///
/// ```text
/// magic[8] version_least:u16 version_most:u16 features:u64 max_frame:u32 role:u8
/// incarnation:u64 epoch:u64 expected:u64 lane:u8 nonce[32]
/// cluster:(u8 length, UTF-8) name:(u8 length, UTF-8) channel:(u8 length, UTF-8)
/// ```
/// Big-endian; bytes behind the last field are ignored, for later versions to use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Hello {
    /// The versions the sender speaks.
    pub versions: VersionRange,
    /// Optional features of the sender, one bit each: [`FEATURE_LZ4`](super::FEATURE_LZ4). Unknown
    /// ones are ignored.
    pub features: u64,
    /// The longest application frame the sender takes, at least [`MIN_FRAME_LIMIT`].
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_limit))]
    pub max_frame: u32,
    /// Whether the sender dialled or listened.
    pub role: Role,
    /// The sender's incarnation, at least 1.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_incarnation))]
    pub incarnation: Incarnation,
    /// On the membership channel the last epoch the sender shared with the peer (0: none); on a
    /// lane the epoch of the session that the lane belongs to.
    pub epoch: Epoch,
    /// The node the sender believes to be talking to; `None` when it knows only an address.
    pub expected: Option<NodeId>,
    /// The lane within the channel.
    pub lane: u8,
    /// Fresh; what the proofs of the shared secret are bound to.
    pub nonce: Nonce,
    /// The sender's cluster.
    pub cluster: ClusterName,
    /// The sender.
    pub name: NodeName,
    /// The channel that the connection is for.
    pub channel: ChannelName,
}

impl Hello {
    /// What a node in its first life says that dials somebody of whom it knows nothing: for tests,
    /// and for tools that speak to a cluster from outside.
    #[must_use]
    pub const fn of_stranger(
        cluster: ClusterName,
        name: NodeName,
        channel: ChannelName,
        nonce: Nonce,
    ) -> Self {
        Self {
            versions: VersionRange::OURS,
            features: 0,
            max_frame: 1 << 20,
            role: Role::Connector,
            incarnation: Incarnation(1),
            epoch: Epoch(0),
            expected: None,
            lane: 0,
            nonce,
            cluster,
            name,
            channel,
        }
    }

    /// Appends the body of the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&MAGIC);
        out.put_u16(self.versions.least);
        out.put_u16(self.versions.most);
        out.put_u64(self.features);
        out.put_u32(self.max_frame);
        out.put_u8(match self.role {
            Role::Connector => 0,
            Role::Acceptor => 1,
        });
        out.put_u64(self.incarnation.0);
        out.put_u64(self.epoch.0);
        out.put_u64(self.expected.map_or(0, NodeId::as_u64));
        out.put_u8(self.lane);
        out.put_slice(&self.nonce);
        for text in [self.cluster.as_str(), self.name.as_str(), self.channel.as_str()] {
            // Names have at most 255 bytes by construction.
            out.put_u8(text.len() as u8);
            out.put_slice(text.as_bytes());
        }
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// [`DecodeError::NotPartisan`] without the magic, [`DecodeError::Truncated`] when it ends
    /// early, [`DecodeError::BadHello`] for a bad name, role, version range or frame limit, or an
    /// incarnation or epoch out of range.
    pub fn decode(mut body: &[u8]) -> Result<Self, DecodeError> {
        let magic = body.get(..MAGIC.len()).ok_or(DecodeError::NotPartisan)?;
        if magic != MAGIC {
            return Err(DecodeError::NotPartisan);
        }
        body.advance(MAGIC.len());
        if body.len() < 2 + 2 + 8 + 4 + 1 + 8 + 8 + 8 + 1 + 32 {
            return Err(DecodeError::Truncated);
        }
        let versions = VersionRange { least: body.get_u16(), most: body.get_u16() };
        let features = body.get_u64();
        let max_frame = body.get_u32();
        let role = match body.get_u8() {
            0 => Role::Connector,
            1 => Role::Acceptor,
            _ => return Err(DecodeError::BadHello),
        };
        let incarnation = Incarnation(body.get_u64());
        let epoch = Epoch(body.get_u64());
        let expected = Some(body.get_u64()).filter(|id| *id != 0).map(NodeId::from_u64);
        let lane = body.get_u8();
        let mut nonce = [0; 32];
        body.copy_to_slice(&mut nonce);
        let cluster = ClusterName::new(text(&mut body)?).map_err(|_| DecodeError::BadHello)?;
        let name = NodeName::new(text(&mut body)?).map_err(|_| DecodeError::BadHello)?;
        let channel = ChannelName::new(text(&mut body)?).map_err(|_| DecodeError::BadHello)?;
        let impossible = versions.least > versions.most
            || incarnation == Incarnation::NONE
            || incarnation > Incarnation::MOST
            || epoch > Epoch::MOST
            || max_frame < MIN_FRAME_LIMIT;
        if impossible {
            return Err(DecodeError::BadHello);
        }
        Ok(Self {
            versions,
            features,
            max_frame,
            role,
            incarnation,
            epoch,
            expected,
            lane,
            nonce,
            cluster,
            name,
            channel,
        })
    }
}

fn text<'a>(body: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let (length, rest) = body.split_first().ok_or(DecodeError::Truncated)?;
    let length = usize::from(*length);
    let bytes = rest.get(..length).ok_or(DecodeError::Truncated)?;
    *body = &rest[length..];
    core::str::from_utf8(bytes).map_err(|_| DecodeError::BadHello)
}

// What a decoder can never let through is not invented by a fuzzer either: it comes as bytes.

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for VersionRange {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let least = u.int_in_range(0..=2)?;
        let most = u.int_in_range(least..=3)?;
        Ok(Self { least, most })
    }
}

#[cfg(feature = "arbitrary")]
fn arbitrary_limit(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<u32> {
    u.int_in_range(MIN_FRAME_LIMIT..=u32::MAX)
}

#[cfg(feature = "arbitrary")]
fn arbitrary_incarnation(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Incarnation> {
    let small = u.int_in_range(1..=4)?;
    Ok(if u.ratio(1, 8)? {
        Incarnation(Incarnation::MOST.0 + 1 - small)
    } else {
        Incarnation(small)
    })
}
