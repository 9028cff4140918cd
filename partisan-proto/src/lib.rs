//! The Partisan protocol as one pure state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// Only what fuzzers use needs more than `alloc`.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

pub mod action;
pub mod change;
pub mod command;
pub mod config;
pub mod connections;
pub mod context;
pub mod error;
pub mod event;
pub mod id;
pub mod manager;
pub mod notification;
pub mod random;
pub mod snapshot;
pub mod spec;
pub mod time;
pub mod timers;
pub mod wire;

mod node;

pub use action::{Action, Answer, Delivery, Outbox};
pub use change::{Change, ContactId};
pub use command::{Command, Contact, Send};
pub use config::{ChannelOptions, Channels, Config};
pub use connections::{ConnectionInfo, Counters, PeerInfo, PeerRoutes, Routes};
pub use context::{Context, Me};
pub use error::{
    CloseReason, CommandError, ConfigError, JoinError, Misbehaviour, OpenError, Refusal,
};
pub use event::Event;
pub use id::{
    ChannelId, ChannelName, ClusterName, ConnectionId, Epoch, Incarnation, Instance, NodeId,
    NodeName, Tag, Ticket,
};
pub use manager::{Manager, Member};
pub use node::{Birth, Node};
pub use notification::{DialError, Notification};
pub use random::{Random, Seed};
pub use snapshot::Snapshot;
pub use spec::{Address, Host, NodeSpec};
pub use time::{Duration, Instant};
pub use timers::Timer;
