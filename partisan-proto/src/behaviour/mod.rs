//! OTP's behaviours as pure machines: write a server once, and run it on tokio and in the simulator.
//!
//! | OTP | here |
//! |---|---|
//! | `gen_server` | [`GenServer`], run by [`ServerProcess`] |
//! | `gen_statem` | [`GenStatem`], run by [`StatemProcess`] |
//! | `sys` | [`SystemRequest`], answered by all of them |
//!
//! A [`Protocol`] says what a server is told and what it answers; a [`ServerRef`] names a server that
//! speaks it, anywhere in the cluster, and lets nothing else be sent to it. All is built upon
//! [`Actor`](crate::process::Actor), [`call`](crate::call) and nothing else.
//!
//! After Erlang/OTP 25 and Partisan's forks of its behaviours, without what the forks lack: timeouts
//! of remote calls that leave nothing behind, channels that are no process's habit but a reference's.

mod envelope;
pub mod gen_server;
pub mod gen_statem;
mod process;
mod protocol;
mod system;

pub use gen_server::{CallResult, GenServer, Init, Next, ServerProcess};
pub use gen_statem::{Entered, Event, GenStatem, Initial, StatemProcess, Timeout, Transition};
pub use process::{Behaviour, Engine, Flow, Info, MAX_HELD};
pub use protocol::{AnswerError, Caller, Pending, Protocol, ServerRef, Term};
pub use system::{MAX_STATE, Started, StateBytes, Statistics, Status, SystemRequest, TraceEvent};
