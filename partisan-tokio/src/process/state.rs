//! What the code of a process and the loop share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use partisan_proto::{CommandError, ProcessId, Serial, Signal};
use tokio::sync::oneshot;

use crate::calls::RequestError;
use crate::error::NodeError;
use crate::mailbox::{Entry, MailboxQueue};
use crate::sync::lock;

/// What the code of a process and the loop share: its identity, its mailbox, and which signals it
/// waits for.
///
/// A signal about a number that nobody expects any more is dropped: that is what makes
/// `demonitor`, `cancel_timer` and giving up a call take effect at once.
#[derive(Debug)]
pub(crate) struct ProcessState {
    pub(crate) id: ProcessId,
    pub(crate) mailbox: Arc<MailboxQueue>,
    numbers: AtomicU64,
    expected: Mutex<Result<HashMap<u64, Expected>, Gone>>,
}

/// Why a process is told nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It has ended.
    Ended(Serial),
    /// Its node has stopped.
    Stopped,
}

impl From<Gone> for NodeError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Ended(process) => CommandError::NoSuchProcess(process).into(),
            Gone::Stopped => Self::Stopped,
        }
    }
}

impl From<Gone> for RequestError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Ended(_) => Self::Ended,
            Gone::Stopped => Self::Stopped,
        }
    }
}

/// Where a signal is expected.
#[derive(Debug)]
enum Expected {
    InMailbox,
    Here(oneshot::Sender<Signal>),
}

impl ProcessState {
    pub(crate) fn new(id: ProcessId, messages: usize, bytes: usize) -> Self {
        Self {
            id,
            mailbox: Arc::new(MailboxQueue::new(Some(id.serial), messages, bytes)),
            numbers: AtomicU64::new(0),
            expected: Mutex::new(Ok(HashMap::new())),
        }
    }

    /// A number that this process never used before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn add(&self, number: u64, expected: Expected) -> Result<(), Gone> {
        lock(&self.expected).as_mut().map_err(|gone| *gone)?.insert(number, expected);
        Ok(())
    }

    /// Why it is told nothing any more, once it is not.
    pub(crate) fn gone(&self) -> Option<Gone> {
        lock(&self.expected).as_ref().err().copied()
    }

    /// The signal about this number will go to the mailbox.
    pub(crate) fn expect(&self, number: u64) -> Result<(), Gone> {
        self.add(number, Expected::InMailbox)
    }

    /// The signal about this number will be told here; the receiver fails when the process ends.
    pub(crate) fn expect_here(&self, number: u64) -> Result<oneshot::Receiver<Signal>, Gone> {
        let (tell, told) = oneshot::channel();
        self.add(number, Expected::Here(tell))?;
        Ok(told)
    }

    /// Nothing about this number is expected any more; whether it was.
    pub(crate) fn forget(&self, number: u64) -> bool {
        let mut expected = lock(&self.expected);
        let was = expected.as_mut().is_ok_and(|expected| expected.remove(&number).is_some());
        drop(expected);
        self.mailbox.retain(|entry| !is_about(entry, number));
        was
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Held while the signal is put into the mailbox: whoever forgets a number finds it there.
        let mut expected = lock(&self.expected);
        let Ok(known) = expected.as_mut() else { return };
        match signal.number().map(|number| known.remove(&number)) {
            None | Some(Some(Expected::InMailbox)) => self.mailbox.push_signal(signal),
            // Whoever waited may have given up.
            Some(Some(Expected::Here(tell))) => drop(tell.send(signal)),
            Some(None) => {}
        }
    }

    /// The process is gone: nobody waits any more. The first reason counts.
    pub(crate) fn close(&self, gone: Gone) {
        self.mailbox.close();
        let mut expected = lock(&self.expected);
        if expected.is_ok() {
            let waiting = std::mem::replace(&mut *expected, Err(gone));
            drop(expected);
            drop(waiting);
        }
    }
}

fn is_about(entry: &Entry, wanted: u64) -> bool {
    match entry {
        Entry::Message(_) => false,
        Entry::Other(input) => match &**input {
            super::Input::Signal(signal) => signal.number() == Some(wanted),
            _ => false,
        },
    }
}
