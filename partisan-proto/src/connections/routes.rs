//! Which connection a message takes: a pure look-up, cheap to clone.
//!
//! The core writes it; a driver may keep a clone for its senders, who then need not go through the
//! node at all.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::ops::Index;

use crate::config::{Channels, Compression};
use crate::error::CommandError;
use crate::few::Sorted;
use crate::id::{ChannelId, ConnectionId, Epoch, Instance, NodeId};

/// The lanes to every peer. Cloning copies one pointer a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    peers: Sorted<NodeId, Route>,
    fallback: bool,
    version: u64,
    /// To whom no message may be sent, ascending.
    partitioned: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    /// Wanted, and never connected so far.
    Awaited,
    /// Wanted, and connected before.
    Lost,
    /// Connected; the anchor stands here too, since every control message asks for it.
    Up(ConnectionId, Arc<PeerRoutes>),
}

const _: () = assert!(size_of::<(NodeId, Route)>() <= 32);
const _: () = assert!(size_of::<PeerRoutes>() <= 72);

/// The lanes to one peer, for the length of one session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerRoutes {
    /// The peer and its life.
    pub instance: Instance,
    /// The session.
    pub epoch: Epoch,
    /// The longest frame the peer takes.
    pub max_frame: u32,
    /// Whether it reads compressed frames.
    pub reads_lz4: bool,
    /// The connection of the membership channel: the session lives as long as it does.
    pub anchor: ConnectionId,
    /// By [`ChannelId`]: the lanes, in order, `None` for one that is being dialled. A channel that
    /// was not negotiated has no lanes.
    pub channels: Lanes,
}

/// The lanes of each channel of a session, by [`ChannelId`]: read it as a list of lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// Those of all channels, one channel's behind the other's.
    all: Box<[Option<ConnectionId>]>,
    /// Where each channel's end.
    ends: Box<[u16]>,
}

impl Lanes {
    /// So many lanes of each channel, none of them open.
    #[must_use]
    pub fn none_open(counts: impl IntoIterator<Item = u8>) -> Self {
        let mut end = 0;
        let ends = counts.into_iter().map(|count| {
            end += u16::from(count);
            end
        });
        let ends: Box<[_]> = ends.collect();
        Self { all: (0..end).map(|_| None).collect(), ends }
    }

    /// How many channels there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no channel.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lanes of one channel, in order.
    #[must_use]
    pub fn get(&self, channel: usize) -> Option<&[Option<ConnectionId>]> {
        self.place(channel).map(|place| &self.all[place])
    }

    /// The lanes of every channel.
    pub fn iter(&self) -> impl Iterator<Item = &[Option<ConnectionId>]> {
        (0..self.len()).map(|channel| &self[channel])
    }

    fn place(&self, channel: usize) -> Option<core::ops::Range<usize>> {
        let end = *self.ends.get(channel)?;
        let start = channel.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(usize::from(start)..usize::from(end))
    }

    fn lane_mut(&mut self, channel: ChannelId, lane: u8) -> Option<&mut Option<ConnectionId>> {
        let place = self.place(usize::from(channel.0))?;
        self.all[place].get_mut(usize::from(lane))
    }
}

impl From<Vec<Vec<Option<ConnectionId>>>> for Lanes {
    fn from(channels: Vec<Vec<Option<ConnectionId>>>) -> Self {
        // A parallelism is one byte.
        let within = |lanes: Vec<_>| lanes.into_iter().take(usize::from(u8::MAX));
        let count = |lanes: &Vec<_>| u8::try_from(lanes.len()).unwrap_or(u8::MAX);
        let mut lanes = Self::none_open(channels.iter().map(count));
        for (place, connection) in lanes.all.iter_mut().zip(channels.into_iter().flat_map(within)) {
            *place = connection;
        }
        lanes
    }
}

impl Index<usize> for Lanes {
    type Output = [Option<ConnectionId>];

    fn index(&self, channel: usize) -> &Self::Output {
        self.get(channel).expect("no such channel in this session")
    }
}

impl Hash for Lanes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As a list of lists, whatever it is kept as.
        state.write_usize(self.len());
        self.iter().for_each(|lanes| lanes.hash(state));
    }
}

impl PeerRoutes {
    /// Whether every negotiated lane is open.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.channels.all.iter().all(Option::is_some)
    }

    /// Whether frames with payloads are compressed on the lanes of this channel, if that makes them
    /// shorter: the driver does that, by [`wire::compress_frame`](crate::wire::compress_frame).
    #[must_use]
    pub fn compresses(&self, channels: &Channels, channel: ChannelId) -> bool {
        let options = channels.options(channel);
        self.reads_lz4 && options.is_some_and(|options| options.compression == Compression::Lz4)
    }

    fn fits(&self, frame: usize) -> Result<(), CommandError> {
        let most = self.max_frame as usize;
        if frame > most {
            return Err(CommandError::PayloadTooLarge { bytes: frame, most });
        }
        Ok(())
    }

    /// Every open connection.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.channels.all.iter().copied().flatten()
    }
}

impl Routes {
    /// No routes yet; `fallback` is [`ConnectionsConfig::channel_fallback`].
    ///
    /// [`ConnectionsConfig::channel_fallback`]: crate::config::ConnectionsConfig::channel_fallback
    #[must_use]
    pub const fn new(fallback: bool) -> Self {
        Self { peers: Sorted::new(), fallback, version: 0, partitioned: Vec::new() }
    }

    /// Changes whenever anything else does: a driver publishes a new clone when it has moved.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The lanes to a connected peer.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<&Arc<PeerRoutes>> {
        match self.peers.get(node)? {
            Route::Up(_, routes) => Some(routes),
            Route::Awaited | Route::Lost => None,
        }
    }

    /// All connected peers, by identifier.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<PeerRoutes>> {
        self.peers.values().filter_map(|route| match route {
            Route::Up(_, routes) => Some(routes),
            Route::Awaited | Route::Lost => None,
        })
    }

    /// The connection of a peer's membership channel.
    #[must_use]
    pub fn anchor(&self, node: NodeId) -> Option<ConnectionId> {
        match self.peers.get(node)? {
            Route::Up(anchor, _) => Some(*anchor),
            Route::Awaited | Route::Lost => None,
        }
    }

    fn set(&mut self, node: NodeId, route: Route) {
        self.version += 1;
        self.peers.insert(node, route);
    }

    /// The connection for a message of `frame` bytes.
    ///
    /// Keyed messages take the lane that a rendezvous hash of the key picks among all negotiated
    /// lanes, open or not, so that one key keeps its order whatever happens to the lanes. Others
    /// take the open lane with the least `load`.
    ///
    /// # Errors
    /// [`CommandError`] `ReservedChannel`, `Partitioned`, `UnknownNode`, `NotYetConnected`, `Disconnected`,
    /// `UnknownChannel`, `NoSuchChannel`, `LaneDown` or `PayloadTooLarge`.
    pub fn lane(
        &self,
        node: NodeId,
        channel: ChannelId,
        key: Option<u64>,
        frame: usize,
        load: impl FnMut(ConnectionId) -> usize,
    ) -> Result<ConnectionId, CommandError> {
        // The peer would take it for misbehaviour, and end the session.
        if channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel);
        }
        let routes = self.check(node)?;
        let lanes = self.lanes(routes, channel)?;
        routes.fits(frame)?;
        let lane = match key {
            Some(key) => lanes[rendezvous(key, lanes.len())],
            None => least_loaded(lanes, load),
        };
        lane.ok_or(CommandError::LaneDown(node))
    }

    /// Whether a frame of so many bytes may be sent to a node by a lane that is known.
    pub(crate) fn fits(&self, node: NodeId, frame: usize) -> Result<(), CommandError> {
        self.check(node)?.fits(frame)
    }

    /// Never empty.
    fn lanes<'a>(
        &self,
        routes: &'a PeerRoutes,
        channel: ChannelId,
    ) -> Result<&'a [Option<ConnectionId>], CommandError> {
        let wanted = routes.channels.get(usize::from(channel.0));
        match wanted.ok_or(CommandError::UnknownChannel(channel.0))? {
            lanes if !lanes.is_empty() => Ok(lanes),
            _ if self.fallback => Ok(&routes.channels[usize::from(ChannelId::DEFAULT.0)]),
            _ => Err(CommandError::NoSuchChannel(routes.instance.node)),
        }
    }

    /// Whether messages can go to `node` and what became of it if not.
    ///
    /// # Errors
    /// [`CommandError`] `Partitioned`, `UnknownNode`, `NotYetConnected` or `Disconnected`.
    pub fn check(&self, node: NodeId) -> Result<&Arc<PeerRoutes>, CommandError> {
        if self.is_partitioned(node) {
            return Err(CommandError::Partitioned(node));
        }
        self.reachable(node)
    }

    /// Whether an injected partition keeps messages from this node: see
    /// [`partitions`](crate::partitions).
    #[must_use]
    pub fn is_partitioned(&self, node: NodeId) -> bool {
        self.partitioned.binary_search(&node).is_ok()
    }

    /// To these nodes, ascending, no message may be sent. Counts as a change even when they are the
    /// same, so that whoever publishes does so for another partition too.
    pub(crate) fn partition(&mut self, nodes: Vec<NodeId>) {
        self.partitioned = nodes;
        self.version += 1;
    }

    /// As [`Routes::check`], whether messages may go there or not.
    pub(crate) fn reachable(&self, node: NodeId) -> Result<&Arc<PeerRoutes>, CommandError> {
        match self.peers.get(node) {
            None => Err(CommandError::UnknownNode(node)),
            Some(Route::Awaited) => Err(CommandError::NotYetConnected(node)),
            Some(Route::Lost) => Err(CommandError::Disconnected(node)),
            Some(Route::Up(_, routes)) => Ok(routes),
        }
    }

    pub(crate) fn await_peer(&mut self, node: NodeId) {
        if !self.peers.contains(node) {
            self.set(node, Route::Awaited);
        }
    }

    pub(crate) fn up(&mut self, routes: PeerRoutes) {
        self.set(routes.instance.node, Route::Up(routes.anchor, Arc::new(routes)));
    }

    pub(crate) fn down(&mut self, node: NodeId) {
        self.set(node, Route::Lost);
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.version += 1;
        self.peers.remove(node);
    }

    pub(crate) fn set_lane(
        &mut self,
        node: NodeId,
        channel: ChannelId,
        lane: u8,
        connection: Option<ConnectionId>,
    ) {
        let Some(Route::Up(_, routes)) = self.peers.get_mut(node) else {
            return;
        };
        if let Some(slot) = Arc::make_mut(routes).channels.lane_mut(channel, lane) {
            *slot = connection;
            self.version += 1;
        }
    }
}

/// Highest random weight (Thaler and Ravishankar): each key prefers each lane by a hash of both,
/// so that taking one lane away moves only the keys of that lane.
fn rendezvous(key: u64, lanes: usize) -> usize {
    let weight = |lane: &usize| mix(key ^ mix(*lane as u64));
    (0..lanes).max_by_key(weight).unwrap_or(0)
}

/// The finaliser of SplitMix64. Both ends need not agree on it; the same node must, for a session.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn least_loaded(
    lanes: &[Option<ConnectionId>],
    mut load: impl FnMut(ConnectionId) -> usize,
) -> Option<ConnectionId> {
    if let [only] = lanes {
        return *only;
    }
    lanes.iter().copied().flatten().min_by_key(|connection| load(*connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use alloc::vec;

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(number)
    }

    fn connection(number: u64) -> ConnectionId {
        ConnectionId::dialled(number)
    }

    fn routes(lanes: Vec<Option<ConnectionId>>) -> Routes {
        let mut routes = Routes::new(true);
        let instance = Instance { node: node(1), incarnation: Incarnation(1) };
        let channels =
            vec![vec![Some(connection(0))], vec![Some(connection(1))], lanes, Vec::new()];
        let channels = channels.into();
        let (epoch, anchor) = (Epoch(1), connection(0));
        let (max_frame, reads_lz4) = (1024, false);
        routes.up(PeerRoutes { instance, epoch, max_frame, reads_lz4, anchor, channels });
        routes
    }

    fn lane(routes: &Routes, key: u64) -> Result<ConnectionId, CommandError> {
        routes.lane(node(1), ChannelId(2), Some(key), 64, |_| 0)
    }

    #[test]
    fn lanes_are_a_list_of_lists() {
        let mut lanes = Lanes::none_open([1, 0, 2]);
        *lanes.lane_mut(ChannelId(2), 1).unwrap() = Some(connection(7));
        let lists: Vec<_> = lanes.iter().map(<[_]>::to_vec).collect();
        assert_eq!(lists, [vec![None], vec![], vec![None, Some(connection(7))]]);
        assert_eq!(Lanes::from(lists.clone()), lanes);
        assert_eq!(lanes.get(3), None);
        for (channel, lane) in [(0, 1), (1, 0), (2, 2), (3, 0)] {
            assert_eq!(lanes.lane_mut(ChannelId(channel), lane), None);
        }
        let hash = |of: &dyn Fn(&mut crate::wire::StableHasher)| {
            let mut hasher = crate::wire::StableHasher::default();
            of(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&|h| lanes.hash(h)), hash(&|h| lists.hash(h)));
    }

    #[test]
    fn a_key_keeps_its_lane_and_keys_use_all_lanes() {
        let four = routes((2..6).map(|n| Some(connection(n))).collect());
        let mut used: Vec<_> = (0..100).map(|key| lane(&four, key).unwrap()).collect();
        let again: Vec<_> = (0..100).map(|key| lane(&four, key).unwrap()).collect();
        assert_eq!(used, again);
        used.sort();
        used.dedup();
        assert_eq!(used.len(), 4);
    }

    #[test]
    fn fewer_lanes_move_only_the_keys_of_the_lost_one() {
        for key in 0..1_000 {
            let (four, three) = (rendezvous(key, 4), rendezvous(key, 3));
            assert!(four == three || four == 3, "key {key} moved from {four} to {three}");
        }
    }

    #[test]
    fn while_a_lane_is_down_its_keys_wait_and_the_others_do_not() {
        let mut four = routes((2..6).map(|n| Some(connection(n))).collect());
        let before: Vec<_> = (0..100).map(|key| lane(&four, key).unwrap()).collect();
        four.set_lane(node(1), ChannelId(2), 0, None);
        for (key, before) in before.into_iter().enumerate() {
            let now = lane(&four, key as u64);
            match before == connection(2) {
                true => assert_eq!(now, Err(CommandError::LaneDown(node(1)))),
                false => assert_eq!(now, Ok(before)),
            }
        }
    }

    #[test]
    fn without_a_key_the_least_loaded_open_lane_is_taken() {
        let three = routes(vec![Some(connection(2)), None, Some(connection(4))]);
        let load = |c: ConnectionId| if c == connection(2) { 10 } else { 5 };
        assert_eq!(three.lane(node(1), ChannelId(2), None, 64, load), Ok(connection(4)));
        let none = routes(vec![None]);
        let error = none.lane(node(1), ChannelId(2), None, 64, |_| 0);
        assert_eq!(error, Err(CommandError::LaneDown(node(1))));
    }

    #[test]
    fn a_channel_the_peer_lacks_falls_back_only_where_allowed() {
        let mut routes = routes(vec![None]);
        let send = |routes: &Routes| routes.lane(node(1), ChannelId(3), None, 64, |_| 0);
        assert_eq!(send(&routes), Ok(connection(1)));
        routes.fallback = false;
        assert_eq!(send(&routes), Err(CommandError::NoSuchChannel(node(1))));
        let unknown = routes.lane(node(1), ChannelId(4), None, 64, |_| 0);
        assert_eq!(unknown, Err(CommandError::UnknownChannel(4)));
    }

    #[test]
    fn each_way_of_not_being_connected_has_its_error() {
        let mut routes = routes(vec![None]);
        let send = |routes: &Routes, to| routes.lane(node(to), ChannelId(1), None, 64, |_| 0);
        assert_eq!(send(&routes, 2), Err(CommandError::UnknownNode(node(2))));
        routes.await_peer(node(2));
        assert_eq!(send(&routes, 2), Err(CommandError::NotYetConnected(node(2))));
        routes.down(node(1));
        assert_eq!(send(&routes, 1), Err(CommandError::Disconnected(node(1))));
    }

    #[test]
    fn a_frame_beyond_the_peers_limit_is_refused_at_the_sender() {
        let routes = routes(vec![None]);
        let error = routes.lane(node(1), ChannelId(1), None, 1025, |_| 0);
        assert_eq!(error, Err(CommandError::PayloadTooLarge { bytes: 1025, most: 1024 }));
    }
}
