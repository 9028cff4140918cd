//! The membership file: read at the start, replaced atomically whenever the core says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::error::SnapshotError;
use partisan_proto::{NodeId, Snapshot};
use tokio::sync::{Mutex, broadcast, watch};

use crate::error::StartError;
use crate::events::NodeEvent;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longer files are not read: 10,000 members of the longest spec fit well.
const LONGEST_FILE: u64 = 256 << 20;

/// A membership file that could not be used and was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where it is kept.
    pub kept_as: PathBuf,
    /// What is wrong with it.
    pub error: SnapshotError,
}

/// What the state directory held.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) recovered: Option<Recovered>,
}

/// Where the membership of a node is kept.
pub(crate) fn file_of(directory: &Path, node: NodeId) -> PathBuf {
    directory.join(format!("membership-{node}.state"))
}

/// Reads the membership file; one that is damaged is renamed to `<file>.bad-<n>`.
pub(crate) fn load(file: &Path) -> Result<Loaded, StartError> {
    let failed = |error| StartError::State { path: file.to_owned(), error };
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let bytes = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return Err(failed(error)),
        Ok(found) if found.len() > LONGEST_FILE => Vec::new(),
        Ok(_) => fs::read(file).map_err(failed)?,
    };
    match Snapshot::decode(&bytes) {
        Ok(snapshot) => Ok(Loaded { snapshot: Some(snapshot), recovered: None }),
        Err(error) => {
            let kept_as = set_aside(file).map_err(failed)?;
            tracing::warn!(
                %error, kept_as = %kept_as.display(),
                "the stored membership is unusable; starting without it"
            );
            let recovered = Some(Recovered { kept_as, error });
            Ok(Loaded { snapshot: None, recovered })
        }
    }
}

fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".bad-{number}"));
        let aside = PathBuf::from(name);
        if !aside.try_exists()? {
            fs::rename(file, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Replaces `file` so that a crash at any moment leaves the old or the new content.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut written = File::create(&new)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    drop(written);
    fs::rename(&new, file)?;
    #[cfg(unix)]
    if let Some(directory) = file.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Writes whatever was put last into `latest`, until its sender is gone and the last is written.
///
/// Ending the task does not end a write that is under way; `writing` is held until that is over.
pub(crate) async fn write_latest(
    file: PathBuf,
    mut latest: watch::Receiver<Bytes>,
    writing: Arc<Mutex<()>>,
    failures: Arc<AtomicU64>,
    events: broadcast::WeakSender<NodeEvent>,
) {
    let mut pause = FIRST_PAUSE;
    let mut unwritten = false;
    loop {
        let open = if unwritten {
            let changed = tokio::time::timeout(pause, latest.changed()).await;
            changed.is_err() || matches!(changed, Ok(Ok(())))
        } else {
            latest.changed().await.is_ok()
        };
        // After the end there is nothing new, but the last value may have failed before.
        if open || unwritten {
            let bytes = latest.borrow_and_update().clone();
            let target = file.clone();
            let held = Arc::clone(&writing).lock_owned().await;
            let write = move || {
                let result = replace(&target, &bytes);
                drop(held);
                result
            };
            let result = tokio::task::spawn_blocking(write).await;
            unwritten = !matches!(result, Ok(Ok(())));
            if let Ok(Err(error)) = result {
                failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, file = %file.display(), "the membership cannot be stored");
                let error = error.to_string();
                if let Some(events) = events.upgrade() {
                    // Nobody needs to listen.
                    let _ = events.send(NodeEvent::PersistFailed { error });
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                pause = FIRST_PAUSE;
            }
        }
        if !open {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_kept_aside_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/membership.state");
        assert!(load(&file).unwrap().recovered.is_none());
        for number in 1..=2 {
            fs::write(&file, b"garbage").unwrap();
            let recovered = load(&file).unwrap().recovered.unwrap();
            assert_eq!(fs::read(&recovered.kept_as).unwrap(), b"garbage");
            let name = recovered.kept_as.to_string_lossy().into_owned();
            assert!(name.ends_with(&format!(".bad-{number}")), "{name}");
            assert!(!file.exists());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let error = load(directory.path()).unwrap_err();
        assert!(matches!(error, StartError::State { .. }));
        assert!(directory.path().is_dir());
    }

    #[tokio::test]
    async fn the_last_value_is_written_even_when_the_sender_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("membership.state");
        let (latest, receiver) = watch::channel(Bytes::new());
        let events = broadcast::Sender::new(4);
        let failures = Arc::new(AtomicU64::new(0));
        let writer =
            write_latest(file.clone(), receiver, Arc::default(), failures, events.downgrade());
        let writer = tokio::spawn(writer);
        for text in ["one", "two", "three"] {
            latest.send(Bytes::from_static(text.as_bytes())).unwrap();
        }
        drop(latest);
        writer.await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"three");
    }

    #[tokio::test]
    async fn a_write_that_outlives_its_task_can_be_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("membership.state");
        let (latest, receiver) = watch::channel(Bytes::new());
        let events = broadcast::Sender::new(4);
        let writing = Arc::<Mutex<()>>::default();
        let held = Arc::clone(&writing);
        let writer = write_latest(file.clone(), receiver, held, Arc::default(), events.downgrade());
        let writer = tokio::spawn(writer);
        let new = file.with_extension("new");
        latest.send(Bytes::from(vec![1; 32 << 20])).unwrap();
        while !new.exists() && !file.exists() {
            tokio::task::yield_now().await;
        }
        writer.abort();
        assert!(writer.await.is_err());
        drop(writing.lock().await);
        assert!(!new.exists());
        assert_eq!(fs::metadata(&file).unwrap().len(), 32 << 20);
    }

    #[tokio::test]
    async fn a_failure_is_counted_told_and_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let parent = directory.path().join("gone");
        let file = parent.join("membership.state");
        let (latest, receiver) = watch::channel(Bytes::new());
        let events = broadcast::Sender::new(4);
        let mut told = events.subscribe();
        let failures = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&failures);
        let writer =
            write_latest(file.clone(), receiver, Arc::default(), count, events.downgrade());
        let writer = tokio::spawn(writer);
        latest.send(Bytes::from_static(b"x")).unwrap();
        let event = told.recv().await.unwrap();
        assert!(matches!(event, NodeEvent::PersistFailed { .. }));
        assert!(failures.load(Ordering::Relaxed) >= 1);
        fs::create_dir(&parent).unwrap();
        drop(latest);
        writer.await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }
}
