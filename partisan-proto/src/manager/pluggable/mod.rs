//! The pluggable manager.
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Manager, Member};
use crate::change::Change;
use crate::command::Command;
use crate::config::PluggableConfig;
use crate::context::{Context, Me};
use crate::error::ConfigError;
use crate::id::{Instance, NodeId, Ticket};
use crate::random::Seed;
use crate::snapshot::Snapshot;
use crate::timers::Timer;
use crate::wire::ControlMessage;

/// The pluggable manager.
#[derive(Debug)]
pub struct Pluggable {}

impl Pluggable {
    /// Starts.
    pub fn new(
        _me: &Me,
        _config: PluggableConfig,
        _seed: &Seed,
        _snapshot: Option<Snapshot>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

impl Manager for Pluggable {
    fn start(&mut self, _cx: &mut Context<'_>) {}
    fn command(&mut self, _cx: &mut Context<'_>, _ticket: Ticket, _command: Command) {}
    fn change(&mut self, _cx: &mut Context<'_>, _change: &Change) {}
    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        _message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        Ok(())
    }
    fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}
    fn members(&self) -> Vec<Member> {
        Vec::new()
    }
    fn member(&self, _node: NodeId) -> Option<Member> {
        None
    }
    fn fingerprint(&self) -> u64 {
        0
    }
}
