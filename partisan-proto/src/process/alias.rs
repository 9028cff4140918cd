//! Names that stand for a process until it takes them back.

use alloc::format;

use serde::{Deserialize, Serialize};

use super::{Lane, ProcessId, Target};
use crate::id::ProcessName;

/// A name of a process for those who are to reach it for a while only (`alias/0`): what is sent to it
/// once it was taken back is dropped and counted, as what is sent to any name that stands for nobody.
///
/// It is one of the node's own names, `partisan.alias.` with three numbers, and is sent to, asked and
/// watched as any name; no other alias of the node, in whichever of its runs, is called the same. It
/// counts among `processes.max_names`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// Whom it stands for.
    pub process: ProcessId,
    /// How that numbered it; the number of its monitor, where it came with one.
    pub number: u64,
}

impl Alias {
    /// The name.
    #[must_use]
    pub fn name(&self) -> ProcessName {
        let ProcessId { birth, serial, .. } = self.process;
        let text = format!("{}alias.{birth}.{}.{}", ProcessName::RESERVED, serial.0, self.number);
        // Letters, digits and dots, and not many.
        ProcessName::new(&text).expect("a short plain name is good")
    }
}

impl From<Alias> for Target {
    fn from(alias: Alias) -> Self {
        Self::Name(alias.process.node, alias.name())
    }
}

/// How a process watches another one (the options of `monitor/3`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorOptions {
    /// Among which messages the news keeps its place.
    pub lane: Lane,
    /// What the watcher calls monitors of this kind, told with the news (`{tag, Term}`).
    pub tag: u64,
    /// Whether there is to be an alias of the same number, and until when.
    pub alias: Option<AliasUntil>,
}

/// When an [`Alias`] that came with a monitor ends, unless its process takes it back or ends before.
///
/// An alias that ends with the first answer (`reply_demonitor`) is what a call has: its answer is
/// addressed to the request, and the first of answer and end is its outcome. See
/// [`call`](crate::call).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum AliasUntil {
    /// When it is taken back (`explicit_unalias`).
    TakenBack,
    /// When the monitor ends, by its news or by `demonitor` (`demonitor`).
    MonitorEnds,
}
