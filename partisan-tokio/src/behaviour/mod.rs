//! OTP's behaviours on real nodes: see [`partisan_proto::behaviour`] for what they promise.
//!
//! ```
//! use partisan_tokio::behaviour::{
//!     ActorContext, CallResult, Caller, GenServer, Next, Protocol,
//! };
//! use partisan_tokio::{Node, NodeName, Settings};
//!
//! #[derive(Debug, Default)]
//! struct Counter(u64);
//!
//! impl Protocol for Counter {
//!     type Call = ();
//!     type Reply = u64;
//!     type Cast = u64;
//! }
//!
//! impl GenServer for Counter {
//!     type Continue = ();
//!
//!     fn handle_call(&mut self, _: (), _: Caller<u64>, _: &mut ActorContext<'_>) -> CallResult<Self> {
//!         CallResult::reply(self.0)
//!     }
//!
//!     fn handle_cast(&mut self, more: u64, _: &mut ActorContext<'_>) -> Next<Self> {
//!         self.0 += more;
//!         Next::Wait
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::start(Settings::new(NodeName::new("alice@127.0.0.1")?)).await?;
//! let counter = node.start_server(Counter::default()).await?;
//! counter.cast(&20).await;
//! counter.cast(&22).await;
//! assert_eq!(counter.call(&()).await?, 42);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Reports
//!
//! What behaviours report ([`Report`]) becomes events of `tracing` with the target
//! `partisan::reports`: progress at the level `INFO`, warnings at `WARN`, errors at `ERROR`. An end in
//! good order (normal, or for a shutdown) is never an error. Errors and warnings are counted, too
//! ([`NodeCounters::reported_errors`](crate::NodeCounters::reported_errors)).
//!
//! | field | what it is |
//! |---|---|
//! | `process` | who reports |
//! | `report` | what, in one word ([`Report::name`]): `child_ended`... |
//! | `about` | the child or the kind of handler, where it is about one |
//! | `reason` | why something ended, where something did |
//! | `message` | the whole as a sentence |

mod error;
mod group;
mod handle;
mod start;

pub use partisan_proto::behaviour::*;
pub use partisan_proto::process::ActorContext;

pub use error::{ServerStartError, StopError};
pub use group::ServerGroup;
pub use handle::ServerHandle;
pub use start::StartOptions;

pub use crate::rpc::spawn_place;
