//! What people should know of what becomes of processes: the reports of OTP's behaviours, as values.

use alloc::string::String;
use core::fmt::{self, Write};

use super::Info;
use super::gen_event::HandlerId;
use super::supervisor::ChildError;
use crate::process::{ExitReason, ProcessId};
use crate::time::Duration;

/// The longest text that a report holds of a state or a message, in bytes; what is longer is cut.
pub const MAX_REPORT_TEXT: usize = 1 << 10;

/// How much a report matters (the levels of OTP's `logger`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// All is well (`info`, OTP's progress reports).
    Progress,
    /// Perhaps something was not meant so (`warning`).
    Warning,
    /// Something went wrong (`error`).
    Error,
}

/// What people should know, told by [`ActorContext::report`](crate::process::ActorContext::report):
/// whoever drives the node logs and counts it.
///
/// An end in good order ([`ExitReason::is_orderly`]) is never an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A behaviour ends, and not in good order (`Generic server terminating`). Not told of one that
    /// is killed, or ended by an exit signal that it does not trap: those do not run any more.
    Terminating {
        /// What it is, as OTP calls it.
        behaviour: &'static str,
        /// Why.
        reason: ExitReason,
        /// What it was handling, if anything.
        handling: Option<String>,
        /// Its state.
        state: String,
    },
    /// An event handler panicked, and was removed.
    HandlerCrashed {
        /// Which.
        handler: HandlerId,
        /// Why.
        reason: ExitReason,
        /// What it was handling.
        handling: Option<String>,
        /// Its state.
        state: String,
    },
    /// Something came that nobody handles: a plain message or a signal.
    Unexpected {
        /// What.
        info: String,
    },
    /// A supervisor started a child (`progress`).
    ChildStarted {
        /// How it is called.
        child: String,
        /// The process; `None` if it had nothing to do.
        process: Option<ProcessId>,
    },
    /// A child was not able to begin (`start_error`).
    ChildNotStarted {
        /// How it is called.
        child: String,
        /// Why.
        error: ChildError,
    },
    /// A child ended by itself (`child_terminated`): not in good order, or although it is permanent.
    ChildEnded {
        /// How it is called.
        child: String,
        /// Which process it was.
        process: ProcessId,
        /// Why.
        reason: ExitReason,
    },
    /// A child that was told to end did so for a reason of its own, or did not in time and was killed
    /// (`shutdown_error`).
    ChildNotShutDown {
        /// How it is called.
        child: String,
        /// Which process it was.
        process: ProcessId,
        /// Why it ended.
        reason: ExitReason,
    },
    /// A supervisor gives up (`reached_max_restart_intensity`).
    TooManyRestarts {
        /// Which child was to be started again.
        child: String,
        /// How many restarts are allowed,
        intensity: usize,
        /// within how long.
        period: Duration,
    },
}

impl Report {
    /// Something came that nobody handles.
    pub(super) fn unexpected(info: &Info) -> Self {
        Self::Unexpected { info: shown(info) }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ChildStarted { .. } => Severity::Progress,
            Self::Unexpected { .. } => Severity::Warning,
            Self::ChildEnded { reason, .. } if reason.is_orderly() => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What it is, in one word: for filters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terminating { .. } => "terminating",
            Self::HandlerCrashed { .. } => "handler_crashed",
            Self::Unexpected { .. } => "unexpected",
            Self::ChildStarted { .. } => "child_started",
            Self::ChildNotStarted { .. } => "child_not_started",
            Self::ChildEnded { .. } => "child_ended",
            Self::ChildNotShutDown { .. } => "child_not_shut_down",
            Self::TooManyRestarts { .. } => "too_many_restarts",
        }
    }

    /// The child or handler that it is about.
    #[must_use]
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::ChildStarted { child, .. }
            | Self::ChildNotStarted { child, .. }
            | Self::ChildEnded { child, .. }
            | Self::ChildNotShutDown { child, .. }
            | Self::TooManyRestarts { child, .. } => Some(child),
            Self::HandlerCrashed { handler, .. } => Some(&handler.kind),
            Self::Terminating { .. } | Self::Unexpected { .. } => None,
        }
    }

    /// Why something ended, where something did.
    #[must_use]
    pub const fn reason(&self) -> Option<&ExitReason> {
        match self {
            Self::Terminating { reason, .. }
            | Self::HandlerCrashed { reason, .. }
            | Self::ChildEnded { reason, .. }
            | Self::ChildNotShutDown { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let while_handling = |f: &mut fmt::Formatter<'_>, handling: &Option<String>| match handling
        {
            Some(handling) => write!(f, ", while it handled {handling}"),
            None => Ok(()),
        };
        match self {
            Self::Terminating { behaviour, reason, handling, state } => {
                write!(f, "{behaviour} ends: {reason}")?;
                while_handling(f, handling)?;
                write!(f, "; its state was {state}")
            }
            Self::HandlerCrashed { handler, reason, handling, state } => {
                write!(f, "the event handler `{}`", handler.kind)?;
                if let Some(instance) = &handler.instance {
                    write!(f, " `{instance}`")?;
                }
                write!(f, " was removed: {reason}")?;
                while_handling(f, handling)?;
                write!(f, "; its state was {state}")
            }
            Self::Unexpected { info } => write!(f, "nobody handles {info}"),
            Self::ChildStarted { child, process: Some(_) } => write!(f, "child `{child}` runs"),
            Self::ChildStarted { child, process: None } => {
                write!(f, "child `{child}` had nothing to do")
            }
            Self::ChildNotStarted { child, error } => {
                write!(f, "child `{child}` did not start: {error}")
            }
            Self::ChildEnded { child, reason, .. } => write!(f, "child `{child}` ended: {reason}"),
            Self::ChildNotShutDown { child, reason, .. } => {
                write!(f, "child `{child}` was told to end and did otherwise: {reason}")
            }
            Self::TooManyRestarts { child, intensity, period } => write!(
                f,
                "child `{child}` is not started again: more than {intensity} restarts within \
                 {period:?}"
            ),
        }
    }
}

/// How a value is shown, cut to what a report holds.
pub(super) fn shown(value: &(impl fmt::Debug + ?Sized)) -> String {
    let mut cut = Cut(String::new());
    // An error says that no more is wanted.
    _ = write!(cut, "{value:?}");
    cut.0
}

/// A text, cut to what a report holds.
pub(super) fn cut(text: &str) -> String {
    let mut cut = Cut(String::new());
    _ = cut.write_str(text);
    cut.0
}

/// A text that takes as much as a report holds.
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = (MAX_REPORT_TEXT - self.0.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.0.push_str(&text[..room]);
        if room == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};
    use crate::process::Serial;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn what_is_shown_is_cut_between_characters() {
        assert_eq!(shown(&"short"), "\"short\"");
        let long: Vec<u32> = (0..100_000).collect();
        assert_eq!(shown(&long).len(), MAX_REPORT_TEXT);
        let umlauts = "ü".repeat(MAX_REPORT_TEXT);
        assert_eq!(shown(&umlauts).len(), MAX_REPORT_TEXT - 1, "a quote and whole characters");
    }

    #[test]
    fn an_end_in_good_order_is_no_error() {
        let ended = |reason| {
            let (node, birth) = (NodeId::from_u64(1), Incarnation(1));
            let process = ProcessId { node, birth, serial: Serial(1) };
            Report::ChildEnded { child: "a".into(), process, reason }.severity()
        };
        let with = ExitReason::shutdown_with(b"x").unwrap();
        for orderly in [ExitReason::Normal, ExitReason::Shutdown, with] {
            assert_eq!(ended(orderly), Severity::Warning);
        }
        assert_eq!(ended(ExitReason::Killed), Severity::Error);
    }

    #[test]
    fn a_report_is_a_sentence() {
        let handler = HandlerId { kind: "count".into(), instance: Some("first".into()) };
        let report = Report::HandlerCrashed {
            handler,
            reason: ExitReason::panicked("oh"),
            handling: Some("7".into()),
            state: "Count(3)".into(),
        };
        let text = "the event handler `count` `first` was removed: panicked: oh, while it handled 7; \
                    its state was Count(3)";
        assert_eq!(report.to_string(), text);
        assert_eq!((report.name(), report.about()), ("handler_crashed", Some("count")));
        assert_eq!(format!("{:?}", report.reason()), "Some(panicked: oh)");
    }
}
