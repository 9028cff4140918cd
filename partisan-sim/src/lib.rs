//! A deterministic simulator of Partisan clusters: one process, virtual time, faults from a seed.
//!
//! It performs the actions of the very same [`partisan_proto::Node`] that runs on real networks.
//! One seed is one run, bit for bit; hours of cluster time pass in seconds.
//!
//! ```
//! use partisan_proto::{ChannelId, Duration};
//! use partisan_sim::{World, WorldOptions, check};
//!
//! let mut world = World::new(WorldOptions { seed: 7, ..WorldOptions::default() });
//! check::watch(&mut world);
//! world.add_nodes(3);
//! world.join(1, 0);
//! world.join(2, 0);
//! assert!(world.run_until(|world| world.agree(&[0, 1, 2]), Duration::from_secs(10)));
//! assert!(world.run_until(|world| world.is_connected(1, 2), Duration::from_secs(10)));
//!
//! world.send(1, 2, ChannelId::DEFAULT, None, "hello");
//! world.run_for(Duration::from_secs(1));
//! assert_eq!(&world.deliveries(2)[0].1.payload[..], b"hello");
//!
//! world.partition(&[&[0, 1], &[2]]);
//! world.run_for(Duration::from_secs(100));
//! assert!(!world.is_connected(1, 2), "keep-alive has noticed");
//! world.heal();
//! assert!(world.run_until(|world| world.is_connected(1, 2), Duration::from_secs(60)));
//! assert_eq!(world.violations(), []);
//! ```
//!
//! | to find | look into |
//! |---|---|
//! | the loop, the scripting of tests | [`world`] |
//! | connections, latency, partitions | [`network`], [`latency`] |
//! | dropping or rewriting single frames | [`rules`] |
//! | whole runs with faults, sweeps, shrinking | [`run`], [`fault`], [`workload`], [`shrink`] |
//! | named scenarios: join shapes, mass failure, churn | [`story`] |
//! | a small store that keeps what is broadcast | [`store`] |
//! | processes: pure machines with mailboxes | [`processes`] |
//! | whole applications, which run on tokio unchanged | [`applications`] |
//! | what is checked | [`check`] |
//! | what an overlay is like, in numbers | [`measure`] |
//! | pictures, and the report of a run | [`picture`] |
//! | a measurement at sizes beyond a full mesh | [`sparse`] |

#![forbid(unsafe_code)]

pub mod applications;
pub mod check;
pub mod draw;
pub mod fault;
pub mod latency;
pub mod measure;
pub mod network;
pub mod node_host;
pub mod paper;
pub mod picture;
mod pile;
pub mod processes;
pub mod queue;
pub mod rules;
pub mod run;
pub mod shrink;
pub mod sparse;
pub mod store;
pub mod story;
pub mod trace;
pub mod workload;
pub mod world;

pub use latency::Latency;
pub use network::{Cut, Death, NetworkOptions};
pub use rules::{InFlight, Verdict};
pub use run::{Report, Scenario};
pub use sparse::Sparse;
pub use story::Story;
pub use world::{Restart, Wire, World, WorldOptions};
