//! Who is connected: handshake, sessions, lanes, keep-alive, dialling.

mod routes;

pub use routes::{PeerRoutes, Routes};

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::change::Change;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CloseReason, CommandError, Misbehaviour, OpenError};
use crate::id::{ChannelId, ConnectionId, Epoch, Incarnation, Instance, NodeId};
use crate::notification::DialError;
use crate::random::Seed;
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::Frame;

/// One open connection, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub connection: ConnectionId,
    /// To whom.
    pub peer: NodeId,
    /// For which channel.
    pub channel: ChannelId,
    /// Which of the channel's lanes.
    pub lane: u8,
}

/// What is known of the connection to a peer, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Where it was last known to be.
    pub spec: Option<Arc<NodeSpec>>,
    /// Its newest known life.
    pub incarnation: Incarnation,
    /// The session, if there is one.
    pub epoch: Option<Epoch>,
    /// The last keep-alive round trip on the membership channel.
    pub round_trip: Option<Duration>,
    /// Why the last dial or session ended.
    pub last_failure: Option<DialError>,
    /// Dials that failed since the last session.
    pub failures: u32,
}

/// How often what happened, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Counters {
    /// Connections asked for.
    pub dialled: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Dials that could not be opened.
    pub open_failed: u64,
    /// Handshakes finished, of both kinds.
    pub established: u64,
    /// Handshakes that took too long.
    pub handshake_timeouts: u64,
    /// Handshakes that this node refused.
    pub refused: u64,
    /// Handshakes that the peer refused.
    pub refused_by_peer: u64,
    /// Connections closed for undecodable bytes.
    pub malformed: u64,
    /// Connections closed for a breach of the protocol.
    pub misbehaved: u64,
    /// Connections closed for silence.
    pub ping_timeouts: u64,
    /// Pings sent.
    pub pings: u64,
    /// Pongs that answered no outstanding ping.
    pub stray_pongs: u64,
    /// Sessions begun.
    pub sessions: u64,
}

/// All connections of a node.
#[derive(Debug)]
pub struct Connections {
    counters: Counters,
}

impl Connections {
    pub(crate) fn new(_seed: &Seed, _config: &Config) -> Self {
        Self {
            counters: Counters::default(),
        }
    }

    pub(crate) fn accepted(&mut self, _cx: &mut Context<'_>, _connection: ConnectionId) {}

    pub(crate) fn opened(&mut self, _cx: &mut Context<'_>, _connection: ConnectionId) {}

    pub(crate) fn open_failed(&mut self, _: &mut Context<'_>, _: ConnectionId, _: OpenError) {}

    /// Takes a frame of the connections' own; gives back what other parts must handle.
    pub(crate) fn received(
        &mut self,
        _cx: &mut Context<'_>,
        _connection: ConnectionId,
        _frame: Frame,
    ) -> Option<Received> {
        None
    }

    pub(crate) fn closed(&mut self, _: &mut Context<'_>, _: ConnectionId, _: CloseReason) {}

    pub(crate) fn set_congested(&mut self, _connection: ConnectionId, _congested: bool) {}

    pub(crate) fn is_congested(&self, _connection: ConnectionId) -> bool {
        false
    }

    pub(crate) fn load(&self, _connection: ConnectionId) -> usize {
        0
    }

    pub(crate) fn misbehaved(&mut self, _: &mut Context<'_>, _: ConnectionId, _: Misbehaviour) {}

    pub(crate) fn disconnect(
        &mut self,
        _cx: &mut Context<'_>,
        _node: NodeId,
    ) -> Result<(), CommandError> {
        Ok(())
    }

    pub(crate) fn change(&mut self, _cx: &mut Context<'_>, _change: &Change) {}

    pub(crate) fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}

    pub(crate) fn list(&self, _routes: &Routes) -> Vec<ConnectionInfo> {
        Vec::new()
    }

    pub(crate) fn peer(&self, _node: NodeId) -> Option<PeerInfo> {
        None
    }

    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }
}

/// A frame that is not the connections' own, with its sender.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) from: Instance,
    pub(crate) connection: ConnectionId,
    pub(crate) channel: ChannelId,
    pub(crate) frame: Frame,
}
