//! Who had which name, and when nobody had it.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::{Command, Event, NodeId, ProcessId, ProcessName, Ticket};

use super::{id, local};
use crate::world::{Step, World};

/// The names of processes on all nodes, as their commands and the answers to them tell.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What is being asked for.
    asked: BTreeMap<(usize, Ticket), Asked>,
    /// Who has it, and since which step.
    held: BTreeMap<(NodeId, ProcessName), (ProcessId, u64)>,
    /// Who ever had it.
    holders: BTreeSet<(NodeId, ProcessName, ProcessId)>,
}

#[derive(Debug)]
enum Asked {
    Take(ProcessName, ProcessId),
    Free(NodeId, ProcessName),
}

impl Names {
    /// Takes in what a node was told to do.
    pub(super) fn commanded(&mut self, step: &Step<'_>, world: &World) {
        let Some(Event::Command { ticket, command }) = step.told else {
            return;
        };
        let asked = match command {
            Command::Spawn { process, options } => {
                let process = local(world, step.node, *process);
                options.name.clone().map(|name| Asked::Take(name, process))
            }
            Command::Register { name, process } => {
                Some(Asked::Take(name.clone(), local(world, step.node, *process)))
            }
            Command::Unregister(name) => Some(Asked::Free(id(world, step.node), name.clone())),
            _ => None,
        };
        self.asked.extend(asked.map(|asked| ((step.node, *ticket), asked)));
    }

    /// A command was answered at this step.
    pub(super) fn answered(&mut self, ticket: (usize, Ticket), done: bool, step: u64) {
        match self.asked.remove(&ticket).filter(|_| done) {
            Some(Asked::Take(name, process)) => {
                self.holders.insert((process.node, name.clone(), process));
                self.held.insert((process.node, name), (process, step));
            }
            Some(Asked::Free(node, name)) => _ = self.held.remove(&(node, name)),
            None => {}
        }
    }

    /// A process is gone.
    pub(super) fn end(&mut self, process: ProcessId) {
        self.held.retain(|_, (holder, _)| *holder != process);
    }

    /// A node is gone.
    pub(super) fn crashed(&mut self, node: usize) {
        self.asked.retain(|(asker, _), _| *asker != node);
    }

    /// Whether nobody has the name.
    pub(super) fn is_free(&self, node: NodeId, name: &ProcessName) -> bool {
        !self.held.contains_key(&(node, name.clone()))
    }

    /// Whether there was a time since that step at which nobody had the name.
    pub(super) fn was_free_since(&self, node: NodeId, name: &ProcessName, step: u64) -> bool {
        let held = self.held.get(&(node, name.clone()));
        held.is_none_or(|(_, since)| *since >= step)
    }

    /// All who ever had the name.
    pub(super) fn holders(
        &self,
        node: NodeId,
        name: &ProcessName,
    ) -> impl Iterator<Item = ProcessId> {
        let all = self.holders.iter();
        let named = all.filter(move |(of, held, _)| *of == node && held == name);
        named.map(|(_, _, process)| *process)
    }
}
