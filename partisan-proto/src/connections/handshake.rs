//! The handshake of one connection: hello, hello, confirm, accept.
//!
//! ```text
//! connector                                   acceptor
//!   Hello(nonce, who, channel, lane) ------->   checks version, cluster, name, life, lane
//!                                    <-------   Hello(nonce, who)
//!   checks the same
//!   Confirm(proof, spec)             ------->   checks the proof; asks the manager
//!                                    <-------   Accept(proof, spec, epoch)
//!   checks the proof                            open
//!   open
//! ```
//!
//! Either side may send `Refuse(why)` in place of its step. Nothing that a peer says changes the
//! state of a session before its proof is checked. The proof is the HMAC-SHA-256, under the shared
//! secret, of the speaker's role and of both hellos: each holds a fresh nonce of 256 bits and the
//! names, so that a proof is of no use on another connection, in the other direction or to another
//! node. A refusal by the acceptor is proven in the same way, bound to the connector's hello: where
//! a secret is set, an impostor cannot make a node believe that its life is over. What is left to transport security: nothing is encrypted here, and somebody in the middle
//! who passes everything on unchanged stays in the middle.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Slot;
use crate::config::{Config, Secret};
use crate::context::Me;
use crate::error::Refusal;
use crate::id::{ChannelId, Epoch, Incarnation, Instance, NodeId};
use crate::spec::NodeSpec;
use crate::wire::{FEATURE_LZ4, Hello, Nonce, Proof, Refuse, Role, VersionRange};

/// Where a handshake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Connector: the hello is sent.
    ExpectHello(Hello),
    /// Acceptor: nothing is said yet.
    ExpectFirstHello,
    /// Acceptor: the connector's hello is being judged.
    Heard(Hello),
    /// Acceptor: both hellos are said, the connector's first.
    ExpectConfirm(Hello, Hello),
    /// Acceptor: confirmed; the manager is asked. The connector's hello, our proof, its spec.
    Knocking(Hello, Option<Proof>, Arc<NodeSpec>),
    /// Connector: confirmed; both hellos, the connector's first.
    ExpectAccept(Hello, Hello),
}

/// What this node's hello says of the connection.
pub(super) struct Opening {
    pub(super) channel: ChannelId,
    pub(super) lane: u8,
    pub(super) epoch: Epoch,
    pub(super) expected: Option<NodeId>,
}

pub(super) fn hello(me: &Me, config: &Config, role: Role, of: &Opening, nonce: Nonce) -> Hello {
    // A channel id always comes from this configuration; the membership channel is always there.
    let channels = &config.channels;
    let channel = channels.name(of.channel).or_else(|| channels.name(ChannelId::MEMBERSHIP));
    Hello {
        versions: VersionRange::OURS,
        features: FEATURE_LZ4,
        max_frame: config.connections.max_frame,
        role,
        incarnation: me.instance.incarnation,
        epoch: of.epoch,
        expected: of.expected,
        lane: of.lane,
        nonce,
        cluster: config.cluster.clone(),
        name: me.spec.name().clone(),
        channel: channel.expect("every configuration has a membership channel").clone(),
    }
}

impl Hello {
    /// Who says it.
    pub(super) fn instance(&self) -> Instance {
        Instance { node: self.name.id(), incarnation: self.incarnation }
    }
}

/// What both sides check of the other's hello, whoever the other is.
pub(super) fn check_hello(me: &Me, config: &Config, theirs: &Hello) -> Result<(), Refusal> {
    if VersionRange::OURS.common(theirs.versions).is_none() {
        return Err(Refusal::Version);
    }
    if theirs.cluster != config.cluster {
        return Err(Refusal::Cluster);
    }
    if theirs.name == *me.spec.name() {
        let same_life = theirs.incarnation == me.instance.incarnation;
        return Err(if same_life { Refusal::SelfConnection } else { Refusal::DuplicateName });
    }
    if theirs.name.id() == me.instance.node {
        return Err(Refusal::IdentifierCollision);
    }
    Ok(())
}

/// The place that a connector's hello asks for.
pub(super) fn slot_of(config: &Config, theirs: &Hello) -> Result<Slot, Refusal> {
    let channel = config.channels.id(theirs.channel.as_str()).ok_or(Refusal::UnknownChannel)?;
    let slot = Slot { node: theirs.name.id(), channel, lane: theirs.lane };
    let anchor_lane = channel != ChannelId::MEMBERSHIP || theirs.lane == 0;
    if anchor_lane { Ok(slot) } else { Err(Refusal::UnknownChannel) }
}

/// Whether a life of a peer is older than what is known.
pub(super) fn check_life(theirs: Incarnation, known: Incarnation) -> Result<(), Refusal> {
    if theirs < known { Err(Refusal::StaleIncarnation(known)) } else { Ok(()) }
}

/// The proof that `role` knows the secret; `None` without one.
pub(super) fn proof(
    secret: Option<&Secret>,
    role: Role,
    first: &Hello,
    second: &Hello,
) -> Option<Proof> {
    let secret = secret?;
    let mut transcript = Vec::with_capacity(512);
    transcript.push(match role {
        Role::Connector => 0,
        Role::Acceptor => 1,
    });
    first.encode(&mut transcript);
    second.encode(&mut transcript);
    authenticate(secret, &transcript)
}

/// The proof that whoever refuses the connector with this hello knows the secret.
pub(super) fn refusal_proof(
    secret: Option<&Secret>,
    refusal: Refusal,
    first: &Hello,
) -> Option<Proof> {
    let secret = secret?;
    let mut transcript = Vec::with_capacity(256);
    transcript.push(2);
    Refuse::from(refusal).encode(&mut transcript);
    first.encode(&mut transcript);
    authenticate(secret, &transcript)
}

fn authenticate(secret: &Secret, transcript: &[u8]) -> Option<Proof> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes()).ok()?;
    mac.update(transcript);
    Some(mac.finalize().into_bytes().into())
}

/// Compares a proof with the right one, in constant time. A proof where none is expected, or none
/// where one is, is as wrong as a wrong one.
pub(super) fn check_proof(right: Option<Proof>, given: Option<Proof>) -> Result<(), Refusal> {
    let matches = match (right, given) {
        (Some(right), Some(given)) => right.ct_eq(&given).into(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if matches { Ok(()) } else { Err(Refusal::Secret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello_of(name: &str, nonce: u8) -> Hello {
        let (cluster, channel) = ("c".parse().unwrap(), "membership".parse().unwrap());
        Hello::of_stranger(cluster, name.parse().unwrap(), channel, [nonce; 32])
    }

    #[test]
    fn a_proof_holds_for_one_secret_one_role_and_one_pair_of_hellos() {
        let secret = |text: &str| Some(Secret(text.into()));
        let of = |text: &str, role, first: &Hello, second: &Hello| {
            proof(secret(text).as_ref(), role, first, second)
        };
        let (a, b) = (hello_of("a", 1), hello_of("b", 2));
        let right = of("a shared secret!", Role::Connector, &a, &b);
        assert_eq!(check_proof(right, right), Ok(()));
        let wrong = [
            of("another secret!!", Role::Connector, &a, &b),
            of("a shared secret!", Role::Acceptor, &a, &b),
            of("a shared secret!", Role::Connector, &b, &a),
            of("a shared secret!", Role::Connector, &hello_of("a", 3), &b),
            of("a shared secret!", Role::Connector, &a, &hello_of("c", 2)),
            None,
        ];
        for wrong in wrong {
            assert_eq!(check_proof(right, wrong), Err(Refusal::Secret));
        }
        assert_eq!(check_proof(None, right), Err(Refusal::Secret));
        assert_eq!(check_proof(None, None), Ok(()));
    }

    #[test]
    fn an_older_life_is_stale() {
        assert_eq!(check_life(Incarnation(2), Incarnation(2)), Ok(()));
        let error = check_life(Incarnation(1), Incarnation(2));
        assert_eq!(error, Err(Refusal::StaleIncarnation(Incarnation(2))));
    }
}
