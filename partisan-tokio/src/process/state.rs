//! What the code of a process and the loop share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use partisan_proto::{ProcessId, Signal};
use tokio::sync::oneshot;

use super::doings::Stopped;
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
    /// `None` once it has ended.
    expected: Mutex<Option<HashMap<u64, Expected>>>,
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
            expected: Mutex::new(Some(HashMap::new())),
        }
    }

    /// A number that this process never used before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn add(&self, number: u64, expected: Expected) -> Result<(), Stopped> {
        lock(&self.expected).as_mut().ok_or(Stopped)?.insert(number, expected);
        Ok(())
    }

    /// The signal about this number will go to the mailbox.
    pub(crate) fn expect(&self, number: u64) -> Result<(), Stopped> {
        self.add(number, Expected::InMailbox)
    }

    /// The signal about this number will be told here; the receiver fails when the process ends.
    pub(crate) fn expect_here(&self, number: u64) -> Result<oneshot::Receiver<Signal>, Stopped> {
        let (tell, told) = oneshot::channel();
        self.add(number, Expected::Here(tell))?;
        Ok(told)
    }

    /// Nothing about this number is expected any more; whether it was.
    pub(crate) fn forget(&self, number: u64) -> bool {
        let mut expected = lock(&self.expected);
        let was = expected.as_mut().is_some_and(|expected| expected.remove(&number).is_some());
        drop(expected);
        self.mailbox.retain(|entry| !is_about(entry, number));
        was
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Held while the signal is put into the mailbox: whoever forgets a number finds it there.
        let mut expected = lock(&self.expected);
        let Some(known) = expected.as_mut() else { return };
        match signal.number().map(|number| known.remove(&number)) {
            None | Some(Some(Expected::InMailbox)) => self.mailbox.push_signal(signal),
            // Whoever waited may have given up.
            Some(Some(Expected::Here(tell))) => drop(tell.send(signal)),
            Some(None) => {}
        }
    }

    /// The process has ended: nobody waits any more.
    pub(crate) fn close(&self) {
        self.mailbox.close();
        let expected = lock(&self.expected).take();
        drop(expected);
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
