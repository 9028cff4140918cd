//! The control socket: answers `partisan ctl`.

#[cfg(not(unix))]
use std::path::Path;

use super::Host;
use crate::failure::Failure;

#[cfg(unix)]
pub(crate) use unix::Control;

#[cfg(unix)]
mod unix {
    use std::fs::{self, DirBuilder, Permissions};
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::{Failure, Host};
    use crate::node::perform::perform;
    use crate::requests::{LONGEST_REQUEST, Reply, Request};

    /// The most connections at once; others wait.
    const MOST_CLIENTS: usize = 16;
    /// How long a client may take to write a request, or to read an answer.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// The pause after a failed accept, for want of file descriptors.
    const PAUSE: Duration = Duration::from_millis(200);

    /// The socket, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct Control {
        path: PathBuf,
        identity: (u64, u64),
        task: JoinHandle<()>,
    }

    impl Control {
        /// Makes the socket and answers there.
        pub(crate) fn open(path: &Path, host: Host) -> Result<Self, Failure> {
            make_room(path)?;
            let failed = |error: io::Error| {
                Failure::failed(format!(
                    "no control socket can be made at {}: {error}; choose a short path in a \
                     directory of yours",
                    path.display()
                ))
            };
            let listener = bind(path).map_err(failed)?;
            let identity = identity(path).map_err(failed)?;
            Ok(Self { path: path.to_owned(), identity, task: tokio::spawn(serve(listener, host)) })
        }
    }

    impl Drop for Control {
        fn drop(&mut self) {
            self.task.abort();
            // Only what we made: another node may have taken the place.
            if identity(&self.path).is_ok_and(|found| found == self.identity) {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
    }

    /// Sees to it that nothing of worth is at the path.
    fn make_room(path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let Ok(found) = fs::symlink_metadata(path) else {
            return Ok(());
        };
        if !found.file_type().is_socket() {
            return Err(Failure::usage(format!(
                "{shown} exists and is no socket; choose another path for --control"
            )));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(Failure::failed(format!(
                "another node answers at {shown}; stop it, or choose another path for --control"
            ))),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(Failure::failed(format!(
                "{shown} exists and cannot be used: {error}; remove it or choose another path"
            ))),
        }
    }

    /// Made in a directory that nobody else may enter and then moved into place, so that there is
    /// no moment at which others could connect.
    fn bind(path: &Path) -> io::Result<UnixListener> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let private = parent.join(format!(".partisan-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&private)?;
        let inner = private.join("s");
        let result = (|| {
            let listener = UnixListener::bind(&inner)?;
            fs::set_permissions(&inner, Permissions::from_mode(0o600))?;
            fs::rename(&inner, path)?;
            Ok(listener)
        })();
        // The directory is empty after success; after a failure there may be a socket in it.
        let _ = fs::remove_file(&inner);
        let _ = fs::remove_dir(&private);
        result
    }

    async fn serve(listener: UnixListener, host: Host) {
        let places = Arc::new(Semaphore::new(MOST_CLIENTS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let host = host.clone();
                    tokio::spawn(async move {
                        // A client that went away needs no answer.
                        let _ = converse(stream, &host).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn converse(stream: UnixStream, host: &Host) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut reader).take(LONGEST_REQUEST as u64 + 1);
            let read = bounded.read_until(b'\n', &mut line);
            if tokio::time::timeout(PATIENCE, read).await?? == 0 {
                return Ok(());
            }
            let whole = line.last() == Some(&b'\n');
            let mut stop = false;
            let reply = if whole {
                match serde_json::from_slice(&line) {
                    Ok(request) => {
                        stop = request == Request::Shutdown;
                        perform(host, request).await
                    }
                    Err(error) => Reply::Error(format!("that is no request: {error}")),
                }
            } else {
                let most = LONGEST_REQUEST;
                Reply::Error(format!("a request is one line of at most {most} bytes"))
            };
            let mut answer = serde_json::to_vec(&reply)?;
            answer.push(b'\n');
            tokio::time::timeout(PATIENCE, writer.write_all(&answer)).await??;
            if stop {
                // Not before the answer is on its way.
                host.stop.notify_one();
            }
            if !whole {
                return Ok(());
            }
        }
    }
}

/// Nothing, where there are no Unix sockets.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Control;

#[cfg(not(unix))]
impl Control {
    pub(crate) fn open(_: &Path, _: Host) -> Result<Self, Failure> {
        Err(Failure::usage("control sockets need a Unix system; leave --control out"))
    }
}
