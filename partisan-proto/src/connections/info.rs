//! What can be asked about connections.

use alloc::sync::Arc;

use crate::broadcast::BroadcastCounters;
use crate::call::CallCounters;
use crate::delivery::DeliveryCounters;
use crate::id::{ChannelId, ConnectionId, Epoch, Incarnation, NodeId};
use crate::manager::MembershipCounters;
use crate::notification::DialError;
use crate::relay::RelayCounters;
use crate::spec::NodeSpec;
use crate::time::Duration;

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
    pub spec: Arc<NodeSpec>,
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
    /// Accepted connections closed at once, since there were too many.
    pub too_many: u64,
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
    /// What the manager refused.
    pub membership: MembershipCounters,
    /// What became of relayed messages.
    pub relay: RelayCounters,
    /// Injected partitions that were not taken part in, for want of room.
    pub partitions_refused: u64,
    /// What broadcasts did.
    pub broadcast: BroadcastCounters,
    /// What became of calls.
    pub calls: CallCounters,
    /// What became of messages that must arrive.
    pub delivery: DeliveryCounters,
}

/// What the connections count themselves: [`Counters`] without what others do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) dialled: u64,
    pub(super) accepted: u64,
    pub(super) open_failed: u64,
    pub(super) established: u64,
    pub(super) handshake_timeouts: u64,
    pub(super) refused: u64,
    pub(super) refused_by_peer: u64,
    pub(super) too_many: u64,
    pub(super) malformed: u64,
    pub(super) misbehaved: u64,
    pub(super) ping_timeouts: u64,
    pub(super) pings: u64,
    pub(super) stray_pongs: u64,
    pub(super) sessions: u64,
}

impl From<Counts> for Counters {
    fn from(counts: Counts) -> Self {
        Self {
            dialled: counts.dialled,
            accepted: counts.accepted,
            open_failed: counts.open_failed,
            established: counts.established,
            handshake_timeouts: counts.handshake_timeouts,
            refused: counts.refused,
            refused_by_peer: counts.refused_by_peer,
            too_many: counts.too_many,
            malformed: counts.malformed,
            misbehaved: counts.misbehaved,
            ping_timeouts: counts.ping_timeouts,
            pings: counts.pings,
            stray_pongs: counts.stray_pongs,
            sessions: counts.sessions,
            ..Self::default()
        }
    }
}
