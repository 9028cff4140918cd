//! Names, those that are given and aliases: what stands for whom.

use super::{Alias, AliasUntil, Context, MonitorId, ProcessName, Processes, Serial};
use crate::error::CommandError;

impl Processes {
    /// A name now stands for a process.
    pub(crate) fn register(
        &mut self,
        cx: &Context<'_>,
        serial: Serial,
        name: ProcessName,
    ) -> Result<(), CommandError> {
        if name.is_reserved() {
            return Err(CommandError::ReservedName(name));
        }
        if let Some(holder) = self.names.get(&name) {
            return Err(CommandError::NameTaken { name, holder: *holder });
        }
        let limit = cx.config.processes.max_names;
        if self.names.len() >= limit {
            return Err(CommandError::TooManyNames { limit });
        }
        let process = self.table.get_mut(&serial).ok_or(CommandError::NoSuchProcess(serial))?;
        process.names.insert(name.clone());
        self.names.insert(name, serial);
        Ok(())
    }

    /// A name that was registered stands for nobody any more. Monitors by that name stay with their
    /// process.
    pub(crate) fn unregister(&mut self, name: &ProcessName) -> Result<(), CommandError> {
        let not_there = || CommandError::NameUnknown(name.clone());
        if name.is_reserved() {
            return Err(not_there());
        }
        let serial = self.names.remove(name).ok_or_else(not_there)?;
        if let Some(process) = self.table.get_mut(&serial) {
            process.names.remove(name);
        }
        Ok(())
    }

    /// An alias begins to stand for a process; `false` when there are as many names as may be.
    pub(super) fn alias(&mut self, cx: &Context<'_>, alias: MonitorId, until: AliasUntil) -> bool {
        let MonitorId { owner, number } = alias;
        let name = Alias { process: self.id(cx, owner), number }.name();
        let full = self.names.len() >= cx.config.processes.max_names;
        if full && !self.names.contains_key(&name) {
            return false;
        }
        if let Some(process) = self.table.get_mut(&owner) {
            if until == AliasUntil::MonitorEnds {
                process.aliases.insert(number);
            }
            process.names.insert(name.clone());
            self.names.insert(name, owner);
        }
        true
    }

    /// An alias stands for nobody any more.
    pub(super) fn unalias(&mut self, cx: &Context<'_>, alias: MonitorId) {
        let MonitorId { owner, number } = alias;
        let name = Alias { process: self.id(cx, owner), number }.name();
        if let Some(process) = self.table.get_mut(&owner)
            && process.names.remove(&name)
        {
            process.aliases.remove(&number);
            self.names.remove(&name);
        }
    }

    /// A monitor ended: so does the alias that was to last as long.
    pub(super) fn monitor_ended(&mut self, cx: &Context<'_>, monitor: MonitorId) {
        let owner = self.table.get(&monitor.owner);
        if owner.is_some_and(|owner| owner.aliases.contains(&monitor.number)) {
            self.unalias(cx, monitor);
        }
    }
}
