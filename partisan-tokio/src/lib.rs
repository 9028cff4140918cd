//! Partisan nodes on tokio: real TCP, bounded queues, typed messages.
//!
//! A [`Node`] runs one [`partisan_proto::Node`] and is what most users hold.
//!
//! ```
//! use std::time::Duration;
//! use partisan_tokio::{Contact, Node, NodeName, SendOptions, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let alice = Node::start(Settings::new(NodeName::new("alice@127.0.0.1")?)).await?;
//! let bob = Node::start(Settings::new(NodeName::new("bob@127.0.0.1")?)).await?;
//! let mut inbox = alice.inbox()?;
//! bob.sync_join(Contact::from(&*alice.spec()), Duration::from_secs(10)).await?;
//! bob.send(&alice.name(), "hello", &SendOptions::default()).await?;
//! let message = inbox.recv().await.ok_or("stopped")?;
//! assert_eq!(message.decode::<String>()?, "hello");
//! bob.shutdown().await;
//! alice.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! One task, the loop, owns the protocol; it never waits for a peer. Plain messages do not pass
//! it: a sender looks its lane up in the published routes and encodes straight into the queue of
//! that connection, whose task writes whole batches; on the other side the task of the connection
//! hands what one read brought straight to the mailboxes. Both paths pass one function on each
//! side (`interception`).
//!
//! What processes do, and calls, watching and the like, pass the loop, in one order: see [`process`].
//!
//! Every queue is bounded by [`DriverConfig`]. A full queue makes `send` wait and `try_send` fail;
//! a full mailbox stops the reading of the connections that bring its messages, and so in the end
//! their senders. Messages of a connection are never delivered once the protocol has closed it.

pub mod behaviour;
mod broadcasts;
mod calls;
mod cluster;
mod connection;
mod driver_config;
mod error;
mod event_loop;
mod events;
pub mod guide;
mod id_hasher;
mod interception;
mod mailbox;
mod mailboxes;
mod network;
mod node;
mod perform;
pub mod process;
mod rpc;
mod sending;
mod settings;
mod shared;
mod start;
mod store;
mod sync;

pub use behaviour::{ServerGroup, ServerHandle, ServerStartError, StartOptions, StopError};
pub use broadcasts::{
    Broadcast, BroadcastHandler, Broadcasts, CostOracle, Exchange, HandlerError, Overflow,
    ReceivedBroadcast, Registration,
};
pub use calls::{
    CallOptions, MultiReply, RequestCollection, RequestError, RequestHandle, RequestKey,
};
pub use cluster::{LocalCluster, LocalClusterBuilder};
pub use driver_config::DriverConfig;
pub use error::{NodeError, SendError, StartError};
pub use events::{EventStream, NodeEvent, Subscription};
pub use mailbox::{Mailbox, Message};
pub use node::Node;
pub use process::{
    Down, Input, IntoExitReason, Monitor, NodeChange, NodeMonitor, Process, Request, SpawnOptions,
};
pub use sending::{Recipient, SendOptions};
pub use settings::Settings;
pub use shared::{NodeCounters, View};
pub use store::Recovered;

pub use partisan_proto::behaviour::ServerRef;
pub use partisan_proto::call::{CallError, Failure, Server};
pub use partisan_proto::config::Compression;
pub use partisan_proto::interposition;
pub use partisan_proto::process::{Alias, AliasUntil, Lane, MonitorOptions, NodeFilter, ReplyTo};
pub use partisan_proto::wire::{Destination, PartitionId};
pub use partisan_proto::{
    Address, ChannelId, ChannelName, ChannelOptions, Channels, CloseReason, ClusterName,
    CommandError, Config, ConnectionInfo, Contact, ExitReason, Incarnation, Instance, JoinError,
    LabelId, LabelName, Member, NodeId, NodeName, NodeSpec, Notification, PeerInfo, ProcessId,
    ProcessName, Reference, SendReliable, Signal, Tag, Target, Views,
};
