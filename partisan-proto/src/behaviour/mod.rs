//! OTP's behaviours as pure machines: write a server once, and run it on tokio and in the simulator.
//!
//! | OTP | here |
//! |---|---|
//! | `gen_server` | [`GenServer`], run by [`ServerProcess`] |
//! | `gen_statem` | [`GenStatem`], run by [`StatemProcess`] |
//! | `gen_event` | [`EventManager`](gen_event::EventManager), run by [`EventManagerProcess`] |
//! | `supervisor` | [`Supervisor`], run by [`SupervisorProcess`] |
//! | `sys` | [`SystemRequest`], answered by all of them |
//!
//! A [`Protocol`] says what a server is told and what it answers; a [`ServerRef`] names a server that
//! speaks it, anywhere in the cluster, and lets nothing else be sent to it. A [`StoreProtocol`] is that of
//! a server that keeps the messages of a broadcast handler. All is built upon
//! [`Actor`](crate::process::Actor), [`call`](crate::call) and nothing else.
//!
//! After Erlang/OTP 25 and Partisan's forks of its behaviours, without what the forks lack: timeouts
//! of remote calls that leave nothing behind, channels that are no process's habit but a reference's.

mod envelope;
pub mod gen_event;
pub mod gen_server;
pub mod gen_statem;
mod keeping;
mod many;
pub mod membership;
mod process;
mod protocol;
mod report;
pub mod supervisor;
mod system;
#[cfg(test)]
mod testing;

pub use gen_event::EventManagerProcess;
pub use gen_server::{CallResult, GenServer, Init, Next, ServerProcess};
pub use gen_statem::{Entered, Event, GenStatem, Initial, StatemProcess, Timeout, Transition};
pub use keeping::{StoreAnswer, StoreProtocol, StoreQuestion};
pub use many::{Answers, PendingAll, Servers};
pub use process::{Beginning, Behaviour, DEFAULT_HELD, Engine, Flow, Info};
pub use protocol::{AnswerError, Caller, Never, Pending, Protocol, ServerRef, Term};
pub use report::{MAX_REPORT_TEXT, Report, Severity};
pub use supervisor::{ChildSpec, Supervisor, SupervisorProcess};
pub use system::{MAX_STATE, Started, StateBytes, Statistics, Status, SystemRequest, TraceEvent};
