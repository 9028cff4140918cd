//! A publish-and-subscribe router in Bondy's manner.
//!
//! Each node has a router, which serves the processes of its node and knows which topics the other
//! routers want. An event goes once to each node where somebody wants it. All that one session
//! publishes travels by one lane, which its partition key picks, from router to router, so that
//! sessions are spread over several connections and each keeps its order.
//!
//! **Promised**, whatever happens to nodes and connections:
//! 1. A subscriber is sent what it subscribed to and nothing else, each event at most once, as it
//!    was published.
//! 2. The events of one session come in the order in which they were published, to whatever topics.
//! 3. None is missing between two that came, unless a connection between the two nodes was lost in
//!    between, or a mailbox was full.
//! 4. A subscription that was answered is known to every node that is connected, in the end; what is
//!    published there after that comes.
//!
//! **Not promised:** that an event reaches nodes that are not connected to the publisher's, as on
//! overlays of partial views; that it survives the loss of a connection; order between sessions.
//! Subscriptions and sessions end with their node.

mod listener;
mod server;
mod trial;

pub use listener::{Heard, Listener, MAX_HEARD};
pub use server::{
    Event, MAX_SESSIONS, MAX_SUBSCRIPTIONS, MAX_TOPIC, Router, RouterCall, RouterCast,
    RouterRefusal, RouterReply, Session, Topic,
};
pub use trial::Trial;

use partisan_proto::{ChannelId, ChannelName, ChannelOptions, Channels, Config, ProcessName};

/// The name of the router on each node.
pub const NAME: &str = "router";
/// The channel of events.
pub const CHANNEL: &str = "events";
/// How many lanes it has.
pub const LANES: u8 = 4;

/// The name of the router.
#[must_use]
pub fn server_name() -> ProcessName {
    super::process_name(NAME)
}

/// Has nodes of this configuration have the channel of events; where there are as many channels as
/// there may be, events go by the default one.
///
/// # Panics
/// Never: the name is a good one.
pub fn configure(config: &mut Config) {
    let events = ChannelName::new(CHANNEL).expect("a short plain name is good");
    let others = config.channels.iter().map(|(_, name, options)| (name.clone(), options));
    let others = others.filter(|(name, _)| *name != events);
    let all = others.chain([(events.clone(), ChannelOptions::lanes(LANES))]);
    if let Ok(channels) = Channels::new(all) {
        config.channels = channels;
    }
}

/// The channel of events; the default one where it is not configured.
#[must_use]
pub fn channel(config: &Config) -> ChannelId {
    config.channels.id(CHANNEL).unwrap_or(ChannelId::DEFAULT)
}
