//! Why a handshake is refused: fixed layout for ever, so that any version can read it.

use alloc::vec::Vec;

use bytes::{Buf, BufMut};

use super::{DecodeError, Proof};
use crate::error::Refusal;
use crate::id::Incarnation;

/// The last frame of a handshake that failed: `code:u16 detail:u64`, and `proof[32]` where the
/// refusing side knows a secret.
///
/// Codes are only ever added; an unknown one reads as [`Refusal::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub refusal: Refusal,
    /// That the refusing side knows the secret: without it nobody believes a refusal that says
    /// something about the refused node's own life.
    pub proof: Option<Proof>,
}

impl From<Refusal> for Refuse {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, proof: None }
    }
}

impl Refuse {
    /// Appends the body of the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (code, detail) = match self.refusal {
            Refusal::Version => (1, 0),
            Refusal::Cluster => (2, 0),
            Refusal::Secret => (3, 0),
            Refusal::UnexpectedPeer => (4, 0),
            Refusal::SelfConnection => (5, 0),
            Refusal::StaleIncarnation(known) => (6, known.0),
            Refusal::DuplicateName => (7, 0),
            Refusal::IdentifierCollision => (8, 0),
            Refusal::Removed(upto) => (9, upto.0),
            Refusal::SimultaneousDial => (10, 0),
            Refusal::AlreadyConnected => (11, 0),
            Refusal::NoSession => (12, 0),
            Refusal::UnknownChannel => (13, 0),
            Refusal::TooMany => (14, 0),
            Refusal::Stopping => (15, 0),
            Refusal::NotWanted => (16, 0),
            Refusal::NotMember(upto) => (17, upto.0),
            Refusal::Other(code) => (code, 0),
        };
        out.put_u16(code);
        out.put_u64(detail);
        out.put_slice(self.proof.as_ref().map_or(&[], |proof| proof));
    }

    /// Reads the body of a frame; bytes behind it are ignored.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ends early.
    pub fn decode(mut body: &[u8]) -> Result<Self, DecodeError> {
        if body.len() < 2 + 8 {
            return Err(DecodeError::Truncated);
        }
        let code = body.get_u16();
        let detail = Incarnation(body.get_u64()).min(Incarnation::MOST);
        let refusal = match code {
            1 => Refusal::Version,
            2 => Refusal::Cluster,
            3 => Refusal::Secret,
            4 => Refusal::UnexpectedPeer,
            5 => Refusal::SelfConnection,
            6 => Refusal::StaleIncarnation(detail),
            7 => Refusal::DuplicateName,
            8 => Refusal::IdentifierCollision,
            9 => Refusal::Removed(detail),
            10 => Refusal::SimultaneousDial,
            11 => Refusal::AlreadyConnected,
            12 => Refusal::NoSession,
            13 => Refusal::UnknownChannel,
            14 => Refusal::TooMany,
            15 => Refusal::Stopping,
            16 => Refusal::NotWanted,
            17 => Refusal::NotMember(detail),
            other => Refusal::Other(other),
        };
        let proof = body.first_chunk().copied();
        Ok(Self { refusal, proof })
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Refuse {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        // By way of the wire, so that a code known to this version never comes as `Other`.
        let mut body = Vec::new();
        let (refusal, proof) = (u.arbitrary()?, u.arbitrary()?);
        Self { refusal, proof }.encode(&mut body);
        Self::decode(&body).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}
